"""Entries of runners are shown as a conversation, and texts of models in it are escaped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dashboardjobs import an_entry

from agentjobs.dashboard.views.log_lines import MAX_LINE, log_lines
from agentjobs.dashboard.views.transcript import conversation

KINDS = ["started", "resumed", "model", "tool", "text", "error", "warning", "repair", "ended", "another"]


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("started", {"start": 2, "attempt": 1, "adk": "2.5.0"}, "Start 2 begins: attempt 1, ADK 2.5.0"),
        ("resumed", {"fromStep": 8, "replayed": 7}, "continues from the record: 7 steps are replayed, not run again"),
        ("model", {"model": "gemini", "inputTokens": 1200, "outputTokens": 9}, "gemini, 1,200 tokens in, 9 tokens out"),
        ("tool", {"name": "search", "result": {"found": 3}}, "search returned"),
        ("tool", {"name": "search", "result": {"error": "no net"}}, "search failed"),
        ("text", {"text": "Done.", "final": True}, "answers"),
        ("error", {"code": "SAFETY", "message": "no"}, "SAFETY"),
        (
            "repair",
            {"repair": 1, "problems": ["a", "b"]},
            "The answer does not fit; the model is called again (correction 1)",
        ),
        ("ended", {"verdict": "Fail", "reason": "ModelAuth", "message": "401"}, "Ended: Fail, ModelAuth"),
    ],
)
def test_each_kind_of_entry_is_labelled_with_the_message_in_this_table(kind, data, said):
    (turn,) = conversation([an_entry(1, kind, data)])

    assert turn.sentence == said
    assert turn.author == "triage"


def test_a_call_has_its_arguments_in_brief_and_in_full():
    data = {"toolCalls": [{"name": "search", "args": {"query": "heat pumps", "limit": 3}}]}
    (call,) = conversation([an_entry(1, "model", data)])[0].calls

    assert (call.name, call.brief) == ("search", "query='heat pumps', limit=3")
    assert call.arguments.text == '{\n  "query": "heat pumps",\n  "limit": 3\n}'


def test_a_large_result_is_truncated_and_says_so():
    (turn,) = conversation([an_entry(1, "tool", {"name": "read", "result": "x" * 60_000})])

    assert len(turn.result.text) == 4_000
    assert turn.left_out == 56_000


def test_a_page_of_long_texts_is_truncated_to_the_limit_of_a_page():
    entries = [an_entry(n, "text", {"text": "![" * 8_000}) for n in range(100)]
    entries += [an_entry(n, "model", {"toolCalls": [{"name": "a", "args": {"b": "c" * 900}}] * 50}) for n in range(100)]
    turns = conversation(entries)

    shown = sum(len(turn.text.html) for turn in turns if turn.text)
    shown += sum(len(call.arguments.text) for turn in turns for call in turn.calls)
    assert shown < 100_000 + 100 * 300 + 2_000 * 300
    assert all(turn.left_out for turn in turns[20:])


def test_a_failed_start_is_marked():
    turns = conversation(
        [an_entry(n, "ended", {"verdict": word}) for n, word in enumerate(["Succeed", "Retry", "Fail"])]
    )

    assert [turn.role for turn in turns] == ["mark", "error", "error"]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)
FIELDS = [
    "text",
    "name",
    "result",
    "toolCalls",
    "message",
    "code",
    "problems",
    "verdict",
    "reason",
    "args",
    "adk",
    "model",
]


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6))
def test_any_entry_can_be_shown(kind, data):
    (turn,) = conversation([an_entry(1, kind, data)])

    texts = [turn.sentence, turn.author, *(call.name + call.brief for call in turn.calls)]
    assert all("\n" not in text and "\u202e" not in text and len(text) < 500 for text in texts)


def test_our_log_lines_become_sentences_and_others_are_unchanged():
    told = '{"time": "2026-11-29T12:00:03Z", "level": "warning", "event": "step.tool", "author": "a", "tool": "search"}'
    ours, theirs = log_lines(f"{told}\nplain \x1b[31mred\n")

    assert (ours.text, ours.level) == ("12:00:03 a  tool search returned", "warning")
    assert (theirs.text, theirs.level) == ("plain \ufffd[31mred", "")


def test_a_line_always_has_the_same_anchor():
    lines = [f"2026-11-{day}T23:59:59.5Z {text}" for day, text in ((19, "a"), (20, "b"), (20, "c"), (20, "b"))]
    before, after = list(log_lines("\n".join(lines))), list(log_lines("\n".join(lines[1:])))

    assert [line.address for line in before[1:]] == [line.address for line in after]
    assert len({line.address for line in before}) == 4
    assert [line.time for line in before] == ["2026-11-19 23:59:59", "2026-11-20 23:59:59", "23:59:59", "23:59:59"]


@pytest.mark.parametrize("written", ["2026-11-20T13:00:03+01:00", "2026-11-20T12:00:03.000000000Z"])
def test_a_line_of_agentjobs_shows_its_time_once(written):
    told = '{"time": "2026-11-20T12:00:03Z", "level": "info", "event": "step.tool", "author": "a", "tool": "search"}'
    (line,) = log_lines(f"{written} {told}\n")

    assert (line.time, line.text) == ("2026-11-20 12:00:03", "a  tool search returned")


@pytest.mark.parametrize("text", ["a", "2026-11-20T12:00:03Z", "2026-13-20T12:00:03Z a", "0001-01-01T00:00:00+14:00 a"])
def test_a_line_without_a_time_has_no_anchor(text):
    (line,) = log_lines(text)

    assert (line.text, line.time, line.address) == (text, "", "")


def test_a_line_of_a_megabyte_is_truncated():
    (line,) = log_lines("x" * 1_000_000)

    assert (len(line.text), line.left_out) == (MAX_LINE, 1_000_000 - MAX_LINE)


def test_a_line_that_only_repeats_another_is_left_out():
    ended = '{"time": "2026-11-29T12:00:03Z", "level": "info", "event": "step.ended", "author": "a"}'

    assert [line.text for line in log_lines(f"a\n{ended}\nb\n")] == ["a", "b"]


@pytest.mark.parametrize(
    ("event", "more", "level"),
    [
        ("attempt.ended", '"verdict": "Succeed"', ""),
        ("attempt.ended", '"verdict": "Retry"', "error"),
        ("attempt.ended", '"verdict": "Fail"', "error"),
        ("step.error", '"author": "a"', "error"),
    ],
)
def test_the_line_of_a_failure_is_highlighted_in_the_log(event, more, level):
    (line,) = log_lines(f'{{"time": "2026-11-29T12:00:03Z", "level": "info", "event": "{event}", {more}}}\n')

    assert line.level == level
