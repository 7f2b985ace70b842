"""What the agent is told at the beginning, and after its process was gone."""

import pytest

from agentjobs.contract import ErrorClass
from agentjobs_runner.claude_code.prompt import Uncertain, first, resumed
from agentjobs_runner.endings import StartEnded


def test_a_message_is_told_as_it_is_however_long():
    message = "Fix it.\n" * 500_000
    assert first(message) == message


@pytest.mark.parametrize("message", ["/exit", " \n/compact now", "/etc/passwd is odd"])
def test_a_message_that_looks_like_a_command_is_told_as_a_message(message):
    assert not first(message).lstrip().startswith("/")
    assert first(message).endswith(message)


@pytest.mark.parametrize("message", ["", " \n"])
def test_an_empty_message_is_refused(message):
    with pytest.raises(StartEnded) as caught:
        first(message)
    assert caught.value.ending.reason == ErrorClass.CONFIG_INVALID


def test_calls_whose_end_nobody_knows_are_named():
    told = resumed([Uncertain("toolu_1", "Bash", '{"command": "git\npush"}')])
    assert '- Bash (toolu_1): {"command": "git push"}' in told


def test_a_session_without_uncertain_calls_names_none():
    assert "tool call" not in resumed([])


def test_many_long_calls_stay_a_short_prompt():
    calls = [Uncertain(f"toolu_{number}", "Write", "x" * 100_000) for number in range(1000)]
    assert len(resumed(calls)) < 20_000
    assert "and 980 more" in resumed(calls)


def test_a_model_that_had_answered_already_is_asked_for_its_whole_answer():
    assert "give the whole answer again" in resumed([])
