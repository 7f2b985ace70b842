"""A pod as a value for decisions: whether it waits, runs, or how it ended.

Statuses come from kubelets of many versions and possibly from other clients that may patch pods: everything is read
tolerantly, and a missing value is never an error.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from sys import intern
from typing import Any

from agentjobs.contract import (
    ANNOTATION_BUDGET,
    ANNOTATION_SESSION,
    ANNOTATION_WORKTREE,
    FINALIZER,
    LABEL_JOB,
    LABEL_QUEUE,
    LABEL_RELEASED,
    MAX_REASON_CHARS,
    PUBLISH_CONTAINER,
    TerminationMessage,
    controller_of,
    cut,
    start_of,
)
from agentjobs.core.pods.stages import Stage, Terminated, as_map, read_stages, waiting_state
from agentjobs.durations import instant

MAX_GRACE = 10**9  # seconds; an API server accepts any number, a timedelta does not


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why no container runs yet, as reported by kubelet or scheduler."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a job. `job` is the AgentJob that controls it, by owner reference, because labels can be edited."""

    namespace: str
    name: str
    uid: str
    resource_version: str = field(compare=False)
    """Not compared: two states of a pod are equal if nothing that is read of it differs."""
    job: str
    """Name of the AgentJob that controls it, or else in its label."""
    label: str
    """Its label's value, by which it is watched; empty if it is no longer watched."""
    owner_uid: str | None
    start: int | None
    queue: str
    session: tuple[str, str, str] | None
    """Its session, from its annotation."""
    budget: str
    """Its job's budget when it was created, from its annotation; empty for no limit."""
    created: datetime
    phase: str
    reason: str
    message: str
    conditions: tuple[tuple[str, str, str], ...]
    """Type, status and reason of each condition."""
    disruption: str | None
    """Reason of a true DisruptionTarget condition."""
    deletion: datetime | None
    """When the pod should be gone: the deletion request plus the grace period."""
    grace: timedelta | None
    """The grace period of its deletion."""
    has_finalizer: bool
    """Whether it has our finalizer."""
    finalizers: tuple[str, ...]
    node: str
    stages: tuple[Stage, ...]
    """Its AgentJobs containers, in the order in which they run."""
    waiting: Waiting | None
    """Why the next container does not run yet."""
    gates: tuple[str, ...] = ()
    """Its scheduling gates, which prevent scheduling."""
    worktree: str = ""
    """The claim of its Named worktree, from its annotation; empty for none."""
    # Derived from the stages once, because each pass over its job reads them several times.
    stage: Stage = field(init=False)
    """The decisive container: the first that is not done, or the last."""
    ended: bool = field(init=False)
    """Whether all our containers have ended, although a sidecar may keep the pod's phase at Running.

    A kubelet writes Failed and DeadlineExceeded while the container is still in its grace period, in which the runner
    may store a result.
    """

    def __post_init__(self) -> None:
        stage = next((stage for stage in self.stages if not stage.is_done), self.stages[-1])
        is_over = self.phase in ("Succeeded", "Failed") and not self.container_runs
        object.__setattr__(self, "stage", stage)
        object.__setattr__(self, "ended", stage.terminated is not None or is_over)

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def finalizer_removal(self) -> dict[str, Any]:
        """Return the merge patch that removes our finalizer from this pod, if it did not change since.

        It also labels an ended pod as released, which ends the watch, and clears its managed fields: no client applies
        to it any more, and without them this write costs an API server half. A running pod keeps its session.
        """
        # A merge patch replaces the list, so other finalizers are included, as of the given resourceVersion.
        kept = [finalizer for finalizer in self.finalizers if finalizer != FINALIZER]
        meta = {"uid": self.uid, "resourceVersion": self.resource_version, "finalizers": kept or None}
        released = {"labels": {LABEL_RELEASED: "true"}, "managedFields": [{}]}
        return {"metadata": {**meta, **released} if self.ended else meta}

    @property
    def publishes(self) -> bool:
        """Whether a container follows the runner's, whose report is needed for a success."""
        return self.stages[-1].name == PUBLISH_CONTAINER

    @property
    def container_started(self) -> datetime | None:
        """When our first container began; None if none has."""
        return next((stage.started for stage in self.stages if stage.started is not None), None)

    @property
    def container_runs(self) -> bool:
        """Whether one of our containers runs."""
        return any(stage.runs for stage in self.stages)

    @property
    def terminated(self) -> Terminated | None:
        """How the decisive container ended; None if it has not."""
        return self.stage.terminated

    @property
    def waits_since(self) -> datetime | None:
        """When the container before the next one ended; None if the next is the first."""
        done = [stage.terminated.finished for stage in self.stages if stage.is_done and stage.terminated]
        return done[-1] if done else None

    def word_of(self, name: str) -> TerminationMessage | None:
        """Return a container's own report of its end, if it is about this start."""
        ended = next((stage.terminated for stage in self.stages if stage.name == name), None)
        if ended is None:
            return None
        word = TerminationMessage.load(ended.message)
        # A runner that never reached the gateway does not have its job's uid; the pod is bound to the job anyway.
        return word if word and word.uid in ("", self.owner_uid) and word.start == self.start else None


def parse_pod(obj: Mapping[str, Any]) -> Pod:
    """Parse a raw pod. Malformed status fields count as absent."""
    meta, spec, status = (as_map(obj.get(part)) for part in ("metadata", "spec", "status"))
    labels, annotations = as_map(meta.get("labels")), as_map(meta.get("annotations"))
    label, owner = str(labels.get(LABEL_JOB, "")), controller_of(meta, "AgentJob")
    job = label if owner is None else owner.name
    name, finalizers = str(meta.get("name", "")), _list(meta.get("finalizers"))
    stages, conditions = read_stages(spec, status), _conditions(status)
    return Pod(
        namespace=str(meta.get("namespace", "")),
        name=name,
        uid=str(meta.get("uid", "")),
        resource_version=str(meta.get("resourceVersion", "")),
        job=job,
        label="" if LABEL_RELEASED in labels else label,
        owner_uid=None if owner is None else owner.uid,
        start=start_of(name, job),
        queue=str(labels.get(LABEL_QUEUE, "")),
        session=_session(annotations.get(ANNOTATION_SESSION)),
        # Shared, because most pods have the same.
        budget=intern(str(annotations.get(ANNOTATION_BUDGET) or "")),
        created=instant(meta.get("creationTimestamp")) or datetime.fromtimestamp(0, UTC),
        phase=str(status.get("phase", "")),
        reason=str(status.get("reason") or ""),
        message=str(status.get("message") or ""),
        conditions=conditions,
        disruption=_disruption(conditions),
        deletion=instant(meta.get("deletionTimestamp")),
        grace=_grace(meta.get("deletionGracePeriodSeconds")),
        has_finalizer=FINALIZER in finalizers,
        finalizers=tuple(map(str, finalizers)),
        node=str(spec.get("nodeName") or ""),
        stages=stages,
        waiting=_waiting(status, stages),
        gates=tuple(str(as_map(gate).get("name")) for gate in _list(spec.get("schedulingGates"))),
        worktree=intern(str(annotations.get(ANNOTATION_WORKTREE) or "")),
    )


def _grace(seconds: object) -> timedelta | None:
    return timedelta(seconds=seconds) if type(seconds) is int and 0 <= seconds < MAX_GRACE else None


def _session(noted: object) -> tuple[str, str, str] | None:
    return _noted_session(noted) if isinstance(noted, str) else None


@functools.lru_cache(maxsize=8192)
def _noted_session(noted: str) -> tuple[str, str, str] | None:
    try:
        app, user, session = json.loads(noted)
    except (ValueError, TypeError, RecursionError):
        return None
    return str(app), str(user), str(session)


def _conditions(status: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    found = map(as_map, _list(status.get("conditions")))
    return tuple(
        (str(condition.get("type")), str(condition.get("status")), str(condition.get("reason") or ""))
        for condition in found
    )


def _disruption(conditions: tuple[tuple[str, str, str], ...]) -> str | None:
    for kind, status, reason in conditions:
        if kind == "DisruptionTarget" and status == "True":
            return reason or kind
    return None


def _waiting(status: Mapping[str, Any], stages: tuple[Stage, ...]) -> Waiting | None:
    if status.get("phase") != "Pending":
        return None
    following = next((stage.name for stage in stages if not stage.is_done), None)
    if following is not None and (waiting := waiting_state(status, following)):
        return _waiting_for(waiting, "ContainerCreating")
    for condition in map(as_map, _list(status.get("conditions"))):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return _waiting_for(condition, "Unschedulable")
    return None


def _waiting_for(state: Mapping[str, Any], reason: str) -> Waiting:
    """Return a kubelet's or scheduler's message, shortened for a condition."""
    return Waiting(str(state.get("reason") or reason)[:MAX_REASON_CHARS], cut(str(state.get("message") or ""), 900))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
