"""The invariants of a storm find every violation, and none in a correct storm."""

from dataclasses import replace

import pytest
from tests.storm.effects import STEPS
from tests.storm.invariants import violations
from tests.storm.plan import Wish
from tests.storm.witness import Crowd, Rows, SeenJob, SeenPod

RECORD = {"start": 1, "attempt": 1, "verdict": "Succeed", "reason": "", "ended": "2026-11-21T09:00:03Z"}


def promises(plan, seen, **refused):
    return {one.promise for one in violations(plan, seen, refused=refused)}


def test_a_correct_storm_violates_no_invariant(plan, seen):
    assert promises(plan, seen) == set()


def hang(plan, seen):
    seen.jobs["u"].status = {"phase": "Running", "starts": 1, "transitions": 2}


def fail(plan, seen):
    seen.jobs["u"].status["phase"] = "Failed"


def lose_job(plan, seen):
    del seen.jobs["u"], seen.pods["p"], seen.rows["u"]


def change_end(plan, seen):
    seen.jobs["u"].changed_after.append({"phase": "Failed"})


def second_pod(plan, seen):
    seen.pods["q"] = SeenPod("ok-1-1", "q", "u", 1, "Failed")


def pod_of_nobody(plan, seen):
    seen.pods["q"] = SeenPod("other-1", "q", "stranger", 1, "Succeeded", gone=True)


def unknown_start(plan, seen):
    seen.pods["q"] = SeenPod("ok-1-2", "q", "u", 2, "Succeeded")


def unseen_claim(plan, seen):
    seen.rows["u"].starts[0]["pod_uid"] = "ghost"


def lose_start_row(plan, seen):
    seen.rows["u"].starts.clear()


def double_start_row(plan, seen):
    seen.rows["u"].starts.append(dict(seen.rows["u"].starts[0]))


def open_start_row(plan, seen):
    seen.rows["u"].starts[0]["ended_at"] = None


def other_verdict(plan, seen):
    seen.rows["u"].starts[0]["verdict"] = "Retry"


def skip_attempt(plan, seen):
    seen.rows["u"].starts[0]["attempt"] = 3


def lose_end(plan, seen):
    seen.rows["u"].transitions.pop()


def double_end(plan, seen):
    seen.rows["u"].transitions[0]["finished"] = True


def other_phase(plan, seen):
    seen.rows["u"].job["phase"] = "Running"


def two_results(plan, seen):
    seen.rows["u"].results.append({"uid": "u", "start": 1})


def no_result(plan, seen):
    seen.rows["u"].results.clear()


def no_row(plan, seen):
    seen.rows.clear()


def finalizer(plan, seen):
    seen.pods["p"].held = True


def living_pod(plan, seen):
    seen.pods["p"].phase = "Running"


def orphan(plan, seen):
    seen.jobs["u"].gone = True


def two_leases(plan, seen):
    seen.leases.append("another")


def crowd(plan, seen):
    seen.crowds.append(Crowd(30.0, "25 jobs run, 24 may", 17))


def double_effect(plan, seen):
    seen.effects += [("ok-1", 1, 1), ("ok-1", 1, 1)]


def step_that_was_passed(plan, seen):
    seen.rows["u"].starts.append(seen.rows["u"].starts[0] | {"start": 2})
    seen.effects += [("ok-1", 1, 1), ("ok-1", 1, 2), ("ok-1", 2, 1)]


def effect_of_no_start(plan, seen):
    seen.effects.append(("ok-1", 9, 1))


def twice(plan, seen):
    seen.rows["w"] = Rows(seen.rows["v"].job)


def lose_minute(plan, seen):
    seen.rows["w"] = Rows({**seen.rows["v"].job, "name": "i-tick-29000002"})


def lose_trigger(plan, seen):
    seen.schedules["i-tick"]["lastTrigger"] = "lost"


def open_start(plan, seen):
    seen.schedules["i-tick"]["active"] = [{"name": "i-tick-29000001"}]


def hanging_tick(plan, seen):
    seen.jobs["v"].status, seen.jobs["v"].gone = {"phase": "Queued"}, False


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(twice, id="a-minute-twice"),
        pytest.param(lose_minute, id="a-lost-minute"),
        pytest.param(lose_trigger, id="a-lost-trigger"),
        pytest.param(open_start, id="an-open-start"),
        pytest.param(hanging_tick, id="a-job-that-hangs"),
    ],
)
def test_a_schedule_that_starts_twice_or_not_at_all_is_found(plan, seen, break_it):
    job = {"uid": "v", "name": "i-tick-29000000", "schedule": "i-tick", "phase": "Deleted", "deleted_at": "then"}
    seen.rows["v"] = Rows(job)
    seen.jobs["v"] = SeenJob("i-tick-29000000", "v", {"phase": "Pending"}, gone=True)
    seen.schedules["i-tick"] = {"active": []}

    assert promises(plan, seen) == set()
    break_it(plan, seen)
    assert "schedules start once" in promises(plan, seen)


@pytest.mark.parametrize(
    ("break_it", "promise"),
    [
        pytest.param(hang, "every job ends as it may", id="a-job-that-hangs"),
        pytest.param(fail, "every job ends as it may", id="a-wrong-end"),
        pytest.param(lose_job, "every job ends as it may", id="a-lost-job"),
        pytest.param(change_end, "terminal is final", id="a-changed-end"),
        pytest.param(second_pod, "one pod a start", id="a-second-pod"),
        pytest.param(pod_of_nobody, "one pod a start", id="a-pod-of-nobody"),
        pytest.param(unknown_start, "one pod a start", id="an-unknown-start"),
        pytest.param(unseen_claim, "one pod a start", id="a-claim-by-nobody"),
        pytest.param(lose_start_row, "history is whole", id="a-lost-start"),
        pytest.param(double_start_row, "history is whole", id="a-doubled-start"),
        pytest.param(open_start_row, "history is whole", id="an-open-start"),
        pytest.param(other_verdict, "history is whole", id="another-verdict"),
        pytest.param(skip_attempt, "history is whole", id="a-skipped-attempt"),
        pytest.param(lose_end, "history is whole", id="a-lost-end"),
        pytest.param(double_end, "history is whole", id="two-ends"),
        pytest.param(other_phase, "history is whole", id="another-phase"),
        pytest.param(two_results, "history is whole", id="two-results"),
        pytest.param(no_result, "history is whole", id="no-result"),
        pytest.param(no_row, "history is whole", id="a-job-without-a-row"),
        pytest.param(finalizer, "nothing is left behind", id="a-finalizer"),
        pytest.param(living_pod, "nothing is left behind", id="a-pod-that-runs-on"),
        pytest.param(orphan, "nothing is left behind", id="a-pod-without-its-job"),
        pytest.param(two_leases, "nothing is left behind", id="a-lease"),
        pytest.param(crowd, "limits hold", id="too-many-at-once"),
        pytest.param(double_effect, "no recorded step is repeated", id="an-effect-twice"),
        pytest.param(effect_of_no_start, "no recorded step is repeated", id="an-effect-of-no-start"),
        pytest.param(step_that_was_passed, "no recorded step is repeated", id="a-step-that-was-passed"),
    ],
)
def test_a_violated_invariant_is_found(plan, seen, break_it, promise):
    break_it(plan, seen)

    assert promise in promises(plan, seen)


def test_a_start_that_succeeded_had_its_effect(plan, seen):
    for name in ("tool-1",):
        seen.jobs["u"].name = seen.rows["u"].job["name"] = name
    plan = replace(plan, wishes=(Wish(0, "tool-1", "tool"),))

    assert promises(plan, seen) == {"no recorded step is repeated"}


def test_a_start_that_only_returns_a_stored_answer_needs_no_effect(plan, seen):
    seen.jobs["u"].name = seen.rows["u"].job["name"] = "tool-1"
    plan = replace(plan, wishes=(Wish(0, "tool-1", "tool"),))
    again = {**RECORD, "start": 2, "attempt": 2}
    crashed = {"verdict": "Retry", "reason": "RunnerCrashed"}
    seen.jobs["u"].status |= {"starts": 2, "attemptHistory": [RECORD | crashed, again]}
    seen.rows["u"].starts[0] |= crashed
    seen.rows["u"].starts.append(
        seen.rows["u"].starts[0] | {"start": 2, "attempt": 2, "verdict": "Succeed", "reason": ""}
    )
    seen.effects += [("tool-1", 1, step) for step in range(1, STEPS + 1)]

    assert promises(plan, seen) == set()


def test_a_refused_job_is_a_violation_unless_its_spec_is_invalid(plan, seen):
    bad = replace(plan, wishes=(*plan.wishes, Wish(1, "i-invalid-2", "i-invalid")))

    assert promises(bad, seen, **{"i-invalid-2": "spec: no"}) == set()
    assert promises(plan, seen, **{"ok-1": "quota"}) == {"every job ends as it may"}


def test_two_leaders_are_tolerated_briefly_after_the_lease_was_deleted(plan, seen):
    seen.crowds += [Crowd(30.0, "two jobs run in a session", 17, of_session=True)]
    seen.gaps += [(15, 17)]

    assert promises(plan, seen) == set()
    seen.gaps[:] = [(18, 20)]
    assert promises(plan, seen) == {"limits hold"}


def test_an_exceeded_slot_limit_is_never_tolerated(plan, seen):
    seen.crowds += [Crowd(30.0, "25 jobs run, 24 may", 17)]
    seen.gaps += [(15, 17)]

    assert promises(plan, seen) == {"limits hold"}


def test_a_slot_held_by_an_ended_job_is_a_violation(plan, seen):
    seen.rows["u"].slots.append({"uid": "u", "start": 1})

    assert promises(plan, seen) == {"nothing is left behind"}


def test_a_job_that_was_never_observed_was_deleted(plan, seen):
    brief = replace(plan, wishes=(*plan.wishes, Wish(1, "i-delete-2", "i-delete")))

    assert promises(brief, seen) == set()


def test_a_row_of_an_unobserved_job_belongs_to_a_deleted_one(plan, seen):
    unseen = {"uid": "x", "name": "i-delete-2", "schedule": "", "phase": "Deleted", "deleted_at": "then"}
    seen.rows["x"] = Rows(unseen)
    assert promises(plan, seen) == set()

    seen.rows["x"] = Rows(unseen | {"deleted_at": None})
    assert promises(plan, seen) == {"history is whole"}


def test_a_name_used_twice_is_two_jobs(plan, seen):
    twice = replace(plan, wishes=(*plan.wishes, Wish(1, "i-again-2", "i-again")))
    seen.jobs["old"] = SeenJob("i-again-2", "old", {"phase": "Pending"})
    seen.jobs["new"] = SeenJob("i-again-2", "new", {"phase": "Pending"}, gone=True)

    assert [str(one) for one in violations(twice, seen, refused={})] == [
        "every job ends as it may: i-again-2: Deleted; may end ['Succeeded']",
        "every job ends as it may: i-again-2: its predecessor old is still there",
    ]
