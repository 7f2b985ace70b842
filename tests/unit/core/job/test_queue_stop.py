"""A drained queue suspends its jobs after their step; they continue by themselves."""

import pytest

from agentjobs.api.conditions import Phase, SuspendedReason
from agentjobs.contract import TerminationMessage, Verdict
from agentjobs.core.job import needs
from agentjobs.core.job.actions import Again, EndStart, Finish, Keep, StopPod, Suspend
from agentjobs.core.job.decide import decide
from agentjobs.core.job.observation import QueueStop
from agentjobs.core.queues.admission import Refusal

UID = "6c0c1a52-1b5e-4a6e-9a52-0d9f0a7f5a11"
DRAINED = QueueStop(SuspendedReason.QUEUE_DRAINED, "stopPolicy of queue agents is HoldAndDrain")
SPENT = QueueStop(SuspendedReason.QUEUE_BUDGET_EXCEEDED, "budget day of queue agents is used up")


def action(seen):
    return decide(seen.observation, seen.now).action


def interrupted(seen):
    """Its pod has ended as it was told."""
    word = TerminationMessage(Verdict.SNOOZE, "Interrupted", "told to stop", 1, UID).dump()
    return seen.ended(message=word, code=75)


def stopped(scene, stop=DRAINED, **spec):
    """A job that its queue has suspended."""
    seen = scene(**spec).claimed().knowing(stop=stop)
    return seen.written(action(seen))


def test_a_running_pod_is_stopped(scene):
    told = action(scene().claimed().running().knowing(stop=DRAINED))

    assert isinstance(told, StopPod)
    assert told.why == DRAINED.message


@pytest.mark.parametrize("stop", [DRAINED, SPENT], ids=["drained", "budget"])
def test_a_pod_stopped_by_its_queue_is_not_charged(scene, stop):
    end = action(interrupted(scene().claimed()).knowing(stop=stop))

    assert isinstance(end, EndStart)
    assert (end.record.charged, end.record.reason) == (False, "Suspended")
    assert end.next_step == Suspend(stop.reason, stop.message)


def test_a_withdrawn_stop_is_not_charged(scene):
    seen = interrupted(scene(retry={"maxAttempts": 1, "maxInfraRestarts": 0}).claimed())
    end = action(seen.knowing(stopped=seen.observation.active_pod.uid))

    assert (end.record.charged, end.record.reason) == (False, "Suspended")
    assert end.next_step == Again(seen.now, infra=False, free=True)


def test_a_pod_stopped_by_others_is_lost_even_after_one_that_we_stopped(scene):
    end = action(interrupted(scene().claimed()).knowing(stopped="uid-of-the-pod-before"))

    assert (end.record.reason, end.next_step.infra) == ("RunnerLost", True)


def test_the_slot_of_a_start_without_a_pod_is_released(scene):
    end = action(scene().claimed().knowing(stop=DRAINED))

    assert isinstance(end, EndStart)
    assert end.next_step == Suspend(DRAINED.reason, DRAINED.message)


def test_an_answer_has_precedence_over_the_drain(scene):
    end = action(scene().claimed().said(Verdict.SUCCEED).knowing(stop=DRAINED))

    assert end.next_step.phase is Phase.SUCCEEDED


def test_a_failure_during_the_drain_is_a_failure(scene):
    end = action(scene().claimed().said(Verdict.RETRY, "ToolError").knowing(stop=DRAINED))

    assert (end.record.charged, type(end.next_step)) == (True, Again)


@pytest.mark.parametrize(
    ("spec", "told"), [({"suspend": True}, SuspendedReason.REQUESTED), ({"cancel": True}, "Requested")], ids=str
)
def test_the_jobs_own_request_takes_precedence_over_its_queues(scene, spec, told):
    end = action(interrupted(scene(**spec).claimed()).knowing(stop=DRAINED))

    assert end.next_step.reason == told
    assert isinstance(end.next_step, Suspend if "suspend" in spec else Finish)


def test_a_drained_job_waits_until_the_queue_is_open(scene):
    seen = stopped(scene)
    assert action(seen) == Keep()

    assert isinstance(decide(seen.knowing(stop=None, slot=None).observation, seen.now), needs.Slot)


def test_the_condition_of_a_drained_job_changes_when_it_waits_for_a_budget_instead(scene):
    assert action(stopped(scene).knowing(stop=SPENT)) == Suspend(SPENT.reason, SPENT.message)


def test_a_drained_job_can_be_suspended_and_cancelled(scene):
    seen = stopped(scene)
    seen.raw["suspend"] = True
    assert action(seen).reason is SuspendedReason.REQUESTED

    seen.raw["cancel"] = True
    assert action(seen).phase is Phase.CANCELLED


def test_a_job_that_waits_for_a_slot_is_not_suspended(scene):
    held = scene().knowing(stop=DRAINED, slot=Refusal("QueueHeld", "held"))

    assert action(held).reason == "QueueHeld"
