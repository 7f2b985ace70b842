"""No rule of our CRDs can fail on a value that the schema lets through: it would refuse every later write."""

import copy
from typing import Any

from hypothesis import HealthCheck, given, settings
from tests.crdvalues import jobs, values

from agentjobs.api.generate.crd import object_schema, queue_schema, schedule_schema
from agentjobs.api.queues.validation import read_queue
from devcluster.apiserver.schema import Schema

RAW = object_schema()
SCHEMA = Schema(RAW)
SCHEDULE = schedule_schema()
of_schedules = Schema(SCHEDULE)
QUEUE = queue_schema()
of_queues = Schema(QUEUE)
STARTED = {"phase": "Running", "startTime": "2026-12-01T09:00:00Z"}
BROKEN = "evaluating rule"
# A number of JSON like 3.0: the server stores it as 3, so that it is refused immediately or never.
FRACTION = "got float64"

unhurried = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def written(job: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    SCHEMA.prune(job)
    SCHEMA.default(job)
    return [cause["message"] for cause in SCHEMA.validate(job, old)]


@unhurried
@given(jobs(RAW))
def test_an_accepted_job_can_always_be_started_labelled_and_cancelled(job: dict[str, Any]) -> None:
    refused = written(job)
    assert [one for one in refused if BROKEN in one and FRACTION not in one] == []
    if refused:
        return
    started = copy.deepcopy(job) | {"status": STARTED}
    labelled = started | {"metadata": {"name": "x", "labels": {"a": "b"}}}
    cancelled = labelled | {"spec": {**labelled["spec"], "cancel": True}}

    assert [written(copy.deepcopy(new), old) for new, old in ((started, job), (labelled, started))] == [[], []]
    assert written(copy.deepcopy(cancelled), labelled) == []


@unhurried
@given(jobs(RAW), jobs(RAW))
def test_no_edit_makes_a_rule_fail(first: dict[str, Any], second: dict[str, Any]) -> None:
    first["status"] = STARTED
    written(first)
    refused = written(second | {"status": STARTED}, first)

    assert [one for one in refused if BROKEN in one and FRACTION not in one] == []


@unhurried
@given(values(SCHEDULE["properties"]["spec"]))
def test_no_schedule_makes_a_rule_fail(spec: dict[str, Any]) -> None:
    job = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentSchedule", "metadata": {"name": "x"}, "spec": spec}
    of_schedules.prune(job)
    of_schedules.default(job)
    messages = [cause["message"] for cause in of_schedules.validate(job)]

    assert [one for one in messages if BROKEN in one and FRACTION not in one] == []


@unhurried
@given(values(QUEUE["properties"]["spec"]))
def test_every_queue_that_the_api_server_accepts_can_be_read(spec: dict[str, Any]) -> None:
    queue = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentQueue", "metadata": {"name": "x"}, "spec": spec}
    of_queues.prune(queue)
    of_queues.default(queue)
    messages = [cause["message"] for cause in of_queues.validate(queue)]
    read = read_queue("x", queue.get("spec"))

    assert [one for one in messages if BROKEN in one and FRACTION not in one] == []
    # The operator alone knows zones, names that are taken, and what lies between two durations. 3.0 is stored as 3.
    known = ("timeZone", "period", "priorityAging", "name", "queue")
    if not messages and isinstance(read, list):
        others = [str(one) for one in read if not one.field.rpartition(".")[2].startswith(known)]
        assert [one for one in others if "is not a whole number" not in one and "is longer than" not in one] == []
