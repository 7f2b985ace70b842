"""The operator of a job that records steps: its queries, its writes, and what it waits for."""

from datetime import timedelta

from agentjobs.api.conditions import Phase
from agentjobs.contract import FINALIZER, Verdict

FAST = {"backoff": {"initial": "1s", "max": "1s", "jitterPercent": 0}}


async def started(world, **spec):
    """A job whose first start has recorded two steps."""
    uid = world.apply(**spec)["metadata"]["uid"]
    await world.act()
    world.record_steps(world.pods()[0], 2)
    await world.act(seconds=1)
    return uid


def time_out(world):
    world.end_pod(world.living_pods()[0], Verdict.RETRY, reason="AttemptTimeout", code=70)


async def test_a_job_with_steps_takes_four_writes_and_no_separate_query(world):
    await started(world)
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    status = world.status()

    assert world.writes == [("status", "AgentJob"), ("create", "Pod"), ("status", "AgentJob"), ("patch", "Pod")]
    assert (status.phase, status.checkpoint.step, status.checkpoint.name) == (Phase.SUCCEEDED, 2, "step 2")
    assert [(one.from_step, one.to_step) for one in status.attempt_history] == [(0, 2)]
    assert world.asked == []


async def test_a_job_that_timed_out_after_new_steps_continues_in_the_same_attempt(world):
    uid = await started(world, retry={"maxAttempts": 1})
    time_out(world)
    await world.act(seconds=1)
    waiting, asked = world.status(), list(world.asked)
    await world.act(seconds=31)
    world.record_steps(world.living_pods()[0], 3)
    world.end_pod(world.living_pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    status = world.status()

    assert (waiting.phase, waiting.snoozes, waiting.checkpoint.step) == (Phase.RETRYING, 1, 2)
    assert asked == [(uid, 1)]
    assert (status.phase, status.attempts, status.starts) == (Phase.SUCCEEDED, 1, 2)
    assert [(one.from_step, one.to_step) for one in status.attempt_history] == [(0, 2), (2, 5)]


async def test_a_start_followed_by_another_takes_no_additional_write_for_steps(world):
    await started(world, retry=FAST)
    time_out(world)
    await world.act(seconds=1)
    await world.act(seconds=31)
    world.end_pod(world.living_pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)

    start = [("status", "AgentJob"), ("create", "Pod"), ("status", "AgentJob"), ("patch", "Pod")]
    assert world.writes == [*start, *start]


async def test_the_decision_about_a_timeout_waits_for_an_unavailable_database(world):
    await started(world, retry={"maxAttempts": 1})
    time_out(world)
    world.history_away = True
    for _ in range(3):
        await world.act(seconds=5)
    away, pod = world.status(), world.pods()[0]
    world.history_away = False
    await world.act(seconds=5)

    assert (away.phase, pod["metadata"]["finalizers"]) == (Phase.RUNNING, [FINALIZER])
    assert (world.status().phase, world.status().attempt_history[0].verdict) == (Phase.RETRYING, "Snooze")


async def test_a_cancelled_job_does_not_wait_for_the_database(world):
    await started(world)
    time_out(world)
    world.history_away = True
    world.edit(cancel=True)
    await world.act(seconds=1)

    assert world.status().phase is Phase.CANCELLED
    assert world.status().checkpoint is None


async def test_an_end_written_without_the_database_gets_its_steps_with_the_answer(world):
    await started(world)
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    world.history_away = True
    await world.act(seconds=1)
    away = world.status()
    world.history_away = False
    await world.act(seconds=10)
    status = world.status()

    assert (away.checkpoint, away.attempt_history[0].to_step) == (None, None)
    assert (status.checkpoint.step, status.attempt_history[0].to_step) == (2, 2)


async def test_a_pod_lost_after_new_steps_counts_against_no_limit(world):
    await started(world, retry={"maxInfraRestarts": 0, "maxAttempts": 1})
    world._delete(("Pod", "default", "hello-1"))
    world.end_pod(world.pods()[0], code=137)
    await world.act(seconds=1)
    status = world.status()

    assert (status.phase, status.infra_restarts, status.snoozes) == (Phase.RETRYING, 0, 0)
    assert status.next_attempt_time - world.now <= timedelta(seconds=6)


async def test_a_start_after_a_rejected_answer_begins_a_new_run(world):
    rules = [{"name": "again", "onOutcomes": ["unsure"], "action": "Retry", "limit": 1}]
    output = {"schema": {"type": "object"}}
    uid = await started(world, output=output, resultPolicy={"rules": rules}, retry=FAST)
    world.end_pod(world.pods()[0], Verdict.SUCCEED, outcome="unsure")
    await world.act(seconds=1)
    await world.act(seconds=2)

    assert [start.run for start in world.history.jobs_by_uid[uid].starts.values()] == [1, 2]


async def test_a_suspended_job_shows_its_checkpoint_and_continues_in_the_same_attempt(world):
    await started(world)
    world.edit(suspend=True)
    await world.act(seconds=1)
    world.end_pod(world.pods()[0], Verdict.SNOOZE, reason="Interrupted", code=75)
    await world.act(seconds=1)
    held = world.status()
    world.edit(suspend=False)
    await world.act(seconds=1)

    assert (held.phase, held.checkpoint.step, held.attempt_history[0].reason) == (Phase.SUSPENDED, 2, "Suspended")
    assert (world.status().phase, world.status().starts, world.status().attempts) == (Phase.RUNNING, 2, 1)
