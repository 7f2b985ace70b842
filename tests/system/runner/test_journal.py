"""The real runner's journal, from start to end, with a scripted engine."""

import signal

import pytest

from agentjobs import contract

ENGINE = """
import asyncio, pathlib
from datetime import UTC, datetime
from agentjobs.contract import StepKind, Verdict
from agentjobs_runner import idempotency_key, step
from agentjobs_runner.endings import Ending
from agentjobs_runner.journal import NewStep
from agentjobs_runner.results import bounded_result
from agentjobs_runner.user_steps import Place, place

async def ask(journal, key, body):
    if (found := journal.ended(key)) is None:
        pathlib.Path(f"asked-{key}").touch()
        await journal.record(NewStep(key, StepKind.MODEL, "a", "m", datetime.now(UTC), usage={"llmCalls": 1}), body)
        return body
    return found["body"]

async def run(journal):
    place.set(Place("agent", "a"))
    said = [await ask(journal, key, f"{key} now") for key in ("one", "two", "three")]
    said.append(step("value", lambda: idempotency_key()))
    return said

def execute(attempt, gate, recorder, journal, stores=None):
    journal.open(adk="1", scheme="1", agent="aa")
    said = asyncio.run(run(journal))
    result = bounded_result(repr(said), None, recorder.usage.total)
    return Ending(Verdict.SUCCEED, "ResultAccepted", "answered", result=result)
"""
REGISTERS = """
from agentjobs import contract
from agentjobs_runner import engines
engines.MODULES["other"] = "other_engine"
"""
ONE_SECOND = "contract.GATEWAY_TIMEOUT_SECONDS = 1.0"


@pytest.fixture
def run(start):
    """`run(gateway)` starts the runner with that engine."""

    def launch(fake, more="", **options):
        files = {"other_engine.py": ENGINE, "sitecustomize.py": REGISTERS + more}
        return start(fake, files=files, **{contract.ENV_ENGINE: "other"}, **options)

    return launch


def recorded(n, key, body):
    frame = {"start": 1, "kind": "model", "agent": "a", "name": "m", "ended": "2026-01-01T00:00:01Z", "request": {}}
    return {"n": n, "key": key, "body": body, **frame}


def test_a_later_start_runs_and_counts_only_steps_that_were_not_recorded(gateway, run):
    fake = gateway(start=2, recorded=[recorded(1, "one", "one before"), recorded(2, "two", "two before")])

    ended = run(fake).wait()

    assert ended.message.summary.startswith("['one before', 'two before', 'three now', '0b6f2a-")
    assert [(step["kind"], step["name"]) for step in fake.steps] == [("model", "m"), ("value", "value")]
    assert fake.results[0]["result"]["usage"]["llmCalls"] == 1
    assert [(event["kind"], event["data"].get("fromStep")) for event in fake.events] == [
        ("resumed", 3),
        ("ended", None),
    ]
    assert all("usage" not in event for event in fake.events)
    assert '"from_step": 3, "replayed": 2' in ended.err


def test_a_first_start_reads_no_steps(gateway, run):
    fake = gateway()

    ended = run(fake).wait()

    assert ended.verdict == ("Succeed", "ResultAccepted")
    assert not [call for call in fake.calls if call.startswith("GET /v1/attempt/steps")]
    assert "resumed" not in fake.kinds()


def test_the_result_is_sent_after_all_steps_are_stored(gateway, run):
    fake = gateway()

    run(fake).wait()

    put = fake.calls.index(f"PUT {contract.PATH_RESULT}")
    assert max(n for n, call in enumerate(fake.calls) if call == f"POST {contract.PATH_STEPS}") < put


def test_a_fenced_journal_ends_the_pod_without_a_message(gateway, run):
    fake = gateway()
    fake.script[contract.PATH_STEPS] = [(409, {"reason": "Fenced", "message": "another pod holds this start"})]

    ended = run(fake).wait()

    assert (ended.code, ended.raw, fake.results) == (contract.EXIT_FENCED, "", [])


def test_a_short_outage_of_the_journal_loses_nothing(gateway, run):
    fake = gateway()
    fake.script[contract.PATH_STEPS] = [(503, None), (401, None), (404, None)]

    ended = run(fake).wait()

    assert ended.verdict == ("Succeed", "ResultAccepted")
    assert [step["key"] for step in fake.steps][:3] == ["one", "two", "three"]


@pytest.mark.parametrize("status", [503, 404], ids=["away", "an-older-gateway"])
def test_a_long_outage_of_the_journal_snoozes_the_job_and_runs_no_further_step(gateway, run, status):
    fake = gateway()
    fake.script[contract.PATH_STEPS] = [(status, None)] * 99

    ended = run(fake, ONE_SECOND).wait()

    assert ended.verdict == ("Snooze", "JournalUnavailable")
    assert sorted(path.name for path in ended.folder.glob("asked-*")) == ["asked-one"]


def test_waiting_for_the_journal_does_not_count_as_missing_progress(gateway, run):
    fake = gateway(timeouts={"progress": "1s"})
    fake.script[contract.PATH_STEPS] = [(503, None)] * 5  # with the pauses between them, more than three seconds

    assert run(fake).wait().verdict == ("Succeed", "ResultAccepted")


def test_a_step_is_still_recorded_after_sigterm(gateway, run):
    fake = gateway()
    fake.script[contract.PATH_STEPS] = [(503, None)] * 3
    started = run(fake)
    started.until(lambda: (started.folder / "asked-one").exists())

    started.send(signal.SIGTERM)
    started.wait()

    assert "one" in [step["key"] for step in fake.steps]


def test_a_recorded_step_that_cannot_be_read_fails_the_job(gateway, run):
    ended = run(gateway(start=2, recorded=[recorded(1, "one", {"key": "⟦SHOP_KEY⟧"})])).wait()

    assert ended.verdict == ("Fail", "StepUnreadable")
    assert "SHOP_KEY" in ended.message.message


def test_a_changed_agent_fails_a_job_that_requires_the_same(gateway, run):
    fake = gateway(start=2, recorded=[recorded(1, "one", "1")], retry={"onVersionChange": "Fail"})
    fake.attempt["journal"]["versions"]["agent"] = "bb"

    assert run(fake).wait().verdict == ("Fail", "VersionMismatch")
