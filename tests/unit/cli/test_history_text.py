"""The pages about one job: what an entry says, a long error once, nothing broken in a narrow terminal."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agentjobs.api.recorded import RecordedEntry
from agentjobs.api.recorded_usage import JobModelUsage
from agentjobs.cli import printing
from agentjobs.cli.history import why_no_result
from agentjobs.cli.history_text import ShownTexts, entries_table, models_table, starts_table, used_of, used_words

LONG = "the model needs credentials: put GOOGLE_API_KEY into runtime.env, from a Secret of the job's namespace"


def entry(kind, data):
    return RecordedEntry(
        start=1, seq=1, time=datetime(2026, 11, 21, 9, tzinfo=UTC), kind=kind, author="refund", data=data
    )


def start(number, message, at="2026-11-21T13:40:51+00:00"):
    ended = {"ended": at, "verdict": "Retry", "reason": "ProgressTimeout", "charged": True, "usage": None}
    return {"start": number, "attempt": number, "started": at, "message": message, **ended}


def test_a_tool_call_is_shown_with_its_arguments():
    calls = [{"name": "find_order", "args": {"order": "A1", "limit": 2}}, {"name": "note", "args": {}}]

    assert 'find_order(order="A1", limit=2), note()' in entries_table(
        [entry("model", {"toolCalls": calls})], ShownTexts(), full=False
    )


def test_the_step_after_which_a_start_continued_is_shown():
    assert "6 steps replayed" in entries_table(
        [entry("resumed", {"fromStep": 7, "replayed": 6})], ShownTexts(), full=False
    )


@pytest.mark.parametrize(("full", "shown"), [(False, 100), (True, 300)])
def test_a_long_text_is_truncated_unless_full_output_is_requested(full, shown):
    page = entries_table([entry("text", {"text": "x" * 300})], ShownTexts(), full=full)

    assert len(page.splitlines()[1].split()[-1]) == shown


def test_a_long_error_is_shown_once_on_a_page():
    told = ShownTexts(LONG)

    page = starts_table([start(1, LONG), start(2, "another")], told)
    page += entries_table(
        [entry("ended", {"verdict": "Fail", "reason": "ModelAuth", "message": LONG})], told, full=False
    )

    assert LONG not in page
    assert page.count("(see above)") == 2


def test_a_message_that_is_only_a_prefix_of_a_word_is_not_a_repetition():
    held = "queue nightly starts no jobs: its stopPolicy is Hold"
    told = ShownTexts(held)

    assert told.once(f"{held}AndDrain") == f"{held}AndDrain"
    assert told.once(f"QueueHeld: {held}.") == "QueueHeld: (see above)."


def test_with_full_output_a_long_error_is_shown_completely_each_time():
    told = ShownTexts(LONG, always=True)

    page = starts_table([start(1, LONG), start(2, LONG)], told)
    page += entries_table(
        [entry("ended", {"verdict": "Fail", "reason": "ModelAuth", "message": LONG})], told, full=True
    )

    assert (page.count(LONG), page.count("(see above)")) == (3, 0)


def test_dates_are_shown_if_the_starts_span_several_days():
    one_day = starts_table([start(1, ""), start(2, "")], ShownTexts())
    two_days = starts_table([start(1, ""), start(2, "", "2026-11-22T13:40:51+00:00")], ShownTexts())

    assert ("2026-11-21" in one_day, "2026-11-22 13:40:51" in two_days) == (False, True)


def test_sentences_are_wrapped_between_words_in_a_narrow_terminal(monkeypatch):
    monkeypatch.setattr(printing, "terminal_width", lambda: 80)

    lines = starts_table([start(1, LONG)], ShownTexts()).splitlines()

    assert [line for line in lines if len(line) > 80] == []
    assert " ".join(" ".join(lines[1:]).split()).endswith(LONG)


def test_a_count_of_one_is_in_the_singular():
    assert used_words({"llmCalls": 1, "toolCalls": 2}).split(", ")[:2] == ["1 model call", "2 tool calls"]


@pytest.mark.parametrize(
    ("finished", "words"),
    [
        ("2026-11-21T09:00:00Z", "Failed (ModelAuth): no key"),
        (None, "no result yet"),
    ],
)
def test_a_job_without_a_result_has_the_reason(finished, words):
    job = {"name": "haiku", "phase": "Failed", "reason": "ModelAuth", "message": "no key", "deleted": None}

    assert words in why_no_result({**job, "finished": finished})


def test_costs_have_a_column_if_a_start_has_them():
    head, first, second = starts_table([start(1, "a") | {"costUSD": "0.02"}, start(2, "b")], ShownTexts()).splitlines()

    assert head.split()[-2:] == ["COST", "MESSAGE"]
    assert (first.split()[-2:], second.split()[-2:]) == (["$0.02", "a"], ["<none>", "b"])
    assert "COST" not in starts_table([start(1, "a")], ShownTexts())


def test_usage_includes_the_cost_if_it_is_known():
    used = {"llmCalls": 1, "toolCalls": 0, "inputTokens": 5, "outputTokens": 2}

    assert "$" not in used_words(used)
    assert used_words(used, Decimal("0.5")) == f"{used_words(used)}, $0.50"


def test_calls_that_are_not_steps_count_in_the_usage():
    counts = dict.fromkeys(("cachedTokens", "cacheWrittenTokens", "thinkingTokens", "failed", "underWay"), 0)
    asked = {"provider": "anthropic", "model": "anthropic/m", "calls": 3, "inputTokens": 9, "outputTokens": 4}
    one = JobModelUsage.model_validate(counts | asked | {"costUSD": "1.5", "estimated": 0})
    steps = [{"llmCalls": 1, "toolCalls": 2, "inputTokens": 5, "outputTokens": 7}]

    assert used_of(steps, [one]) == {"llmCalls": 3, "toolCalls": 2, "inputTokens": 9, "outputTokens": 7}
    assert used_of(steps) == steps[0]


def test_the_cost_of_a_jobs_models_says_what_is_estimated():
    counts = dict.fromkeys(("cachedTokens", "cacheWrittenTokens", "thinkingTokens", "failed"), 0)
    asked = {"provider": "gemini", "model": "gemini-2.5-pro", "calls": 3, "inputTokens": 9, "outputTokens": 4}
    one = JobModelUsage.model_validate(counts | asked | {"costUSD": "1.5", "underWay": 1, "estimated": 2})

    line = models_table([one]).splitlines()[1]
    assert line.split() == ["gemini-2.5-pro", "gemini", "3", "9/4", "0", "$1.50", "(estimated)", "1", "in", "progress"]
