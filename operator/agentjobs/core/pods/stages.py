"""The AgentJobs containers of a pod, in the order in which they run, from the pod's status.

Most pods have one: the runner's. With a workspace, one container clones before it, and another may publish after it;
then the runner's is an init container. A container begins when the previous one has exited with 0; after any other exit
code no further one begins. Pure, a part of `pod`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentjobs.contract import CLONE_CONTAINER, PUBLISH_CONTAINER, RUNNER_CONTAINER
from agentjobs.durations import instant


@dataclass(frozen=True, slots=True)
class Terminated:
    """How a container ended."""

    exit_code: int
    reason: str
    message: str
    finished: datetime | None


@dataclass(frozen=True, slots=True)
class Stage:
    """One AgentJobs container."""

    name: str
    started: datetime | None = None
    runs: bool = False
    terminated: Terminated | None = None

    @property
    def is_done(self) -> bool:
        """Whether it has finished, so that the next one begins."""
        return self.terminated is not None and self.terminated.exit_code == 0


def read_stages(spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[Stage, ...]:
    """Read our containers, of which there is at least the runner's."""
    if spec.get("containers") and not spec.get(
        "initContainers"
    ):  # fast path for most pods, because every event is parsed
        only = next(
            (
                container
                for container in _list(status.get("containerStatuses"))
                if _is_named(container, RUNNER_CONTAINER)
            ),
            None,
        )
        return (_stage(RUNNER_CONTAINER, state_of(only)),)
    first, last = _named(spec.get("initContainers")), _named(spec.get("containers"))
    if not last:
        first, last = _named(status.get("initContainerStatuses")), _named(status.get("containerStatuses"))
    names = [RUNNER_CONTAINER]
    if CLONE_CONTAINER in first:
        names.insert(0, CLONE_CONTAINER)
    # By position: a sidecar added by a webhook may have any name.
    if RUNNER_CONTAINER in first:
        names.append(PUBLISH_CONTAINER)
    statuses = {**_named(status.get("containerStatuses")), **_named(status.get("initContainerStatuses"))}
    return tuple(_stage(name, state_of(statuses.get(name))) for name in names)


def waiting_state(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the raw waiting state of a container; empty if it does not wait."""
    for field in ("initContainerStatuses", "containerStatuses"):
        if (found := _named(status.get(field)).get(name)) is not None:
            return as_map(state_of(found).get("waiting"))
    return {}


def state_of(container: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the state in a container's status."""
    return as_map(as_map(container).get("state"))


def _stage(name: str, state: Mapping[str, Any]) -> Stage:
    ended = as_map(state.get("terminated"))
    return Stage(name, _started(state, ended), bool(state.get("running")), _terminated(ended) if ended else None)


def _terminated(state: Mapping[str, Any]) -> Terminated:
    code = state.get("exitCode")
    return Terminated(
        exit_code=code if isinstance(code, int) else -1,
        reason=str(state.get("reason") or ""),
        message=str(state.get("message") or ""),
        finished=instant(state.get("finishedAt")),
    )


def _started(state: Mapping[str, Any], ended: Mapping[str, Any]) -> datetime | None:
    # A container that could not be created is reported as started at the epoch (seen with StartError).
    began = instant(as_map(state.get("running")).get("startedAt")) or instant(ended.get("startedAt"))
    return None if began is None or began.year < 1980 or ended.get("reason") == "StartError" else began


def _named(containers: object) -> dict[str, Mapping[str, Any]]:
    """Return containers, or their statuses, by name."""
    return {str(item.get("name")): item for item in _list(containers) if isinstance(item, Mapping)}


def _is_named(container: object, name: str) -> bool:
    return isinstance(container, Mapping) and container.get("name") == name


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def as_map(value: object) -> Mapping[str, Any]:
    """Return a JSON object, or an empty one for anything else."""
    # dict first: a check against an abstract class is slow, and each event needs dozens of checks.
    return value if isinstance(value, (dict, Mapping)) else {}
