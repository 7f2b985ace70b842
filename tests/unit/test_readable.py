"""Log lines for people: recorded lines of a runner, and other lines of a pod's log."""

import json
import re

import pytest

from agentjobs.readable import parsed, readable

CLOCK = {"time": "2026-11-21T20:11:25.342+00:00", "level": "info", "logger": "agentjobs.runner"}
STACK = "Traceback (most recent call last):\n  File \"a.py\", line 7, in boom\nKeyError: 'amonut'"


def line(event, **fields):
    return {**CLOCK, "event": event, **fields}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        pytest.param(
            line("attempt.started", namespace="default", job="refund", uid="0b", start=2, attempt=1, max_attempts=3),
            "start 2 of refund, attempt 1 of 3",
            id="start",
        ),
        pytest.param(
            line("step.started", author="judge", attempt=1, start=1, adk="2.13.0"),
            "judge  started, ADK 2.13.0",
            id="agent",
        ),
        pytest.param(
            line("step.started", author="claude", attempt=1, start=1, claudeCode="2.1.332"),
            "claude  started, Claude Code 2.1.332",
            id="claude-code",
        ),
        pytest.param(line("step.started", author="own", attempt=1, start=1), "own  started", id="of-no-version"),
        pytest.param(
            line("step.resumed", author="hello", from_step=7, replayed=6),
            "hello  continued, 6 steps replayed",
            id="resumed",
        ),
        pytest.param(
            line("step.model", author="judge", tokens_in=21, tokens_out=12, tools=[]),
            "judge  model answered, 21 tokens in, 12 tokens out",
            id="model",
        ),
        pytest.param(
            line("step.model", author="judge", tokens_in=None, tokens_out=None, tools=[]),
            "judge  model answered",
            id="model-without-counts",
        ),
        pytest.param(
            line("step.model", author="judge", tools=["find_order", "note"]),
            "judge  model calls find_order, note",
            id="call",
        ),
        pytest.param(
            line("step.model", author="judge", tools=["find"], calls=[{"name": "find", "args": {"order": "A1"}}]),
            "judge  model calls find(order='A1')",
            id="call-in-full",
        ),
        pytest.param(line("step.tool", author="judge", tool="find"), "judge  tool find returned", id="tool"),
        pytest.param(
            line("step.tool", author="judge", tool="find", result={"sum": 3}),
            "judge  tool find returned {'sum': 3}",
            id="tool-in-full",
        ),
        pytest.param(
            line("step.text", author="judge", bytes=41, final=True), "judge  says 41 bytes, its answer", id="text"
        ),
        pytest.param(
            line("step.text", author="judge", bytes=41, final=True, text="Hi\nyou"),
            "judge  says 'Hi\\nyou'",
            id="text-in-full",
        ),
        pytest.param(
            line("step.error", author="judge", code="MAX_TOKENS"), "judge  error code=MAX_TOKENS", id="another-step"
        ),
        pytest.param(
            line("attempt.terminating", signal="SIGTERM", grace_seconds=60.0, running="tool find"),
            "stopping: waiting up to 60 s for tool find",
            id="stopping",
        ),
        pytest.param(
            line("attempt.terminating", signal="SIGINT", grace_seconds=60.0, running="tool find"),
            "stopping: waiting up to 60 s for tool find; press Ctrl-C again to stop now",
            id="ctrl-c",
        ),
        pytest.param(
            line("attempt.ended", verdict="Retry", reason="ToolError", detail="tool find failed"),
            "Retry ToolError: tool find failed",
            id="end",
        ),
        pytest.param(
            line("agent.raised", level="error", reason="ToolError", stack=STACK),
            f"ERROR agent.raised reason=ToolError\n{STACK}",
            id="stack",
        ),
        pytest.param(
            line("library.message", level="warning", logger="myapp", message="low on disk"),
            "WARNING myapp: low on disk",
            id="somebody-elses",
        ),
        pytest.param(
            line("gateway.unavailable", level="warning", message="no route", error="a b"),
            'WARNING gateway.unavailable no route error="a b"',
            id="any-other",
        ),
        pytest.param(line("step.tool", author=["x"], tool={"y": 1}), "['x']  tool {'y': 1} returned", id="odd-types"),
        pytest.param(line("step.model", author="a", calls="f"), "a  model calls f", id="odd-calls"),
        pytest.param(line("step.model", author="a", calls=[{"args": 3}]), "a  model calls None()", id="odd-args"),
    ],
)
def test_each_event_is_shown_as_the_message_in_this_table(given, shown):
    assert readable(parsed(json.dumps(given))) == f"20:11:25 {shown}"


def test_fields_repeated_from_the_last_line_are_left_out():
    assert readable(line("step.ended", author="refund", verdict="Succeed", reason="ResultAccepted")) == ""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("found 3 orders", id="a-print"),
        pytest.param('{"orders": 3}', id="other-json"),
        pytest.param('{"time": 3, "level": "info", "event": "x"}', id="another-time"),
        pytest.param("{" * 100_000, id="deep"),
        pytest.param('{"a":' * 100_000, id="deep-json"),
        pytest.param("", id="empty"),
    ],
)
def test_lines_of_other_programs_are_distinguished(text):
    assert parsed(text) is None


HOSTILE = "a\x1b[2Jb\x9b2J\u202edc\x07\nnew line\x00"


@pytest.mark.parametrize("colour", [False, True], ids=["plain", "coloured"])
@pytest.mark.parametrize(
    "given",
    [
        pytest.param(
            line("step.model", author=HOSTILE, calls=[{"name": HOSTILE, "args": {HOSTILE: HOSTILE}}]), id="call"
        ),
        pytest.param(line("step.tool", author="a", tool=HOSTILE, result=HOSTILE), id="tool"),
        pytest.param(line("step.x\x1b", author="a", field=HOSTILE), id="step"),
        pytest.param(line(HOSTILE, message=HOSTILE, **{HOSTILE: HOSTILE}), id="other"),
        pytest.param({"time": HOSTILE, "level": HOSTILE, "event": "x", "logger": HOSTILE}, id="frame"),
        pytest.param(line("attempt.ended", verdict=HOSTILE, reason=HOSTILE, detail=HOSTILE), id="end"),
    ],
)
def test_control_characters_and_newlines_in_a_line_are_escaped(given, colour):
    plain = re.sub(r"\x1b\[\d+m", "", readable(given, colour=colour))

    assert plain.isprintable()


def test_control_characters_in_a_stack_are_escaped():
    shown = readable(line("agent.raised", level="error", stack=f"Traceback\n{HOSTILE}"))

    assert all(one.isprintable() for one in shown.split("\n"))


def test_a_step_fits_the_terminal():
    text = readable(line("step.text", author="judge", text="word " * 100), colour=True, width=80)

    plain = re.sub(r"\x1b\[\d+m", "", text)
    assert len(plain) == 80
    assert plain.endswith("…")


def test_colours_are_used_only_on_terminals():
    ended = line("attempt.ended", verdict="Fail", reason="ToolError", detail="x")

    assert "\x1b[31mFail\x1b[0m" in readable(ended, colour=True)
    assert "\x1b" not in readable(ended)


def test_the_error_of_a_tool_for_the_model_is_not_truncated():
    told = "Invoking `find()` failed as the following mandatory input parameters are not present: order " * 3

    text = readable(line("step.tool", author="judge", tool="find", result={"error": told}), width=80)

    assert text.endswith("order '}")
