"""How much work one job is for the operator, in counts that no busy machine changes."""

import pytest

from agentjobs.contract import Verdict
from agentjobs.core.job.actions import Decision
from agentjobs.core.job.decide import decide
from agentjobs.kube.resources import PODS
from agentjobs.reconcile.job import reconciler, specs


@pytest.fixture
def answers(monkeypatch):
    """What was decided, in order."""
    told = []

    def deciding(seen, now):
        answer = decide(seen, now)
        told.append(type(answer.action if isinstance(answer, Decision) else answer).__name__)
        return answer

    monkeypatch.setattr(reconciler, "decide", deciding)
    return told


@pytest.fixture
def count(monkeypatch):
    """Note the arguments of each call of a function from now on."""

    def counting(owner, name):
        work, calls = getattr(owner, name), []

        def one(*given, **named):
            calls.append(given)
            return work(*given, **named)

        monkeypatch.setattr(owner, name, one)
        return calls

    return counting


async def hear(world):
    """Hear the news of the watch, and work on them."""
    world.tell()
    await world.settle()


async def run(world, name="hello"):
    """Let a job run to its end."""
    world.apply(name)
    await hear(world)
    await hear(world)
    world.end_pod(*world.pods(name), Verdict.SUCCEED)
    await hear(world)
    await hear(world)


async def test_a_job_with_one_start_takes_eight_decisions(world, answers):
    await run(world, "first")
    answers.clear()

    await run(world)

    start = ["Slot", "Claim", "MakePod", "Keep"]
    assert answers == [*start, "FinalResult", "EndStart", "RemoveFinalizer", "Keep"]


async def test_exhausted_models_are_read_once_for_simultaneous_jobs(world, answers):
    for name in ("one", "two", "three"):
        await run(world, name)

    assert (world.asked_for_limits, answers.count("ExhaustedModels")) == (1, 1)


async def test_events_of_our_own_writes_wake_no_job(world, answers):
    world.apply()
    await hear(world)
    assert len(world.pods()) == 1
    answers.clear()

    await hear(world)

    assert answers == []


async def test_pod_events_without_a_relevant_change_wake_no_job(world, answers):
    world.apply()
    await hear(world)
    (pod,) = world.pods()
    world.run_pod(pod)
    await hear(world)
    answers.clear()

    (pod,) = world.pods()
    pod["metadata"]["annotations"]["cni.example.org/podIP"] = "10.0.0.7"
    world.run_pod(pod)
    await hear(world)

    assert answers == []


async def test_an_end_of_the_pod_during_a_reconcile_is_not_missed(world, answers, monkeypatch):
    make = world.create

    async def made_and_ended(resource, namespace, body, **options):
        answer = await make(resource, namespace, body, **options)
        if resource == PODS:
            world.end_pod(*world.pods(), Verdict.SUCCEED)
            world.tell()
        return answer

    monkeypatch.setattr(world, "create", made_and_ended)
    world.apply()
    await hear(world)

    assert world.status().phase == "Succeeded"


async def test_each_object_is_read_once_and_the_spec_once(world, count):
    state = world.reconciler.state
    specs_read = count(specs, "read_job")
    jobs_read, pods_read = count(state.jobs, "_parse"), count(state.pods, "_parse")

    await run(world)

    assert len(specs_read) == 1
    assert len(jobs_read) == 3, "as it was new, claimed and ended"
    assert len(pods_read) == 3, "as it was made, ended and released"


async def test_a_job_takes_two_queries_and_three_records_of_history(world, count):
    asked = ["accept", "final_result", "resolved", "progress", "spent", "silence", "parent", "recorded", "newest"]
    calls = {name: count(world, name) for name in asked}
    put = count(world, "put")

    await run(world)

    assert {name: len(of) for name, of in calls.items() if of} == {"accept": 1, "final_result": 1}
    assert sorted(type(record).__name__ for (record,) in put) == ["StartEnd", "TransitionRecord", "TransitionRecord"]


async def test_a_job_with_one_start_takes_six_log_lines(world, caplog):
    caplog.set_level("INFO")

    await run(world)

    told = [one.getMessage() for one in caplog.records if one.getMessage().startswith("job.")]
    assert told == [
        "job.accepted",
        "job.claimed",
        "job.pod_created",
        "job.start_ended",
        "job.finished",
        "job.pod_released",
    ]
