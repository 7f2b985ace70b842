"""What the client does with AgentSchedules, step by step, without a server."""

import pytest

from agentjobs import errors
from agentjobs.client.schedule import Schedule
from agentjobs.client.schedule_operations import ScheduleOperations
from agentjobs.core.schedule.job import triggered_name

DO = ScheduleOperations("default", retry_for=30.0)
NOW = "2026-11-21T09:00:00Z"
SPEC = {"schedule": "@daily", "jobTemplate": {"spec": {"input": {"message": "hi"}}}}


@pytest.fixture
def body():
    """A schedule as the API server answers it."""

    def build(*conditions, suspend=False, spec=SPEC, active=(), last_trigger=None, **metadata):
        said = [
            {"type": kind, "status": status, "reason": reason, "message": "said", "lastTransitionTime": NOW}
            for kind, status, reason in conditions
        ]
        names = {"name": "brief", "namespace": "default", "uid": "u1", "resourceVersion": "7", "creationTimestamp": NOW}
        starts = [{"name": name, "time": NOW} for name in active]
        return {
            "metadata": names | metadata,
            "spec": {**spec, "suspend": suspend},
            "status": {"conditions": said, "active": starts} | ({"lastTrigger": last_trigger} if last_trigger else {}),
        }

    return build


def apply(spec=SPEC, **more):
    return DO.apply("brief", spec, **{"labels": None, "annotations": None} | more)


def test_a_missing_schedule_is_created(world, body):
    there = world([errors.NotFound("none"), body()])

    there.run(apply(labels={"team": "docs"}))

    assert (there.sent[1].method, there.sent[1].params["fieldValidation"]) == ("POST", "Strict")
    assert there.sent[1].body["metadata"] == {"name": "brief", "labels": {"team": "docs"}, "annotations": {}}


def test_an_existing_schedule_gets_the_spec_and_keeps_its_version_and_labels(world, body):
    there = world([body(labels={"by": "hand"}), body()])

    there.run(apply({**SPEC, "schedule": "@hourly"}, labels={"team": "docs"}))

    assert (there.sent[1].method, there.sent[1].body["spec"]["schedule"]) == ("PUT", "@hourly")
    assert there.sent[1].body["metadata"]["resourceVersion"] == "7"
    assert there.sent[1].body["metadata"]["labels"] == {"by": "hand", "team": "docs"}


@pytest.mark.parametrize(("said", "stays"), [({}, True), ({"suspend": False}, False)])
def test_apply_keeps_a_schedule_suspended_unless_the_spec_sets_suspend(world, body, said, stays):
    there = world([body(suspend=True), body()])

    there.run(apply({**SPEC, **said}))

    assert there.sent[1].body["spec"]["suspend"] is stays


def test_a_conflicting_write_is_read_again(world, body):
    there = world(
        [errors.NotFound("none"), errors.AlreadyExists("raced"), body(), errors.Conflict("raced"), body(), body()]
    )

    there.run(apply())

    assert [send.method for send in there.sent] == ["GET", "POST", "GET", "PUT", "GET", "PUT"]


def test_a_schedule_that_is_being_deleted_is_not_changed(world, body):
    with pytest.raises(errors.Conflict, match="being deleted"):
        world([body(deletionTimestamp=NOW)]).run(apply())


def test_trigger_waits_for_the_job(world, body, job_body):
    there = world([body(), body(), errors.NotFound("not yet"), body(), job_body("brief-t1")])

    job = there.run(DO.trigger("brief", value="v", timeout=30))

    assert job.name == "brief-t1"
    assert there.sent[0].body == {"metadata": {"annotations": {"agentjobs.dev/trigger": "v"}}}
    assert there.sent[2].path.endswith(f"/agentjobs/{triggered_name('brief', 'v')}")


def test_the_job_of_a_value_is_known_before_it_is_triggered_again(world, job_body):
    there = world([job_body("brief-t1"), errors.NotFound("none")])

    found = there.run(DO.triggered("brief", value="v"))
    missing = there.run(DO.triggered("brief", value="w"))

    assert (found.name, missing) == ("brief-t1", None)
    assert {send.method for send in there.sent} == {"GET"}


def test_a_trigger_without_an_operator_times_out(world, body):
    there = world([body(), *[body(), errors.NotFound("not yet")] * 100])

    with pytest.raises(TimeoutError, match=r"2 s.*operator"):
        there.run(DO.trigger("brief", value="v", timeout=2))


def test_a_trigger_whose_job_was_deleted_is_not_waited_for(world, body):
    there = world([body(), body(last_trigger="v"), errors.NotFound("gone")])

    with pytest.raises(errors.NotFound, match="deleted"):
        there.run(DO.trigger("brief", value="v", timeout=30))


@pytest.mark.parametrize(
    ("reason", "annotated"), [("TooManyFailures", True), ("Suspended", False), ("InvalidSpec", False)]
)
def test_only_a_schedule_halted_by_failures_is_resumed_with_an_annotation(world, body, reason, annotated):
    there = world([body(("Active", "False", reason)), body()])

    there.run(DO.resume("brief"))

    assert there.sent[1].body["spec"] == {"suspend": False}
    assert ("metadata" in there.sent[1].body) is annotated


@pytest.mark.parametrize(
    ("conditions", "active", "reason"),
    [
        pytest.param([], False, "", id="nobody-has-seen-it"),
        pytest.param([("Active", "True", "Scheduled")], True, "", id="all-is-well"),
        pytest.param(
            [("Degraded", "True", "JobFailed"), ("Active", "False", "Suspended")], False, "Suspended", id="off"
        ),
        pytest.param(
            [("Active", "True", "Scheduled"), ("Blocked", "True", "JobRunning")], True, "JobRunning", id="held"
        ),
        pytest.param(
            [("Blocked", "False", "NotBlocked"), ("Degraded", "True", "JobFailed")], False, "JobFailed", id="bad"
        ),
    ],
)
def test_the_conditions_of_a_schedule_name_its_problem(body, conditions, active, reason):
    schedule = Schedule.parse(body(*conditions))

    assert (schedule.active, schedule.reason, bool(schedule.message)) == (active, reason, bool(reason))
