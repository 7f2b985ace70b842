"""Routes of runners: the session of their job, its artifacts and memory.

Requests do not name a session, an app or a user: the token identifies the pod, the pod its start, and the job was
accepted with its session. So a pod has access only to data of its own job's app and user.
"""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from agentjobs import contract
from agentjobs.gateway.bodies import SCHEMA_REF, openapi_body
from agentjobs.gateway.problems import json_answer
from agentjobs.gateway.services import Artifacts, Bodies, Runner, Sessions, StepBudget
from agentjobs.gateway.session_bodies import ArtifactHeader, MemoryBody, TurnBody, read_header
from agentjobs.history.versions import CHUNK_BYTES, StoredVersion
from agentjobs.problem import Problem

MAX_MEMORY_BODY_BYTES: Final = 64 * 1024

Name = Annotated[str, Query(min_length=1, max_length=contract.MAX_ARTIFACT_NAME_CHARS, pattern="^[^\\x00]+$")]
After = Annotated[
    str | None, Query(max_length=1024, pattern="^[^\\x00]*$", description="The `next` of the previous page.")
]
Version = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="The version; the newest by default.")]

# FastAPI sees neither: the body is read in pieces, and the header has its own parser.
_SAVED: Final = {
    "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}},
    "parameters": [
        {
            "name": contract.HEADER_ARTIFACT,
            "in": "header",
            "required": True,
            "description": "JSON in ASCII.",
            "schema": {"$ref": SCHEMA_REF.format(model=ArtifactHeader.__name__)},
        }
    ],
}

router = APIRouter(tags=["runner"])


@router.get(contract.PATH_SESSION)
async def get_session(runner: Runner, sessions: Sessions, budget: StepBudget, after: After = None) -> Response:
    """Return `contract.SessionPage`: the session of the job as it was before the job."""
    async with budget.taken():
        return json_answer(await sessions.session(runner.uid, runner.start, runner.pod_uid, after=after))


@router.put(contract.PATH_SESSION, status_code=204, openapi_extra=openapi_body(TurnBody))
async def put_turn(runner: Runner, sessions: Sessions, bodies: Bodies, request: Request) -> Response:
    """Store the turn that the job added to its session. A turn that is sent twice is stored once."""
    limit = contract.MAX_TURN_BYTES
    async with bodies.body(request, TurnBody, limit, job=runner.job_key, pod=runner.pod_uid) as body:
        await sessions.put_turn(runner.uid, runner.start, runner.pod_uid, body.parts())
    return Response(status_code=204)


@router.post(contract.PATH_MEMORY, openapi_extra=openapi_body(MemoryBody))
async def search_memory(runner: Runner, sessions: Sessions, bodies: Bodies, request: Request) -> Response:
    """Search the other sessions of the job's app and user for the words of a query."""
    limit = MAX_MEMORY_BODY_BYTES
    async with bodies.body(request, MemoryBody, limit, job=runner.job_key, pod=runner.pod_uid) as body:
        found = await sessions.search(runner.uid, runner.start, runner.pod_uid, body.query, body.limit)
    return json_answer({"memories": found})


@router.get(contract.PATH_ARTIFACTS)
async def list_artifacts(runner: Runner, artifacts: Artifacts, budget: StepBudget, after: After = None) -> Response:
    """List the names of the artifacts of the job's session and of its user."""
    async with budget.taken():
        names, further = await artifacts.names(runner.uid, runner.start, runner.pod_uid, after=after or "")
    return json_answer({"names": names, "next": further})


@router.post(contract.PATH_ARTIFACT, openapi_extra=_SAVED)
async def save_artifact(runner: Runner, artifacts: Artifacts, bodies: Bodies, request: Request) -> Response:
    """Store a version of an artifact: the body is its content, the header `Agentjobs-Artifact` describes it."""
    description = read_header(request.headers.get(contract.HEADER_ARTIFACT))
    sender = {"job": runner.job_key, "pod": runner.pod_uid}
    async with bodies.pieces(request, contract.MAX_ARTIFACT_BYTES, CHUNK_BYTES, **sender) as pieces:
        version = await artifacts.save(runner.uid, runner.start, runner.pod_uid, description, pieces)
    return json_answer({"version": version})


@router.get(contract.PATH_ARTIFACT)
async def get_artifact(
    runner: Runner, artifacts: Artifacts, budget: StepBudget, name: Name, version: Version = None
) -> Response:
    """Return the content of a version of an artifact; the header `Agentjobs-Artifact` describes it."""
    async with budget.taken():
        found = await artifacts.version(runner.uid, runner.start, runner.pod_uid, name, version)
    if found is None:
        raise Problem(404, "NotFound", "No such artifact, or no such version of it.")
    return await bytes_answer(found, artifacts.pieces(found))


@router.get(contract.PATH_ARTIFACT_VERSIONS)
async def list_versions(runner: Runner, artifacts: Artifacts, budget: StepBudget, name: Name) -> Response:
    """List the versions of an artifact, oldest first."""
    async with budget.taken():
        found = await artifacts.versions(runner.uid, runner.start, runner.pod_uid, name)
    return json_answer({"versions": [version.to_contract() for version in found]})


@router.delete(contract.PATH_ARTIFACT, status_code=204)
async def delete_artifact(runner: Runner, artifacts: Artifacts, name: Name) -> Response:
    """Delete all versions of an artifact."""
    await artifacts.delete(runner.uid, runner.start, runner.pod_uid, name)
    return Response(status_code=204)


async def bytes_answer(stored: StoredVersion, pieces: AsyncIterator[bytes]) -> Response:
    """Return the response with the content of a version. The media type that a model chose is only in our own header,
    so that browsers save the content and do not display it.

    Raises:
        errors.AgentJobsError: the first piece could not be read.
    """
    first = await anext(pieces, b"")
    record = msgspec.json.decode(msgspec.json.encode(stored.to_contract()))
    headers = {
        contract.HEADER_ARTIFACT: json.dumps(record, separators=(",", ":")),
        "Content-Length": str(stored.bytes),
        "Content-Disposition": "attachment",
    }
    content = _all(first, pieces)
    return StreamingResponse(content, media_type="application/octet-stream", headers=headers)


async def _all(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
