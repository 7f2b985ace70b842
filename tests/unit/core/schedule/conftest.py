"""A schedule in a small cluster with an API server's preconditions, operators with news of any age, and a clock."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentjobs.api.conditions import Phase, find_condition
from agentjobs.api.schedule.status import AgentScheduleStatus
from agentjobs.core.children import ChildRefusal, Refresh
from agentjobs.core.schedule.actions import CancelJob, Event, Keep, MakeJob, PruneJobs, Record, Reserve
from agentjobs.core.schedule.decide import decide
from agentjobs.core.schedule.model import Illegal, Plan, Schedule, parse_schedule, read_plan
from agentjobs.core.schedule.observation import MadeJob, ScheduleObservation
from agentjobs.durations import format_time

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
UID = "6c0c1a52-1b5e-4a6e-9a52-0d9f0a7f5a11"


class Clash(Exception):
    """The API server refused a write: someone else was there before."""


class Died(Exception):
    """The operator ended in the middle of its work."""


class Cluster:
    """One schedule and its jobs as the API server has them, with its preconditions; and all that was ever made."""

    def __init__(self, schedule: str = "*/10 * * * *", *, created: datetime = NOW, **spec: Any) -> None:
        job = {"agent": {"model": "m", "inline": {"instruction": "Be brief."}}, "input": {"message": "Hello."}}
        self.now = created
        self.created = created
        self.version = self.generation = 1
        self.annotations: dict[str, str] = {}
        self.spec: dict[str, Any] = {"schedule": schedule, "jobTemplate": {"spec": job}, **spec}
        self.status: dict[str, Any] = {}
        self.jobs: dict[str, MadeJob] = {}
        self.made: list[str] = []
        self.refuse: dict[str, ChildRefusal] = {}
        self.deleting = False

    def seen(self) -> Schedule:
        metadata = {
            "namespace": "default",
            "name": "brief",
            "uid": UID,
            "resourceVersion": str(self.version),
            "generation": self.generation,
            "creationTimestamp": format_time(self.created),
            "annotations": dict(self.annotations),
            **({"deletionTimestamp": format_time(self.now)} if self.deleting else {}),
        }
        return parse_schedule({"metadata": metadata, "spec": self.spec, "status": self.status})

    def edit(self, **spec: Any) -> None:
        self.spec = {**self.spec, **spec}
        self.version, self.generation = self.version + 1, self.generation + 1

    def annotate(self, **annotations: str) -> None:
        self.annotations |= {f"agentjobs.dev/{name}": value for name, value in annotations.items()}
        self.version += 1

    def write(self, version: str, patch: dict[str, Any]) -> None:
        if version != str(self.version):
            raise Clash
        merged = self.status | patch
        self.status = {key: value for key, value in merged.items() if value is not None}
        self.version += 1

    def create(self, name: str) -> None:
        if name in self.jobs:
            raise Clash
        self.made.append(name)
        self.jobs[name] = MadeJob(name, f"uid-{len(self.made)}", self.now, Phase.RUNNING)

    def end(self, name: str, phase: Phase = Phase.SUCCEEDED) -> None:
        self.jobs[name] = replace(self.jobs[name], phase=phase, ended=self.now)

    @property
    def reserved(self) -> set[str]:
        return {one["name"] for one in self.status.get("active", ()) if "uid" not in one}

    @property
    def parsed(self) -> AgentScheduleStatus:
        return AgentScheduleStatus.parse(self.status)

    def condition(self, kind: str) -> tuple[bool, str, str]:
        found = find_condition(self.parsed.conditions, kind)
        return (found.is_true, found.reason, found.message) if found else (False, "", "")


class Scheduler:
    """One operator: what it has heard of the cluster, and the loop that carries out actions."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.writes = 0
        self.events: list[Event] = []
        self.plans: dict[int, Plan | Illegal] = {}
        self.hear()

    def hear(self, *, schedule: bool = True, jobs: bool = True) -> None:
        """Take in what has happened; one kind of news may come before the other."""
        self.schedule = self.cluster.seen() if schedule else self.schedule
        self.jobs = dict(self.cluster.jobs) if jobs else self.jobs

    def look(self, *, die_after: int = 10**6) -> datetime | None:
        """Work until nothing is left to do; returns when to look again. Dies after so many writes."""
        fresh, absent, refusals, left = False, set[str](), dict[str, ChildRefusal](), die_after
        for _ in range(200):
            generation = self.schedule.generation
            if generation not in self.plans:
                self.plans[generation] = read_plan(self.schedule)
            seen = ScheduleObservation(
                schedule=self.schedule,
                plan=self.plans[generation],
                jobs=tuple(self.jobs.values()),
                fresh=fresh,
                absent=frozenset(absent),
                refusals=refusals,
            )
            decision = decide(seen, self.cluster.now)
            action = decision.action
            if isinstance(action, Keep):
                return decision.again
            if isinstance(action, Refresh):
                self.hear(jobs=False)
                fresh = True
                self.jobs |= {name: job for name, job in self.cluster.jobs.items() if name in action.names}
                absent |= {name for name in action.names if name not in self.cluster.jobs}
                continue
            if left == 0:
                raise Died
            left -= 1
            self.writes += 1
            match action:
                case Reserve() | Record():
                    patch = action.status.patch_from(self.schedule.raw_status)
                    assert patch, "a write that changes nothing"
                    self.cluster.write(self.schedule.resource_version, patch)
                    self.hear(jobs=False)
                    fresh = True
                    self.events += action.events
                case MakeJob():
                    self._make(action.occurrence.name, refusals)
                case CancelJob():
                    self.cluster.jobs[action.job.name] = replace(self.cluster.jobs[action.job.name], cancel=True)
                    self.hear(schedule=False)
                case PruneJobs():
                    for job in action.jobs:
                        if job.name in self.cluster.jobs and self.cluster.jobs[job.name].uid == job.uid:
                            del self.cluster.jobs[job.name]
                    self.hear(schedule=False)
        raise AssertionError("200 actions in a row without reaching a stable state")

    def _make(self, name: str, refusals: dict[str, ChildRefusal]) -> None:
        if name in self.cluster.refuse:
            refusals[name] = self.cluster.refuse[name]
            return
        with contextlib.suppress(Clash):
            self.cluster.create(name)
        self.jobs[name] = self.cluster.jobs[name]

    def run(self, *, lasting: timedelta | None = timedelta(seconds=30), fail: bool = False, **passed: float) -> None:
        """Let time pass, looking whenever the last look asked for it. Jobs end after `lasting`, or never."""
        end = self.cluster.now + timedelta(**passed)
        while True:
            self._end_jobs(lasting, Phase.FAILED if fail else Phase.SUCCEEDED)
            self.hear()
            again = self.look()
            if again is not None and again <= self.cluster.now:
                continue
            if self.cluster.now >= end:
                return
            created = [job.created + lasting for job in self.cluster.jobs.values() if lasting and not job.ended]
            self.cluster.now = min([end, *created, *([again] if again else ())])

    def _end_jobs(self, lasting: timedelta | None, phase: Phase) -> None:
        for job in list(self.cluster.jobs.values()):
            if lasting is not None and not job.ended and job.created + lasting <= self.cluster.now:
                self.cluster.end(job.name, phase)


def at(*names: str) -> list[str]:
    """The times that names of jobs stand for, e.g. `09:10`."""
    return [datetime.fromtimestamp(int(name.rpartition("-")[2]) * 60, UTC).strftime("%H:%M") for name in names]


@pytest.fixture(scope="session")
def a_cluster() -> type[Cluster]:
    return Cluster


@pytest.fixture(scope="session")
def a_scheduler() -> type[Scheduler]:
    return Scheduler


@pytest.fixture(scope="session")
def times() -> Callable[..., list[str]]:
    return at


@pytest.fixture(scope="session")
def died() -> type[Exception]:
    return Died


@pytest.fixture(scope="session")
def clash() -> type[Exception]:
    return Clash
