"""Sees a cluster from the outside while it storms: an administrator's own watches, and in the end the tables.

Knows nothing of what the operator means; `invariants` judges what was seen.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from agentjobs.contract import ANNOTATION_SESSION, FINALIZER, LABEL_JOB, start_of
from devcluster.client import PODS, Client, Listing, Object, Resource, WatchEvent

AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
AGENTSCHEDULES = Resource("agentjobs.dev", "v1alpha1", "agentschedules", "AgentSchedule")
TERMINAL = frozenset({"Succeeded", "Failed", "Cancelled"})


@dataclass(slots=True)
class SeenJob:
    """What the watch showed of one AgentJob."""

    name: str
    uid: str
    status: Object = field(default_factory=dict)
    """The last one."""
    final: Object | None = None
    """The first terminal one."""
    changed_after: list[Object] = field(default_factory=list)
    """Statuses after the first terminal one that tell something else about the end."""
    session: str = ""
    gone: bool = False
    finalizers: tuple[str, ...] = ()

    @property
    def phase(self) -> str:
        return str(self.status.get("phase") or "Pending")


@dataclass(slots=True)
class SeenPod:
    """What the watch showed of one pod with our label."""

    name: str
    uid: str
    owner: str
    start: int
    phase: str = ""
    held: bool = False
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Crowd:
    """A moment in which more ran at the same time than may."""

    at: float
    what: str
    version: int
    """resourceVersion of what was seen."""
    of_session: bool = False
    """Whether two were in one session. Else more held slots than there are."""


@dataclass(slots=True)
class Evidence:
    """Everything seen; times in seconds since the storm began."""

    jobs: dict[str, SeenJob] = field(default_factory=dict)
    pods: dict[str, SeenPod] = field(default_factory=dict)
    crowds: list[Crowd] = field(default_factory=list)
    rows: dict[str, "Rows"] = field(default_factory=dict)
    leases: list[str] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    """Between which resourceVersions nobody could know who leads, because the Lease had been deleted."""
    schedules: dict[str, Object] = field(default_factory=dict)
    """Statuses of the schedules in the end."""
    effects: list[tuple[str, int, int]] = field(default_factory=list)
    """Job, start and step of every call of the tool."""


@dataclass(slots=True)
class Rows:
    """What history holds of one job."""

    job: dict[str, Any]
    starts: list[dict[str, Any]] = field(default_factory=list)
    transitions: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    slots: list[dict[str, Any]] = field(default_factory=list)


class Witness:
    """Follows jobs and pods of the namespace `default` until cancelled."""

    def __init__(self, client: Client, *, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`limit` is how many jobs of a queue may run at the same time."""
        self.seen = Evidence()
        self._client = client
        self._limit = limit
        self._clock = clock
        self._began = clock()
        self._running: dict[str, str] = {}
        # Session and owner of each pod that has not ended, by its uid.
        self._living: dict[str, tuple[str, str]] = {}

    async def run(self) -> None:
        """Watch."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(AGENTJOBS, "", self._job, self._jobs_listed))
            group.create_task(self._follow(PODS, LABEL_JOB, self._pod, self._pods_listed))

    async def _follow(
        self,
        resource: Resource,
        labels: str,
        see: Callable[[str, Object], None],
        listed: Callable[[set[str]], None],
    ) -> None:
        async for event in self._client.follow(resource, "default", label_selector=labels):
            if isinstance(event, WatchEvent):
                see(event.type, event.object)
            elif isinstance(event, Listing):
                listed({obj["metadata"]["uid"] for obj in event.items})
                # A list is one moment: who has stopped in it makes room before who has begun is counted.
                for obj in sorted(event.items, key=_lives if resource is PODS else _is_running):
                    see("ADDED", obj)

    def _jobs_listed(self, present: set[str]) -> None:
        for uid, job in self.seen.jobs.items():
            if uid not in present:
                job.gone = True
                self._running.pop(uid, None)

    def _pods_listed(self, present: set[str]) -> None:
        for uid, pod in self.seen.pods.items():
            pod.gone = pod.gone or uid not in present
            if pod.gone:
                self._living.pop(uid, None)

    def _job(self, event: str, obj: Object) -> None:
        meta, status = obj["metadata"], obj.get("status") or {}
        job = self.seen.jobs.setdefault(meta["uid"], SeenJob(meta["name"], meta["uid"]))
        session = (obj["spec"].get("session") or {}).get("sessionId")
        job.session = session or ""
        job.finalizers = tuple(meta.get("finalizers") or ())
        if job.final is not None and _end(status) != _end(job.final):
            job.changed_after.append(status)
        job.status = status
        if job.final is None and job.phase in TERMINAL:
            job.final = status
        job.gone = event == "DELETED"
        self._count(job, int(meta["resourceVersion"]))

    def _count(self, job: SeenJob, version: int) -> None:
        """Note it when one job more than allowed runs, or two of one session."""
        if job.gone or job.phase != "Running":
            self._running.pop(job.uid, None)
            return
        if job.uid in self._running:
            return
        if job.session and job.session in self._running.values():
            self._crowd(f"{job.name} runs in session {job.session}, which another job has", version, of_session=True)
        self._running[job.uid] = job.session
        if len(self._running) > self._limit:
            self._crowd(f"{len(self._running)} jobs run, {self._limit} may; the last is {job.name}", version)

    def _crowd(self, what: str, version: int, *, of_session: bool = False) -> None:
        self.seen.crowds.append(Crowd(self._clock() - self._began, what, version, of_session))

    def _pod(self, event: str, obj: Object) -> None:
        meta = obj["metadata"]
        owners = meta.get("ownerReferences") or [{}]
        start = start_of(meta["name"], meta["labels"][LABEL_JOB]) or 0
        pod = self.seen.pods.setdefault(
            meta["uid"], SeenPod(meta["name"], meta["uid"], str(owners[0].get("uid", "")), start)
        )
        pod.phase = str((obj.get("status") or {}).get("phase", ""))
        pod.held = FINALIZER in (meta.get("finalizers") or ())
        pod.gone = event == "DELETED"
        self._occupy(obj, pod)

    def _occupy(self, obj: Object, pod: SeenPod) -> None:
        """Note it when a pod comes into a session in which one of another job has not ended, whatever its job says."""
        session = (obj["metadata"].get("annotations") or {}).get(ANNOTATION_SESSION)
        if pod.gone or session is None or not _lives(obj):
            self._living.pop(pod.uid, None)
            return
        others = {owner for other, owner in self._living.values() if other == session} - {pod.owner}
        if others and pod.uid not in self._living:
            what = f"pod {pod.name} runs in session {session}, in which a pod of another job lives"
            self._crowd(what, int(obj["metadata"]["resourceVersion"]), of_session=True)
        self._living[pod.uid] = session, pod.owner


def _is_running(obj: Object) -> bool:
    return (obj.get("status") or {}).get("phase") == "Running"


def _lives(pod: Object) -> bool:
    """Whether a pod's runner has not ended."""
    status = pod.get("status") or {}
    states = [one.get("state") or {} for one in status.get("containerStatuses") or []]
    return status.get("phase") not in ("Succeeded", "Failed") and not any("terminated" in state for state in states)


def _end(status: Object) -> tuple[object, ...]:
    """What a status says about a job's end; an answer may still be added to it."""
    ends = [
        (one.get("type"), one.get("status"), one.get("reason"))
        for one in status.get("conditions") or []
        if one.get("type") in ("Finished", "Complete", "Failed", "Cancelled")
    ]
    history = [(one.get("start"), one.get("verdict"), one.get("reason")) for one in status.get("attemptHistory") or []]
    return (
        status.get("phase"),
        status.get("completionTime"),
        status.get("starts"),
        status.get("attempts"),
        ends,
        history,
    )


def read_tables(dsn: str) -> dict[str, Rows]:
    """All of history by uid."""
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        found = {row["uid"]: Rows(row) for row in connection.execute("SELECT * FROM agentjobs.jobs")}
        orders = {"starts": "start", "transitions": "transition", "results": "start", "slots": "start"}
        for table, order in orders.items():
            for row in connection.execute(f"SELECT * FROM agentjobs.{table} ORDER BY uid, {order}"):
                getattr(found[row["uid"]], table).append(row)
    return found
