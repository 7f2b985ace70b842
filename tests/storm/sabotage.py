"""Carries out the faults of a plan on a running cluster, each by a method of its name, and ends them in time."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.storm.plan import REST, Fault

from agentjobs.contract import LABEL_JOB
from agentjobs.dev.shared import Place
from agentjobs.dev.up import DevCluster
from devcluster.apiserver import ApiServer
from devcluster.client import LEASES, PODS, ApiError
from devcluster.envtest import EnvTest

NAMESPACE = Place().system
"""Of the Lease."""
LEASE = "agentjobs-operator"
LEASE_GAP = 15.0
"""Seconds after a Lease was deleted in which two operators may both believe to lead: beyond the holder's deadline."""
STARTS = 10
"""How often an API server is started again before the storm gives up."""
DISK_BYTES = 256 * 1024 * 1024
"""Of the small disk for PostgreSQL: an empty database takes 40 MB, its programs may lie beside it."""


class Disk:
    """A small file system for PostgreSQL's folder, where we may mount one; else its disk cannot be filled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"
        self.mounted = False

    def mount(self) -> None:
        """Put a tmpfs at the folder, if the system lets us."""
        self._folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0711", "tmpfs", str(self._folder)]
        with contextlib.suppress(OSError):
            self.mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0

    def fill(self) -> None:
        """Leave no byte free."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            for size in (1024 * 1024, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"\0" * size)

    def free(self) -> None:
        """Give the space back."""
        self._ballast.unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take it away with all that is on it."""
        if self.mounted:
            subprocess.run(["umount", "-l", str(self._folder)], check=False)
            self.mounted = False
        shutil.rmtree(self._folder, ignore_errors=True)


class Saboteur:
    """Breaks and mends. Also restarts what ended by itself, as a kubelet would: a leader without its Lease ends."""

    def __init__(self, cluster: DevCluster, *, clocks: Path, disk: Disk) -> None:
        self._cluster = cluster
        self._clocks = clocks
        self._disk = disk
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._held: set[str] = set()
        """Parts that are down on purpose."""
        self._mended: defaultdict[str, float] = defaultdict(float)
        self.gaps: list[tuple[int, int]] = []
        """Between which resourceVersions nobody could know who leads."""

    async def carry_out(self, fault: Fault) -> str:
        """Break, wait, mend. Returns what came of it, empty when it was as planned."""
        act = getattr(self, "_" + fault.kind.replace("-", "_"))
        async with self._busy[fault.target]:
            try:
                return await act(fault) or ""
            finally:
                self._mended[fault.target] = time.monotonic()

    async def rested(self, target: str) -> None:
        """Return when nothing is being mended at `target` and it was left alone for a while, as the plan has it.

        A slow machine mends later than planned. Without this its parts would never be whole at all.
        """
        async with self._busy[target]:
            await asyncio.sleep(max(0.0, self._mended[target] + REST - time.monotonic()))

    async def keep_alive(self) -> None:
        """Start again what ended by itself, after a second."""
        while True:
            await asyncio.sleep(1)
            for name, part in self._cluster.parts.items():
                if name not in self._held and part.child is not None and part.child.returncode is not None:
                    part.start()
            postgres = self._cluster.postgres
            if "postgres" not in self._held and not _lives(postgres.pid):
                with contextlib.suppress(Exception):  # its disk may still be full; the next second tries again
                    await self._restart_postgres()

    # --- operators and gateway ----------------------------------------------------------------------------------------

    async def _kill(self, fault: Fault) -> None:
        part = self._cluster.parts[fault.target]
        with self._down(fault.target):
            await part.end(signal.SIGKILL)
            await asyncio.sleep(fault.seconds)
            part.start()

    _kill_gateway = _kill

    async def _stop(self, fault: Fault) -> None:
        part = self._cluster.parts[fault.target]
        part.send(signal.SIGSTOP)
        await asyncio.sleep(fault.seconds)
        part.send(signal.SIGCONT)

    _stop_gateway = _stop

    async def _turn_clock(self, fault: Fault) -> None:
        port = self._cluster.parts[fault.target].env["AGENTJOBS_PROBE_ADDRESS"].rpartition(":")[2]
        clock = self._clocks / port
        clock.write_text(str(fault.value))
        await asyncio.sleep(fault.seconds)
        clock.unlink()

    async def _delete_lease(self, fault: Fault) -> str:
        begin = await self._version()
        said = await _said(self._cluster.client.delete(LEASES, NAMESPACE, LEASE))
        await asyncio.sleep(LEASE_GAP)
        self.gaps.append((begin, await self._version()))
        return said

    async def _version(self) -> int:
        """How far the API server's history has come, as soon as it says so."""
        while True:
            with contextlib.suppress(ApiError, TimeoutError):
                return int((await self._cluster.client.list(LEASES, NAMESPACE))[1])
            await asyncio.sleep(0.5)

    async def _steal_lease(self, fault: Fault) -> str:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": "a-thief", "renewTime": now, "acquireTime": now, "leaseDurationSeconds": 4}
        return await _said(self._cluster.client.patch(LEASES, NAMESPACE, LEASE, {"spec": spec}))

    # --- PostgreSQL ---------------------------------------------------------------------------------------------------

    async def _kill_postgres(self, fault: Fault) -> None:
        with self._down("postgres"):
            _signal(self.postgres_processes()[:1], signal.SIGKILL)
            await self._cluster.postgres.wait()
            await asyncio.sleep(fault.seconds)
            with contextlib.suppress(RuntimeError, TimeoutError):  # then `keep_alive` continues trying
                await self._restart_postgres()

    async def _stop_postgres(self, fault: Fault) -> None:
        stopped = self.postgres_processes()
        _signal(stopped, signal.SIGSTOP)
        await asyncio.sleep(fault.seconds)
        _signal(stopped, signal.SIGCONT)

    async def _fill_disk(self, fault: Fault) -> str:
        if not self._disk.mounted:
            return "left out: no file system may be mounted here"
        try:
            await asyncio.to_thread(self._disk.fill)
            await asyncio.sleep(fault.seconds)
        finally:
            self._disk.free()
        return ""

    async def _restart_postgres(self) -> None:
        if not _lives(self._cluster.postgres.pid):
            await self._cluster.restart_postgres()

    def postgres_processes(self) -> list[int]:
        """The server first, then the processes it forked, which lead groups of their own."""
        first = self._cluster.postgres.pid
        return [] if first is None else [first, *_children(first)]

    # --- pods and their node ------------------------------------------------------------------------------------------

    async def _kill_runner(self, fault: Fault) -> str:
        runners = [pid for pid in _children(os.getpid()) if b"-m\0agentjobs_runner" in _read(pid, "cmdline")]
        if not runners:
            return "no runner lives"
        _signal([sorted(runners)[fault.value % len(runners)]], signal.SIGKILL)
        return ""

    async def _delete_pod(self, fault: Fault) -> str:
        try:
            pods, _ = await self._cluster.client.list(PODS, "default", label_selector=LABEL_JOB)
        except ApiError as error:
            return str(error)
        live = sorted(pod["metadata"]["name"] for pod in pods if (pod.get("status") or {}).get("phase") == "Running")
        if not live:
            return "no pod runs"
        chosen = live[fault.value % len(live)]
        return await _said(self._cluster.client.delete(PODS, "default", chosen)) or chosen

    async def _kill_node(self, fault: Fault) -> None:
        await self._cluster.restart_node()

    # --- the API server -----------------------------------------------------------------------------------------------

    async def _slow_api(self, fault: Fault) -> None:
        await self._turn("latency", 0.3, fault)

    async def _failing_writes(self, fault: Fault) -> None:
        self._embedded.faults.fail_code = fault.value
        await self._turn("fail_every", 3, fault)

    async def _lost_answers(self, fault: Fault) -> None:
        await self._turn("lose_every", 4, fault)

    async def _late_lists(self, fault: Fault) -> None:
        await self._turn("list_latency", 1.0, fault)

    async def _late_watches(self, fault: Fault) -> None:
        await self._turn("watch_latency", 0.7, fault)

    async def _short_watches(self, fault: Fault) -> None:
        self._embedded.close_watches()
        await self._turn("close_watches_after", 5, fault)

    async def _cut_watches(self, fault: Fault) -> None:
        self._embedded.close_watches()

    async def _compact(self, fault: Fault) -> None:
        server = self._cluster.server
        if isinstance(server, EnvTest):
            await self._until_it_serves(server.compact())
        else:
            server.compact()
            server.close_watches()

    async def _kill_apiserver(self, fault: Fault) -> None:
        await self._real.end_server(signal.SIGKILL)
        await asyncio.sleep(fault.seconds)
        await self._until_it_serves(self._real.start_server())

    async def _until_it_serves(self, beginning: Coroutine[object, object, object]) -> None:
        """Start the API server again as a kubelet would: one that is starved gives itself up after half a minute."""
        for _ in range(STARTS):
            try:
                await beginning
            except (RuntimeError, TimeoutError):
                await self._real.end_server(signal.SIGKILL)
                beginning = self._real.start_server()
            else:
                return
        await beginning

    async def _stop_apiserver(self, fault: Fault) -> None:
        self._real.send(signal.SIGSTOP)
        await asyncio.sleep(fault.seconds)
        self._real.send(signal.SIGCONT)

    async def _turn(self, name: str, value: float, fault: Fault) -> None:
        faults = self._embedded.faults
        setattr(faults, name, value)
        await asyncio.sleep(fault.seconds)
        setattr(faults, name, 0)

    @property
    def _embedded(self) -> ApiServer:
        assert isinstance(self._cluster.server, ApiServer)
        return self._cluster.server

    @property
    def _real(self) -> EnvTest:
        assert isinstance(self._cluster.server, EnvTest)
        return self._cluster.server

    @contextlib.contextmanager
    def _down(self, name: str) -> Iterator[None]:
        self._held.add(name)
        try:
            yield
        finally:
            self._held.discard(name)


async def _said(request: Coroutine[object, object, object]) -> str:
    try:
        await request
    except ApiError as error:
        return str(error)
    return ""


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _lives(pid: int | None) -> bool:
    return pid is not None and _read(pid, "stat").rpartition(b")")[2].split()[:1] not in ([], [b"Z"])


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
