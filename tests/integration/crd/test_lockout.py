"""What an API server accepts once it goes on writing: values drawn from the schema, on each server there is."""

from typing import Any

from tests.crdvalues import samples

from agentjobs.api.crd import object_schema
from agentjobs.dev.client import ApiError

JOBS = 120


async def test_no_value_that_is_accepted_locks_its_object(jobs: Any) -> None:
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
    assert [one for one in refusals if "evaluating rule" in one and "got float64" not in one] == []
