"""Scripts: their format, and which answer each agent gets."""

from datetime import timedelta

import pytest

from agentjobs_runner.adk.scripted import ScriptCursor, parse
from agentjobs_runner.endings import StartEnded


def test_every_key_of_the_format_is_supported():
    text = """
starts:
  - - {agent: a, delay: 300ms, text: hi, toolCalls: [{name: f, args: {x: 1}}], usage: {inputTokens: 1, outputTokens: 2}}
    - {error: {status: 429, message: slow down, retryAfter: 2s}}
    - {finishReason: SAFETY}
    - {text: The report has thr, finishReason: MAX_TOKENS}
    - {exit: 137}
    - {exit: SIGKILL}
"""
    first, error, *_, killed = parse(text, "s/k").answers(1)

    assert (first.delay, first.toolCalls[0].args) == (timedelta(milliseconds=300), {"x": 1})
    assert error.error.retryAfter == timedelta(seconds=2)
    assert killed.exit == "SIGKILL"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{", "not YAML", id="no-yaml"),
        pytest.param("- text: hi", "a mapping with key `starts`", id="a-list"),
        pytest.param("start: []", "starts: Field required", id="no-starts"),
        pytest.param("starts: []", "starts: ", id="empty"),
        pytest.param("starts: [[{txt: hi}]]", "starts.0.0.txt: remove it", id="unknown-key"),
        pytest.param("starts: [[{}]]", "starts.0.0: ", id="nothing-to-do"),
        pytest.param("starts: [[{text: a, exit: 1}]]", "error and exit", id="two-things"),
        pytest.param("starts: [[{text: a, delay: soon}]]", "'soon' is not a duration", id="duration"),
        pytest.param("starts: [[{text: a, delay: 3}]]", "as a string", id="duration-without-unit"),
        pytest.param("starts: [[{error: {status: 200}}]]", "starts.0.0.error.status", id="no-error-status"),
        pytest.param("starts: [[{finishReason: Bored}]]", "use one of Gemini's", id="finish-reason"),
        pytest.param("starts: [[{exit: SIGFOO}]]", "starts.0.0.exit", id="signal"),
        pytest.param("starts: !!python/object:os.system []", "not YAML", id="python-object"),
    ],
)
def test_a_mistake_is_reported_with_its_path_and_a_solution(text, said):
    with pytest.raises(StartEnded) as refused:
        parse(text, "s/k")

    ending = refused.value.ending
    assert (ending.verdict.value, ending.reason) == ("Fail", "ConfigInvalid")
    assert ending.message.startswith("script s/k: ")
    assert said in ending.message


def test_an_agent_uses_its_own_answers_and_those_without_an_agent():
    stage = ScriptCursor({"s/k": "starts: [[{agent: b, text: b1}, {text: any}, {agent: a, text: a1}]]"}, 1)

    assert [stage.next("s/k", name).text for name in ("a", "a", "b")] == ["any", "a1", "b1"]


def test_the_error_for_a_used_up_script_has_the_number_of_its_answers():
    stage = ScriptCursor({"s/k": "starts: [[{text: one}]]"}, 2)
    stage.next("s/k", "a")

    with pytest.raises(StartEnded, match=r"start 2 .*'a' \(1 given\)"):
        stage.next("s/k", "a")


LISTS = "starts: [[{text: first}], [{error: {status: 503}}, {text: x}, {agent: b, text: b1}, {text: y}]]"


def test_a_repeating_list_continues_after_replayed_steps():
    stage = ScriptCursor({"s/k": LISTS}, 3)

    stage.replayed("s/k", "a", 2)

    assert [stage.next("s/k", name).text for name in ("b", "a")] == ["b1", "y"]


@pytest.mark.parametrize("recorded", [pytest.param(1, id="of-another-list"), pytest.param(3, id="of-this-start")])
def test_a_list_continues_with_answers_that_no_earlier_start_used(recorded):
    stage = ScriptCursor({"s/k": LISTS}, 3)

    stage.replayed("s/k", "a", recorded)

    assert stage.next("s/k", "a").error is not None
