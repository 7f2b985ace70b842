"""The table of a job's steps: which start ran each, where a start continued, and what a narrow terminal shows."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from agentjobs.api.recorded import RecordedStart, RecordedStep, StepContent
from agentjobs.cli import step_table as told

NOON = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


def a_step(n, *, start=1, run=1, replayed=False, void=False, ended=True, **more):
    used = {"inputTokens": 120, "outputTokens": 9}
    told = {"kind": "model", "agent": "invoices", "name": "scripted/resume/script", "key": f"k{n}", "bytes": 9, **more}
    end = NOON + timedelta(seconds=0.25) if ended else None
    frame = {"n": n, "run": run, "start": start, "began": NOON, "ended": end, "usage": used}
    return RecordedStep(**frame, void=void, replayed=replayed, **told)


def a_start(number, *, ended=True):
    times = {"started": NOON, "claimed": NOON, "heartbeat": NOON, "ended": NOON if ended else None}
    judged = dict.fromkeys(("verdict", "reason", "charged", "message", "reported", "usage"))
    return RecordedStart(start=number, attempt=number, pod=f"hello-{number}", **times, **judged)


THREE = [
    *(a_step(n, replayed=True) for n in range(1, 6)),
    *(a_step(n, start=2, replayed=True) for n in (6, 7)),
    a_step(8, start=3),
]


@pytest.mark.parametrize(
    ("step", "starts", "state"),
    [
        pytest.param(a_step(1), [a_start(1)], "recorded", id="recorded"),
        pytest.param(a_step(1, replayed=True), [a_start(1), a_start(2)], "replayed", id="replayed"),
        pytest.param(a_step(1, void=True), [a_start(1), a_start(2)], "void", id="void"),
        pytest.param(a_step(1, ended=False), [a_start(1), a_start(2)], "interrupted", id="killed"),
        pytest.param(a_step(1, ended=False), [a_start(1, ended=False)], "running", id="under-way"),
    ],
)
def test_a_step_has_its_state(step, starts, state):
    assert told.state_of(step, starts) == state


def test_a_start_has_the_step_after_which_it_continued():
    starts = [re.findall(r"\d+", line) for line in told.continued(THREE)]

    assert starts == [["2", "6", "5"], ["3", "8", "7"]]


def test_a_start_that_began_a_new_run_continued_no_step():
    assert told.continued([a_step(1), a_step(2, start=2, run=2)]) == []


def test_a_start_has_the_numbers_of_its_steps():
    assert told.spans(THREE) == {1: "1-5", 2: "6-7", 3: "8"}


def test_an_interrupted_call_is_named():
    steps = [a_step(1), a_step(2, kind="tool", name="send_invoice", ended=False)]

    (said,) = told.interrupted(steps, [a_start(1)])

    assert all(word in said for word in ("step 2", "send_invoice", "start 1"))


def test_a_repeated_call_is_named():
    again = a_step(2, start=2, kind="tool", name="charge").model_copy(update={"usage": {"toolCalls": 2}})

    (said,) = told.interrupted([a_step(1), again], [a_start(1), a_start(2)])

    assert all(word in said for word in ("step 2", "charge", "2 times", "start 2"))


def test_a_line_separates_the_runs():
    lines = told.step_table([a_step(1), a_step(2, start=2, run=2)], [], full=False).splitlines()

    assert [line.split()[0] for line in lines] == ["STEP", "1", "start", "2"]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_a_terminal(monkeypatch, columns):
    monkeypatch.setattr(told, "terminal_width", lambda: columns)
    long = a_step(
        12345, replayed=True, agent="a_researcher_with_a_long_name", name="anthropic/claude-sonnet-4-5-20250929-v1"
    )

    lines = told.step_table([long, a_step(2)], [], full=False).splitlines()

    assert max(map(len, lines)) <= columns
    assert lines[1].split()[-1] == "replayed"


@pytest.mark.parametrize(("full", "columns"), [(True, 80), (False, None)])
def test_nothing_is_truncated_with_full_or_in_a_pipe(monkeypatch, full, columns):
    monkeypatch.setattr(told, "terminal_width", lambda: columns)

    assert "x" * 90 in told.step_table([a_step(1, name="x" * 90)], [], full=full)


def test_a_summary_counts_the_steps_by_state():
    steps = [a_step(1, replayed=True), a_step(2, void=True), a_step(3)]

    assert re.findall(r"\d+(?: replayed| void)?", told.summary(steps, [])) == ["3", "1 replayed", "1 void"]


def test_costs_and_fallbacks_have_columns_if_a_step_has_them():
    steps = [a_step(1, cost_usd="0.0123", served="gemini-2.5-flash"), a_step(2)]
    plain = told.step_table([a_step(1)], [a_start(1)], full=True)
    head, first, second = told.step_table(steps, [a_start(1)], full=True).splitlines()

    assert head.split()[-5:] == ["TOKENS", "COST", "ANSWERED", "BY", "STATE"]
    assert first.split()[-3:] == ["$0.0123", "gemini-2.5-flash", "recorded"]
    assert second.split()[-3:] == ["-", "-", "recorded"]
    assert "COST" not in plain


def test_a_step_is_shown_with_its_content_without_control_characters():
    page = told.step_page(StepContent(step=a_step(3), request={}, body={"text": "\x1b[2J\u202e"}))

    assert ("Step:" in page, "scripted/resume/script" in page, '"text"' in page) == (True,) * 3
    assert not {"\x1b", "\u202e"} & set(page)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (StepContent(step=a_step(1, ended=False), request={}, body=None), "not finished"),
        (StepContent(step=a_step(1), request={}, body=None, unreadable=True), "can no longer be read"),
        (StepContent(step=a_step(1, void=True), request={}, body=None), "1, model, void"),
    ],
    ids=["open", "unreadable", "void"],
)
def test_a_step_without_an_answer_has_the_reason(content, said):
    assert said in told.step_page(content)
