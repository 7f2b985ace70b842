"""Verdicts that know of steps: what a start that recorded some costs its job, and what the status keeps of them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentjobs.api.conditions import Phase
from agentjobs.api.job.status import Checkpoint
from agentjobs.contract import Verdict
from agentjobs.core.job import needs
from agentjobs.core.job.actions import Again, BackfillResult, Claim, Decision, EndStart, Finish, Keep, Suspend
from agentjobs.core.job.decide import decide
from agentjobs.core.job.observation import FinalResult, Progress

AT = datetime(2026, 11, 21, 8, 59, tzinfo=UTC)
WENT_ON = Progress(before=3, last=9, name="search", time=AT, advanced=True)
STOOD_STILL = Progress(before=3, last=3, name="search", time=AT)
TIMED_OUT = ("AttemptTimeout", "ProgressTimeout")
GONE = {"code": 137, "reason": "Error", "meta": {"deletionTimestamp": "2026-11-21T09:00:00Z"}}


def timed_out(scene, reason="AttemptTimeout", *, attempt=1, **spec):
    return scene(**spec).claimed(attempt=attempt).said(Verdict.RETRY, reason)


def lost(scene, **spec):
    return scene(**spec).claimed().ended(1, **GONE)


def answer_of(seen):
    answer = decide(seen.observation, seen.now)
    return answer.action if isinstance(answer, Decision) else answer


@pytest.mark.parametrize("reason", TIMED_OUT)
def test_a_timeout_after_new_steps_is_a_snooze_of_thirty_seconds(scene, reason):
    seen = timed_out(scene, reason).knowing(progress=WENT_ON)
    end = answer_of(seen)

    assert (end.record.verdict, end.record.reason, end.record.charged) == ("Snooze", reason, False)
    assert end.next_step == Again(seen.now + timedelta(seconds=30), infra=False)
    assert end.record.message.endswith(" step is 9")
    assert seen.written(end).job.status.snoozes == 1


@pytest.mark.parametrize("reason", TIMED_OUT)
def test_a_timeout_without_new_steps_is_charged(scene, reason):
    end = answer_of(timed_out(scene, reason).knowing(progress=STOOD_STILL))

    assert (end.record.verdict, end.record.charged) == ("Retry", True)


def test_the_last_attempt_continues_as_long_as_it_makes_progress(scene):
    end = answer_of(timed_out(scene, attempt=3).knowing(progress=WENT_ON))

    assert isinstance(end.next_step, Again)
    assert not end.record.charged


def test_a_timeout_after_new_steps_is_charged_once_the_snoozes_are_used_up(scene):
    seen = timed_out(scene, attempt=3, retry={"maxSnoozes": 0}).knowing(progress=WENT_ON)
    end = answer_of(seen)

    assert end.record.charged
    assert (end.next_step.phase, end.next_step.reason) == (Phase.FAILED, "AttemptTimeout")


def test_steps_that_later_starts_cannot_use_do_not_prevent_a_charge(scene):
    end = answer_of(timed_out(scene, steps={"checkpoint": "None"}).knowing(progress=WENT_ON))

    assert (end.record.verdict, end.record.charged) == ("Retry", True)
    assert (end.record.from_step, end.record.to_step) == (3, 9)


def test_a_timeout_reported_by_the_kubelet_counts_like_one_of_the_runner(scene):
    seen = scene().claimed().ended(1, code=137, reason="Error", phase="Failed").knowing(progress=WENT_ON)
    seen.pods[0]["status"]["reason"] = "DeadlineExceeded"

    assert answer_of(seen).record.verdict == "Snooze"


def test_the_limit_of_running_time_ends_a_job_that_makes_progress(scene):
    seen = timed_out(scene, timeouts={"running": "1s"}).knowing(progress=None)
    end = answer_of(seen)

    assert (end.next_step.phase, end.next_step.reason) == (Phase.FAILED, "DeadlineExceeded")


def test_a_rule_about_a_timeout_applies_regardless_of_recorded_steps(scene):
    rules = [{"name": "no-more", "onErrors": ["AttemptTimeout"], "action": "Fail"}]
    seen = timed_out(scene, resultPolicy={"rules": rules}).knowing(progress=WENT_ON)

    assert answer_of(seen).next_step.phase is Phase.FAILED


def test_a_timeout_is_decided_when_the_progress_of_the_start_is_known(scene):
    assert answer_of(timed_out(scene).knowing(progress=None)) == needs.StartProgress(1)


def test_the_decision_about_a_timeout_waits_for_the_database(scene):
    seen = timed_out(scene).knowing(progress=None, history_available=False)

    assert decide(seen.observation, seen.now) == Decision(Keep(), again=seen.now + timedelta(seconds=5))


@pytest.mark.parametrize("order", ["cancel", "deletion", "deadline"])
def test_no_end_of_the_job_waits_for_the_database(scene, order):
    spec = {"cancel": {"cancel": True}, "deadline": {"timeouts": {"running": "1s"}}}.get(order, {})
    seen = timed_out(scene, **spec).knowing(progress=None, history_available=False)
    if order == "deletion":
        seen.meta["deletionTimestamp"] = "2026-11-21T09:00:00Z"

    assert answer_of(seen).next_step.phase in (Phase.CANCELLED, Phase.FAILED)


def test_a_pod_lost_after_new_steps_counts_against_no_limit(scene):
    seen = lost(scene, retry={"maxInfraRestarts": 0, "maxAttempts": 1}).knowing(progress=WENT_ON)
    end = answer_of(seen)

    assert (end.record.reason, end.record.charged) == ("RunnerLost", False)
    assert end.next_step == Again(seen.now + timedelta(seconds=5), infra=False, free=True)
    after = seen.written(end).job.status
    assert (after.infra_restarts, after.snoozes) == (0, 0)


def test_a_pod_lost_without_new_steps_counts_as_lost(scene):
    seen = lost(scene).knowing(progress=STOOD_STILL)
    end = answer_of(seen)

    assert (end.next_step.infra, end.record.charged) == (True, False)
    assert seen.written(end).job.status.infra_restarts == 1


def test_a_lost_pod_does_not_wait_for_the_database_while_such_losses_are_free(scene):
    away = {"progress": None, "history_available": False}
    used_up = lost(scene, retry={"maxInfraRestarts": 0}).knowing(**away)

    assert answer_of(lost(scene).knowing(**away)).next_step.infra
    assert isinstance(answer_of(used_up), Keep)


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({"code": 137, "reason": "OOMKilled"}, id="out-of-memory"),
        pytest.param({"code": 137, "reason": "Error"}, id="kill-9"),
    ],
)
def test_a_crash_is_charged_regardless_of_recorded_steps(scene, facts):
    end = answer_of(scene().claimed().ended(1, **facts).knowing(progress=WENT_ON))

    assert end.record.charged
    assert (end.record.from_step, end.record.to_step) == (3, 9)


def test_every_ending_before_another_start_reads_the_progress_once(scene):
    seen = scene().claimed().said(Verdict.SNOOZE, "ModelRateLimited", delay=7).knowing(progress=None)

    assert answer_of(seen) == needs.StartProgress(1)
    assert isinstance(answer_of(seen.knowing(progress=WENT_ON)), EndStart)


def test_a_suspension_keeps_the_checkpoint(scene):
    seen = lost(scene, suspend=True).knowing(progress=None)
    assert answer_of(seen) == needs.StartProgress(1)

    end = answer_of(seen.knowing(progress=WENT_ON))
    assert isinstance(end.next_step, Suspend)
    assert seen.written(end).job.status.checkpoint == Checkpoint(9, "search", AT)


def test_steps_of_a_success_are_read_with_its_answer(scene):
    seen = scene().claimed().said(Verdict.SUCCEED).knowing(progress=None, result=None)
    assert answer_of(seen) == needs.FinalResult()

    end = answer_of(seen.knowing(result=FinalResult(progress=WENT_ON)))
    assert (end.record.from_step, end.record.to_step) == (3, 9)
    assert end.checkpoint == Checkpoint(9, "search", AT)


def test_an_ending_without_the_database_has_no_checkpoint_and_the_next_one_has(scene):
    seen = scene().claimed().said(Verdict.RETRY, "ToolError").knowing(progress=None, history_available=False)
    seen.written(answer_of(seen)).later(minutes=1).pods.clear()
    assert (seen.job.status.attempt_history[0].to_step, seen.job.status.checkpoint) == (None, None)

    seen.claimed(start=2, attempt=2).said(Verdict.RETRY, "ToolError", start=2)
    seen.knowing(progress=WENT_ON, history_available=True)
    seen.written(answer_of(seen))
    assert seen.job.status.attempt_history[1].to_step == 9
    assert seen.job.status.checkpoint == Checkpoint(9, "search", AT)


def test_a_start_without_a_step_keeps_the_checkpoint(scene):
    seen = scene().claimed().said(Verdict.RETRY, "ToolError").knowing(progress=WENT_ON)
    seen.written(answer_of(seen)).later(minutes=1).pods.clear()
    seen.claimed(start=2, attempt=2).said(Verdict.RETRY, "ToolError", start=2).knowing(progress=Progress())
    seen.written(answer_of(seen))

    assert seen.job.status.checkpoint == Checkpoint(9, "search", AT)
    assert seen.job.status.attempt_history[1].to_step == 0


def test_a_job_without_steps_has_no_checkpoint(scene):
    seen = scene().claimed().said(Verdict.RETRY, "ToolError").knowing(progress=Progress())
    assert seen.written(answer_of(seen)).job.status.checkpoint is None


def test_steps_of_an_unreadable_job_are_left_to_the_version_that_can_read_it(scene):
    seen = timed_out(scene).knowing(spec=None, unreadable="spec.steps: later", progress=WENT_ON)
    end = answer_of(seen)

    assert (end.record.charged, end.record.to_step) == (True, 9)


def test_a_job_that_ended_without_the_database_gets_its_checkpoint_with_the_answer(scene):
    seen = scene().claimed().said(Verdict.SUCCEED).knowing(history_available=False, result=None, progress=None)
    seen.written(answer_of(seen)).pods.clear()
    found = FinalResult(progress=WENT_ON)

    assert answer_of(seen.knowing(history_available=True, result=found)) == BackfillResult(found)


# How a start may end, and whether it recorded steps first.
LIVES = st.lists(st.tuples(st.sampled_from([*TIMED_OUT, "lost", "ToolError"]), st.booleans()), max_size=30)
LIMITS = st.fixed_dictionaries(
    {"maxAttempts": st.integers(1, 4), "maxSnoozes": st.integers(0, 3), "maxInfraRestarts": st.integers(0, 3)}
)
quiet = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def lived(scene, retry, life):
    """Let a job live: each start ends as `life` says, until the job ends. Return the scene and the ends."""
    backoff = {"initial": "1s", "max": "1s"}
    seen, ends, last = scene(retry={**retry, "backoff": backoff}).granted(), [], 0
    for how, advances in life:
        claim = answer_of(seen)
        if not isinstance(claim, Claim):
            assert isinstance(claim, Finish)
            break
        seen.claimed(claim.start, claim.attempt).later(seconds=1)
        if how == "lost":
            seen.ended(claim.start, **GONE)
        else:
            seen.said(Verdict.RETRY, how, start=claim.start)
        before, last = last, last + advances
        seen.knowing(progress=Progress(before, last, "step", seen.now, bool(advances)))
        end = answer_of(seen)
        seen.written(end).pods.clear()
        ends.append((how, advances, end))
        if isinstance(end.next_step, Finish):
            break
        seen.later(minutes=1)
    return seen, ends


@quiet
@given(retry=LIMITS, life=LIVES)
def test_a_job_never_has_more_charges_than_its_limits_allow(scene, retry, life):
    seen, ends = lived(scene, retry, life)
    status = seen.job.status

    assert sum(end.record.charged for _, _, end in ends) <= retry["maxAttempts"]
    assert status.snoozes <= retry["maxSnoozes"]
    assert status.infra_restarts <= retry["maxInfraRestarts"]


@quiet
@given(retry=LIMITS, life=LIVES)
def test_a_timeout_is_charged_unless_there_was_progress_and_a_snooze_was_left(scene, retry, life):
    _, ends = lived(scene, retry, life)
    snoozed = 0
    for how, advances, end in ends:
        if how in TIMED_OUT:
            free = advances and snoozed < retry["maxSnoozes"]
            assert end.record.charged is not free
            snoozed += free


@quiet
@given(retry=LIMITS)
def test_a_job_that_always_times_out_with_progress_ends_at_its_limit_of_snoozes(scene, retry):
    _, ends = lived(scene, retry, [("AttemptTimeout", True)] * 20)
    charged = [end.record.charged for _, _, end in ends]

    assert charged == [False] * retry["maxSnoozes"] + [True] * retry["maxAttempts"]
    assert ends[-1][2].next_step.phase is Phase.FAILED


@quiet
@given(retry=LIMITS, life=st.lists(st.just(("lost", True)), max_size=20))
def test_a_job_that_makes_progress_is_never_ended_by_lost_pods(scene, retry, life):
    seen, ends = lived(scene, retry, life)

    assert len(ends) == len(life)
    assert (seen.job.status.infra_restarts, seen.job.status.attempts) == (0, min(1, len(life)))
