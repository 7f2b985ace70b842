"""Routes of runners: files that a start keeps for later starts of its job's run.

No path names a job or a run: the token identifies the pod, the pod its start. A name is data and no path.
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
    str, Query(min_length=1, max_length=contract.MAX_KEPT_NAME_CHARS, pattern="^[ -~]+$", description="Of the file.")
]
Offset = Annotated[int, Query(ge=0, le=_LARGEST, description="In bytes.")]
Number = Annotated[
    int | None,
    Query(
        ge=0,
        le=_LARGEST,
        alias="write",
        description="Rises with each write and deletion of a start. One that arrives after a later one of the file "
        "changes nothing.",
    ),
]

_STORED: Final = {
    "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}
}

router = APIRouter(tags=["runner"])


@router.get(contract.PATH_KEPT)
async def list_files(runner: Runner, files: Files, budget: StepBudget) -> Response:
    """List the files that are kept for later starts, by name: `contract.KeptFiles`."""
    async with budget.taken():
        found = await files.files(runner.uid, runner.start, runner.pod_uid)
    return json_answer(contract.KeptFiles(files=found))


@router.get(contract.PATH_KEPT_CONTENT)
async def get_part(runner: Runner, files: Files, budget: StepBudget, name: Name, offset: Offset = 0) -> Response:
    """Answer a kept file's bytes from an offset on, at most 1 MiB: fewer only at the file's end."""
    async with budget.taken():
        found = await files.part(runner.uid, runner.start, runner.pod_uid, name, offset)
    if found is None:
        raise Problem(404, "NotFound", "There is no such kept file.")
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
    """Make a kept file what it was up to the offset, and then the body. The same again changes nothing."""
    limit = contract.MAX_KEPT_PART_BYTES
    async with bodies.file(request, limit, job=runner.job_key, pod=runner.pod_uid) as data:
        await files.write(runner.uid, runner.start, runner.pod_uid, Write(name, offset, data, number))
    return Response(status_code=204)


@router.delete(contract.PATH_KEPT_CONTENT, status_code=204)
async def delete_file(runner: Runner, files: Files, name: Name, number: Number = None) -> Response:
    """Delete a kept file, if there is one."""
    await files.delete(runner.uid, runner.start, runner.pod_uid, name, number)
    return Response(status_code=204)
