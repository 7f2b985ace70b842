"""An older operator and jobs that a newer one accepted: it cannot read all of them, and blocks none forever.

The newer version is played by writing values into the stored work, and into the object, that this one does not know.
"""

import copy

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.contract import Verdict

RULES = {"rules": [{"name": "ask", "onErrors": ["ToolError"], "action": "AskHuman"}]}
SESSION = {"appName": "shop", "sessionId": "s-1"}
UNREADABLE = "SpecUnreadable"
EDITED = pytest.mark.parametrize("edited", [False, True], ids=["never-edited", "edited"])
NEWER = pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("resultPolicy", RULES, "spec.resultPolicy.rules[0].action"),
        ("retry", {"maxAttempts": 100_000}, "spec.retry.maxAttempts"),
        ("runtime", {"podRetention": "Archive"}, "spec.runtime.podRetention"),
    ],
    ids=["enum", "bound", "union"],
)


def reason(world):
    return world.status().phase, world.status().reason


def message(world, kind):
    return next(one.message for one in world.status().conditions if one.type == kind)


class Newer:
    """Turns a job into one that a newer version has accepted, and back."""

    def __init__(self, world):
        self.world = world
        self.known = {}

    def wrote(self, field="resultPolicy", value=RULES, *, edited=False):
        job = self.world.job()
        uid = job["metadata"]["uid"]
        self.known = copy.deepcopy([job["spec"], self.world.accepted[uid]])
        job["spec"][field] = value
        self.world.accepted[uid]["spec"][field] = value
        if edited:
            self.world.edit(priority=3)
        self.world.restart()

    def returns(self):
        job = self.world.job()
        spec, accepted = self.known
        kept = {key: job["spec"][key] for key in ("priority", "suspend") if key in job["spec"]}
        job["spec"] = spec | kept
        self.world.accepted[job["metadata"]["uid"]] = accepted
        self.world.restart()


@pytest.fixture
def newer(world):
    return Newer(world)


async def running(world, **spec):
    world.apply(**spec)
    await world.act()
    world.run_pod(world.pods()[0])


async def retrying(world, **spec):
    await running(world, retry={"maxAttempts": 2, "backoff": {"initial": "1s"}}, **spec)
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=1)


@EDITED
@NEWER
async def test_a_waiting_job_names_the_unreadable_field_and_continues_with_the_newer_version(
    world, newer, edited, field, value, named
):
    await retrying(world)
    newer.wrote(field, value, edited=edited)
    await world.act(seconds=10)
    await world.act(seconds=10)
    held, said, writes = reason(world), message(world, "Admitted"), len(world.writes)
    await world.act(minutes=10)

    assert held[1] == UNREADABLE
    assert named in said
    assert len(world.writes) == writes

    newer.returns()
    await world.act(seconds=1)
    assert (world.status().phase, world.status().starts) == (Phase.RUNNING, 2)


@EDITED
@pytest.mark.parametrize("wish", ["cancel", "delete"])
async def test_a_running_job_can_be_stopped(world, newer, edited, wish):
    await running(world)
    world.job()["metadata"]["finalizers"] = ["example.com/hold"]
    newer.wrote(edited=edited)
    if wish == "cancel":
        world.edit(cancel=True)
    else:
        world.remove("hello")
    await world.act(seconds=1)
    world.end_pod(world.pods()[0], Verdict.SNOOZE, reason="Interrupted", code=75)
    await world.act(seconds=1)

    assert world.status().phase is Phase.CANCELLED
    assert all(not pod["metadata"]["finalizers"] for pod in world.pods())


@pytest.mark.parametrize("wish", ["cancel", "delete"])
async def test_a_waiting_job_can_be_stopped(world, newer, wish):
    await retrying(world)
    world.job()["metadata"]["finalizers"] = ["example.com/hold"]
    newer.wrote()
    await world.act(seconds=10)
    if wish == "cancel":
        world.edit(cancel=True)
    else:
        world.remove("hello")
    await world.act(seconds=1)

    assert world.status().phase is Phase.CANCELLED


@EDITED
async def test_an_answer_without_an_outcome_ends_a_running_job(world, newer, edited):
    await running(world)
    newer.wrote(edited=edited)
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)

    assert reason(world) == (Phase.SUCCEEDED, "ResultAccepted")
    assert all(not pod["metadata"]["finalizers"] for pod in world.pods())


@pytest.mark.parametrize(
    ("verdict", "error", "code"), [(Verdict.RETRY, "ToolError", 70), (Verdict.FAIL, "ConfigInvalid", 78)]
)
async def test_a_failure_is_recorded_and_decided_by_the_version_that_knows_the_rules(
    world, newer, verdict, error, code
):
    await running(world, retry={"maxAttempts": 2, "backoff": {"initial": "1s"}})
    newer.wrote()
    world.end_pod(world.pods()[0], verdict, reason=error, code=code)
    await world.act(seconds=1)
    await world.act(minutes=1)
    record = world.status().attempt_history[-1]

    assert reason(world)[1] == UNREADABLE
    assert (record.reason, record.charged) == (error, True)
    assert all(not pod["metadata"]["finalizers"] for pod in world.pods())

    newer.returns()
    await world.act(seconds=1)
    assert (world.status().starts, world.status().attempts) == (2, 2)


async def test_attempts_used_up_meanwhile_are_not_exceeded(world, newer):
    await running(world, retry={"maxAttempts": 1})
    newer.wrote()
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(minutes=1)
    newer.returns()
    await world.act(minutes=1)

    assert reason(world) == (Phase.FAILED, "ToolError")
    assert world.status().starts == 1


async def test_an_answer_waits_for_rules_that_can_apply_to_its_outcome(world, newer):
    schema = {"schema": {"type": "object"}}
    await running(world, output=schema)
    newer.wrote()
    world.end_pod(world.pods()[0], Verdict.SUCCEED, outcome="fix")
    await world.act(minutes=1)

    assert reason(world)[1] == UNREADABLE


async def test_a_suspended_job_remains_suspended(world, newer):
    await running(world)
    newer.wrote()
    world.edit(suspend=True)
    await world.act(seconds=1)
    world.end_pod(world.pods()[0], Verdict.SNOOZE, reason="Interrupted", code=75)
    await world.act(seconds=1)
    held = reason(world)
    world.edit(suspend=False)
    await world.act(minutes=1)

    assert held == (Phase.SUSPENDED, "Requested")
    assert reason(world)[1] == UNREADABLE


async def test_a_claimed_start_without_a_pod_releases_its_slot(world, newer):
    world.apply()
    await world.act()
    world._drop(("Pod", "default", "hello-1"))
    newer.wrote()
    await world.act(seconds=1)
    await world.act(seconds=10)
    await world.act(minutes=1)

    assert reason(world)[1] == UNREADABLE
    assert world.pods() == []


async def test_work_stored_by_a_newer_version_without_a_claim_is_held_too(world, newer):
    work = await accepted_elsewhere(world)
    world.history_away = True
    world.apply()
    await world.act()
    world.history_away = False
    world.accepted[world.job()["metadata"]["uid"]] = work
    await world.act(seconds=10)

    assert reason(world)[1] == UNREADABLE
    assert world.pods("hello") == []


async def accepted_elsewhere(world):
    """The work as a newer version resolves it, by defaults that the object does not show."""
    world.apply("other")
    await world.act()
    world.end_jobs(Verdict.SUCCEED)
    await world.act()
    other = world.accepted[world.job("other")["metadata"]["uid"]]
    return {**other, "spec": {**other["spec"], "resultPolicy": RULES}}


@EDITED
async def test_a_finished_job_is_deleted_after_its_ttl(world, newer, edited):
    await running(world, ttlSecondsAfterFinished=60)
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    newer.wrote("runtime", {"podRetention": "Archive"}, edited=edited)
    await world.act(seconds=61)
    await world.act(seconds=6)

    assert world.jobs() == []


async def test_a_job_of_a_newer_version_keeps_its_session(world, newer):
    await running(world, session=SESSION)
    newer.wrote()
    world.apply("two", session=SESSION)
    world._drop(("Pod", "default", "hello-1"))
    await world.act(seconds=1)

    assert (world.status("two").phase, world.status("two").reason) == (Phase.QUEUED, "WaitingForLock")
