"""Downloads of a job: texts of models and users as files, never shown as pages."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query, Response

from agentjobs.dashboard.pages.dependencies import Person, UserRest
from agentjobs.dashboard.pages.job_reads import Number, entry_at, known_job, session_key
from agentjobs.dashboard.views.documents import json_file, ordered, yaml_file
from agentjobs.dashboard.views.job import whole_input_of
from agentjobs.dashboard.views.steps import call_content
from agentjobs.problem import Problem

_PLACE: Final = "/jobs/{namespace}/{key}/files"
_NAME: Final = 100
_LINES: Final = 5000

router = APIRouter()


@router.get(_PLACE + "/result")
async def result_file(person: Person, rest: UserRest, namespace: str, key: str) -> Response:
    """Return a job's result as a file."""
    found = await rest.result(namespace, key)
    if found is None:
        raise Problem(404, "NoResult", "The job has no result.")
    return _text(found.result.text, f"{found.name}-result.txt")


@router.get(_PLACE + "/input")
async def input_file(person: Person, rest: UserRest, namespace: str, key: str) -> Response:
    """Return a job's message as a file."""
    known = await known_job(rest, namespace, key)
    text = whole_input_of(known, None)
    if not text and known.history is not None:
        text = whole_input_of(known, (await rest.spec(namespace, key)).spec)
    if not text:
        raise Problem(404, "NotFound", "The job has no message that can be shown.")
    return _text(text, f"{known.name}-input.txt")


@router.get(_PLACE + "/object")
async def object_file(person: Person, rest: UserRest, namespace: str, key: str) -> Response:
    """Return a job's object as a YAML file."""
    known = await known_job(rest, namespace, key)
    if not known.body:
        raise Problem(404, "NotFound", "The object was deleted from the cluster.")
    return await _yaml(ordered(known.body), f"{known.name}.yaml")


@router.get(_PLACE + "/spec")
async def spec_file(person: Person, rest: UserRest, namespace: str, key: str) -> Response:
    """Return a job's accepted spec as a YAML file."""
    accepted = await rest.spec(namespace, key)
    return await _yaml(accepted.spec, f"{accepted.name}-spec.yaml")


@router.get(_PLACE + "/calls/{call}")
async def call_file(person: Person, rest: UserRest, namespace: str, key: str, call: UUID) -> Response:
    """Return request and answer of a model call as a file."""
    found = await rest.call_content(namespace, key, str(call))
    return _text(json_file(call_content(found)), f"call-{call}.json.txt")


@router.get(_PLACE + "/entries/{start}/{seq}")
async def entry_file(person: Person, rest: UserRest, namespace: str, key: str, start: Number, seq: Number) -> Response:
    """Return an entry of a start's transcript as a file."""
    found = await entry_at(rest, namespace, key, start, seq)
    return _text(json_file(found.data), f"entry-{start}-{seq}.json.txt")


@router.get(_PLACE + "/steps/{number}")
async def step_file(person: Person, rest: UserRest, namespace: str, key: str, number: Number) -> Response:
    """Return the result of a step as a file."""
    found = await rest.step(namespace, key, number)
    return _text(json_file(found.body), f"step-{number}.json.txt")


@router.get(_PLACE + "/log/{start}")
async def log_file(
    person: Person,
    rest: UserRest,
    namespace: str,
    key: str,
    start: Number,
    container: Annotated[str, Query(max_length=63)] = "",
) -> Response:
    """Return the last lines of a start's log as a file, unchanged."""
    log = await rest.logs(namespace, key, start, lines=_LINES, container=container)
    return _text(log.text, f"start-{start}.log.txt")


@router.get(_PLACE + "/artifact")
async def artifact_file(
    person: Person,
    rest: UserRest,
    namespace: str,
    key: str,
    name: Annotated[str, Query(min_length=1, max_length=255)],
    version: Annotated[int, Query(ge=0, le=2**31 - 1)],
) -> Response:
    """Return a version of an artifact of the job's session as a file."""
    known = await known_job(rest, namespace, key)
    content = await rest.artifact(namespace, await session_key(rest, known), name, version)
    return Response(content, media_type="application/octet-stream", headers=_as_file(name))


async def _yaml(value: Mapping[str, Any], name: str) -> Response:
    # In a thread: an object may have a megabyte, and other requests must not wait for it.
    return _text(await asyncio.to_thread(yaml_file, value), name, "text/yaml; charset=utf-8")


def _text(text: str, name: str, kind: str = "text/plain; charset=utf-8") -> Response:
    return Response(text.encode("utf-8", "replace"), media_type=kind, headers=_as_file(name))


def _as_file(name: str) -> dict[str, str]:
    """Return headers that make a browser save the answer under a safe file name."""
    plain = "".join(
        character if character.isascii() and (character.isalnum() or character in "._-") else "_" for character in name
    )[-_NAME:]
    return {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(plain.lstrip('.') or 'file', safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "no-store",
    }
