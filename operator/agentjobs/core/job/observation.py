"""All that is known about a job at one instant, as frozen values: what `decide` looks at.

`reconcile` fills it from its caches, and from its answers to the needs of `decide`. What has not been asked is None.
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
from agentjobs.api.job.status import AgentJobStatus, AttemptRecord, Lineage, Twin
from agentjobs.api.problems import Problem
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
from agentjobs.core.children import Refusal
from agentjobs.core.job.awaiting import Awaited
from agentjobs.core.pods.pod import Pod
from agentjobs.core.queues.admission import Answer
from agentjobs.durations import instant
from agentjobs.models.budget import Limits, Spend

_MAX_TTL = 2**31 - 1
DEFAULT_QUEUE = "agents"
MAX_UID = 63
_MAX_NAME = 253
_RETENTIONS = ("Keep", "KeepOnFailure", "Delete")
# What still counts of a finished job's spec. Most objects of a cluster are finished jobs, and the rest is most of them.
_KEPT_FIELDS = ("ttlSecondsAfterFinished", "cancel", "suspend")
_OF_A_SCHEDULE = (ANNOTATION_SCHEDULED_TIME, ANNOTATION_PREVIOUS_TIME)


@dataclass(frozen=True, slots=True)
class Job:
    """An AgentJob object: identity, raw spec, and the status as last written."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    created: datetime
    deleting: bool
    resume: str
    """Value of the annotation that ends a suspension, empty when there is none."""
    spec: object
    """`spec` as it stands in the object: it may be anything. Of a finished job only what still counts."""
    status: AgentJobStatus
    written: Mapping[str, Any] | None
    """What `status` was read from, for the patch that follows it; not kept of a finished job."""
    schedule: Mapping[str, str] = field(default_factory=dict)
    """The annotations with the times of its schedule, which the work may name; no other annotation is work."""
    made_by: str = ""
    """Name of the AgentSchedule whose job it is, empty for none."""
    made_by_uid: str = ""
    of_generation: int = 0
    """Generation of the schedule whose template it has; 0 for none, or when it was not written down."""
    replaced_by: str = ""
    """Name of the job for which its schedule cancelled it, empty for none."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """By which other jobs may wait for it."""
    parent_uid: str = ""
    """Of the job that it follows, empty for none."""
    told_lineage: Lineage | None = None
    """What its labels and annotations say of the jobs before it; None of a job that follows none."""
    # Of the status; kept, because one look at a job asks for them some fifty times.
    finished: bool = field(init=False)
    accepted: bool = field(init=False)
    active: AttemptRecord | None = field(init=False)
    """The start that is claimed and has not ended."""

    def __post_init__(self) -> None:
        conditions, history = self.status.conditions, self.status.attempt_history
        finished = is_true(conditions, ConditionType.FINISHED)
        last = history[-1] if history and history[-1].ended is None and not finished else None
        object.__setattr__(self, "finished", finished)
        object.__setattr__(self, "accepted", is_true(conditions, ConditionType.ACCEPTED))
        object.__setattr__(self, "active", last)

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def object(self) -> dict[str, Any]:
        """The object with what validation and resolution read of it."""
        metadata = {"namespace": self.namespace, "name": self.name, "uid": self.uid, "annotations": self.schedule}
        return {"metadata": metadata, "spec": self.spec}

    @property
    def raw_status(self) -> Mapping[str, Any]:
        """What the next status is compared with. A finished job's is made from its values: see `parse_job`."""
        return self.status.to_dict() if self.written is None else self.written

    @property
    def cancel(self) -> bool:
        """Whether the job is cancelled. Read from the raw spec, so that it works on an illegal one too."""
        return isinstance(self.spec, Mapping) and self.spec.get("cancel") is True

    @property
    def suspend(self) -> bool:
        """Whether the job is to be held."""
        return isinstance(self.spec, Mapping) and self.spec.get("suspend") is True

    @property
    def template(self) -> str | None:
        """Name of the template that it names; None for none."""
        reference = self.spec.get("templateRef") if isinstance(self.spec, Mapping) else None
        name = reference.get("name") if isinstance(reference, Mapping) else None
        return name if isinstance(name, str) else None

    @property
    def queues(self) -> frozenset[str]:
        """The queues that it may ask: where it waits or runs, and the one that its object names."""
        named = self.spec.get("queue") if isinstance(self.spec, Mapping) else None
        own = named if isinstance(named, str) and named else DEFAULT_QUEUE
        return frozenset({own, self.status.queue.name or own if self.status.queue else own})

    @property
    def follows_its_queue(self) -> bool:
        """Whether a change of its queue may concern the job though it does not wait there for its turn."""
        return self.active is not None or not self.accepted or is_true(self.status.conditions, ConditionType.SUSPENDED)

    @property
    def must_end(self) -> bool:
        """Whether its end was asked for. Deletion asks for it too, while other finalizers keep the object."""
        return self.cancel or self.deleting

    @property
    def must_stop(self) -> bool:
        """Whether no pod of it shall run, for good or for now."""
        return self.must_end or self.suspend

    @property
    def time_to_live(self) -> timedelta | None:
        """How long the object stays after the job's end, None: forever. Read from the raw spec, as `cancel`.

        What its template says instead stands in the status.
        """
        seconds = self.spec.get("ttlSecondsAfterFinished") if isinstance(self.spec, Mapping) else None
        if seconds is None and self.status.resolved is not None:
            seconds = self.status.resolved.ttl_seconds_after_finished
        return timedelta(seconds=seconds) if type(seconds) is int and 0 <= seconds <= _MAX_TTL else None

    @property
    def expires(self) -> datetime | None:
        """When its time to live is over; None without one, and before its end."""
        ttl, ended = self.time_to_live, self.status.completion_time
        return None if ttl is None or ended is None else ended + ttl

    @property
    def pod_retention(self) -> str:
        """What becomes of finished pods. Read from the raw spec, as `cancel`, and after it from the status."""
        runtime = self.spec.get("runtime") if isinstance(self.spec, Mapping) else None
        retention = runtime.get("podRetention") if isinstance(runtime, Mapping) else None
        if retention is None and self.status.resolved is not None:
            retention = self.status.resolved.pod_retention
        return retention if retention in _RETENTIONS else "Keep"

    @property
    def has_rules(self) -> bool:
        """Whether there may be rules about its endings, its own or its template's. Read from the raw spec."""
        if self.template is not None:
            return True
        policy = self.spec.get("resultPolicy") if isinstance(self.spec, Mapping) else None
        return bool(policy.get("rules") if isinstance(policy, Mapping) else policy)

    @property
    def is_observed(self) -> bool:
        """Whether all that the status says was said about the object as it is now."""
        said = (self.status.observed_generation, *(one.observed_generation for one in self.status.conditions))
        return not self.status.conditions or all(generation == self.generation for generation in said)

    @property
    def needs_result(self) -> bool:
        """Whether usage or answer are missing in the status of a finished job: Postgres was away when it ended."""
        status = self.status
        if status.phase is Phase.SUCCEEDED and (status.result is None or not status.result.ref):
            return True
        return status.starts > 0 and status.usage is None

    @property
    def lineage(self) -> Lineage | None:
        """The jobs before it; what was written down once stays, however its annotations are edited."""
        return self.status.lineage or self.told_lineage

    @property
    def needs_follow_ups(self) -> bool:
        """Whether jobs may have to be made that follow this one."""
        said = find_condition(self.status.conditions, ConditionType.FOLLOW_UPS_CREATED)
        if said is None or said.is_true:
            return False
        return not self.status.follow_ups or any(one.is_open for one in self.status.follow_ups)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due for the job before its time to live ends; its pods may still have our finalizer."""
        return self.finished and not self.needs_result and not self.needs_follow_ups and self.is_observed

    def says(self, condition: ConditionType, *, status: bool, reason: str) -> bool:
        """Whether the status already says exactly this."""
        found = find_condition(self.status.conditions, condition)
        return found is not None and found.is_true == status and found.reason == reason


def parse_job(obj: Mapping[str, Any]) -> Job:
    """Read an AgentJob object as the API server gives it.

    Most objects of a cluster are finished jobs, to which at most what was used is added. Of them the raw status and the
    work, almost all of their memory, are not kept.
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
        told_lineage=_lineage(meta.get("labels") or {}, annotations),
    )


def _lineage(labels: Mapping[str, Any], annotations: Mapping[str, Any]) -> Lineage | None:
    if not annotations.get(ANNOTATION_PARENT_UID):
        return None
    parent = str(labels.get(LABEL_PARENT, ""))[:_MAX_NAME]
    root = str(annotations.get(ANNOTATION_ROOT) or parent)[:_MAX_NAME]
    # Whoever removes the depth must not make the chain endless by it.
    depth = min(_number(annotations.get(ANNOTATION_DEPTH)) or MAX_COUNT, MAX_COUNT)
    return Lineage(root, parent, depth)


def _what_counts(spec: object) -> object:
    """What is still read of the spec of a job that has ended."""
    if not isinstance(spec, Mapping):
        return None
    kept = {name: spec[name] for name in _KEPT_FIELDS if name in spec}
    runtime = spec.get("runtime")
    if isinstance(runtime, Mapping) and "podRetention" in runtime:
        kept["runtime"] = {"podRetention": runtime["podRetention"]}
    return kept


def _number(text: object) -> int:
    """A number of up to 18 digits from an annotation, which anyone may have edited; 0 for anything else."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 18 else 0


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why the API server did not make a pod. `final` when the same pod will be refused again."""

    reason: str
    message: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class QueueStop:
    """Why a queue lets no job run, not even those that do: the reason of the suspension, and its message."""

    reason: SuspendedReason
    message: str


@dataclass(frozen=True, slots=True)
class TwinFound:
    """History's word, at this job's acceptance, that another job with its key stands in its place."""

    twin: Twin
    replaces: bool
    """Whether the other one took this one's place, which has had no start; else this one is a duplicate."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """How long the runner of a start has been silent; None when it is not known."""

    silence: timedelta | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a start got, in numbers of the job's recorded steps."""

    before: int = 0
    """Of the newest step when the start began, 0 for none."""
    last: int = 0
    """Of the newest step now."""
    name: str = ""
    """What that step is: the name of the model, the tool, the node or the value."""
    time: datetime | None = None
    """When it was recorded."""
    advanced: bool = False
    """Whether the start recorded steps that a later start can use."""


@dataclass(frozen=True, slots=True)
class FinalResult:
    """What history has of a job that ends: its final answer, and what its starts used, by `contract.USAGE`'s names.

    Of tokens and model calls the larger count: that of the recorded steps, or that of the calls through the proxy.
    """

    answer: Result | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    progress: Progress | None = None
    """Of its last start; None when it is not known."""
    cost: Decimal | None = None
    """What its model calls cost, in US dollars; None where none was made through the proxy."""


@dataclass(frozen=True, slots=True)
class ParentRecord:
    """What history has of a job that others follow."""

    resolved: Resolved | None
    """What it was accepted with; None of one that history does not know."""
    answer: Raw | None
    """All of its answer, however large, as text."""
    children: Mapping[str, str]
    """Uids of the jobs that follow it, by name; also of those that are gone."""


@dataclass(frozen=True, slots=True)
class Tried:
    """How many jobs of a follow-up exist or have existed, and why the others do not."""

    made: int
    job: str = ""
    """Name of one of them."""
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """One job and everything a decision about it may depend on."""

    job: Job
    spec: AgentJobSpec | None
    """What counts: the accepted spec with today's steering fields, or the object's own before acceptance."""
    unreadable: str = ""
    """What this version cannot read of the accepted spec, which a newer one stored; then there is no `spec`."""
    spec_known: bool = True
    """Whether `spec` is what was accepted, as far as history can tell; False when it has not been asked."""
    limits: Limits = field(default_factory=Limits)
    """What the job may spend, by today's spec and the installation."""
    without: str = ""
    """Why the template that it names cannot be used, until it is accepted; then there is no `spec`."""
    sources: Sources = field(default_factory=Sources)
    """What its work is made of beside `spec`, until it is accepted."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with the object's own spec."""
    pod_problems: tuple[Problem, ...] | None = None
    """What the API server has against the job's pod; None when it has not been asked."""
    pods: tuple[Pod, ...] = ()
    """Pods whose controller is this very job (by uid)."""
    queue_known: bool = True
    stop: QueueStop | None = None
    """Why its queue lets the job not run on; None when it may."""
    twin: TwinFound | None = None
    """Because of whom the job is not to start; None as long as history has not said so."""
    awaited: Awaited | None = None
    """The jobs of its `after`; None when they have not been asked."""
    references: frozenset[tuple[str, str]] = frozenset()
    """ConfigMap keys that the spec names, until the job is accepted."""
    missing: tuple[str, ...] | None = None
    """A sentence for each of them that is missing or cannot be used; None when they have not been read."""
    resolved: Resolved | None = None
    """What the job would run with their contents."""
    unknown_sinks: tuple[str, ...] = ()
    """Sinks that the spec names and the installation has not, until the job is accepted."""
    unpriced: tuple[str, ...] = ()
    """Why nobody can count the dollars of a job that is not accepted yet and has a limit in them, in sentences."""
    spent: Spend | None = None
    """What counts against the budget so far; None when it has not been asked."""
    exhausted: Mapping[str, datetime] | None = None
    """The models of which no call can be made now, and until when; None when it has not been asked."""
    models: frozenset[str] = frozenset()
    """The models that the spec's names stand for, where the installation tells which are at their limits."""
    slot: Answer | None = None
    history_available: bool = True
    obstacle: Obstacle | None = None
    """Why the active start's pod could not be made when that was tried last."""
    heartbeat: Heartbeat | None = None
    active_for: timedelta = timedelta.max
    """How long this operator has known the active start, with a pod that has no scheduling gates any more, by its
    monotonic clock: the wall clock may jump."""
    deleting_for: timedelta = timedelta(0)
    """How long the active start's pod has been Terminating, by this operator's monotonic clock."""
    stopped: str | None = None
    """Uid of the pod that this operator told to stop because the job or its queue asked for it."""
    end_recorded: bool | None = None
    """Whether the job's end is in Postgres; None when it has not been asked."""
    progress: Progress | None = None
    """Of the active start, asked at its end."""
    result: FinalResult | None = None
    follow_ups: tuple[FollowUp, ...] | None = None
    """Those that the job was accepted with; None when that is not known without asking."""
    record: ParentRecord | None = None
    """Of a job with follow-ups that has ended; None when it has not been asked."""
    tried: Mapping[str, Tried] = field(default_factory=dict)
    """What came of the follow-ups that were tried in this pass, by name."""
    depth: int = 0
    """How many jobs may come before one in a chain of follow-ups."""

    @property
    def must_stop(self) -> bool:
        """Whether no pod of the job shall run, for good or for now, by its own object or by its queue."""
        return self.job.must_stop or self.stop is not None

    @property
    def legal_spec(self) -> AgentJobSpec:
        """The spec of a job that has one: `holds.broken_spec` has passed it."""
        assert self.spec is not None
        return self.spec

    @property
    def known_progress(self) -> Progress | None:
        """How far the active start got, whichever answer says it."""
        return self.progress or (self.result.progress if self.result else None)

    @property
    def active_pod(self) -> Pod | None:
        active = self.job.active
        return next((pod for pod in self.pods if active and pod.start == active.start), None)
