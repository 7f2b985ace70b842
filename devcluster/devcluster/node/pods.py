"""The life cycle of a pod on the node: volumes, init containers, containers, deadline, deletion, end.

`ProcessNode` creates a `PodWorker` for each pod and passes it every newer version of the pod. Restart policies other
than Never, and features that need isolation by the kernel, are refused in the pod's status.
"""

import asyncio
import base64
import contextlib
import datetime
import logging
import shutil
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from devcluster.client import CONFIG_MAPS, NETWORK_POLICIES, PODS, SECRETS, ApiError, Client, Object
from devcluster.events import EventRecorder
from devcluster.node import containers
from devcluster.node.containers import Container
from devcluster.node.environment import ConfigError, Paths, command_line, container_env, process_env
from devcluster.node.label_selectors import selects
from devcluster.node.logs import ContainerLog
from devcluster.node.statuses import (
    DEADLINE_MESSAGE,
    LOST_MESSAGE,
    PodState,
    Running,
    State,
    Terminated,
    Waiting,
    after_restart,
    final_phase,
    pod_status,
)
from devcluster.node.volumes import Mounter, MountError, TokenFile, inside, mount_paths
from devcluster.node.writer import StatusWriter
from devcluster.process import Forks

logger = logging.getLogger(__name__)

_TERMINATION_PATH = "/dev/termination-log"
_GRACE_SECONDS = 30
# Missing ConfigMaps are looked up this often; a kubelet waits up to a minute, which is long for a developer.
_HEAL_SECONDS = 0.2
_HEAL_MAX_SECONDS = 2.0
_TOKEN_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Instant:
    """A pod that ends without a process after `seconds` with `message`, for benchmarks of controllers."""

    message: str = ""
    exit_code: int = 0
    seconds: float = 0.0
    released: asyncio.Event | None = None
    """It does not end before this is set."""


@dataclass(frozen=True, slots=True)
class Node:
    """The parts of a node that all its pods use."""

    client: Client
    events: EventRecorder
    folder: Path
    temporary: Path
    """For the temporary files of pods, which an image's /tmp has."""
    claims: Path
    address: str
    command_path: Path
    working_folder: Path
    inherited: Mapping[str, str]
    instant: Callable[[Object], Instant | None]
    forks: Forks | None = None


class PodWorker:
    """Runs one pod. `run` returns at its end; call `update` and `object_removed` when the object changes."""

    def __init__(self, node: Node, pod: Object) -> None:
        self._node = node
        self.pod = pod
        spec, status = pod["spec"], pod.get("status") or {}
        self._folder = inside(node.folder, pod["metadata"]["uid"])
        self._temporary = inside(node.temporary, pod["metadata"]["uid"])
        self._writer = StatusWriter(node.client, pod)
        self._started = _now()
        if status.get("startTime"):
            self._started = datetime.datetime.fromisoformat(status["startTime"])
        self._init: dict[str, State] = {
            entry["name"]: Waiting("PodInitializing") for entry in spec.get("initContainers") or []
        }
        creating = Waiting("PodInitializing" if self._init else "ContainerCreating")
        self._states: dict[str, State] = {entry["name"]: creating for entry in spec["containers"]}
        self._reported = after_restart(status.get("containerStatuses") or [], now=_now())
        self._init_reported = after_restart(status.get("initContainerStatuses") or [], now=_now())
        self._running: dict[str, Container] = {}
        self._logs: dict[str, ContainerLog] = {}
        self._stopping = asyncio.Event()
        self._reason = self._message = ""
        self._vanished = False
        self._timer: asyncio.TimerHandle | None = None
        self._background: set[asyncio.Task[None]] = set()
        self.finished = status.get("phase") in ("Succeeded", "Failed")

    async def run(self) -> None:
        """Run the pod to its end. Cancellation kills every process immediately and writes no status."""
        try:
            if not self.finished:
                await self._live()
            while not self._vanished and not self.pod["metadata"].get("deletionTimestamp"):
                self._stopping.clear()
                await self._stopping.wait()
            await self._remove()
        finally:
            self._kill()

    def update(self, pod: Object) -> None:
        """Handle a newer version of the pod: a deletion, or a changed deadline."""
        before, self.pod = self.pod, pod
        if pod["metadata"].get("deletionTimestamp"):
            self._stopping.set()
        elif pod["spec"].get("activeDeadlineSeconds") != before["spec"].get("activeDeadlineSeconds"):
            self._set_deadline()

    def object_removed(self) -> None:
        """Handle the removal of the object: stop everything that runs for it."""
        self._vanished = True
        self._stopping.set()
        for container in self._running.values():
            container.child.send(signal.SIGKILL)

    def log(self, container: str) -> ContainerLog | None:
        """Return the log of a container that was started."""
        return self._logs.get(container)

    def forget(self) -> None:
        """Delete the pod's files."""
        for folder in (self._folder, self._temporary):
            shutil.rmtree(folder, ignore_errors=True)

    async def _live(self) -> None:
        if self._was_running():
            self._fail_lost()
        elif problem := _unsupported(self.pod["spec"]):
            self._end("Failed", reason="UnsupportedPodSpec", message=problem)
        else:
            self._set_deadline()
            if self.pod["metadata"].get("deletionTimestamp"):
                self._stopping.set()
            await self._run_until_stopped()
        await self._writer.flush()
        self.finished = True

    async def _run_until_stopped(self) -> None:
        """Run the containers; on a stop, end them with the grace period."""
        work = asyncio.create_task(self._work())
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                if self._running:
                    await self._stop_containers()
                    await work  # so that every container has ended
                else:
                    work.cancel()
                    await asyncio.wait({work})
            if not work.cancelled():
                work.result()
        finally:
            for task in (work, stop):
                task.cancel()
            if self._timer is not None:
                self._timer.cancel()
        self._end(self._phase(), reason=self._reason, message=self._message)

    def _phase(self) -> str:
        ended = [*self._init.values(), *self._states.values()]
        return "Failed" if self._reason else final_phase(ended)

    async def _work(self) -> None:
        instant = self._node.instant(self.pod)
        if instant is not None:
            await self._pretend(instant)
            return
        mounter = Mounter(
            self._node.client,
            self.pod,
            _Objects(self._node.client, self.pod),
            folder=self._volumes,
            claims=self._node.claims,
            address=self._address,
        )
        self._spawn_task(self._warn_of_policies())
        for token in await self._mount(mounter):
            self._spawn_task(self._keep_fresh(mounter, token))
        for spec in self.pod["spec"].get("initContainers") or []:
            await self._run_container(spec, self._init)
            state = self._init[spec["name"]]
            if self._stopping.is_set() or not isinstance(state, Terminated) or state.exit_code:
                return
        if self._init:
            self._states = {name: Waiting("ContainerCreating") for name in self._states}
        async with asyncio.TaskGroup() as group:
            for spec in self.pod["spec"]["containers"]:
                group.create_task(self._run_container(spec, self._states))

    async def _warn_of_policies(self) -> None:
        """Record an event with the network policies that select the pod, since they have no effect on a process."""
        with contextlib.suppress(ApiError):
            policies, _ = await self._node.client.list(NETWORK_POLICIES, self.pod["metadata"]["namespace"])
            labels = self.pod["metadata"].get("labels") or {}
            names = [
                policy["metadata"]["name"] for policy in policies if selects(policy["spec"].get("podSelector"), labels)
            ]
            if names:
                message = (
                    f"this node runs pods as processes and cannot enforce NetworkPolicy {', '.join(sorted(names))}"
                )
                self._event("Warning", "NetworkPolicyNotEnforced", message)

    async def _pretend(self, instant: Instant) -> None:
        started = _now()
        self._init = {name: Terminated(0, "Completed", started, started) for name in self._init}
        self._states = {name: Running(None, started) for name in self._states}
        self._report("Running")
        end = Terminated(143, "Error", started, started)  # by SIGTERM, when the pod is stopped earlier
        try:
            await asyncio.sleep(instant.seconds)
            if instant.released is not None:
                await instant.released.wait()
            reason = "Error" if instant.exit_code else "Completed"
            end = Terminated(instant.exit_code, reason, started, started, instant.message)
        finally:
            self._states = dict.fromkeys(self._states, replace(end, finished=_now()))

    async def _mount(self, mounter: Mounter) -> list[TokenFile]:
        """Set up the volumes; retry until it succeeds."""
        pause = _HEAL_SECONDS
        while True:
            try:
                return await mounter.mount(now=_now())
            except (MountError, ApiError) as error:
                self._event("Warning", "FailedMount", str(error))
                self._report("Pending")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _HEAL_MAX_SECONDS)

    async def _run_container(self, spec: Object, states: dict[str, State]) -> None:
        name = spec["name"]
        started = await self._start_container(spec, states)
        if started is None:
            return
        if isinstance(started, Terminated):
            self._event("Warning", "Failed", f"Error: {started.message}")
            states[name] = started
            return
        self._running[name] = started
        states[name] = started.state
        if self._stopping.is_set():  # stopped during its start
            started.child.send(signal.SIGKILL)
        self._event("Normal", "Started", "Container started")
        pending = states is self._init or any(isinstance(state, Waiting) for state in self._states.values())
        self._report("Pending" if pending else "Running")
        states[name] = await started.ended()
        self._running.pop(name, None)

    async def _start_container(self, spec: Object, states: dict[str, State]) -> Container | Terminated | None:
        """Start a container when all objects it refers to exist; return None if the pod is stopped before."""
        pause = _HEAL_SECONDS
        while not self._stopping.is_set():
            try:
                return await self._try_start(spec)
            except ConfigError as error:
                states[spec["name"]] = Waiting("CreateContainerConfigError", str(error))
                self._event("Warning", "Failed", f"Error: {error}")
                self._report("Pending")
            except ApiError as error:
                logger.debug("container.delayed", extra={"container": spec["name"], "error": str(error)})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, _HEAL_MAX_SECONDS)
        return None

    async def _try_start(self, spec: Object) -> Container | Terminated:
        own = inside(self._folder / "containers", spec["name"])
        path = spec.get("terminationMessagePath") or _TERMINATION_PATH
        paths = Paths(mount_paths(spec, self._volumes), path, own / "termination-log")
        lookup = _Objects(self._node.client, self.pod)
        env = await container_env(spec, self.pod, lookup, paths=paths, address=self._address)
        command = command_line(spec, env, paths)
        home = self._folder / "home"
        for place in (home, self._temporary):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        full = process_env(
            {"HOSTNAME": self.pod["metadata"]["name"], **env},
            inherited=self._node.inherited,
            command_path=self._node.command_path,
            working_folder=self._node.working_folder,
            home=home,
            temporary=self._temporary,
        )
        log = self._logs[spec["name"]] = ContainerLog(own / "log", clock=_now)
        folder = _existing(paths.real(spec.get("workingDir") or ""), self._node.working_folder)
        return await containers.start(
            spec,
            command,
            env=full,
            folder=folder,
            log=log,
            paths=paths,
            forks=self._node.forks,
            message_bytes=containers.message_bytes(self.pod),
        )

    async def _stop_containers(self) -> None:
        metadata, spec = self.pod["metadata"], self.pod["spec"]
        grace = spec.get("terminationGracePeriodSeconds")
        if metadata.get("deletionTimestamp"):
            grace = metadata.get("deletionGracePeriodSeconds", grace)
        if self._reason:  # as a kubelet does: the phase is final before the process has ended
            self._report("Failed")
        for name in self._running:
            self._event("Normal", "Killing", f"Stopping container {name}")
        seconds = 0.0 if self._vanished else float(_GRACE_SECONDS if grace is None else grace)
        await asyncio.gather(*(container.child.stop(seconds) for container in list(self._running.values())))

    def _set_deadline(self) -> None:
        """Set the timer of activeDeadlineSeconds, which begins with the pod's start on the node."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds is not None:
            left = seconds - (_now() - self._started).total_seconds()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, left), self._overdue)

    def _overdue(self) -> None:
        if not self._stopping.is_set():
            self._reason, self._message = "DeadlineExceeded", DEADLINE_MESSAGE
            self._event("Normal", "DeadlineExceeded", DEADLINE_MESSAGE)
            self._stopping.set()

    def _was_running(self) -> bool:
        """Whether an earlier process of the node started any container of the pod. No container is started twice."""
        return any(not isinstance(state, Waiting) for state in (self._reported | self._init_reported).values())

    def _fail_lost(self) -> None:
        """Fail the pod, whose processes ended with the previous process of the node."""
        self._init |= self._init_reported
        self._states |= self._reported
        if final_phase(list(self._init.values())) == "Succeeded":
            lost = Terminated(137, "ContainerStatusUnknown", _now(), message=LOST_MESSAGE)
            for name, state in self._states.items():
                self._states[name] = lost if isinstance(state, Waiting) else state
        self._end("Failed")

    async def _keep_fresh(self, mounter: Mounter, token: TokenFile) -> None:
        while True:
            await asyncio.sleep(max(_TOKEN_RETRY_SECONDS, (token.due - _now()).total_seconds()))
            with contextlib.suppress(ApiError):
                token = await mounter.refresh(token, now=_now())

    async def _remove(self) -> None:
        """Confirm the deletion, so that the object is removed when it has no finalizers."""
        metadata = self.pod["metadata"]
        pause = _HEAL_SECONDS
        while not self._vanished:
            try:
                await self._node.client.delete(
                    PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"], grace_seconds=0
                )
                return
            except ApiError as error:
                if error.code in (404, 409):
                    return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _HEAL_MAX_SECONDS)

    def _end(self, phase: str, *, reason: str = "", message: str = "") -> None:
        self._reason, self._message = reason, message
        self._report(phase)

    def _report(self, phase: str) -> None:
        if self._vanished:
            return
        state = PodState(
            phase, dict(self._states), self._started, self._address, dict(self._init), self._reason, self._message
        )
        self._writer.push(pod_status(self.pod, state, now=_now()))

    def _event(self, type_: str, reason: str, message: str) -> None:
        self._node.events.record(self.pod, type_, reason, message, now=_now())

    def _spawn_task(self, coroutine: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _kill(self) -> None:
        for container in self._running.values():
            container.child.send(signal.SIGKILL)
        for task in self._background:
            task.cancel()
        self._writer.close()

    @property
    def _volumes(self) -> Path:
        return self._folder / "volumes"

    @property
    def _address(self) -> str:
        return self._node.address


class _Objects:
    """Reads the objects that a pod refers to, when they are needed."""

    def __init__(self, client: Client, pod: Object) -> None:
        self._client = client
        self._namespace = pod["metadata"]["namespace"]

    async def config_map(self, name: str) -> Object | None:
        return await _or_none(self._client.get(CONFIG_MAPS, self._namespace, name))

    async def secret(self, name: str) -> Mapping[str, bytes] | None:
        found = await _or_none(self._client.get(SECRETS, self._namespace, name))
        if found is None:
            return None
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}


async def _or_none(request: Coroutine[object, object, Object]) -> Object | None:
    try:
        return await request
    except ApiError as error:
        if error.code == 404:
            return None
        raise


def _existing(wanted: str, otherwise: Path) -> Path:
    """Return `wanted` if that folder exists on this machine; a path of an image usually does not exist."""
    return Path(wanted) if wanted and Path(wanted).is_dir() else otherwise


def _unsupported(spec: Object) -> str:
    """Return why the pod can never run on this node, or an empty string."""
    policy = spec.get("restartPolicy", "Always")
    if policy != "Never":
        return f"restartPolicy {policy}: the process node restarts nothing, use Never"
    for container in spec.get("initContainers") or []:
        if container.get("restartPolicy"):
            return f"initContainers {container['name']}: the process node runs no sidecars, leave restartPolicy out"
    return ""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
