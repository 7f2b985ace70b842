"""The prompt of a new session, and of a session that continues after its process ended."""

import pytest

from agentjobs.contract import ErrorClass
from agentjobs_runner.claude_code.prompt import Uncertain, first, resumed
from agentjobs_runner.endings import StartEnded


def test_a_long_message_is_unchanged_in_the_prompt():
    message = "Fix it.\n" * 500_000
    assert first(message) == message


@pytest.mark.parametrize("message", ["/exit", " \n/compact now", "/etc/passwd is odd"])
def test_a_message_that_looks_like_a_command_is_passed_as_a_message(message):
    assert not first(message).lstrip().startswith("/")
    assert first(message).endswith(message)


@pytest.mark.parametrize("message", ["", " \n"])
def test_an_empty_message_is_refused(message):
    with pytest.raises(StartEnded) as caught:
        first(message)
    assert caught.value.ending.reason == ErrorClass.CONFIG_INVALID


def test_the_prompt_lists_calls_with_an_unknown_outcome():
    prompt = resumed([Uncertain("toolu_1", "Bash", '{"command": "git\npush"}')])
    assert '- Bash (toolu_1): {"command": "git push"}' in prompt


def test_a_prompt_without_uncertain_calls_lists_none():
    assert "tool call" not in resumed([])


def test_many_long_calls_make_a_short_prompt():
    calls = [Uncertain(f"toolu_{number}", "Write", "x" * 100_000) for number in range(1000)]
    assert len(resumed(calls)) < 20_000
    assert "and 980 more" in resumed(calls)


def test_a_resumed_session_has_to_repeat_its_complete_answer():
    assert "give the complete answer again" in resumed([])
