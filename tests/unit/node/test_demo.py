"""How the demo judges an example."""

import io
from pathlib import Path

import pytest

from agentjobs.dev.demo import Example, examples_folder, load, summary
from agentjobs.dev.up import handed_to_pods

EXPECTED = {"phase": "Succeeded", "attempts": 1, "starts": 1, "reason": "ResultAccepted"}


def job(phase, reason, *, attempts=1):
    return {"status": {"phase": phase, "reason": reason, "attempts": attempts, "starts": 1}}


def test_an_example_that_ends_as_it_should_makes_no_mistake():
    assert Example("hello", EXPECTED, job("Succeeded", "ResultAccepted")).mistakes() == []


def test_every_difference_is_named():
    mistakes = Example("hello", EXPECTED, job("Failed", "ToolError", attempts=3)).mistakes()

    assert mistakes == [
        "phase 'Failed' instead of 'Succeeded'",
        "attempts 3 instead of 1",
        "reason 'ToolError' instead of 'ResultAccepted'",
    ]


def test_a_job_between_two_attempts_says_why_it_waits():
    waiting = {"status": {"phase": "Retrying", "reason": "WaitingForBackoff"}}

    assert Example("flaky", EXPECTED, waiting).outcome()["reason"] == "WaitingForBackoff"


@pytest.mark.parametrize(("reason", "status"), [("ResultAccepted", 0), ("Other", 1)])
def test_the_status_says_whether_all_ended_as_they_should(reason, status):
    out = io.StringIO()

    assert summary([Example("hello", EXPECTED, job("Succeeded", reason))], out, seconds=1.0, log=Path("none")) == status
    assert f"{1 - status} of 1 examples ended as they should" in out.getvalue()


def test_an_example_that_never_began_is_a_mistake():
    assert Example("hello", EXPECTED).mistakes()


def test_every_example_has_an_expected_ending():
    folder = examples_folder()
    assert folder is not None

    examples, objects = load(folder)

    jobs = {entry["metadata"]["name"] for entry in objects if entry["kind"] == "AgentJob"}
    assert {example.name for example in examples} == jobs


def test_only_keys_that_are_set_are_handed_to_pods():
    assert handed_to_pods({"GOOGLE_API_KEY": "k", "OPENAI_API_KEY": "", "HOME": "/root"}) == {"GOOGLE_API_KEY": "k"}
