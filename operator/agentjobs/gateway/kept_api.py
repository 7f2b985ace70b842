"""Routes of runners: files that a start keeps for later starts of the same run.

Paths do not name a job or a run: the token identifies the pod, and the pod its start. File names are data, not paths.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from agentjobs import contract
from agentjobs.gateway.problems import json_answer
from agentjobs.gateway.services import Bodies, Files, Runner, StepBudget
from agentjobs.history.kept import Write
from agentjobs.problem import Problem

_LARGEST: Final = 2**53 - 1

Name = Annotated[
    str,
    Query(
        min_length=1, max_length=contract.MAX_KEPT_NAME_CHARS, pattern="^[ -~]+$", description="The name of the file."
    ),
]
Offset = Annotated[int, Query(ge=0, le=_LARGEST, description="The offset in bytes.")]
Number = Annotated[
    int | None,
    Query(
        ge=0,
        le=_LARGEST,
        alias="write",
        description="The number of the write or deletion, ascending in a start. A request that arrives after one "
        "with a higher number for the same file changes nothing.",
    ),
]

_STORED: Final = {
    "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}
}

router = APIRouter(tags=["runner"])


@router.get(contract.PATH_KEPT)
async def list_files(runner: Runner, files: Files, budget: StepBudget) -> Response:
    """List the kept files of the run, ordered by name: `contract.KeptFiles`."""
    async with budget.taken():
        found = await files.files(runner.uid, runner.start, runner.pod_uid)
    return json_answer(contract.KeptFiles(files=found))


@router.get(contract.PATH_KEPT_CONTENT)
async def get_part(runner: Runner, files: Files, budget: StepBudget, name: Name, offset: Offset = 0) -> Response:
    """Return 1 MiB of a kept file from an offset on; less only at the end of the file."""
    async with budget.taken():
        found = await files.part(runner.uid, runner.start, runner.pod_uid, name, offset)
    if found is None:
        raise Problem(404, "NotFound", "No such kept file.")
    return Response(found, media_type="application/octet-stream", headers={"Content-Disposition": "attachment"})


@router.put(contract.PATH_KEPT_CONTENT, status_code=204, openapi_extra=_STORED)
async def write_part(
    runner: Runner,
    files: Files,
    bodies: Bodies,
    request: Request,
    name: Name,
    offset: Offset = 0,
    number: Number = None,
) -> Response:
    """Replace a kept file from the offset on by the body. Repeating the request changes nothing."""
    limit = contract.MAX_KEPT_PART_BYTES
    async with bodies.file(request, limit, job=runner.job_key, pod=runner.pod_uid) as data:
        await files.write(runner.uid, runner.start, runner.pod_uid, Write(name, offset, data, number))
    return Response(status_code=204)


@router.delete(contract.PATH_KEPT_CONTENT, status_code=204)
async def delete_file(runner: Runner, files: Files, name: Name, number: Number = None) -> Response:
    """Delete a kept file, if it exists."""
    await files.delete(runner.uid, runner.start, runner.pod_uid, name, number)
    return Response(status_code=204)
