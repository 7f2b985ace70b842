"""All known facts about a job at one instant, as frozen values: the input of `decide`.

`reconcile` fills it from its caches and from answers to needs. Facts that were not read are None.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec import Raw

from agentjobs.api.conditions import ConditionType, Phase, SuspendedReason, find_condition, is_true
from agentjobs.api.job.relations import FollowUp
from agentjobs.api.job.resolve import Sources
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.status import AgentJobStatus, AttemptRecord, EqualJob, Lineage
from agentjobs.api.problems import FieldProblem
from agentjobs.api.raw_status import MAX_COUNT, MAX_RESUME
from agentjobs.contract import (
    ANNOTATION_DEPTH,
    ANNOTATION_PARENT_UID,
    ANNOTATION_PREVIOUS_TIME,
    ANNOTATION_REPLACED_BY,
    ANNOTATION_RESUME,
    ANNOTATION_ROOT,
    ANNOTATION_SCHEDULE_GENERATION,
    ANNOTATION_SCHEDULED_TIME,
    LABEL_PARENT,
    Resolved,
    Result,
    controller_of,
)
from agentjobs.core.children import ChildRefusal
from agentjobs.core.job.awaiting import Awaited
from agentjobs.core.pods.pod import Pod
from agentjobs.core.queues.admission import AdmissionAnswer
from agentjobs.durations import instant
from agentjobs.models.budget import Limits, Spend

_MAX_TTL = 2**31 - 1
DEFAULT_QUEUE = "agents"
MAX_UID = 63
_MAX_NAME = 253
_RETENTIONS = ("Keep", "KeepOnFailure", "Delete")
# The fields of a finished job's spec that are kept, to save memory: most objects of a cluster are finished jobs.
_KEPT_FIELDS = ("ttlSecondsAfterFinished", "cancel", "suspend")
_OF_A_SCHEDULE = (ANNOTATION_SCHEDULED_TIME, ANNOTATION_PREVIOUS_TIME)


@dataclass(frozen=True, slots=True)
class Job:
    """An AgentJob object: identity, raw spec, and last written status."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    created: datetime
    deleting: bool
    resume: str
    """Value of the annotation that ends a suspension, or empty."""
    spec: object
    """The object's raw `spec`, of any form; reduced for finished jobs."""
    status: AgentJobStatus
    written: Mapping[str, Any] | None
    """The raw status, for the next patch; not kept for finished jobs."""
    schedule: Mapping[str, str] = field(default_factory=dict)
    """The annotations with the times of its schedule, which texts may use."""
    made_by: str = ""
    """Name of its AgentSchedule, if any."""
    made_by_uid: str = ""
    of_generation: int = 0
    """Generation of the schedule that it was created from; 0 if none or unknown."""
    replaced_by: str = ""
    """Name of the job that replaced it, if its schedule cancelled it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Its labels, by which other jobs may wait for it."""
    parent_uid: str = ""
    """Uid of the job that it follows, if any."""
    declared_lineage: Lineage | None = None
    """Its lineage, from labels and annotations; None if it is not a follow-up."""
    # Derived from status and spec once, because one pass reads them about fifty times.
    finished: bool = field(init=False)
    accepted: bool = field(init=False)
    active: AttemptRecord | None = field(init=False)
    """The start that is claimed and has not ended."""
    template: str | None = field(init=False)
    """Name of its template, or None."""
    cancel: bool = field(init=False)
    """Whether the job is cancelled. Read from the raw spec, so that it works with an invalid spec too."""
    suspend: bool = field(init=False)
    """Whether the job must be suspended."""

    def __post_init__(self) -> None:
        conditions, history = self.status.conditions, self.status.attempt_history
        finished = is_true(conditions, ConditionType.FINISHED)
        last = history[-1] if history and history[-1].ended is None and not finished else None
        object.__setattr__(self, "finished", finished)
        object.__setattr__(self, "accepted", is_true(conditions, ConditionType.ACCEPTED))
        object.__setattr__(self, "active", last)
        spec: Mapping[str, Any] = self.spec if isinstance(self.spec, Mapping) else {}
        object.__setattr__(self, "template", _template_of(spec))
        object.__setattr__(self, "cancel", spec.get("cancel") is True)
        object.__setattr__(self, "suspend", spec.get("suspend") is True)

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def object(self) -> dict[str, Any]:
        """The object, reduced to what validation and resolution read."""
        metadata = {"namespace": self.namespace, "name": self.name, "uid": self.uid, "annotations": self.schedule}
        return {"metadata": metadata, "spec": self.spec}

    @property
    def raw_status(self) -> Mapping[str, Any]:
        """The raw status to compare the next one with. For finished jobs it is rebuilt from values: see `parse_job`."""
        return self.status.to_dict() if self.written is None else self.written

    @property
    def queues(self) -> frozenset[str]:
        """Its possible queues: where it waits or runs, and the one that its object names."""
        named = self.spec.get("queue") if isinstance(self.spec, Mapping) else None
        own = named if isinstance(named, str) and named else DEFAULT_QUEUE
        return frozenset({own, self.status.queue.name or own if self.status.queue else own})

    @property
    def follows_its_queue(self) -> bool:
        """Whether a change of its queue may affect the job although it does not wait for a slot."""
        return self.active is not None or not self.accepted or is_true(self.status.conditions, ConditionType.SUSPENDED)

    @property
    def must_end(self) -> bool:
        """Whether its end was requested, also by deletion while other finalizers keep the object."""
        return self.cancel or self.deleting

    @property
    def must_stop(self) -> bool:
        """Whether no pod of it may run, permanently or for now."""
        return self.must_end or self.suspend

    @property
    def time_to_live(self) -> timedelta | None:
        """How long the object is kept after the job's end; None: forever. Read from the raw spec, like `cancel`.

        The template's value is in the status.
        """
        seconds = self.spec.get("ttlSecondsAfterFinished") if isinstance(self.spec, Mapping) else None
        if seconds is None and self.status.resolved is not None:
            seconds = self.status.resolved.ttl_seconds_after_finished
        return timedelta(seconds=seconds) if type(seconds) is int and 0 <= seconds <= _MAX_TTL else None

    @property
    def expires(self) -> datetime | None:
        """When its TTL expires; None without one, and before its end."""
        ttl, ended = self.time_to_live, self.status.completion_time
        return None if ttl is None or ended is None else ended + ttl

    @property
    def pod_retention(self) -> str:
        """What happens to finished pods. Read from the raw spec, like `cancel`, else from the status."""
        runtime = self.spec.get("runtime") if isinstance(self.spec, Mapping) else None
        retention = runtime.get("podRetention") if isinstance(runtime, Mapping) else None
        if retention is None and self.status.resolved is not None:
            retention = self.status.resolved.pod_retention
        return retention if retention in _RETENTIONS else "Keep"

    @property
    def has_rules(self) -> bool:
        """Whether it may have rules for endings, its own or its template's. Read from the raw spec."""
        if self.template is not None:
            return True
        policy = self.spec.get("resultPolicy") if isinstance(self.spec, Mapping) else None
        return bool(policy.get("rules") if isinstance(policy, Mapping) else policy)

    @property
    def is_observed(self) -> bool:
        """Whether the status is about the object's current generation."""
        generations = (
            self.status.observed_generation,
            *(condition.observed_generation for condition in self.status.conditions),
        )
        return not self.status.conditions or all(generation == self.generation for generation in generations)

    @property
    def needs_result(self) -> bool:
        """Whether the status of a finished job lacks usage or answer, because Postgres was unreachable at its end."""
        status = self.status
        if status.phase is Phase.SUCCEEDED and (status.result is None or not status.result.ref):
            return True
        return status.starts > 0 and status.usage is None

    @property
    def lineage(self) -> Lineage | None:
        """The jobs before it; once in the status, edits of annotations do not change it."""
        return self.status.lineage or self.declared_lineage

    @property
    def needs_follow_ups(self) -> bool:
        """Whether follow-up jobs may have to be created."""
        condition = find_condition(self.status.conditions, ConditionType.FOLLOW_UPS_CREATED)
        if condition is None or condition.is_true:
            return False
        return not self.status.follow_ups or any(follow_up.is_open for follow_up in self.status.follow_ups)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due for the job before its TTL expires; its pods may still have our finalizer."""
        return self.finished and not self.needs_result and not self.needs_follow_ups and self.is_observed

    def has_condition(self, condition: ConditionType, *, status: bool, reason: str) -> bool:
        """Whether the status already has exactly this condition."""
        found = find_condition(self.status.conditions, condition)
        return found is not None and found.is_true == status and found.reason == reason


def parse_job(obj: Mapping[str, Any]) -> Job:
    """Parse a raw AgentJob.

    Most objects of a cluster are finished jobs, whose status changes at most in usage. Their raw status and work, which
    take almost all of the memory, are not kept.
    """
    meta = obj["metadata"]
    status = AgentJobStatus.parse(obj.get("status"))
    finished = is_true(status.conditions, ConditionType.FINISHED)
    annotations = meta.get("annotations") or {}
    schedule = controller_of(meta, "AgentSchedule")
    return Job(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        generation=meta.get("generation", 0),
        created=instant(meta.get("creationTimestamp")) or datetime.fromtimestamp(0, UTC),
        deleting=meta.get("deletionTimestamp") is not None,
        resume=str(annotations.get(ANNOTATION_RESUME, ""))[:MAX_RESUME],
        spec=_what_counts(obj.get("spec")) if finished else obj.get("spec"),
        status=status,
        written=None if finished else obj.get("status") or {},
        schedule={name: annotations[name] for name in _OF_A_SCHEDULE if name in annotations},
        made_by=schedule.name if schedule else "",
        made_by_uid=schedule.uid if schedule else "",
        of_generation=_number(annotations.get(ANNOTATION_SCHEDULE_GENERATION)),
        replaced_by=str(annotations.get(ANNOTATION_REPLACED_BY, ""))[:63],
        labels=meta.get("labels") or {},
        parent_uid=str(annotations.get(ANNOTATION_PARENT_UID) or "")[:MAX_UID],
        declared_lineage=_lineage(meta.get("labels") or {}, annotations),
    )


def _template_of(spec: Mapping[str, Any]) -> str | None:
    reference = spec.get("templateRef")
    name = reference.get("name") if isinstance(reference, Mapping) else None
    return name if isinstance(name, str) else None


def _lineage(labels: Mapping[str, Any], annotations: Mapping[str, Any]) -> Lineage | None:
    if not annotations.get(ANNOTATION_PARENT_UID):
        return None
    parent = str(labels.get(LABEL_PARENT, ""))[:_MAX_NAME]
    root = str(annotations.get(ANNOTATION_ROOT) or parent)[:_MAX_NAME]
    # Removing the annotation must not make the chain endless.
    depth = min(_number(annotations.get(ANNOTATION_DEPTH)) or MAX_COUNT, MAX_COUNT)
    return Lineage(root, parent, depth)


def _what_counts(spec: object) -> object:
    """Return the part of a finished job's spec that is still read."""
    if not isinstance(spec, Mapping):
        return None
    kept = {name: spec[name] for name in _KEPT_FIELDS if name in spec}
    runtime = spec.get("runtime")
    if isinstance(runtime, Mapping) and "podRetention" in runtime:
        kept["runtime"] = {"podRetention": runtime["podRetention"]}
    return kept


def _number(text: object) -> int:
    """Parse a number of up to 18 digits from an annotation, which users may edit; 0 for anything else."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 18 else 0


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why the API server did not create a pod. `final` if a retry would be refused too."""

    reason: str
    message: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class QueueStop:
    """Why a queue suspends its running jobs: reason and message of the suspension."""

    reason: SuspendedReason
    message: str


@dataclass(frozen=True, slots=True)
class EqualJobFound:
    """Another job with the same key, found in history when this job was accepted."""

    job: EqualJob
    replaces: bool
    """Whether the other job replaced this one before its first start; else this one is a duplicate."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """How long the runner of a start has not reported; None if unknown."""

    silence: timedelta | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a start got, in numbers of the job's recorded steps."""

    before: int = 0
    """The newest step when the start began, 0 if none."""
    last: int = 0
    """The newest step now."""
    name: str = ""
    """Name of that step's model, tool, node or value."""
    time: datetime | None = None
    """When it was recorded."""
    advanced: bool = False
    """Whether the start recorded steps that a later start can use."""


@dataclass(frozen=True, slots=True)
class FinalResult:
    """History's data about a job that ends: its final answer, and the usage of its starts, by `contract.USAGE`'s names.

    Tokens and model calls are the larger of two counts: recorded steps, and calls through the proxy.
    """

    answer: Result | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    progress: Progress | None = None
    """Progress of its last start; None if unknown."""
    cost: Decimal | None = None
    """Cost of its model calls in US dollars; None if none was made through the proxy."""


@dataclass(frozen=True, slots=True)
class ParentRecord:
    """History's data about a job with follow-ups."""

    resolved: Resolved | None
    """The accepted spec; None if history does not have the job."""
    answer: Raw | None
    """Its complete answer as text."""
    children: Mapping[str, str]
    """Uids of its follow-up jobs by name, including deleted ones."""


@dataclass(frozen=True, slots=True)
class Tried:
    """How many jobs of a follow-up exist or existed, and why the others were not created."""

    made: int
    job: str = ""
    """Name of one of them."""
    refusal: ChildRefusal | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """One job and everything that a decision about it depends on."""

    job: Job
    spec: AgentJobSpec | None
    """The effective spec: the accepted one with current steering fields, or the object's own before acceptance."""
    unreadable: str = ""
    """The fields of a newer version's accepted spec that this version cannot read; then `spec` is None."""
    spec_known: bool = True
    """Whether `spec` is the accepted one according to history; False if it was not read."""
    limits: Limits = field(default_factory=Limits)
    """What the job may spend, by the current spec and the installation."""
    without: str = ""
    """Why its template cannot be used, before acceptance; then `spec` is None."""
    sources: Sources = field(default_factory=Sources)
    """The inputs of its work in addition to `spec`, before acceptance."""
    problems: tuple[FieldProblem, ...] = ()
    """Problems of the object's own spec."""
    pod_problems: tuple[FieldProblem, ...] | None = None
    """Why the API server rejects the job's pod; None if it was not tried."""
    pods: tuple[Pod, ...] = ()
    """Pods whose controller is this job, by uid."""
    queue_known: bool = True
    stop: QueueStop | None = None
    """Why its queue suspends running jobs; None if it does not."""
    equal_job: EqualJobFound | None = None
    """The job that prevents this one from starting, as found in history, or None."""
    awaited: Awaited | None = None
    """The jobs of its `after`; None if they were not read."""
    references: frozenset[tuple[str, str]] = frozenset()
    """ConfigMap keys that the spec names, before acceptance."""
    missing: tuple[str, ...] | None = None
    """A sentence for each key that is missing or cannot be used; None if they were not read."""
    resolved: Resolved | None = None
    """The resolved spec with their contents."""
    unknown_sinks: tuple[str, ...] = ()
    """Sinks that the spec names and the installation does not define, before acceptance."""
    unpriced: tuple[str, ...] = ()
    """Why the costs of a job with a limit in dollars cannot be counted, before acceptance, in sentences."""
    spent: Spend | None = None
    """What was spent of the budget; None if it was not read."""
    exhausted: Mapping[str, datetime] | None = None
    """The models that cannot be called now, and until when; None if they were not read."""
    models: frozenset[str] = frozenset()
    """The models of the spec, if the installation reports which are at their limits."""
    slot: AdmissionAnswer | None = None
    history_available: bool = True
    obstacle: Obstacle | None = None
    """Why the last attempt to create the active start's pod failed."""
    heartbeat: Heartbeat | None = None
    active_for: timedelta = timedelta.max
    """How long this operator has seen the active start, without scheduling gates on its pod, by its monotonic clock:
    the wall clock may jump."""
    deleting_for: timedelta = timedelta(0)
    """How long the active start's pod has been Terminating, by this operator's monotonic clock."""
    stopped: str | None = None
    """Uid of the pod that this operator stopped on request of the job or its queue."""
    end_recorded: bool | None = None
    """Whether the job's end is in Postgres; None if it was not read."""
    progress: Progress | None = None
    """Progress of the active start, read at its end."""
    result: FinalResult | None = None
    follow_ups: tuple[FollowUp, ...] | None = None
    """The accepted follow-ups; None if they are only in history."""
    record: ParentRecord | None = None
    """History's data about a finished job with follow-ups; None if it was not read."""
    tried: Mapping[str, Tried] = field(default_factory=dict)
    """Results of the follow-ups that were tried in this pass, by name."""
    depth: int = 0
    """Maximum number of jobs before one in a chain of follow-ups."""

    @property
    def must_stop(self) -> bool:
        """Whether no pod of the job may run, permanently or for now, by its own object or by its queue."""
        return self.job.must_stop or self.stop is not None

    @property
    def legal_spec(self) -> AgentJobSpec:
        """The spec of a job that passed `holds.broken_spec`."""
        assert self.spec is not None
        return self.spec

    @property
    def known_progress(self) -> Progress | None:
        """Progress of the active start, from either answer."""
        return self.progress or (self.result.progress if self.result else None)

    @property
    def active_pod(self) -> Pod | None:
        active = self.job.active
        return next((pod for pod in self.pods if active and pod.start == active.start), None)
