"""The job of a call. Its name is derived from the template and the idempotency key, so a call creates one job."""

import asyncio
import base64
import contextlib
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
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

# 65 bits of the hash, or 130 if another key has the same first 65.
LETTERS: Final = (13, 26)
_HISTORY_SECONDS: Final = 1.0


class Kube(Protocol):
    """A client of the API server with the rights of the caller, or those of the gateway."""

    async def create(self, resource: Any, namespace: str | None, body: Obj) -> Obj: ...

    async def get(self, resource: Any, namespace: str | None, name: str) -> Obj: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job that a call requests."""

    namespace: str
    template: str
    parameters: Mapping[str, str]
    key: str | None = None
    """The idempotency key; None if each call creates a job."""
    name: str | None = None
    """The name that the caller chose; None for a derived one."""
    message: str | None = None
    period: timedelta | None = None
    start_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class CallJob:
    """The job of a call."""

    job: str
    uid: str
    created: bool
    """Whether this call created it; otherwise an earlier call did, and it may be gone."""


def names_of(wanted: Wanted) -> tuple[str, ...]:
    """Return the possible names of the job; it gets the first one that no other job has."""
    if wanted.name is not None:
        return (wanted.name,)
    seed = secrets.token_hex() if wanted.key is None else wanted.key
    digest = hashlib.sha256(f"{wanted.template}\0{seed}".encode()).digest()
    text = base64.b32encode(digest).decode().lower()
    return tuple(f"{_cut(wanted.template, MAX_JOB_NAME - letters - 1)}-{text[:letters]}" for letters in LETTERS)


def job_of(wanted: Wanted, name: str) -> Obj:
    """Return the object of the job with this name."""
    spec: Obj = {"templateRef": {"name": wanted.template}, "parameters": dict(wanted.parameters)}
    metadata: Obj = {"name": name, "namespace": wanted.namespace, "labels": {LABEL_TEMPLATE: wanted.template}}
    if wanted.message is not None:
        spec["input"] = {"message": wanted.message}
    if wanted.start_after is not None:
        spec["startAfter"] = format_duration(wanted.start_after)
    if wanted.key is not None:
        metadata["annotations"] = {ANNOTATION_IDEMPOTENCY_KEY: wanted.key}
        # A hash, so that nothing in the key is taken for a placeholder.
        digest = hashlib.sha256(wanted.key.encode()).hexdigest()
        spec["unique"] = {"key": f"{OF_TRIGGERS}{wanted.template}/{digest}", "states": "All"}
        if wanted.period is not None:
            spec["unique"]["period"] = format_duration(wanted.period)
    return {"apiVersion": AGENTJOBS.api_version, "kind": AGENTJOBS.kind, "metadata": metadata, "spec": spec}


async def make(kube: Kube, wanted: Wanted) -> CallJob:
    """Create the job of a call, or return the job that the same call created before.

    Raises:
        errors.AlreadyExists: another job has the name.
        errors.AgentJobsError: another error of the API server.
    """
    for name in names_of(wanted):
        with contextlib.suppress(errors.AlreadyExists):
            made = await kube.create(AGENTJOBS, wanted.namespace, job_of(wanted, name))
            return CallJob(name, made["metadata"]["uid"], created=True)
        if wanted.key is None:
            continue
        metadata = (await kube.get(AGENTJOBS, wanted.namespace, name))["metadata"]
        if (metadata.get("annotations") or {}).get(ANNOTATION_IDEMPOTENCY_KEY) == wanted.key:
            return CallJob(name, metadata["uid"], created=False)
    raise errors.AlreadyExists(
        f"AgentJob {wanted.namespace}/{names_of(wanted)[-1]} exists, but was not created by this call."
    )


async def made_before(
    history: Callable[[], Awaitable[ReadHistory]], wanted: Wanted, *, now: datetime
) -> CallJob | None:
    """Return the job that the same call created before, including deleted ones; None if history has none.

    If history does not answer in time, a new job finds the equal job itself and is skipped.
    """
    name = names_of(wanted)[0]
    try:
        async with asyncio.timeout(_HISTORY_SECONDS):
            found = await (await history()).job(wanted.namespace, name)
    except (errors.AgentJobsError, TimeoutError):
        return None
    is_old = wanted.period is not None and found.created < now - wanted.period
    return None if is_old or found.name != name else CallJob(name, found.uid, created=False)


@contextlib.contextmanager
def own_rights() -> Iterator[None]:
    """Pass on refusals of the caller's own token, because the caller can fix them."""
    try:
        yield
    except errors.Unauthenticated as error:
        raise unauthorized(str(error)) from error
    except errors.Denied as error:
        raise forbidden(str(error)) from error
    except errors.AlreadyExists as error:
        raise Problem(409, "AlreadyExists", str(error)) from error


def _cut(template: str, most: int) -> str:
    # Names of jobs have no dots.
    return template.replace(".", "-")[:most].rstrip("-")
