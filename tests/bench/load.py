"""Jobs for a running cluster, and what a watch sees of them.

Pods end immediately without a process (the node's `instant`), with the message a runner would leave, so that everything
but the agents is measured. Times are taken from one process' monotonic clock: at the POST's answer, and when the watch
that everybody else uses shows the change.
"""

import asyncio
import contextlib
import re
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil

from agentjobs.contract import LABEL_JOB, TerminationMessage, Verdict, start_of
from agentjobs.dev.up import DevCluster
from devcluster.client import PODS, Client, Object, Resource, WatchEvent
from devcluster.node import Instant

T = TypeVar("T")

AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
BATCH_JOBS = Resource("batch", "v1", "jobs", "Job")
CLIENTS = 16
SECONDS = 180.0


def succeed(pod: Object) -> Instant:
    """End a pod immediately, as a runner whose agent answered."""
    metadata = pod["metadata"]
    job = metadata.get("labels", {}).get(LABEL_JOB, "")
    owner = (metadata.get("ownerReferences") or [{}])[0].get("uid", "")
    start = start_of(metadata["name"], job) or 0
    return Instant(TerminationMessage(Verdict.SUCCEED, "", "", start, owner, summary="Done.").dump())


def agent_job(name: str) -> Object:
    """A job with a page of instructions, about the size of real ones."""
    return {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentJob",
        "metadata": {"name": name},
        "spec": {
            "agent": {"model": "gemini-2.5-flash", "inline": {"instruction": "Be brief and to the point. " * 40}},
            "input": {"message": "Summarise the night's incidents."},
        },
    }


def batch_job(name: str) -> Object:
    """The same for Kubernetes' own Job controller."""
    container = {"name": "main", "image": "none", "command": ["true"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }


@dataclass(frozen=True, slots=True)
class Kind:
    """What is created, and how its pods and its end are recognised."""

    resource: Resource
    make: Callable[[str], Object]
    job_label: str
    is_done: Callable[[Object], bool]


OURS = Kind(AGENTJOBS, agent_job, LABEL_JOB, lambda job: (job.get("status") or {}).get("phase") == "Succeeded")
BATCH = Kind(
    BATCH_JOBS, batch_job, "batch.kubernetes.io/job-name", lambda job: bool((job.get("status") or {}).get("succeeded"))
)


@dataclass(slots=True)
class Seen:
    """Moments by job's name, on the monotonic clock."""

    created: dict[str, float] = field(default_factory=dict)
    pod: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    """The pod's end, as its node reported it."""
    done: dict[str, float] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, moments: dict[str, float], count: int) -> None:
        """Return when `count` jobs have reached what `moments` notes."""
        async with asyncio.timeout(SECONDS):
            while len(moments) < count:
                self._changed.clear()
                await self._changed.wait()

    async def watch_jobs(self, client: Client, kind: Kind, ready: asyncio.Event) -> None:
        async for event in client.follow(kind.resource, "default"):
            ready.set()
            if isinstance(event, WatchEvent) and kind.is_done(event.object):
                self._note(self.done, event.object["metadata"]["name"])

    async def watch_pods(self, client: Client, kind: Kind, ready: asyncio.Event) -> None:
        async for event in client.follow(PODS, "default"):
            ready.set()
            if not isinstance(event, WatchEvent):
                continue
            name = (event.object["metadata"].get("labels") or {}).get(kind.job_label, "")
            if event.type == "ADDED":
                self._note(self.pod, name)
            elif (event.object.get("status") or {}).get("phase") == "Succeeded":
                self._note(self.ended, name)

    def _note(self, moments: dict[str, float], name: str) -> None:
        moments.setdefault(name, time.monotonic())
        self._changed.set()


@contextlib.asynccontextmanager
async def watching(client: Client, kind: Kind) -> AsyncIterator[Seen]:
    """Watch jobs and pods while the context lasts."""
    seen, jobs, pods = Seen(), asyncio.Event(), asyncio.Event()
    tasks = [
        asyncio.create_task(seen.watch_jobs(client, kind, jobs)),
        asyncio.create_task(seen.watch_pods(client, kind, pods)),
    ]
    try:
        await jobs.wait()
        await pods.wait()
        await asyncio.sleep(0.2)  # the watches open after their lists
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def paced(client: Client, kind: Kind, names: list[str], *, every: float) -> Seen:
    """Create one job every so many seconds and wait until all have succeeded."""
    async with watching(client, kind) as seen:
        due = time.monotonic()
        for name in names:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += every
            await client.create(kind.resource, "default", kind.make(name))
            seen.created[name] = time.monotonic()
        await seen.until(seen.done, len(names))
    return seen


async def each(items: Iterable[T], call: Callable[[T], Awaitable[object]], *, clients: int = CLIENTS) -> None:
    """Call with each item, as many of them at a time as there are clients."""
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            await call(item)

    await asyncio.gather(*(work() for _ in range(clients)))


async def at_once(client: Client, kind: Kind, names: list[str]) -> tuple[float, Seen]:
    """Create all jobs as fast as the server takes them; return the seconds from the first POST to the last success."""
    async with watching(client, kind) as seen:

        async def create(name: str) -> None:
            await client.create(kind.resource, "default", kind.make(name))
            seen.created[name] = time.monotonic()

        began = time.monotonic()
        await each(names, create)
        await seen.until(seen.done, len(names))
        return time.monotonic() - began, seen


@dataclass(frozen=True, slots=True)
class Spent:
    """What the operator has used since it started."""

    cpu: float
    """Seconds."""
    peak_rss: float
    """MiB."""
    writes: float
    """Mutations of AgentJobs, AgentSchedules and pods."""
    schedule_writes: float
    """Those of AgentSchedules alone."""
    events: float
    """Mutations of Events."""

    @classmethod
    def by_operator(cls, cluster: DevCluster) -> "Spent":
        with urllib.request.urlopen(cluster.operator_url + "/metrics") as answer:
            text = answer.read().decode()
        return cls(
            cpu=_total(text, "process_cpu_seconds_total"),
            peak_rss=memory_of(cluster, "VmHWM"),
            writes=sum(
                _total(text, "agentjobs_api_writes_total", kind) for kind in ("AgentJob", "AgentSchedule", "Pod")
            ),
            schedule_writes=_total(text, "agentjobs_api_writes_total", "AgentSchedule"),
            events=_total(text, "agentjobs_api_writes_total", "Event"),
        )


def cpu_of(program: str) -> float:
    """Seconds of CPU that the children of this process have used that run a program of that name."""
    children = psutil.Process().children(recursive=True)
    found = [child for child in children if Path((child.cmdline() or [""])[0]).name == program]
    return sum(sum(child.cpu_times()[:2]) for child in found)


def memory_of(cluster: DevCluster, which: str = "VmRSS") -> float:
    """MiB the operator holds (VmRSS) or ever held (VmHWM)."""
    child = cluster.parts["operator"].child
    assert child is not None
    found = re.search(rf"{which}:\s+(\d+) kB", Path(f"/proc/{child.pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def _total(text: str, name: str, kind: str = "") -> float:
    found = re.findall(rf"^{name}(\{{.*\}})? (\S+)$", text, re.MULTILINE)
    return sum(float(value) for labels, value in found if not kind or f'kind="{kind}"' in labels)
