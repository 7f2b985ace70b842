"""No rule of our CRDs can fail on a value that the schema lets through: it would refuse every later write."""

import copy
from typing import Any

from hypothesis import HealthCheck, given, settings
from tests.crdvalues import jobs, values

from agentjobs.api.generate.crd import object_schema, schedule_schema
from devcluster.apiserver.schema import Schema

RAW = object_schema()
SCHEMA = Schema(RAW)
SCHEDULE = schedule_schema()
of_schedules = Schema(SCHEDULE)
STARTED = {"phase": "Running", "startTime": "2026-12-01T09:00:00Z"}
BROKEN = "evaluating rule"
# A number of JSON like 3.0: the server stores it as 3, so that it is refused at once or never.
FRACTION = "got float64"

unhurried = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def written(job: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    SCHEMA.prune(job)
    SCHEMA.default(job)
    return [cause["message"] for cause in SCHEMA.validate(job, old)]


@unhurried
@given(jobs(RAW))
def test_what_was_accepted_once_can_be_started_labelled_and_cancelled(job: dict[str, Any]) -> None:
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
