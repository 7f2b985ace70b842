"""One storm from beginning to end: a cluster, its users, its faults, a witness, and the verdict."""

import asyncio
import contextlib
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from tests.storm import shapes
from tests.storm.invariants import Violation, repeats, violations
from tests.storm.plan import Plan, Wish
from tests.storm.sabotage import NAMESPACE, Disk, Saboteur
from tests.storm.witness import AGENTJOBS, AGENTSCHEDULES, TERMINAL, Witness, read_tables

from agentjobs.contract import ANNOTATION_TRIGGER
from agentjobs.dev.up import DevCluster, up
from devcluster.client import CONFIG_MAPS, LEASES, ApiError

ROOT = Path(__file__).parents[2]
LIMIT = 24
"""Jobs that may run at once."""
DRAIN_SECONDS = 720.0
"""In calm weather some job ends within this: a snooze counted by a clock that was ten minutes ahead is the longest."""
PROGRESS_SECONDS = 10.0
SETTINGS = {
    # A dead leader is waited for; the storm need not wait as long as clusters do.
    "AGENTJOBS_LEASE_DURATION": "8s",
    "AGENTJOBS_LEASE_DEADLINE": "6s",
    "AGENTJOBS_LEASE_RETRY": "1s",
    "AGENTJOBS_QUEUES": f'{{"agents": {LIMIT}, "scheduled": 5}}',
    "AGENTJOBS_RESYNC": "1m",
}
RETRIES = 60
SETTLE_TRIES = 40
SHOWN = 8


class Storm:
    """Runs a plan in `folder`, and says what it does on `tell`."""

    def __init__(self, plan: Plan, folder: Path, *, tell: Callable[[str], None] = print) -> None:
        self._plan = plan
        self._folder = folder
        self._say = tell
        self._began = 0.0
        self._late = 0.0
        """Seconds by which this machine mends slower than planned; everything that comes waits as long."""
        self._is_calm = False
        self._refused: dict[str, str] = {}
        self._done: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._cluster: DevCluster
        self._witness: Witness

    async def run(self) -> list[Violation]:
        """Run it and return what was broken; evidence of that is in the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o711)  # PostgreSQL runs as another user when we are root, and its disk is in here
        clocks, disk = self._folder / "clocks", Disk(self._folder / "postgres")
        clocks.mkdir()
        effects = self._folder / "effects"
        disk.mount()
        try:
            async with up(
                self._folder,
                apiserver=self._plan.backend,
                operators=self._plan.operators,
                operator_command=[sys.executable, "-P", str(ROOT / "tests" / "storm" / "turned_operator.py")],
                settings=SETTINGS | {"STORM_CLOCKS": str(clocks)},
                inherit_env={"STORM_EFFECTS": str(effects)},
                working_folder=ROOT,
                instant=shapes.pretend,
            ) as cluster:
                self._cluster = cluster
                return await self._run(Saboteur(cluster, clocks=clocks, disk=disk), effects)
        finally:
            disk.unmount()

    async def _run(self, saboteur: Saboteur, effects: Path) -> list[Violation]:
        client = self._cluster.client
        data = {"data": dict(shapes.TEXTS)}
        await client.create(CONFIG_MAPS, "default", _object("ConfigMap", shapes.SCRIPTS) | data)
        for name in shapes.SCHEDULES:
            await client.create(AGENTSCHEDULES, "default", shapes.schedule(name))
        self._witness = Witness(client, limit=LIMIT)
        self._began = time.monotonic()
        background = [
            asyncio.create_task(self._witness.run()),
            asyncio.create_task(saboteur.keep_alive()),
            asyncio.create_task(self._tell_progress()),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._break(saboteur))
                group.create_task(self._wish())
                group.create_task(self._trigger())
            self._is_calm = True
            self._tell("calm", "waiting for every job's end")
            for name in shapes.SCHEDULES:
                await self._insist(partial(self._edit_schedule, name, {"spec": {"suspend": True}}))
            await self._drain()
            self._witness.seen.gaps = saboteur.gaps
            broken = await self._judged(effects)
            if broken:
                self._keep(broken)
            return broken
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)

    # --- faults -------------------------------------------------------------------------------------------------------

    async def _break(self, saboteur: Saboteur) -> None:
        async with asyncio.TaskGroup() as group:
            for fault in self._plan.faults:
                await self._until(fault.at)
                await self._rest(saboteur, fault.target)
                value = f" {fault.value}" if fault.kind in ("turn-clock", "failing-writes") else ""
                self._tell(fault.kind, f"{fault.target} for {fault.seconds:g} s{value}")
                group.create_task(self._one_fault(saboteur, fault))

    async def _rest(self, saboteur: Saboteur, target: str) -> None:
        """Let time stand still until the plan's next fault meets a target that is whole."""
        began = time.monotonic()
        await saboteur.rested(target)
        self._late += time.monotonic() - began

    async def _one_fault(self, saboteur: Saboteur, fault: Any) -> None:
        said = await saboteur.carry_out(fault)
        self._done[fault.kind] += 1
        if said:
            self._tell(fault.kind, f"{fault.target}: {said}")
        if said.startswith("left out"):
            self._left_out[fault.kind] += 1

    # --- users --------------------------------------------------------------------------------------------------------

    async def _wish(self) -> None:
        async with asyncio.TaskGroup() as group:
            for wish in self._plan.wishes:
                await self._until(wish.at)
                group.create_task(self._one_wish(wish))

    async def _trigger(self) -> None:
        """Ask a schedule for a job by hand now and then."""
        schedules = [*shapes.SCHEDULES]
        for number, at in enumerate(self._plan.triggers):
            await self._until(at)
            change = {"metadata": {"annotations": {ANNOTATION_TRIGGER: str(number)}}}
            await self._insist(partial(self._edit_schedule, schedules[number % len(schedules)], change))

    async def _edit_schedule(self, name: str, change: dict[str, Any]) -> None:
        await self._cluster.client.patch(AGENTSCHEDULES, "default", name, change)

    async def _one_wish(self, wish: Wish) -> None:
        """Create a job and do with it what its user does."""
        body = shapes.manifest(wish)
        try:
            await self._insist(lambda: self._create(body))
        except ApiError as error:
            self._refused[wish.name] = error.message
            return
        later = _LATER.get(shapes.kind_of(wish.name))
        if later is not None:
            await asyncio.sleep(wish.later)
            await later(self, wish)

    async def _cancel(self, wish: Wish) -> None:
        await self._edit(wish.name, cancel=True)

    async def _delete(self, wish: Wish) -> None:
        await self._gone(lambda: self._cluster.client.delete(AGENTJOBS, "default", wish.name))

    async def _pause(self, wish: Wish) -> None:
        await self._edit(wish.name, suspend=True)
        await asyncio.sleep(wish.later)
        await self._edit(wish.name, suspend=False)

    async def _fulfil(self, wish: Wish) -> None:
        data = {"data": {"message": "Go."}}
        body = _object("ConfigMap", f"{shapes.MISSING}-{wish.name}") | data
        await self._insist(lambda: self._create(body))

    async def _again(self, wish: Wish) -> None:
        """Delete it and apply it again immediately, under the same name."""
        await self._delete(wish)
        body = shapes.manifest(wish)
        old = {uid for uid, job in self._witness.seen.jobs.items() if job.name == wish.name}

        async def create() -> None:
            try:
                await self._cluster.client.create(AGENTJOBS, "default", body)
            except ApiError as error:
                named = {"field_selector": f"metadata.name={wish.name}"}
                found, _ = await self._cluster.client.list(AGENTJOBS, "default", **named)
                if not any(job["metadata"]["uid"] not in old for job in found):
                    raise ApiError(503, "Going", "the old one is still there") from error

        await self._insist(create)

    async def _edit(self, name: str, **spec: bool) -> None:
        await self._gone(lambda: self._cluster.client.patch(AGENTJOBS, "default", name, {"spec": spec}))

    async def _create(self, body: dict[str, Any]) -> None:
        resource = CONFIG_MAPS if body["kind"] == "ConfigMap" else AGENTJOBS
        try:
            await self._cluster.client.create(resource, "default", body)
        except ApiError as error:
            # An earlier try arrived, though its answer was lost; or the server only pretends to have it.
            if error.reason != "AlreadyExists":
                raise

    async def _gone(self, request: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Insist on a request; an object that is gone needs it no more."""
        try:
            await self._insist(request)
        except ApiError as error:
            if error.code != 404:
                raise

    async def _insist(self, request: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Ask again while the answer is not an answer, as every client has to."""
        for _ in range(RETRIES):
            try:
                await request()
            except (ApiError, TimeoutError) as error:
                if isinstance(error, ApiError) and error.code in (400, 403, 404, 422):
                    raise
                await asyncio.sleep(0.5)
            else:
                return
        raise RuntimeError("the API server did not come back")

    # --- time ---------------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Wait until every job has ended, or none has for long; the judge says which did not."""
        left, deadline = self._open(), time.monotonic() + DRAIN_SECONDS
        while left and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
            if (now := self._open()) < left:
                left, deadline = now, time.monotonic() + DRAIN_SECONDS

    async def _judged(self, effects: Path) -> list[Violation]:
        """Return what is broken and stays so: last rows, finalizers and times to live need a few seconds more."""
        for _ in range(SETTLE_TRIES):
            with contextlib.suppress(psycopg.OperationalError):  # it is not back yet
                broken = await self._look(effects)
                if not broken:
                    return []
            await asyncio.sleep(0.5)
        return await self._look(effects)

    async def _look(self, effects: Path) -> list[Violation]:
        seen = self._witness.seen
        seen.rows = await asyncio.to_thread(read_tables, self._cluster.dsn)
        found, _ = await self._cluster.client.list(LEASES, NAMESPACE)
        seen.leases = [lease["metadata"]["name"] for lease in found]
        schedules, _ = await self._cluster.client.list(AGENTSCHEDULES, "default")
        seen.schedules = {one["metadata"]["name"]: one.get("status") or {} for one in schedules}
        if effects.exists():
            calls = [line.split() for line in effects.read_text().splitlines()]
            seen.effects = [(job, int(start), int(step)) for job, start, step in calls]
        return violations(self._plan, seen, refused=self._refused)

    def _open(self) -> int:
        return sum(not job.gone and job.phase not in TERMINAL for job in self._witness.seen.jobs.values())

    async def _until(self, at: float) -> None:
        while (left := self._began + at + self._late - time.monotonic()) > 0:
            await asyncio.sleep(left)

    async def _tell_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            phases = Counter("gone" if job.gone else job.phase for job in self._witness.seen.jobs.values())
            self._tell("jobs", _listed(phases))
            if self._is_calm and (slow := self._slow()):
                self._tell("not ended", slow)

    def _slow(self) -> str:
        """Some of the jobs that have not ended, each with its newest pod."""
        seen = self._witness.seen
        pods = {(pod.owner, pod.start): pod.phase for pod in seen.pods.values() if not pod.gone}
        jobs = [job for job in seen.jobs.values() if not job.gone and job.phase not in TERMINAL]
        told = [f"{job.name} {job.phase}/{pods.get((job.uid, job.status.get('starts', 0)), 'no pod')}" for job in jobs]
        return ", ".join(told[:SHOWN])

    def _tell(self, what: str, more: str) -> None:
        self._say(f"{time.monotonic() - self._began:7.1f} s  {what:<15} {more}")

    # --- the end ------------------------------------------------------------------------------------------------------

    def table(self) -> str:
        """What was, as lines of text."""
        seen = self._witness.seen
        phases = Counter("Deleted" if job.gone else job.phase for job in seen.jobs.values())
        starts = sum(len(rows.starts) for rows in seen.rows.values())
        scheduled = Counter(rows.job["schedule"] for rows in seen.rows.values() if rows.job["schedule"])
        lines = [
            f"jobs            {len(seen.jobs)}: {_listed(phases)}",
            f"refused         {len(self._refused)}",
            f"pods            {len(seen.pods)}, starts in history {starts}",
            f"steps           {len(seen.effects)}, of which {repeats(seen)} again in a later start",
            f"scheduled       {_listed(scheduled)}",
            f"faults          {self._done.total()}: {_listed(self._done)}",
        ]
        if self._left_out:
            lines.append(f"left out        {dict(self._left_out)}: no file system may be mounted here")
        return "\n".join(lines)

    def _keep(self, broken: list[Violation]) -> None:
        """Write down what is known of the jobs concerned, next to the logs of all parts."""
        seen, names = self._witness.seen, {one.job for one in broken}
        jobs = [job for job in seen.jobs.values() if job.name in names]
        uids = {job.uid for job in jobs}
        evidence = {
            "broken": [str(one) for one in broken],
            "jobs": [asdict(job) for job in jobs],
            "pods": [asdict(pod) for pod in seen.pods.values() if pod.owner in uids or pod.name in names],
            "rows": [asdict(rows) for uid, rows in seen.rows.items() if uid in uids or rows.job["name"] in names],
            "crowds": [asdict(crowd) for crowd in seen.crowds],
        }
        (self._folder / "evidence.json").write_text(json.dumps(evidence, indent=1, default=str))


_LATER = {
    "cancel": Storm._cancel,
    "delete": Storm._delete,
    "pause": Storm._pause,
    "waits": Storm._fulfil,
    "again": Storm._again,
}


def _object(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def forget(folder: Path) -> None:
    """Remove what a storm in peace left behind."""
    with contextlib.suppress(OSError):
        shutil.rmtree(folder)
