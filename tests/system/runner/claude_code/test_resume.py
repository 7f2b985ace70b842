"""Starts that are killed, stopped or hang, and the next start, which continues."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.system.runner.claude_code.conftest import alive, bash, left

from agentjobs import contract

SESSION = "claude-code/session.jsonl"


@pytest.fixture
def mark():
    """A command that runs for long, known by its number; ended after the test."""
    number = str(3_000_000 + os.getpid() * 10 + 1)
    yield f"sleep {number}"
    for pid in alive(f"sleep {number}"):
        with suppress(ProcessLookupError):  # it ended with its parent
            os.kill(pid, signal.SIGKILL)


def kept(job, text: str) -> bool:
    return text.encode() in job.kept.get(SESSION, b"")


def test_a_start_killed_in_a_tool_continues_with_a_list_of_uncertain_calls(job, mark, tmp_path):
    once = tmp_path / "effects"
    one = job({"text": "I act.", "tools": [bash(f"echo once >> {once}; {mark}")]}, {"text": "It was done already."})
    run = one.start()
    # A start that recorded nothing is followed by a new session, for its files are as the run began.
    run.until(
        lambda: kept(one, "tool_use") and any(step["kind"] == "tool" for step in one.fake.steps) and once.exists()
    )
    run.send(signal.SIGKILL)
    run.wait()

    again = one.start().wait()

    assert again.verdict == ("Succeed", "ResultAccepted"), again.err
    assert again.message.summary == "It was done already."
    assert once.read_text() == "once\n"
    asked = one.api.requests[-1].said
    assert "Say hello." in asked
    assert "It is unknown whether these tool calls took effect" in asked
    assert "resumed" in one.fake.kinds()


def test_a_start_killed_in_a_model_call_repeats_it_with_all_earlier_steps(job, tmp_path):
    one = job(
        {"text": "I act.", "tools": [bash("echo the-result-of-the-tool")]},
        {"text": "too late", "hang": 60},
        {"text": "Done."},
    )
    run = one.start()
    run.until(lambda: len(one.api.requests) == 2 and kept(one, "tool_result"))
    run.send(signal.SIGKILL)
    run.wait()

    again = one.start().wait()

    assert again.verdict == ("Succeed", "ResultAccepted"), again.err
    asked = one.api.requests[-1].said
    assert "the-result-of-the-tool" in asked
    assert "nobody knows" not in asked


def test_a_session_that_is_ahead_of_the_recorded_steps_is_not_resumed_but_reported(job):
    one = job({"tools": [bash("echo the-result-of-the-tool")]}, {"status": 500}, {"text": "Done."})
    one.start().wait()
    one.fake.steps.clear()

    again = one.start().wait()

    assert again.verdict == ("Succeed", "ResultAccepted"), again.err
    asked = one.api.requests[-1].said
    assert "the-result-of-the-tool" not in asked
    assert "Bash \\u00d71" in asked


def test_the_cli_dies_with_the_runner(job, mark):
    one = job({"tools": [bash(mark)]})
    run = one.start()
    run.until(lambda: alive(mark) != [])
    folder = str(run.folder)
    run.send(signal.SIGKILL)
    run.wait()

    assert [pid for pid in left("stream-json.*--session-id") if of(pid, folder)] == []


def of(pid: int, folder: str) -> bool:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink()) == folder
    except OSError:
        return False


def test_a_stopping_pod_waits_for_the_tool_and_keeps_its_result(job):
    one = job({"tools": [bash("sleep 1; echo finished-in-time")]}, {"text": "late", "delay": 60})
    run = one.start(grace=30)
    run.until(lambda: "tool" in [step["kind"] for step in one.fake.steps])

    run.send(signal.SIGTERM)
    run.wait()

    assert run.verdict == ("Snooze", "Interrupted"), run.err
    assert kept(one, "finished-in-time")
    assert [step["body"]["result"] for step in one.fake.steps if step["kind"] == "tool" and step["ended"]] == [
        "finished-in-time"
    ]


def test_a_tool_that_exceeds_the_grace_period_is_killed_and_the_session_is_kept(job, mark):
    one = job({"text": "I wait.", "tools": [bash(mark)]}, {"text": "Done."})
    run = one.start(grace=14)
    run.until(lambda: alive(mark) != [])

    run.send(signal.SIGTERM)
    run.wait()

    assert run.verdict == ("Snooze", "Interrupted"), run.err
    assert left(mark) == []
    assert kept(one, "I wait.")
    assert one.start().wait().verdict == ("Succeed", "ResultAccepted")


def test_a_start_that_is_stopped_in_a_model_call_ends_immediately(job):
    one = job({"text": "late", "delay": 60}, {"text": "Done."})
    run = one.start(grace=60)
    run.until(lambda: len(one.api.requests) == 1)
    began = time.monotonic()

    run.send(signal.SIGTERM)
    run.wait()

    assert run.verdict == ("Snooze", "Interrupted"), run.err
    assert time.monotonic() - began < 15


def test_a_cli_that_ignores_sigterm_is_killed_within_the_grace_period(job, stand_in):
    one = job({"text": "late", "delay": 60})
    run = one.start(grace=20, env={**stand_in, "FAKE_CLAUDE": "ignores-sigterm"})
    run.until(lambda: len(one.api.requests) == 1)
    began = time.monotonic()

    run.send(signal.SIGTERM)
    run.wait()

    assert run.verdict == ("Snooze", "Interrupted"), run.err
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("hang", [{"hang": 120, "pings": 0.2}, {"hang": 120}, {"delay": 120}], ids=str)
def test_a_start_whose_model_never_answers_ends_after_the_progress_timeout(job, hang):
    one = job({"text": "never", **hang})

    run = one.start(spec={"timeouts": {"progress": "4s"}}).wait()

    assert run.verdict == ("Retry", "ProgressTimeout"), run.err
    assert "a model call" in run.message.message
    assert [pid for pid in alive("stream-json.*--session-id") if of(pid, str(run.folder))] == []


def test_a_fenced_pod_kills_the_cli_and_its_processes(job, mark):
    one = job({"tools": [bash(mark)]})
    run = one.start()
    run.until(lambda: alive(mark) != [])

    one.fake.script[contract.PATH_HEARTBEAT] = [(409, {"reason": "Fenced", "message": "another pod holds it"})] * 9
    run.wait()

    assert run.code == contract.EXIT_FENCED, run.err
    assert left(mark) == []


def test_the_cli_waits_for_an_unavailable_gateway(job, tmp_path):
    effects = tmp_path / "effects"
    act = {"tools": [bash(f"echo x >> {effects}; sleep 0.2")]}
    one = job(*[act] * 25, {"text": "Done."})
    run = one.start()
    run.until(lambda: any(step["kind"] == "tool" and step["ended"] for step in one.fake.steps))

    one.fake.script[contract.PATH_STEPS] = [(503, {"reason": "Unavailable", "message": "away"})] * 1000
    time.sleep(3.5)
    before = len(effects.read_text().split())
    time.sleep(2)
    assert len(effects.read_text().split()) == before < 20
    one.fake.script.clear()
    run.wait()

    assert run.verdict == ("Succeed", "ResultAccepted"), run.err
    assert effects.read_text() == "x\n" * 25
    assert sum(step["kind"] == "tool" and step["ended"] is not None for step in one.fake.steps) == 25


def test_a_tool_that_never_ends_is_killed_with_its_processes_after_the_progress_timeout(job, mark):
    one = job({"tools": [bash(mark)]})

    run = one.start(spec={"timeouts": {"progress": "4s"}}).wait()

    assert run.verdict == ("Retry", "ProgressTimeout"), run.err
    assert "tool Bash" in run.message.message
    assert left(mark) == []


def test_a_cli_that_never_starts_is_killed_after_the_progress_timeout(job, stand_in):
    one = job()

    run = one.start(spec={"timeouts": {"progress": "2s"}}, env={**stand_in, "FAKE_CLAUDE": "never-starts"}).wait()

    assert run.verdict == ("Retry", "ProgressTimeout"), run.err
    assert "the start of Claude Code" in run.message.message
    assert [pid for pid in alive("claudecli.py") if of(pid, str(run.folder))] == []


@pytest.mark.parametrize("content", [b"not json\n", b'{"half', b""])
def test_a_damaged_session_is_not_resumed_and_the_job_continues_in_another(job, content):
    one = job({"tools": [bash("echo one")]}, {"status": 500}, {"status": 500}, {"status": 500}, {"text": "Done."})
    assert one.start().wait().verdict == ("Retry", "ModelUnavailable")
    before = one.kept[SESSION]
    one.kept[SESSION] = content

    again = one.start().wait()

    assert again.verdict == ("Succeed", "ResultAccepted"), again.err
    told = [event["data"]["message"] for event in one.fake.events if event["kind"] == "warning"]
    assert any("new one begins" in message for message in told)
    asked = one.api.requests[-1].said
    assert "echo one" not in asked
    assert "Bash \\u00d71" in asked
    assert one.kept[SESSION].splitlines()[0] != before.splitlines()[0]


def test_an_answer_that_does_not_match_the_schema_is_requested_in_a_new_session(job):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    one = job(
        {"text": "I do not answer so."},
        {"text": "I do not answer so."},
        {"tools": [{"name": "StructuredOutput", "input": {"n": 1}}], "when": "Say hello."},
    )
    one.api.script = one.api.script[:2]
    first = one.start(spec={"output": {"schema": schema}}).wait()
    one.api.script = [{"tools": [{"name": "StructuredOutput", "input": {"n": 1}}]}]

    again = one.start(spec={"output": {"schema": schema}}).wait()

    assert first.verdict == ("Retry", "InvalidOutput"), first.err
    assert again.verdict == ("Succeed", "ResultAccepted"), again.err
    assert "I do not answer so." not in one.api.requests[-1].said
