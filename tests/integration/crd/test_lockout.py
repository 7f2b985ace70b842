"""Objects that an API server accepted can be edited later: values drawn from the schema, on each available server."""

from typing import Any

import pytest
from tests.crdvalues import samples

from agentjobs.api.generate.crd import object_schema
from agentjobs.dev.backends import Server
from devcluster.apiserver import ApiServer
from devcluster.client import ApiError

JOBS = 120
# An integer written as 3.0: the schema takes it and a rule that reads it does not.
FRACTION = "invalid data, expected int, got float64"


async def test_an_object_with_any_accepted_value_can_still_be_edited(jobs: Any, api_server: Server) -> None:
    refusals, accepted = [], 0
    for number, drawn in enumerate(samples(object_schema(), JOBS)):
        try:
            job = await jobs.apply({"metadata": {"name": f"drawn-{number}"}, "spec": drawn["spec"]})
        except ApiError as error:
            refusals.append(str(error))
            continue
        accepted += 1
        await jobs.patch_status(job, {"phase": "Running", "startTime": "2026-12-01T09:00:00Z"})
        await jobs.patch_status(job, {"phase": "Retrying"})
        await jobs.patch(job, priority=3)
        await jobs.patch(job, cancel=True)

    assert accepted > JOBS / 6
    passed_over = FRACTION if isinstance(api_server, ApiServer) else f"{FRACTION} evaluating rule: runAsUser 0 is root"
    assert [one for one in refusals if "evaluating rule" in one and passed_over not in one] == []


@pytest.mark.parametrize(
    ("spec", "refused"),
    [
        pytest.param({"priority": 1.0, "retry": {"maxAttempts": 3.0}}, False, id="read-by-no-rule"),
        pytest.param({"runtime": {"runAsUser": 1000.0}}, True, id="read-by-a-rule"),
    ],
)
async def test_an_integer_with_a_decimal_point_is_refused_at_creation_or_never(
    jobs: Any, spec: Any, refused: bool
) -> None:
    told = ""
    try:
        job = await jobs.create(**spec)
        await jobs.patch_status(job, {"phase": "Running", "startTime": "2026-12-01T09:00:00Z"})
        await jobs.patch(job, cancel=True)
    except ApiError as error:
        told = f"{error.code} {error}"

    assert (FRACTION in told and told.startswith("422")) is refused
    assert bool(told) is refused
