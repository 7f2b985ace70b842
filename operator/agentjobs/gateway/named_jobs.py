"""Finds the job of a path by its name or uid. A uid refers to one job, even if another job has its name now."""

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
    """How to find a job at the API server."""

    name: str
    uid: str | None
    """The uid that it must have; None for any."""


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job that exists or existed."""

    name: str
    uid: str
    starts: int
    """The number of its newest start; 0 before the first."""
    created: datetime
    deleted: datetime | None


def may_be_uid(name: str) -> bool:
    """Whether this may be the uid of a job instead of its name."""
    return re.fullmatch(UID, name) is not None


async def named_job(request: Request, namespace: str, name: str) -> NamedJob:
    """Return how to find a job. History has the name for a uid; the API server cannot find objects by uid.

    Raises:
        Problem: 401; 403 for a uid if the caller may not get AgentJobs, because they must not learn its name; 503 for
            a uid while history is unavailable.
    """
    if not may_be_uid(name):
        return NamedJob(name, None)
    found = await _recorded(request, namespace, name)
    # A name may look like a uid, too.
    return NamedJob(found.name, found.uid) if found and found.uid == name else NamedJob(name, None)


async def object_of(cluster: KubeClient, namespace: str, named: NamedJob) -> Mapping[str, Any]:
    """Return the object of a job.

    Raises:
        errors.NotFound: it does not exist, or another job has its name.
        errors.AgentJobsError: another error of the API server.
    """
    found = await cluster.get(AGENTJOBS, namespace, named.name)
    if named.uid not in (None, found["metadata"]["uid"]):
        raise errors.NotFound(f"The object of AgentJob {named.name!r} is gone; another job has its name now.")
    return found


async def known_job(request: Request, cluster: KubeClient, namespace: str, name: str) -> KnownJob:
    """Return a job from its object, or from history if the object is gone.

    Raises:
        Problem: as `named_job`.
        errors.AgentJobsError: an error of the API server.
    """
    named = await named_job(request, namespace, name)
    try:
        job = Job.parse(await object_of(cluster, namespace, named))
    except errors.NotFound:
        recorded = await _recorded(request, namespace, name)
        if recorded is None:
            raise
        return KnownJob(recorded.name, recorded.uid, recorded.starts, recorded.created, recorded.deleted)
    return KnownJob(job.name, job.uid, job.status.starts, job.created, None)


async def _recorded(request: Request, namespace: str, name: str) -> RecordedJob | None:
    """Return a job from history, if the caller may get it; None if history does not have it."""
    await rights.authorize(request, "get", namespace=namespace, name=name)
    services = services_of(request)
    try:
        history = (await services.history()).people
        async with services.reads.taken():
            return await history.job(namespace, name)
    except errors.NotFound:
        return None
    except errors.AgentJobsError as error:
        raise from_error(error) from error
