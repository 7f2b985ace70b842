"""The operator against a world that writes like an API server."""

import copy
import json
from contextlib import suppress
from datetime import timedelta

import pytest

from agentjobs.api.conditions import Phase
from agentjobs.contract import FINALIZER, Verdict
from agentjobs.core.job.ended import EndedJob
from agentjobs.kube.resources import AGENTJOBS


async def test_a_job_with_one_start_takes_four_writes(world):
    world.apply()
    await world.act()
    world.run_pod(world.pods()[0])
    await world.act(seconds=1)
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)

    assert world.writes == [("status", "AgentJob"), ("create", "Pod"), ("status", "AgentJob"), ("patch", "Pod")]
    assert world.status().phase is Phase.SUCCEEDED
    assert world.status().result.summary == "Hello."


async def test_accepted_work_has_values_instead_of_placeholders(world):
    job = world.apply(input={"message": "$(job.name) $(job.uid), $$(job.name)."})
    uid = job["metadata"]["uid"]
    await world.act()

    assert world.accepted[uid]["spec"]["input"]["message"] == f"hello {uid}, $(job.name)."


OUTCOMES = {
    "output": {"schema": {"type": "object"}},
    "resultPolicy": {"rules": [{"name": "again", "onOutcomes": ["unsure"], "action": "Retry", "limit": 1}]},
}


async def test_an_answer_is_final_when_its_rule_has_reached_its_limit(world):
    uid = world.apply(**OUTCOMES)["metadata"]["uid"]
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED, outcome="unsure")
    await world.act(seconds=1)
    between = (world.status().phase, dict(world.results))
    await world.act(seconds=60)
    world.end_pod(world.pods()[-1], Verdict.SUCCEED, outcome="unsure")
    await world.act(seconds=1)
    status = world.status()

    assert between == (Phase.RETRYING, {})
    assert (status.phase, status.starts, status.result.outcome) == (Phase.SUCCEEDED, 2, "unsure")
    assert status.result.structured == world.results[uid]["structured"] == {"start": 2}
    assert status.rule_counts == {"again": 1}


async def test_a_job_that_ends_without_the_database_has_its_outcome_and_later_its_answer(world):
    rules = [{"name": "no", "onOutcomes": ["refused"], "action": "Fail"}]
    world.apply(**{**OUTCOMES, "resultPolicy": {"rules": rules}})
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED, outcome="refused")
    world.history_away = True
    await world.act(seconds=1)
    away = world.status()
    world.history_away = False
    await world.act(seconds=10)

    assert (away.phase, away.result.outcome, away.result.ref) == (Phase.FAILED, "refused", "")
    assert world.status().result.structured == {"start": 1}


async def test_a_job_that_waited_takes_one_more_write(world):
    for number in range(11):
        world.apply(f"job-{number:02}")
    await world.act()

    assert world.status("job-10").phase is Phase.QUEUED
    assert len(world.pods()) == 10
    assert len(world.writes) == 21


async def test_a_freed_slot_is_given_to_the_waiting_job(world):
    for number in range(11):
        world.apply(f"job-{number:02}")
    await world.act()
    world.end_pod(world.pods("job-03")[0], Verdict.SUCCEED)
    await world.act(seconds=1)

    assert world.status("job-10").phase is Phase.RUNNING


async def test_priority_has_precedence_over_age(world):
    for number in range(10):
        world.apply(f"job-{number}")
    await world.act()
    world.apply("patient", priority=5)
    await world.act(seconds=5)
    world.apply("urgent", priority=0)
    await world.act(seconds=5)
    world.end_pod(world.pods("job-3")[0], Verdict.SUCCEED)
    await world.act(seconds=1)

    assert (world.status("urgent").phase, world.status("patient").phase) == (Phase.RUNNING, Phase.QUEUED)


async def test_a_changed_priority_reaches_the_queue(world):
    for number in range(10):
        world.apply(f"job-{number}")
    await world.act()
    world.apply("first")
    world.apply("second")
    await world.act(seconds=1)
    world.edit("second", priority=0)
    await world.act(seconds=1)
    world.end_pod(world.pods("job-3")[0], Verdict.SUCCEED)
    await world.act(seconds=1)

    assert (world.status("first").phase, world.status("second").phase) == (Phase.QUEUED, Phase.RUNNING)


async def test_an_edited_priority_reaches_history_also_after_a_restart(world):
    for number in range(10):
        world.apply(f"job-{number}")
    world.apply("waits", priority=3)
    await world.act()
    world.edit("waits", priority=1)
    await world.act(seconds=1)

    assert (await world.history.job("default", "waits")).priority == 1

    world.restart()
    world.edit("waits", priority=3)
    await world.act(seconds=1)

    assert (await world.history.job("default", "waits")).priority == 3


async def test_an_edited_priority_and_queue_of_a_suspended_job_reach_history(world):
    world.apply(priority=3, suspend=True)
    await world.act(seconds=1)
    world.edit(queue="scheduled", priority=1)
    await world.act(seconds=1)

    assert world.status().phase is Phase.SUSPENDED
    job = await world.history.job("default", "hello")
    assert (job.priority, job.queue) == (1, "scheduled")


async def test_an_edited_priority_of_a_job_in_its_backoff_reaches_history(world):
    world.apply(priority=3)
    await world.act()
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=1)
    world.edit(queue="scheduled", priority=1)
    await world.act(seconds=1)

    assert world.status().phase is Phase.RETRYING
    job = await world.history.job("default", "hello")
    assert (job.priority, job.queue) == (1, "agents"), "a started job keeps its queue"


async def test_edits_of_other_fields_write_no_priority_to_history(world):
    world.apply("waits", startAfter="1h")
    await world.act()
    world.edit("waits", suspend=True)
    await world.act(seconds=1)
    world.edit("waits", cancel=True)
    await world.act(seconds=1)

    assert world.status("waits").phase is Phase.CANCELLED
    assert "Steering" not in {kind for kind, _, _ in world.records}


async def test_history_has_since_when_a_moved_job_waits_in_its_queue(world):
    world.apply(session={"appName": "shop", "sessionId": "s"})
    world.apply("waits", session={"appName": "shop", "sessionId": "s"})
    await world.act()
    world.edit("waits", queue="scheduled")
    await world.act(seconds=90)

    (moved,) = [record for (kind, _, _), record in world.records.items() if kind == "Steering"]
    assert (moved.queue, moved.time) == ("scheduled", world.status("waits").queue.since)


async def test_two_jobs_of_one_session_never_run_together(world):
    session = {"appName": "shop", "sessionId": "s-1"}
    world.apply("one", session=session)
    world.apply("two", session=session, queue="scheduled")
    await world.act()
    phases = {world.status(name).phase for name in ("one", "two")}
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)

    assert phases == {Phase.RUNNING, Phase.QUEUED}
    assert {world.status(name).phase for name in ("one", "two")} == {Phase.SUCCEEDED, Phase.RUNNING}


async def test_no_start_is_made_while_the_database_is_unavailable(world):
    world.history_away = True
    world.apply()
    await world.act()
    said = {one.type: one.reason for one in world.status().conditions}
    world.history_away = False
    await world.act(seconds=3)

    assert said["Accepted"] == "HistoryUnavailable"
    assert world.status().phase is Phase.RUNNING


async def test_an_end_is_written_without_the_database_and_its_result_follows(world):
    world.apply()
    await world.act()
    world.history_away = True
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    first = world.status()
    world.history_away = False
    await world.act(seconds=3)

    assert (first.phase, first.result.ref) == (Phase.SUCCEEDED, "")
    assert world.status().result.summary == "Hello."


async def test_an_outcome_is_in_the_status(world):
    world.apply()
    await world.act()
    pod = world.pods()[0]
    uid = pod["metadata"]["ownerReferences"][0]["uid"]
    world.results[uid] = {"text": "{}", "structured": {"outcome": "fix"}, "outcome": "fix", "usage": {}}
    world.end_pod(pod, Verdict.SUCCEED)
    await world.act(seconds=1)

    assert world.status().result.outcome == "fix"


async def test_a_start_waits_for_a_foreign_pod_of_its_name_and_does_not_touch_it(world):
    foreign = {"metadata": {"namespace": "default", "name": "hello-1", "labels": {}}, "spec": {}, "status": {}}
    world._put(("Pod", "default", "hello-1"), "ADDED", foreign)
    world.apply()
    await world.act()
    await world.act(seconds=11)
    reported = {one.type: one.reason for one in world.status().conditions}
    world._drop(("Pod", "default", "hello-1"))
    await world.act(seconds=2)

    assert reported["PodStarted"] == "PodNameTaken"
    assert world.pods()[0]["metadata"]["labels"]["agentjobs.dev/job"] == "hello"


async def test_a_name_deleted_and_applied_again_is_a_new_job(world):
    world.apply()
    await world.act()
    world.run_pod(world.pods()[0])
    world._drop(("AgentJob", "default", "hello"))
    fresh = world.apply()
    await world.act(seconds=1)
    world.end_pod(world.pods()[0], code=137)
    await world.act(seconds=2)

    assert world.status().starts == 1
    assert {ref["uid"] for pod in world.pods() for ref in pod["metadata"]["ownerReferences"]} == {
        fresh["metadata"]["uid"]
    }


async def test_a_deleted_jobs_pods_lose_our_finalizer(world):
    world.apply()
    await world.act()
    world.run_pod(world.pods()[0])
    world._drop(("AgentJob", "default", "hello"))
    await world.act(seconds=1)
    (pod,) = world.pods()
    world.end_pod(pod, code=137)

    assert pod["metadata"]["finalizers"] == []
    assert world.pods() == []
    assert any(kind == "Deletion" for kind, _, _ in world.records)


async def test_the_deletion_of_a_finished_job_is_recorded_in_history(world):
    world.apply()
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    before = [kind for kind, _, _ in world.records]
    world._drop(("AgentJob", "default", "hello"))
    await world.act(seconds=1)

    assert "Deletion" not in before
    assert [kind for kind, _, _ in world.records].count("Deletion") == 1


async def test_a_vanished_pod_is_created_again_with_the_same_name(world):
    world.apply()
    await world.act()
    world._drop(("Pod", "default", "hello-1"))
    await world.act(seconds=1)

    assert [pod["metadata"]["name"] for pod in world.pods()] == ["hello-1"]
    assert world.status().starts == 1


async def test_a_cancelled_job_keeps_its_pod_until_it_ends(world):
    world.apply()
    await world.act()
    world.run_pod(world.pods()[0])
    world.edit(cancel=True)
    await world.act(seconds=1)
    phase = world.status().phase
    world.end_pod(world.pods()[0], Verdict.SNOOZE, reason="Interrupted", code=75)
    await world.act(seconds=1)

    assert phase is Phase.RUNNING
    assert world.status().phase is Phase.CANCELLED
    assert FINALIZER not in str(world.pods())


async def test_an_edit_of_the_work_after_acceptance_has_no_effect(world):
    world.apply(retry={"maxAttempts": 3}, runtime={"image": "first"})
    await world.act()
    world.edit(runtime={"image": "second"})
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=1)
    world.restart()
    await world.act(minutes=1)

    assert world.pods()[-1]["metadata"]["name"] == "hello-2"
    assert world.pods()[-1]["spec"]["containers"][0]["image"] == "first"


async def test_an_edit_without_effect_is_reported_once(world):
    world.apply(runtime={"image": "first"})
    await world.act()
    world.edit(runtime={"image": "second"}, input={"message": "other", "state": {"city": "Oslo"}})
    await world.act(seconds=5)

    (message,) = [message for reason, message in world.events if reason == "SpecChanged"]
    assert "spec.input.message, spec.input.state.city, spec.runtime.image" in message


async def test_steering_an_accepted_job_is_not_an_edit_of_its_work(world):
    world.apply(session={"appName": "shop", "sessionId": "s"})
    world.apply("waits", session={"appName": "shop", "sessionId": "s"})
    await world.act()
    world.edit("waits", queue="scheduled", priority=0, startAfter="1s", ttlSecondsAfterFinished=60, cancel=False)
    await world.act(seconds=5)

    assert "SpecChanged" not in dict(world.events)


async def test_an_edit_that_makes_the_spec_invalid_is_reported_with_the_problem(world):
    world.apply()
    await world.act()
    world.edit(timeouts={"attempt": "soon"})
    await world.act(seconds=5)

    assert "spec.timeouts.attempt" in dict(world.events)["SpecChanged"]


async def test_a_job_retries_in_the_queue_it_was_moved_to(world):
    session = {"appName": "shop", "sessionId": "s"}
    world.apply("first", session=session)
    world.apply("moved", session=session)
    await world.act()
    world.edit("moved", queue="scheduled")
    world.end_pod(world.pods("first")[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    world.end_pod(world.pods("moved")[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=1)
    await world.act(minutes=1)

    assert world.status("moved").starts == 2
    assert world.status("moved").queue.name == "scheduled"


async def test_a_finished_job_is_deleted_after_its_ttl_and_only_once_recorded(world):
    world.apply(ttlSecondsAfterFinished=60)
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    world.history_away = True
    await world.act(seconds=61)
    kept = ("AgentJob", "default", "hello") in world.objects
    world.history_away = False
    await world.act(seconds=10)

    assert kept
    assert ("AgentJob", "default", "hello") not in world.objects


@pytest.mark.parametrize("broken", [{"agent": {}}, {"input": {"message": "$(job.nmae)"}}, {"retry": "often"}])
async def test_a_refused_job_is_deleted_after_its_ttl(world, broken):
    world.apply(ttlSecondsAfterFinished=60, **broken)
    await world.act()
    reason, phase = world.status().reason, world.status().phase
    await world.act(seconds=59)
    kept = len(world.jobs())
    await world.act(seconds=2)
    await world.act(seconds=6)

    assert (phase, reason in ("InvalidSpec", "UnresolvedReference"), kept) == (Phase.FAILED, True, 1)
    assert world.jobs() == []


@pytest.mark.parametrize("ttl", [-1, "60", 1.5, True, 2**40, None])
async def test_an_invalid_ttl_keeps_a_job(world, ttl):
    world.apply(agent={}, ttlSecondsAfterFinished=ttl)
    await world.act()
    await world.act(days=1)

    assert world.jobs() == ["hello"]


async def test_effective_fields_of_a_finished_jobs_spec_are_applied(world):
    world.apply(ttlSecondsAfterFinished=600, runtime={"podRetention": "Delete", "image": "mine"})
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)

    kept = world.reconciler.state.jobs.get(("default", "hello"))
    assert isinstance(kept, EndedJob)
    assert kept.expires == world.status().completion_time + timedelta(seconds=600)
    assert world.pods() == []


@pytest.mark.parametrize("after", [False, True], ids=["before-the-write", "after-the-write"])
@pytest.mark.parametrize("write", range(1, 9))
async def test_the_next_operator_continues_after_a_crash_at_any_write(world, died, write, after):
    world.apply(retry={"backoff": {"initial": "1s"}})
    world.die_at, world.die_after = write, after
    for moment in range(12):
        try:
            await world.act(seconds=2)
        except died:
            world.die_at = None
            world.restart()
            continue
        for pod in world.pods():
            if pod["status"]["phase"] == "Pending":
                world.run_pod(pod)
                failing = pod["metadata"]["name"] == "hello-1"
                world.end_pod(pod, Verdict.RETRY if failing else Verdict.SUCCEED, code=70 if failing else 0)
        assert moment < 12

    status = world.status()
    assert (status.phase, status.starts, status.attempts) == (Phase.SUCCEEDED, 2, 2)
    assert [record.charged for record in status.attempt_history] == [True, False]
    assert len(world.writes) <= 8 + 1
    assert all(not pod["metadata"]["finalizers"] for pod in world.pods())


def rows(world, kind):
    return sorted(number for (of, _, number) in world.records if of == kind)


@pytest.mark.parametrize("write", range(1, 9))
async def test_a_write_whose_answer_is_lost_loses_no_row_of_history(world, died, write):
    world.apply(retry={"backoff": {"initial": "1s"}})
    world.die_at, world.die_after = write, True
    for _ in range(12):
        with suppress(died):  # the same process continues: only the answer did not come
            await world.act(seconds=2)
        for pod in world.pods():
            if pod["status"]["phase"] == "Pending":
                world.run_pod(pod)
                failing = pod["metadata"]["name"] == "hello-1"
                world.end_pod(pod, Verdict.RETRY if failing else Verdict.SUCCEED, code=70 if failing else 0)

    assert world.status().phase is Phase.SUCCEEDED
    assert rows(world, "StartEnd") == [1, 2]
    assert rows(world, "TransitionRecord") == list(range(1, world.status().transitions + 1))


async def test_an_end_seen_only_at_the_deletion_is_recorded_in_history(world):
    world.apply()
    await world.act()
    ended = copy.deepcopy(world.job())
    record = {**ended["status"]["attemptHistory"][0], "verdict": "Succeed", "ended": "2026-11-21T09:00:00Z"}
    ended["status"] |= {"phase": "Succeeded", "attemptHistory": [record]}
    ended["status"]["transitions"] += 1
    ended["metadata"]["resourceVersion"] = str(int(ended["metadata"]["resourceVersion"]) + 100)
    world.reconciler.state.observe(AGENTJOBS, "DELETED", ended)

    assert rows(world, "StartEnd") == [1]


async def test_an_operator_with_an_outdated_cache_cannot_revert_a_job(world):
    world.join(1)
    world.apply(retry={"backoff": {"initial": "1s"}})
    await world.act()
    world.operators[1].news.clear()
    world.list(1)
    await world.act(1)
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=1)
    await world.act(seconds=3)
    stale = world.operators[1]
    stale.news = [news for news in stale.news if news[0] == "Pod"]
    await world.act(1, seconds=1)

    assert (world.status().starts, world.status().phase) == (2, Phase.RUNNING)


async def test_an_operator_that_has_not_seen_a_pods_end_does_not_delete_it(world):
    world.join(1)
    world.apply()
    await world.act()
    world.run_pod(world.pods()[0])
    await world.act(1, seconds=1)
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    stale = world.operators[1]
    stale.news = [news for news in stale.news if news[0] == "AgentJob"]
    await world.act(1, seconds=1)

    assert [pod["metadata"]["name"] for pod in world.pods()] == ["hello-1"]


async def test_a_pod_seen_before_its_claim_is_not_touched(world):
    world.join(1)
    world.apply()
    await world.act(1)
    world.operators[1].news.clear()
    world.restart(1)
    world.apply("later")
    world.operators[1].news.clear()
    world.list(1)
    await world.act()
    stale = world.operators[1]
    stale.news = [news for news in stale.news if news[0] == "Pod"]
    await world.act(1, seconds=1)

    assert not [pod for pod in world.pods() if pod["metadata"].get("deletionTimestamp")]
    assert ("delete", "Pod") not in world.writes


async def test_a_session_is_locked_until_the_last_pod_of_a_deleted_job_is_gone(world):
    session = {"appName": "shop", "sessionId": "s-1"}
    world.apply("one", session=session)
    await world.act()
    world.run_pod(world.pods()[0])
    world._drop(("AgentJob", "default", "one"))
    world.apply("two", session=session)
    await world.act(seconds=1)
    waiting = world.status("two").phase
    world.end_pod(world.pods()[0], code=137)
    await world.act(seconds=1)

    assert waiting is Phase.QUEUED
    assert world.status("two").phase is Phase.RUNNING


async def test_a_session_is_free_when_its_last_pod_turns_out_to_be_gone(world):
    session = {"appName": "shop", "sessionId": "s-1"}
    world.apply("one", session=session)
    world.apply("two", session=session)
    await world.act()
    world.run_pod(world.pods("one")[0])
    await world.act(seconds=1)
    world._drop(("AgentJob", "default", "one"))
    world._drop(("Pod", "default", "one-1"))
    operator = world.operators[0]
    operator.news = [news for news in operator.news if news[0] != "Pod"]
    await world.act(seconds=1)

    assert world.status("two").phase is Phase.RUNNING


async def test_a_start_does_not_time_out_because_of_a_clock_jump(world):
    world.apply()
    await world.act()
    world.wall_ahead = timedelta(hours=1)
    await world.act(seconds=1)
    waiting = world.status().phase
    world.run_pod(world.pods()[0])
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)

    assert waiting is Phase.RUNNING
    assert (world.status().phase, world.status().starts) == (Phase.SUCCEEDED, 1)


async def test_every_job_is_reconciled_after_a_clock_change(world):
    world.apply(startAfter="1h")
    await world.act()
    world.now += timedelta(hours=1)
    world.reconciler.state.informers.wake_all()
    await world.settle()

    assert world.status().phase is Phase.RUNNING


async def test_a_deleted_jobs_open_start_is_closed_in_history(world):
    world.apply()
    await world.act()
    world._drop(("AgentJob", "default", "hello"))
    await world.act(seconds=1)

    assert [record.reason for (kind, _, _), record in world.records.items() if kind == "StartEnd"] == ["JobDeleted"]


@pytest.mark.parametrize("verdict", [Verdict.SUCCEED, Verdict.FAIL, Verdict.CANCEL])
async def test_the_status_has_the_usage_of_all_starts_at_every_ending(world, verdict):
    world.apply()
    await world.act()
    world.used[world.job()["metadata"]["uid"]] = {"llmCalls": 2, "inputTokens": 30}
    world.end_pod(world.pods()[0], verdict, reason="Permanent", code=1)
    await world.act(seconds=1)

    assert (world.status().usage.llm_calls, world.status().usage.input_tokens) == (2, 30)


async def test_a_job_that_never_started_has_no_usage(world):
    world.apply(suspend=True)
    await world.act()
    world.edit(cancel=True)
    await world.act(seconds=1)

    assert (world.status().phase, world.status().usage) == (Phase.CANCELLED, None)


async def test_usage_is_added_when_the_database_is_available_again(world):
    world.apply()
    await world.act()
    world.used[world.job()["metadata"]["uid"]] = {"llmCalls": 2}
    world.end_pod(world.pods()[0], Verdict.FAIL, reason="Permanent", code=1)
    world.history_away = True
    await world.act(seconds=1)
    unknown = world.status().usage
    world.history_away = False
    await world.act(minutes=1)

    assert (world.status().phase, unknown, world.status().usage.llm_calls) == (Phase.FAILED, None, 2)


async def test_a_status_is_small_after_a_hundred_starts(world):
    world.apply(retry={"maxAttempts": 100, "backoff": {"initial": "1s", "max": "1s"}})
    for _ in range(100):
        await world.act(seconds=3)
        world.end_pod(world.pods()[-1], Verdict.RETRY, reason="ToolError", code=70, message="ü" * 2000)
        await world.act(seconds=3)
    await world.act(seconds=3)
    status = world.job()["status"]

    assert (status["starts"], status["phase"]) == (100, "Failed")
    assert [record["start"] for record in status["attemptHistory"]] == list(range(91, 101))
    assert len(json.dumps(status, ensure_ascii=False).encode()) < 16 * 1024


async def test_a_job_whose_phase_was_overwritten_is_still_deleted(world):
    world.apply(ttlSecondsAfterFinished=60)
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    world.job()["status"]["phase"] = "Failed"
    world._put(("AgentJob", "default", "hello"), "MODIFIED", world.job())
    await world.act(seconds=61)

    assert ("AgentJob", "default", "hello") not in world.objects
