"""The columns of `kubectl get pods`: READY, STATUS, RESTARTS and the wide columns.

STATUS is not the phase: the reasons of containers that wait, end or restart come first, those of init containers before
others. The rules are those of the pod printer of kube-apiserver 1.36.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Object = Mapping[str, Any]

_NONE: Final = "<none>"


@dataclass(frozen=True, slots=True)
class PodCells:
    """The cells of one pod; `wide` holds IP, node, nominated node and readiness gates."""

    ready: str
    reason: str
    restarts: str
    wide: tuple[str, str, str, str]


@dataclass(slots=True)
class _Tally:
    """The sum of the container statuses."""

    reason: str
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""
    initializing: bool = False

    def restarted(self, status: Object) -> None:
        self.restarts += int(status.get("restartCount") or 0)
        ended = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        self.last_restart = max(self.last_restart, ended)


def pod_cells(pod: Object, ago: Callable[[str], str]) -> PodCells:
    """Return the cells of a pod.

    Args:
        ago: returns the age of a timestamp.
    """
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = {
        container.get("name")
        for container in spec.get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }
    tally = _Tally(_first_reason(status))
    before = _init_containers(spec, status, sidecars, tally)
    if not tally.initializing or _is_true(status, "Initialized"):
        tally.restarts, tally.last_restart = before.restarts, before.last_restart
        _containers(status, tally)
    restarts = str(tally.restarts)
    if tally.restarts and tally.last_restart:
        restarts += f" ({ago(tally.last_restart)} ago)"
    total = len(spec.get("containers") or ()) + len(sidecars)
    return PodCells(f"{tally.ready}/{total}", _final_reason(pod, tally.reason), restarts, _wide(spec, status))


def _first_reason(status: Object) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            return "SchedulingGated"
    return str(status.get("reason") or status.get("phase") or "")


def _init_containers(spec: Object, status: Object, sidecars: set[Any], tally: _Tally) -> _Tally:
    """Count init containers up to the first unfinished one; return the counts of sidecars only."""
    restartable = _Tally("")
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        tally.restarted(container)
        is_sidecar = container.get("name") in sidecars
        if is_sidecar:
            restartable.restarted(container)
        state = container.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended is not None and not ended.get("exitCode"):
            continue
        if is_sidecar and container.get("started"):
            tally.ready += bool(container.get("ready"))
            continue
        if ended is not None:
            tally.reason = f"Init:{_end(ended)}"
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            tally.reason = f"Init:{waiting['reason']}"
        else:
            tally.reason = f"Init:{index}/{len(spec.get('initContainers') or ())}"
        tally.initializing = True
        break
    return restartable


def _containers(status: Object, tally: _Tally) -> None:
    has_running = False
    for container in reversed(status.get("containerStatuses") or ()):
        tally.restarted(container)
        state = container.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if waiting.get("reason"):
            tally.reason = waiting["reason"]
        elif ended is not None:
            tally.reason = _end(ended)
        elif container.get("ready") and state.get("running") is not None:
            has_running = True
            tally.ready += 1
    if tally.reason == "Completed" and has_running:
        tally.reason = "Running" if _is_true(status, "Ready") else "NotReady"


def _end(ended: Object) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _final_reason(pod: Object, reason: str) -> str:
    status = pod.get("status") or {}
    if not (pod.get("metadata") or {}).get("deletionTimestamp"):
        return reason
    if status.get("reason") == "NodeLost":
        return "Unknown"
    return reason if status.get("phase") in ("Succeeded", "Failed") else "Terminating"


def _is_true(status: Object, condition: str) -> bool:
    found = (each for each in status.get("conditions") or () if each.get("type") == condition)
    return any(each.get("status") == "True" for each in found)


def _wide(spec: Object, status: Object) -> tuple[str, str, str, str]:
    addresses = status.get("podIPs") or ()
    address = addresses[0].get("ip") if addresses else status.get("podIP")
    gates = [gate.get("conditionType") for gate in spec.get("readinessGates") or ()]
    passed = sum(1 for gate in gates if _is_true(status, gate))
    return (
        address or _NONE,
        spec.get("nodeName") or _NONE,
        status.get("nominatedNodeName") or _NONE,
        f"{passed}/{len(gates)}" if gates else _NONE,
    )
