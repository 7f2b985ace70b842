"""The runner's log lines, and what is redacted in them."""

import json
import logging
import subprocess
import sys

import pytest

from agentjobs import logs
from agentjobs_runner.log import cleared
from agentjobs_runner.redaction import Redactor

PASSWORD = 'pä"ss\\word\n1'


@pytest.fixture
def line():
    """`line(**fields)`: a record of a runner that knows a password, as it is written."""
    redactor = Redactor({"SHOP_PASSWORD": PASSWORD})
    formatter = logs.LineFormatter(logs.as_json, lambda line: cleared(line, redactor))

    def write(error=None, **fields):
        record = logging.makeLogRecord({"msg": "agent.raised", "name": "x", **fields})
        record.exc_info = error and (type(error), error, None)
        return json.loads(formatter.format(record))

    return write


def test_a_secret_that_json_escapes_is_redacted(line):
    told = line(detail=f"no login with {PASSWORD}", deep={"tries": [PASSWORD]})

    assert (told["detail"], told["deep"]) == ("no login with [SHOP_PASSWORD]", {"tries": ["[SHOP_PASSWORD]"]})


def test_a_stack_is_redacted(line):
    assert line(ValueError(PASSWORD))["stack"] == "ValueError: [SHOP_PASSWORD]"


def test_a_value_that_is_not_text_is_redacted(line):
    assert line(detail=ValueError(PASSWORD))["detail"] == "[SHOP_PASSWORD]"


def test_a_librarys_error_is_one_line(line):
    told = line(ValueError("no route"), name="google_adk.google.adk.agents.llm_agent", msg="runs without the tools")

    assert ("stack" in told, told["message"]) == (False, "runs without the tools: ValueError: no route")


# User code in a process of its own, for all that it does to logging is for good.
LOGGING = """
import logging, logging.config, os, sys
from agentjobs_runner import log
from agentjobs_runner.redaction import Redactor
log.configure({}, Redactor({"SHOP_PASSWORD": "correct horse"}))
logging.getLogger("mine").warning("before")
def odd(*args, **more):
    raise RuntimeError("no records today")
class Silent(logging.Logger):
    def handle(self, record): pass
"""


DOES = [
    pytest.param('logging.config.dictConfig({"version": 1})', id="disables-loggers"),
    pytest.param("logging.basicConfig(force=True, handlers=[logging.NullHandler()])", id="replaces-handlers"),
    pytest.param("logging.root.handlers.clear()", id="clears-handlers"),
    pytest.param("logging.disable(logging.CRITICAL)", id="disables-all"),
    pytest.param("logging.getLogger('agentjobs.runner').disabled = True", id="disables-ours-by-name"),
    pytest.param("logging.root.manager.loggerDict.clear()", id="forgets-loggers"),
    pytest.param("logging.shutdown()", id="shuts-down"),
    pytest.param("logging.captureWarnings(False)", id="warnings"),
    pytest.param("logging.setLoggerClass(Silent)", id="logger-class"),
    pytest.param("logging.setLogRecordFactory(odd)", id="record-factory"),
    pytest.param("logging.addLevelName(logging.ERROR, '\\x1b[31mOOPS')", id="level-name"),
    pytest.param("logging.root.setLevel(100)", id="level"),
    pytest.param("sys.stderr.close()", id="closes-stderr"),
    pytest.param("os.close(2)", id="closes-its-descriptor"),
    pytest.param("os.dup2(os.open(os.devnull, os.O_WRONLY), 2)", id="redirects-its-descriptor"),
    pytest.param("os.set_blocking(2, False)", id="does-not-block"),
]


@pytest.mark.parametrize("does", DOES)
def test_user_code_neither_silences_nor_unredacts_the_runner(does):
    says = 'log.logger.error("agent.raised", extra={"why": "correct horse"}, exc_info=ValueError("correct horse"))'
    done = subprocess.run(
        [sys.executable, "-c", f"{LOGGING}\n{does}\n{says}"], capture_output=True, text=True, timeout=60
    )

    before, *_, told = map(json.loads, done.stderr.splitlines())
    assert before["message"] == "before"
    assert (told["event"], told["level"], told["why"]) == ("agent.raised", "error", "[SHOP_PASSWORD]")
    assert told["stack"] == "ValueError: [SHOP_PASSWORD]"


WARNS = """
import json
from agentjobs_runner.adk.log_capture import captured
early = logging.getLogger("google_adk.early")
with captured(lambda kind, author, data: print(json.dumps([kind, data["level"], data["message"]]), flush=True)):
    exec({does!r})
    early.warning("a tool was dropped")
    logging.getLogger("google_adk.late").error("so was another")
"""


@pytest.mark.parametrize("does", DOES)
def test_user_code_does_not_hide_warnings_that_adk_only_logs(does):
    source = LOGGING + WARNS.replace("{does!r}", repr(does))

    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)

    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told == [["warning", "WARNING", "a tool was dropped"], ["warning", "ERROR", "so was another"]], done.stderr
