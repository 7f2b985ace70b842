"""One line a record, for machines and for people."""

import ast
import io
import json
import logging
import warnings
from pathlib import Path

import pytest

from agentjobs import logs
from agentjobs.readable import LIBRARY

ROOT = Path(__file__).parents[2]


@pytest.fixture
def configured():
    """Configure logging into a text buffer and put everything back afterwards."""
    handlers, level = logging.root.handlers[:], logging.root.level
    stream = io.StringIO()

    def build(level="INFO", fmt="json"):
        logs.configure(level, fmt, stream=stream)
        return stream

    yield build
    logging.captureWarnings(False)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_a_record_is_one_line_of_json_with_its_fields(configured):
    stream = configured()

    logging.getLogger("x").info("attempt.claimed", extra={"job": "hello\nworld", "start": 1})

    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert (told["event"], told["job"], told["start"], told["level"]) == ("attempt.claimed", "hello\nworld", 1, "info")


@pytest.mark.parametrize("fmt", ["json", "text"])
def test_control_characters_are_escaped(configured, fmt):
    stream = configured(fmt=fmt)

    logging.getLogger("x").info("odd.text", extra={"said": "a\x1b[2Jb\x9b2Jc\u2028d\x7f"})

    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    assert "a\\u001b[2Jb\\u009b2Jc\\u2028d\\u007f" in line


def test_a_stack_is_on_the_same_line(configured):
    stream = configured()

    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("x").exception("tick.failed")

    (line,) = stream.getvalue().splitlines()
    assert "ValueError: broken" in json.loads(line)["stack"]


def test_the_text_format_has_a_message_and_key_value_pairs(configured):
    stream = configured(fmt="text")

    logging.getLogger("x").warning("queue.full", extra={"queue": "agents", "why": "ten of ten", "none": ""})

    assert stream.getvalue().split(" ", 1)[1] == 'WARNING queue.full queue=agents why="ten of ten" none=""\n'


def test_values_that_json_cannot_represent_are_logged_as_text(configured):
    stream = configured()

    logging.getLogger("x").info("odd", extra={"value": {1, 2}.__class__})

    assert json.loads(stream.getvalue())["value"] == "<class 'set'>"


def test_an_unknown_level_is_named():
    with pytest.raises(ValueError, match=r"'LOUD'.*DEBUG"):
        logs.configure("LOUD", "json")


def test_the_first_word_is_the_event_and_the_rest_is_the_message(configured):
    stream = configured()

    logging.getLogger("agentjobs.x").warning("history.unavailable %s", "no server")
    logging.getLogger("kopf.x").info("Starting the watch-stream for pods.v1.")

    ours, theirs = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (ours["event"], ours["message"]) == ("history.unavailable", "no server")
    assert (theirs["event"], theirs["message"]) == (LIBRARY, "Starting the watch-stream for pods.v1.")


def test_a_python_warning_is_a_log_line_too(configured):
    stream = configured()

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)

    (line,) = stream.getvalue().splitlines()
    assert "DeprecationWarning: old" in json.loads(line)["message"]


def events_of(path):
    """Return the first words of messages that calls of a module's `logger` spell out."""
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    texts = [call.args[0] for call in calls if ast.unparse(call.func).startswith("logger.") and call.args]
    return [text.value.partition(" ")[0] for text in texts if isinstance(text, ast.Constant)]


@pytest.mark.parametrize("package", ["operator/agentjobs", "runner_image/agentjobs_runner"])
def test_every_name_of_an_event_has_the_form_that_lines_recognise(package):
    events = [event for path in (ROOT / package).rglob("*.py") for event in events_of(path)]

    assert len(events) > 20
    assert [event for event in events if not logs._EVENT.fullmatch(event)] == []
