"""The job that a call makes. Its name follows from the template and the idempotency key, so a call makes one."""

import base64
import contextlib
import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from agentjobs import errors
from agentjobs.api.job.relations import OF_TRIGGERS
from agentjobs.api.job.spec import MAX_JOB_NAME
from agentjobs.contract import ANNOTATION_IDEMPOTENCY_KEY, LABEL_TEMPLATE
from agentjobs.durations import format_duration
from agentjobs.history.protocols import ReadHistory
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.kube.wire import Obj
from agentjobs.problem import Problem, forbidden, unauthorized

# 65 bits of the key, and 130 where another key has the same.
LETTERS: Final = (13, 26)


class Kube(Protocol):
    """What a job is made with: the rights of who calls, or those of the gateway."""

    async def create(self, resource: Any, namespace: str | None, body: Obj) -> Obj: ...

    async def get(self, resource: Any, namespace: str | None, name: str) -> Obj: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job that a call asks for."""

    namespace: str
    template: str
    parameters: Mapping[str, str]
    key: str | None = None
    """Its idempotency key; None: each call makes one."""
    name: str | None = None
    """Chosen by the caller."""
    message: str | None = None
    period: timedelta | None = None
    start_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """The job of a call."""

    job: str
    uid: str
    created: bool
    """Whether this call made it; else it was there, or is gone since."""


def names_of(wanted: Wanted) -> tuple[str, ...]:
    """Return the names that the job may have, the first that is free or its own."""
    if wanted.name is not None:
        return (wanted.name,)
    said = secrets.token_hex() if wanted.key is None else wanted.key
    digest = hashlib.sha256(f"{wanted.template}\0{said}".encode()).digest()
    text = base64.b32encode(digest).decode().lower()
    return tuple(f"{_cut(wanted.template, MAX_JOB_NAME - letters - 1)}-{text[:letters]}" for letters in LETTERS)


def job_of(wanted: Wanted, name: str) -> Obj:
    """Return the object of the job under this name."""
    spec: Obj = {"templateRef": {"name": wanted.template}, "parameters": dict(wanted.parameters)}
    metadata: Obj = {"name": name, "namespace": wanted.namespace, "labels": {LABEL_TEMPLATE: wanted.template}}
    if wanted.message is not None:
        spec["input"] = {"message": wanted.message}
    if wanted.start_after is not None:
        spec["startAfter"] = format_duration(wanted.start_after)
    if wanted.key is not None:
        metadata["annotations"] = {ANNOTATION_IDEMPOTENCY_KEY: wanted.key}
        # A hash, so that nothing in the key is read as a name to put a value in for.
        digest = hashlib.sha256(wanted.key.encode()).hexdigest()
        spec["unique"] = {"key": f"{OF_TRIGGERS}{wanted.template}/{digest}", "states": "All"}
        if wanted.period is not None:
            spec["unique"]["period"] = format_duration(wanted.period)
    return {"apiVersion": AGENTJOBS.api_version, "kind": AGENTJOBS.kind, "metadata": metadata, "spec": spec}


async def make(kube: Kube, wanted: Wanted) -> Made:
    """Make the job of a call, or find the one that it made before.

    Raises:
        errors.AlreadyExists: a job of that name is another's.
        errors.AgentJobsError: what the API server says.
    """
    for name in names_of(wanted):
        with contextlib.suppress(errors.AlreadyExists):
            made = await kube.create(AGENTJOBS, wanted.namespace, job_of(wanted, name))
            return Made(name, made["metadata"]["uid"], created=True)
        if wanted.key is None:
            continue
        metadata = (await kube.get(AGENTJOBS, wanted.namespace, name))["metadata"]
        if (metadata.get("annotations") or {}).get(ANNOTATION_IDEMPOTENCY_KEY) == wanted.key:
            return Made(name, metadata["uid"], created=False)
    raise errors.AlreadyExists(f"AgentJob {wanted.namespace}/{names_of(wanted)[-1]} exists, and is not of this call.")


async def made_before(history: ReadHistory, wanted: Wanted, *, now: datetime) -> Made | None:
    """Return the job that a call made before, also one that is deleted; None when history knows none, or is away."""
    name = names_of(wanted)[0]
    try:
        found = await history.job(wanted.namespace, name)
    except errors.AgentJobsError:
        return None
    is_old = wanted.period is not None and found.created < now - wanted.period
    return None if is_old or found.name != name else Made(name, found.uid, created=False)


@contextlib.contextmanager
def own_rights() -> Iterator[None]:
    """Pass on what the API server says of the caller's own token, who may put it right."""
    try:
        yield
    except errors.Unauthenticated as error:
        raise unauthorized(str(error)) from error
    except errors.Denied as error:
        raise forbidden(str(error)) from error
    except errors.AlreadyExists as error:
        raise Problem(409, "AlreadyExists", str(error)) from error


def _cut(template: str, most: int) -> str:
    # Names of jobs have no points.
    return template.replace(".", "-")[:most].rstrip("-")
