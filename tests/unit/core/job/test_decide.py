"""The life of a job, one finding a test."""

from datetime import timedelta

import pytest

from agentjobs.api.conditions import ConditionType, Phase
from agentjobs.api.problems import FieldProblem
from agentjobs.contract import ErrorClass, TerminationMessage, Verdict
from agentjobs.core.job import needs, progress
from agentjobs.core.job.actions import (
    Again,
    BackfillResult,
    Claim,
    Decision,
    DeleteJob,
    EndStart,
    Finish,
    Keep,
    MakePod,
    RemoveFinalizer,
    ReportPod,
    StopPod,
    Suspend,
    Wait,
)
from agentjobs.core.job.decide import decide
from agentjobs.core.job.observation import FinalResult, Heartbeat, Obstacle
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.core.pods.manifests import runner_pod
from agentjobs.core.queues.admission import Refusal

UID = "6c0c1a52-1b5e-4a6e-9a52-0d9f0a7f5a11"


def answer_of(scene):
    answer = decide(scene.observation, scene.now)
    return answer.action if isinstance(answer, Decision) else answer


def test_a_new_job_requests_a_slot_without_a_write(scene):
    assert isinstance(answer_of(scene()), needs.Slot)


def test_a_granted_slot_begins_the_first_start(scene):
    assert answer_of(scene().granted()) == Claim(start=1, attempt=1)


def test_a_refused_slot_is_reported_in_the_status(scene):
    seen = scene().knowing(slot=Refusal("WaitingForSlot", "full"))

    assert answer_of(seen) == Wait(ConditionType.ADMITTED, "WaitingForSlot", "full", accept=True)


def test_a_job_waits_for_its_start_time(scene):
    decision = decide(scene(startAfter="1h").observation, scene().now)

    assert isinstance(decision.action, Wait)
    assert decision.action.reason == "WaitingForStartTime"
    assert decision.again == scene().now + timedelta(hours=1)


def test_a_job_requests_a_slot_at_its_start_time(scene):
    assert isinstance(answer_of(scene(startAfter="1h").later(hours=1)), needs.Slot)


def test_references_are_read_before_a_job_is_accepted(scene):
    assert isinstance(answer_of(scene().knowing(references=frozenset({("texts", "a")}))), needs.References)


def test_a_job_with_a_missing_reference_waits_and_reads_it_again(scene):
    seen = scene().knowing(references=frozenset({("texts", "a")}), missing=("ConfigMap texts does not exist",))
    decision = decide(seen.observation, seen.now)

    assert decision.action == Wait(
        ConditionType.ACCEPTED, "ReferenceNotFound", "ConfigMap texts does not exist", accept=False
    )
    assert decision.again is not None


def test_a_reference_that_is_missing_for_long_is_read_less_often(scene):
    seen = scene().knowing(references=frozenset({("texts", "a")}), missing=("ConfigMap texts does not exist",))
    seen.written(decide(seen.observation, seen.now).action)
    waits = []
    for passed in ({"seconds": 10}, {"seconds": 290}, {"days": 9}):
        seen.later(**passed)
        waits.append(decide(seen.observation, seen.now).again - seen.now)

    assert waits == [timedelta(seconds=2), timedelta(seconds=30), timedelta(seconds=60)]


def test_a_job_waits_for_an_unknown_queue(scene):
    answer = answer_of(scene(queue="fast").knowing(queue_known=False))

    assert isinstance(answer, Wait)
    assert answer.reason == "QueueNotFound"
    assert "'fast'" in answer.message


def test_a_job_whose_queue_does_not_exist_in_time_fails(scene):
    seen = scene(queue="fast", timeouts={"queue": "5s"}).knowing(queue_known=False)
    first = decide(seen.observation, seen.now)
    seen.written(first.action)

    assert first.again == seen.now + timedelta(seconds=5)
    assert isinstance(answer_of(seen.later(seconds=4)), Wait)
    end = answer_of(seen.later(seconds=1))
    assert (end.phase, end.reason) == (Phase.FAILED, "QueueTimeout")
    assert "'fast'" in end.message


def test_the_wait_for_a_queue_counts_from_the_start_time(scene):
    seen = scene(startAfter="1h", timeouts={"queue": "10m"}).knowing(queue_known=False)
    first = decide(seen.observation, seen.now)
    seen.written(first.action).later(hours=1)
    due = decide(seen.observation, seen.now)

    assert first.again == seen.now
    assert due.again == seen.now + timedelta(minutes=10)
    assert answer_of(seen.written(due.action).later(minutes=10)).reason == "QueueTimeout"


def test_the_wait_for_a_deleted_queue_counts_from_the_end_of_the_backoff(scene):
    backoff = {"backoff": {"initial": "10m", "jitterPercent": 0}}
    seen = scene(retry=backoff, timeouts={"queue": "7m"}).claimed().said(Verdict.RETRY, "ToolError")
    seen.written(answer_of(seen)).pods = []
    decision = decide(seen.knowing(queue_known=False).observation, seen.now)

    assert (decision.action.in_line, decision.again) == (False, seen.now + timedelta(minutes=10))
    assert decide(seen.later(minutes=10).observation, seen.now).again == seen.now + timedelta(minutes=7)


def test_a_job_created_suspended_does_not_fail_because_its_queue_is_missing(scene):
    seen = scene(suspend=True, timeouts={"queue": "10m"}).knowing(queue_known=False)
    seen.written(answer_of(seen)).later(days=1)

    assert isinstance(answer_of(seen), Wait)


def test_a_job_keeps_its_place_when_its_queue_appears(scene):
    seen = scene(timeouts={"queue": "10m"}).knowing(queue_known=False)
    began = seen.now
    seen.written(answer_of(seen)).later(minutes=9).knowing(queue_known=True, slot=Refusal("WaitingForSlot", "full"))
    decision = decide(seen.observation, seen.now)
    seen.written(decision.action)

    assert decision.again == began + timedelta(minutes=10)
    assert seen.job.status.queue.since == began


def test_a_wait_for_a_missing_object_does_not_count_as_one_for_a_slot(scene):
    seen = scene(timeouts={"queue": "10m"}).knowing(queue_known=False)
    seen.written(answer_of(seen)).later(minutes=9).knowing(queue_known=True)
    missing = Wait(ConditionType.ACCEPTED, "SinkNotFound", "no sink", accept=False)
    seen.written(missing).later(hours=2).knowing(slot=Refusal("WaitingForSlot", "full"))

    decision = decide(seen.observation, seen.now)
    assert isinstance(decision.action, Wait)
    assert decision.again == seen.now + timedelta(minutes=10)


def test_an_invalid_spec_fails_with_every_problem(scene):
    problems = (FieldProblem("spec.queue", "", "one"), FieldProblem("spec.priority", "", "two"))
    answer = answer_of(scene().knowing(problems=problems, spec=None))

    assert isinstance(answer, Finish)
    assert (answer.phase, answer.reason) == (Phase.FAILED, "InvalidSpec")
    assert "one" in answer.message
    assert "two" in answer.message


def test_a_job_does_not_start_without_the_database(scene):
    answer = answer_of(scene().granted().knowing(history_available=False))

    assert isinstance(answer, Wait)
    assert (answer.condition, answer.reason) == (ConditionType.ACCEPTED, "HistoryUnavailable")


def test_a_claimed_start_without_a_pod_gets_one(scene):
    assert answer_of(scene().claimed()) == MakePod(start=1, attempt=1)


def test_a_foreign_pod_of_the_same_name_is_reported_after_a_while(scene):
    seen = scene().claimed().knowing(obstacle=Obstacle("PodNameTaken", "a pod hello-1 exists"))

    assert isinstance(answer_of(seen), MakePod)
    assert answer_of(seen.later(seconds=11)).reason == "PodNameTaken"
    assert isinstance(answer_of(seen.later(days=1)), ReportPod)


def test_a_pod_that_the_server_always_refuses_fails_the_job_with_its_message(scene):
    answer = answer_of(scene().claimed().knowing(obstacle=Obstacle("PodRefused", "env: no such name", final=True)))

    assert (answer.next_step.phase, answer.next_step.reason) == (Phase.FAILED, "ConfigInvalid")
    assert "env: no such name" in answer.next_step.message


def test_a_job_waits_a_quarter_of_an_hour_for_a_quota(scene):
    seen = scene().claimed().knowing(obstacle=Obstacle("PodRefused", "exceeded quota"))

    assert isinstance(answer_of(seen), MakePod)
    assert answer_of(seen.later(minutes=15)).next_step.phase is Phase.FAILED


def test_a_termination_message_without_a_uid_is_accepted(scene):
    word = TerminationMessage(Verdict.SNOOZE, "JournalUnavailable", "no gateway", 1, "", delay_seconds=30).dump()

    assert answer_of(scene().claimed().ended(1, message=word, code=75)).record.reason == "JournalUnavailable"


def test_a_running_pod_needs_no_action(scene):
    assert isinstance(answer_of(scene().claimed().running()), Keep)


def test_success_ends_the_job(scene):
    answer = answer_of(scene().claimed().said(Verdict.SUCCEED))

    assert isinstance(answer, EndStart)
    assert answer.next_step == Finish(Phase.SUCCEEDED, "ResultAccepted", "because", "Hello.")


def test_success_has_precedence_over_a_cancel_in_the_same_observation(scene):
    answer = answer_of(scene(cancel=True).claimed().said(Verdict.SUCCEED))

    assert answer.next_step.phase is Phase.SUCCEEDED


def test_a_cancel_has_precedence_over_every_other_ending(scene):
    answer = answer_of(scene(cancel=True).claimed().said(Verdict.RETRY, "AgentError"))

    assert answer.next_step.phase is Phase.CANCELLED


def test_cancel_stops_the_pod_before_the_job_ends(scene):
    assert isinstance(answer_of(scene(cancel=True).claimed().running()), StopPod)


def test_cancel_before_a_start_ends_the_job(scene):
    assert answer_of(scene(cancel=True)).phase is Phase.CANCELLED


def test_a_cancel_between_claim_and_pod_creates_no_pod(scene):
    answer = answer_of(scene(cancel=True).claimed())

    assert isinstance(answer, EndStart)
    assert answer.next_step.phase is Phase.CANCELLED


def test_a_failure_is_charged_and_retried_after_the_backoff(scene):
    seen = scene(retry={"backoff": {"initial": "15s", "jitterPercent": 0}}).claimed()
    answer = answer_of(seen.said(Verdict.RETRY, "ToolError"))

    assert answer.record.charged
    assert answer.next_step == Again(seen.now + timedelta(seconds=15), infra=False)


def test_the_last_attempt_ends_the_job_with_its_class(scene):
    answer = answer_of(scene(retry={"maxAttempts": 1}).claimed().said(Verdict.RETRY, "ToolError"))

    assert (answer.next_step.phase, answer.next_step.reason) == (Phase.FAILED, "ToolError")


def test_a_snooze_does_not_use_up_an_attempt(scene):
    seen = scene().claimed()
    answer = answer_of(seen.said(Verdict.SNOOZE, "ModelRateLimited", delay=7))

    assert not answer.record.charged
    assert answer.next_step == Again(seen.now + timedelta(seconds=7), infra=False)


def test_a_snooze_of_zero_seconds_continues_immediately(scene):
    seen = scene().claimed()
    answer = answer_of(seen.said(Verdict.SNOOZE, "Snoozed", delay=0))

    assert answer.next_step == Again(seen.now, infra=False)


def test_the_snooze_after_the_last_free_one_is_charged(scene):
    seen = scene(retry={"maxSnoozes": 0, "maxAttempts": 1}).claimed()

    answer = answer_of(seen.said(Verdict.SNOOZE, "ModelRateLimited", delay=7))

    assert answer.record.charged
    assert answer.next_step.phase is Phase.FAILED


def test_an_uncharged_start_keeps_the_attempt_number(scene):
    seen = scene().claimed().said(Verdict.SNOOZE, "ModelRateLimited", delay=7)
    seen.written(answer_of(seen)).later(seconds=8)
    seen.pods = []

    assert answer_of(seen.granted()) == Claim(start=2, attempt=1)


def test_a_charged_start_raises_the_attempt_number(scene):
    seen = scene().claimed().said(Verdict.RETRY, "ToolError")
    seen.written(answer_of(seen)).later(minutes=1)
    seen.pods = []

    assert answer_of(seen.granted()) == Claim(start=2, attempt=2)


@pytest.mark.parametrize(
    ("facts", "reason", "charged"),
    [
        pytest.param({"code": 137, "reason": "OOMKilled"}, ErrorClass.OOM_KILLED, True, id="out-of-memory"),
        pytest.param({"code": 137, "reason": "Error"}, ErrorClass.RUNNER_CRASHED, True, id="kill-9"),
        pytest.param({"code": 0, "message": "not ours"}, ErrorClass.RUNNER_CRASHED, True, id="no-verdict"),
        pytest.param({"code": 76, "reason": "Error"}, ErrorClass.RUNNER_LOST, False, id="fenced"),
        pytest.param(
            {"code": 137, "reason": "Error", "meta": {"deletionTimestamp": "2026-11-21T09:00:00Z"}},
            ErrorClass.RUNNER_LOST,
            False,
            id="deleted-by-hand",
        ),
    ],
)
def test_the_ending_of_a_pod_without_a_message_follows_from_its_status(scene, facts, reason, charged):
    answer = answer_of(scene().claimed().ended(1, **facts))

    assert (answer.record.reason, answer.record.charged) == (reason, charged)


def test_infrastructure_losses_are_limited(scene):
    gone = {"code": 137, "reason": "Error", "meta": {"deletionTimestamp": "2026-11-21T09:00:00Z"}}
    answer = answer_of(scene(retry={"maxInfraRestarts": 0, "maxAttempts": 1}).claimed().ended(1, **gone))

    assert answer.record.charged
    assert answer.next_step.phase is Phase.FAILED


def test_a_termination_message_of_another_start_is_ignored(scene):
    seen = scene().claimed(start=2)
    seen.said(Verdict.SUCCEED, start=1)
    message = seen.pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]["message"]
    seen.pods = []

    assert answer_of(seen.ended(2, message=message)).record.reason == ErrorClass.RUNNER_CRASHED


def test_a_job_with_a_sidecar_ends_when_its_runner_does(scene):
    seen = scene().claimed().said(Verdict.SUCCEED)
    seen.pods[0]["status"]["phase"] = "Running"

    assert answer_of(seen).next_step.phase is Phase.SUCCEEDED


def test_a_pod_past_its_deadline_has_ended_only_when_its_container_has(scene):
    running = [{"name": "runner", "state": {"running": {"startedAt": "2026-11-21T09:00:00Z"}}}]
    seen = scene().claimed().pod(phase="Failed", reason="DeadlineExceeded", containerStatuses=running)

    assert isinstance(answer_of(seen), Keep)
    seen.ended(1, code=137, reason="Error", phase="Failed")
    seen.pods[0]["status"]["reason"] = "DeadlineExceeded"
    assert answer_of(seen).record.reason == "AttemptTimeout"


def test_a_pod_that_waits_is_reported_after_ten_seconds(scene):
    waiting = {"name": "runner", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    seen = scene().claimed().pod(phase="Pending", containerStatuses=[waiting])

    assert isinstance(answer_of(seen), Keep)
    assert answer_of(seen.later(seconds=10)) == ReportPod(False, "ImagePullBackOff", "no such image")


def test_a_pod_that_never_starts_fails_the_job_after_a_quarter_of_an_hour(scene):
    waiting = {"name": "runner", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    answer = answer_of(scene().claimed().pod(phase="Pending", containerStatuses=[waiting]).later(minutes=15))

    assert (answer.next_step.phase, answer.next_step.reason) == (Phase.FAILED, "ImagePullFailed")
    assert not answer.record.charged


def test_a_silent_runner_on_a_lost_node_is_considered_lost(scene):
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
    seen = scene().claimed().pod(conditions=[condition], meta={"deletionTimestamp": "2026-11-21T09:00:05Z"})

    assert isinstance(answer_of(seen), needs.LastHeartbeat)
    assert isinstance(answer_of(seen.knowing(heartbeat=Heartbeat(timedelta(seconds=12)))), Keep)
    lost = answer_of(seen.knowing(heartbeat=Heartbeat(timedelta(seconds=30))))
    assert (lost.record.reason, lost.record.charged) == ("NodeLost", False)


def silent_for(seen, seconds):
    return seen.knowing(heartbeat=Heartbeat(timedelta(seconds=seconds)))


def test_heartbeats_are_read_only_when_the_runner_should_have_ended_itself(scene):
    seen = scene(timeouts={"progress": "1m"}).claimed().later(minutes=9).running()
    began = seen.now

    assert decide(seen.observation, seen.now) == Decision(Keep(), again=began + timedelta(minutes=4))
    assert isinstance(answer_of(seen.later(minutes=4)), needs.LastHeartbeat)
    heard = decide(silent_for(seen, 10).observation, seen.now)
    assert heard == Decision(Keep(), again=seen.now + timedelta(seconds=230))


def test_a_runner_without_heartbeats_is_silent_since_its_container_started(scene):
    seen = scene(timeouts={"progress": "1m"}).claimed().later(minutes=9).running().later(minutes=4)

    answer = answer_of(silent_for(seen, 13 * 60))

    assert isinstance(answer, ReportPod)
    assert (answer.started, answer.reason) == (False, "Silent")
    assert ("hello-1" in answer.message, "240 s" in answer.message) == (True, True)


def silenced(scene):
    seen = scene(timeouts={"progress": "1m"}).claimed().running().later(minutes=4)
    report = answer_of(silent_for(seen, 240))
    seen.status = progress.reported(seen.job, report, now=seen.now).to_dict()
    return seen


def test_a_silent_runner_is_stopped_and_its_start_ends_as_progress_timeout(scene):
    seen = silenced(scene)
    stop = answer_of(seen.knowing(heartbeat=None))
    end = answer_of(seen.ended(code=137, reason="Error", meta={"deletionTimestamp": "2026-11-21T09:05:00Z"}))

    assert isinstance(stop, StopPod)
    assert (end.record.reason, end.record.verdict, end.record.charged) == ("ProgressTimeout", "Retry", True)
    assert isinstance(end.next_step, Again)


def test_a_success_of_a_runner_considered_silent_is_a_success(scene):
    assert answer_of(silenced(scene).said(Verdict.SUCCEED)).next_step.phase is Phase.SUCCEEDED


def test_no_start_counts_as_silent_while_the_database_is_unavailable(scene):
    seen = scene(timeouts={"progress": "1m"}).claimed().running().later(days=1).knowing(history_available=False)

    assert isinstance(answer_of(seen), Keep)


def test_without_heartbeats_a_lost_node_is_detected_by_the_operators_clock(scene):
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
    seen = scene().claimed().pod(conditions=[condition], meta={"deletionTimestamp": "2026-11-21T09:00:05Z"})
    seen.knowing(history_available=False)

    assert isinstance(answer_of(seen), Keep)
    assert answer_of(seen.knowing(deleting_for=timedelta(seconds=121))).record.reason == "NodeLost"


def test_a_pod_deleted_before_it_was_scheduled_has_ended(scene):
    seen = scene().claimed().pod(phase="Pending", node="", meta={"deletionTimestamp": "2026-11-21T09:00:05Z"})

    assert answer_of(seen).record.reason == "RunnerLost"


def test_finalizers_of_pods_are_removed_once_their_end_is_recorded(scene):
    seen = scene().claimed().said(Verdict.SUCCEED)
    seen.written(answer_of(seen))

    assert isinstance(answer_of(seen), RemoveFinalizer)


def test_a_pod_that_remains_after_its_start_is_stopped_first(scene):
    seen = scene().written(Finish(Phase.CANCELLED, "Requested", "")).running()

    assert isinstance(answer_of(seen), StopPod)


def test_an_answer_missing_from_the_status_is_fetched(scene):
    seen = scene().claimed().said(Verdict.SUCCEED)
    seen.written(answer_of(seen))
    seen.pods = []

    assert isinstance(answer_of(seen), BackfillResult)
    assert isinstance(answer_of(seen.knowing(history_available=False)), Keep)


def test_a_finished_job_is_deleted_only_after_its_end_is_recorded(scene):
    seen = scene(ttlSecondsAfterFinished=60).written(Finish(Phase.FAILED, "ToolError", "x"))

    assert isinstance(answer_of(seen), Keep)
    assert isinstance(answer_of(seen.later(seconds=60)), needs.EndRecorded)
    assert isinstance(answer_of(seen.knowing(end_recorded=False)), Keep)
    assert isinstance(answer_of(seen.knowing(end_recorded=True)), DeleteJob)


def test_a_job_that_is_being_deleted_is_stopped_and_does_not_start_again(scene):
    seen = scene().granted()
    seen.meta["deletionTimestamp"] = "2026-11-21T09:00:00Z"

    assert answer_of(seen).phase is Phase.CANCELLED
    assert isinstance(answer_of(seen.claimed().running()), StopPod)


def test_a_job_created_suspended_is_accepted_and_held(scene):
    answer = answer_of(scene(suspend=True))

    assert isinstance(answer, Suspend)
    assert answer.accept


def test_a_suspended_job_needs_no_action_until_it_is_resumed(scene):
    seen = scene(suspend=True)
    seen.written(answer_of(seen))

    assert (seen.job.status.phase, answer_of(seen)) == (Phase.SUSPENDED, Keep())
    seen.raw["suspend"] = False
    assert isinstance(answer_of(seen), needs.Slot)


def test_suspending_stops_the_pod_without_a_charge(scene):
    seen = scene(suspend=True).claimed().running()
    stopping = answer_of(seen)
    word = TerminationMessage(Verdict.SNOOZE, "Interrupted", "told to stop", 1, UID).dump()
    seen.ended(1, message=word, code=75, meta={"deletionTimestamp": "2026-11-21T09:00:05Z"})
    seen.written(answer_of(seen))

    assert isinstance(stopping, StopPod)
    assert seen.job.status.phase is Phase.SUSPENDED
    assert (seen.job.status.snoozes, seen.job.status.infra_restarts) == (0, 0)
    assert not seen.job.status.attempt_history[0].charged


def test_a_resumed_job_continues_in_the_same_attempt(scene):
    seen = scene(suspend=True).claimed()
    word = TerminationMessage(Verdict.SNOOZE, "Interrupted", "told to stop", 1, UID).dump()
    seen.ended(1, message=word, code=75)
    seen.written(answer_of(seen))
    seen.pods, seen.raw["suspend"] = [], False

    assert answer_of(seen.granted()) == Claim(start=2, attempt=1)
    seen.claimed(start=2)
    assert seen.job.status.phase is Phase.RUNNING


def test_a_failure_while_suspending_is_charged_and_its_backoff_applies_after_the_suspension(scene):
    seen = scene(suspend=True, retry={"backoff": {"initial": "10m", "jitterPercent": 0}}).claimed()
    seen.said(Verdict.RETRY, "ToolError")
    seen.written(answer_of(seen))
    seen.pods, seen.raw["suspend"] = [], False
    decision = decide(seen.observation, seen.now)

    assert seen.job.status.attempt_history[0].charged
    assert decision.action.reason == "WaitingForBackoff"
    assert decision.again == seen.now + timedelta(minutes=10)


def test_a_cancel_has_precedence_over_a_suspension(scene):
    assert answer_of(scene(suspend=True, cancel=True)).phase is Phase.CANCELLED


def test_a_job_that_finds_no_slot_in_time_fails(scene):
    seen = scene(timeouts={"queue": "10m"}).knowing(slot=Refusal("WaitingForSlot", "full"))
    first = decide(seen.observation, seen.now)
    seen.written(first.action)

    assert first.again == seen.now + timedelta(minutes=10)
    assert isinstance(answer_of(seen.later(minutes=9)), Wait)
    assert answer_of(seen.later(minutes=1)).reason == "QueueTimeout"


def test_the_running_time_of_all_starts_is_limited(scene):
    seen = scene(timeouts={"running": "1m"}).claimed().running()
    seen.later(seconds=60).ended(1, code=137, reason="Error")
    state = seen.pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]
    state["startedAt"], seen.pods[0]["status"]["reason"] = "2026-11-21T09:00:00Z", "DeadlineExceeded"

    assert answer_of(seen).next_step.reason == "DeadlineExceeded"


def test_running_time_is_summed_over_starts(scene):
    seen = scene(timeouts={"running": "1m"}).claimed().said(Verdict.SNOOZE, "ModelRateLimited", delay=1)
    state = seen.later(seconds=40).pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]
    state["finishedAt"] = "2026-11-21T09:00:40Z"
    seen.written(answer_of(seen))

    assert seen.job.status.running_seconds == 40
    assert pod_deadline(seen) == 20


def pod_deadline(seen):
    pod = runner_pod(
        namespace="default",
        job="hello",
        uid=UID,
        start=2,
        attempt=1,
        ran=seen.job.status.running_seconds,
        spec=seen.observation.spec,
        defaults=PodDefaults(gateway_url="https://gateway", image="runner"),
    )
    return pod["spec"]["activeDeadlineSeconds"]


def test_a_finished_pod_that_is_not_kept_is_deleted_before_its_finalizer_is_removed(scene):
    seen = scene(runtime={"podRetention": "Delete"}).claimed().said(Verdict.SUCCEED)
    seen.written(answer_of(seen))

    assert isinstance(answer_of(seen), StopPod)


def test_failed_pods_are_kept_if_the_policy_keeps_failures(scene):
    seen = scene(runtime={"podRetention": "KeepOnFailure"}, retry={"maxAttempts": 1}).claimed()
    seen.said(Verdict.RETRY, "ToolError")
    seen.written(answer_of(seen))

    assert isinstance(answer_of(seen), RemoveFinalizer)


@pytest.mark.parametrize("lacking", [{"history_available": False}, {"queue_known": False}], ids=["database", "queue"])
def test_a_suspension_has_precedence_over_missing_prerequisites(scene, lacking):
    held = scene().written(Suspend("Rule", "rule look"))

    assert answer_of(held.knowing(**lacking)) == Keep()


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
@pytest.mark.parametrize("field", ["completionTime", "nextAttemptTime", "startTime", "started", "ended", "since"])
def test_an_invalid_time_in_a_status_does_not_break_the_decision(scene, field, time):
    for seen in (
        scene(timeouts={"queue": "1h"}, ttlSecondsAfterFinished=2147483647).claimed().running().later(days=2),
        scene(timeouts={"queue": "1h"}, ttlSecondsAfterFinished=2147483647).written(Finish(Phase.FAILED, "x", "y")),
        scene(timeouts={"queue": "1h"}).written(Wait(ConditionType.ADMITTED, "WaitingForSlot", "full", accept=True)),
    ):
        seen.knowing(slot=Refusal("WaitingForSlot", "full"))
        places = (seen.status, *seen.status.get("attemptHistory", ()), seen.status.get("queue") or {})
        for place in places:
            if field in place or place is seen.status:
                place[field] = time

        assert isinstance(decide(seen.observation, seen.now), Decision | needs.Need)


def test_any_time_reported_by_a_node_can_be_decided_on(scene):
    state = {"running": {"startedAt": "9999-12-31T23:59:59Z"}}
    seen = scene().claimed().pod(containerStatuses=[{"name": "runner", "state": state}]).later(minutes=1)

    assert isinstance(decide(seen.observation, seen.now), Decision | needs.Need)


def test_the_running_time_of_a_container_is_at_most_that_of_its_start(scene):
    seen = scene(timeouts={"running": "1h"}).claimed().later(minutes=2)
    state = {"exitCode": 1, "startedAt": "1981-01-01T00:00:00Z", "finishedAt": "2080-01-01T00:00:00Z"}
    seen.pod(phase="Failed", containerStatuses=[{"name": "runner", "state": {"terminated": state}}])
    end = answer_of(seen)

    assert end.ran == timedelta(minutes=2)
    assert end.record.ended == seen.now
    assert isinstance(end.next_step, Again)


def test_a_reason_of_any_length_becomes_a_condition_that_can_be_stored(scene):
    waiting = {"reason": "Very" * 50, "message": "no"}
    seen = scene().claimed().pod(phase="Pending", containerStatuses=[{"name": "runner", "state": {"waiting": waiting}}])
    answer = answer_of(seen.later(seconds=11))

    assert isinstance(answer, ReportPod)
    assert len(answer.reason) <= 63


def test_conditions_of_other_writers_never_prevent_a_job_from_ending(scene):
    seen = scene().granted().claimed().running()
    foreign = {"status": "True", "reason": "Other", "message": "", "lastTransitionTime": "2026-11-21T09:00:00Z"}
    room = 16 - len(seen.status["conditions"])
    seen.status["conditions"] += [{"type": f"Other{number}", **foreign} for number in range(room)]
    seen.said(Verdict.SUCCEED)
    seen.written(decide(seen.observation, seen.now).action)
    kinds = [one["type"] for one in seen.status["conditions"]]

    assert len(kinds) == 16
    assert {"Complete", "Finished", "Other0"} <= set(kinds)


def test_the_final_result_is_read_before_an_end_is_written(scene):
    seen = scene().claimed().said(Verdict.SUCCEED).knowing(result=None)
    assert answer_of(seen) == needs.FinalResult()

    assert isinstance(answer_of(seen.knowing(result=FinalResult())), EndStart)


def test_an_end_does_not_wait_for_the_database(scene):
    seen = scene().claimed().said(Verdict.SUCCEED).knowing(result=None, history_available=False)

    assert isinstance(answer_of(seen), EndStart)


def test_the_accepted_work_is_read_before_anything_is_decided(scene):
    seen = scene().claimed().knowing(spec_known=False)
    assert answer_of(seen) == needs.AcceptedSpec()

    assert isinstance(answer_of(seen.knowing(history_available=False)), MakePod)
