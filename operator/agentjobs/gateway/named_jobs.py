"""Which job is meant by a name or a uid in a path: by a uid that very one, also when another has its name by now."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import Request

from agentjobs import errors
from agentjobs.api.fields import UID
from agentjobs.api.recorded import RecordedJob
from agentjobs.client.job import Job
from agentjobs.gateway import rights
from agentjobs.gateway.problems import from_error
from agentjobs.gateway.services import services_of
from agentjobs.kube.client import KubeClient
from agentjobs.kube.resources import AGENTJOBS


@dataclass(frozen=True, slots=True)
class NamedJob:
    """A job, as the API server is asked for it."""

    name: str
    uid: str | None
    """That it must have; None for whichever has the name."""


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job that there is, or was."""

    name: str
    uid: str
    starts: int
    """Number of its newest start; 0 before the first."""
    created: datetime
    deleted: datetime | None


def looks_like_a_uid(name: str) -> bool:
    """Whether this may be the uid of a job, and not its name."""
    return re.fullmatch(UID, name) is not None


async def named_job(request: Request, namespace: str, name: str) -> NamedJob:
    """Return the job that is meant. History knows the name of a uid; the API server finds nothing by uid.

    Raises:
        Problem: 401; 403 for a uid, to whom may not get AgentJobs: its name is not theirs to know; 503 while history
            is away, and what was given may be a uid.
    """
    if not looks_like_a_uid(name):
        return NamedJob(name, None)
    found = await _recorded(request, namespace, name)
    # A name may look like that, too.
    return NamedJob(found.name, found.uid) if found and found.uid == name else NamedJob(name, None)


async def object_of(cluster: KubeClient, namespace: str, one: NamedJob) -> Mapping[str, Any]:
    """Return the object of a job.

    Raises:
        errors.NotFound: there is none, or another job has its name. And what else the API server says.
    """
    found = await cluster.get(AGENTJOBS, namespace, one.name)
    if one.uid not in (None, found["metadata"]["uid"]):
        raise errors.NotFound(f"The object of AgentJob {one.name!r} is gone; another job has its name now.")
    return found


async def known_job(request: Request, cluster: KubeClient, namespace: str, name: str) -> KnownJob:
    """Return what there is to know of a job, by its object, or by history when that is gone.

    Raises:
        Problem: as `named_job`. errors.AgentJobsError: what the API server says.
    """
    one = await named_job(request, namespace, name)
    try:
        job = Job.parse(await object_of(cluster, namespace, one))
    except errors.NotFound:
        recorded = await _recorded(request, namespace, name)
        if recorded is None:
            raise
        return KnownJob(recorded.name, recorded.uid, recorded.starts, recorded.created, recorded.deleted)
    return KnownJob(job.name, job.uid, job.status.starts, job.created, None)


async def _recorded(request: Request, namespace: str, name: str) -> RecordedJob | None:
    """Return a job as history knows it, to whom may get it; None where it knows none."""
    await rights.may(request, "get", namespace=namespace, name=name)
    services = services_of(request)
    try:
        history = (await services.history()).people
        async with services.reads.taken():
            return await history.job(namespace, name)
    except errors.NotFound:
        return None
    except errors.AgentJobsError as error:
        raise from_error(error) from error
