"""Pod statuses as a kubelet writes them: pure functions from container states to a status.

Messages, reasons and conditions follow statuses recorded from a kubelet 1.36.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from devcluster.client import Object
from devcluster.timestamps import timestamp

DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"
LOST_MESSAGE = "The container could not be located when the pod was terminated"
START_ERROR = 128
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not started: ContainerCreating, PodInitializing, CreateContainerConfigError."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    pid: int | None
    started: datetime.datetime


@dataclass(frozen=True, slots=True)
class Terminated:
    """Ended, or never started: for a kubelet, a StartError started in 1970."""

    exit_code: int
    reason: str
    finished: datetime.datetime
    started: datetime.datetime = _EPOCH
    message: str = ""
    pid: int | None = None


State = Waiting | Running | Terminated


@dataclass(frozen=True, slots=True)
class PodState:
    """The content of a status. `reason` and `message` are those of the pod, such as DeadlineExceeded."""

    phase: str
    containers: Mapping[str, State]
    started: datetime.datetime
    address: str
    init_containers: Mapping[str, State]
    reason: str = ""
    message: str = ""

    @property
    def terminal(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


def exit_state(
    returncode: int, *, pid: int, started: datetime.datetime, finished: datetime.datetime, message: str
) -> Terminated:
    """Return the state of an ended process; a signal is 128 plus its number, as in container runtimes."""
    code = 128 - returncode if returncode < 0 else returncode
    return Terminated(code, "Completed" if code == 0 else "Error", finished, started, message, pid)


def start_error(command: str, why: str, *, finished: datetime.datetime) -> Terminated:
    """Return the state of a container whose command could not be executed, with runc's message."""
    text = (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
        f'unable to start container process: exec: "{command}": {why}: unknown'
    )
    return Terminated(START_ERROR, "StartError", finished, message=text)


def after_restart(entries: Sequence[Object], *, now: datetime.datetime) -> dict[str, State]:
    """Return the states of containers after a restart of the node, which ended running ones. Other states are kept."""
    return {entry["name"]: _after_restart(entry.get("state") or {}, now) for entry in entries}


def _after_restart(state: Object, now: datetime.datetime) -> State:
    if ended := state.get("terminated"):
        pid = str(ended.get("containerID") or "").removeprefix("process://")
        return Terminated(
            ended["exitCode"],
            ended["reason"],
            datetime.datetime.fromisoformat(ended["finishedAt"]),
            datetime.datetime.fromisoformat(ended["startedAt"]),
            ended.get("message", ""),
            int(pid) if pid.isdigit() else None,
        )
    if "running" in state:
        return Terminated(137, "ContainerStatusUnknown", now, message=LOST_MESSAGE)
    waiting = state.get("waiting") or {}
    return Waiting(str(waiting.get("reason") or "ContainerCreating"), str(waiting.get("message") or ""))


def final_phase(states: Sequence[State]) -> str:
    """Return the phase of a pod whose containers have all ended (restartPolicy Never)."""
    return "Succeeded" if all(isinstance(state, Terminated) and state.exit_code == 0 for state in states) else "Failed"


def pod_status(pod: Object, state: PodState, *, now: datetime.datetime) -> Object:
    """Return the whole status; spec and previous conditions are those of `pod`."""
    generation = pod["metadata"].get("generation")
    addresses = [{"ip": state.address}]
    status: Object = {
        "phase": state.phase,
        "reason": state.reason or None,
        "message": state.message or None,
        "conditions": _conditions(pod, state, now),
        "startTime": timestamp(state.started),
        "hostIP": state.address,
        "hostIPs": addresses,
        "podIP": state.address,
        "podIPs": addresses,
        "containerStatuses": _container_statuses(pod["spec"].get("containers"), state.containers),
    }
    if state.init_containers:
        status["initContainerStatuses"] = _container_statuses(pod["spec"]["initContainers"], state.init_containers)
        for entry in status["initContainerStatuses"]:  # an init container that has completed is ready
            entry["ready"] = entry["state"].get("terminated", {}).get("exitCode") == 0
    if generation is not None:
        status["observedGeneration"] = generation
    return status


def _container_statuses(containers: Sequence[Object] | None, states: Mapping[str, State]) -> list[Object]:
    return [_container_status(container, states[container["name"]]) for container in containers or []]


def _container_status(container: Object, state: State) -> Object:
    status: Object = {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "lastState": {},
        "ready": isinstance(state, Running),
        "started": isinstance(state, Running),
        "restartCount": 0,
        "state": _state(state),
    }
    pid = None if isinstance(state, Waiting) else state.pid
    if pid is not None:
        status["containerID"] = f"process://{pid}"
    return status


def _state(state: State) -> Object:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        case Running(_, started):
            return {"running": {"startedAt": timestamp(started)}}
        case Terminated():
            body: Object = {
                "exitCode": state.exit_code,
                "reason": state.reason,
                "startedAt": timestamp(state.started),
                "finishedAt": timestamp(state.finished),
            }
            if state.message:
                body["message"] = state.message
            if state.pid is not None:
                body["containerID"] = f"process://{state.pid}"
            return {"terminated": body}


def _conditions(pod: Object, state: PodState, now: datetime.datetime) -> list[Object]:
    before = {entry["type"]: entry for entry in (pod.get("status") or {}).get("conditions") or []}
    generation = pod["metadata"].get("generation")
    ours = {
        "PodReadyToStartContainers": _can_start(state),
        "Initialized": _initialized(state),
        "Ready": _ready(state),
        "ContainersReady": _ready(state),
        "PodScheduled": (True, "", ""),
    }
    conditions = [entry for type_, entry in before.items() if type_ not in ours]
    for type_, (value, reason, message) in ours.items():
        status = "True" if value else "False"
        same = type_ in before and before[type_]["status"] == status
        condition: Object = {
            "type": type_,
            "status": status,
            "lastProbeTime": None,
            "lastTransitionTime": before[type_].get("lastTransitionTime") if same else timestamp(now),
        }
        condition |= {key: text for key, text in (("reason", reason), ("message", message)) if text}
        if generation is not None:
            condition["observedGeneration"] = generation
        conditions.append(condition)
    return conditions


def _can_start(state: PodState) -> tuple[bool, str, str]:
    creating = any(
        isinstance(container, Waiting) and container.reason == "ContainerCreating"
        for container in state.containers.values()
    )
    return not state.terminal and not creating, "", ""


def _initialized(state: PodState) -> tuple[bool, str, str]:
    incomplete = [
        name
        for name, container in state.init_containers.items()
        if not (isinstance(container, Terminated) and container.exit_code == 0)
    ]
    if incomplete:
        return False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(incomplete)}]"
    return True, "PodCompleted" if state.phase == "Succeeded" else "", ""


def _ready(state: PodState) -> tuple[bool, str, str]:
    if state.terminal:
        return False, "PodCompleted" if state.phase == "Succeeded" else "PodFailed", ""
    unready = [name for name, container in state.containers.items() if not isinstance(container, Running)]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""
