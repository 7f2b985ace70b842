"""An AgentSchedule as a value, and its plan: the parsed spec of a generation."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from agentjobs.api.problems import FieldProblem, rejection
from agentjobs.api.raw_status import MAX_RESUME
from agentjobs.api.schedule.cron import Cron, parse_cron
from agentjobs.api.schedule.spec import AgentScheduleSpec
from agentjobs.api.schedule.status import ActiveReason, AgentScheduleStatus
from agentjobs.api.schedule.validation import NEVER, of_template, timing_problems, validate_schedule
from agentjobs.contract import ANNOTATION_RESUME, ANNOTATION_TRIGGER
from agentjobs.durations import instant

_ANY_WORK = {"agent": {"module": {"ref": "template"}}, "input": {"message": "template"}}
ON_TIME = timedelta(seconds=60)
"""A job created within this time is on time: a new leader takes over sooner, and cron has no smaller unit."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """An AgentSchedule object: identity, raw spec, and last written status."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    created: datetime
    deleting: bool
    trigger: str
    """Value of the annotation that requests a job now, or empty."""
    resume: str
    """Value of the annotation that ends a halt after failures, or empty."""
    spec: object
    """The raw `spec`, of any type."""
    status: AgentScheduleStatus
    raw_status: Mapping[str, Any]
    """The raw status, for the next patch."""

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    def is_idle(self, now: datetime) -> bool:
        """Whether, by the status, nothing is due before the next time: no edit, request or unfinished job.

        Does not parse the spec. A wrong result only makes the schedule wait behind those that are not idle.
        """
        status = self.status
        requests = ((self.trigger, status.last_trigger), (self.resume, status.last_resume))
        return (
            status.observed_generation == self.generation
            and not status.active
            and all(requested in ("", done) for requested, done in requests)
            and (status.next_schedule_time is None or status.next_schedule_time > now)
        )


def parse_schedule(obj: Mapping[str, Any]) -> Schedule:
    """Parse a raw AgentSchedule."""
    meta = obj["metadata"]
    annotations = meta.get("annotations") or {}
    return Schedule(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        generation=meta.get("generation", 0),
        created=instant(meta.get("creationTimestamp")) or datetime.fromtimestamp(0, UTC),
        deleting=meta.get("deletionTimestamp") is not None,
        trigger=str(annotations.get(ANNOTATION_TRIGGER, ""))[:MAX_RESUME],
        resume=str(annotations.get(ANNOTATION_RESUME, ""))[:MAX_RESUME],
        spec=obj.get("spec"),
        status=AgentScheduleStatus.parse(obj.get("status")),
        raw_status=obj.get("status") or {},
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """A valid spec with its instants. Created by `read_plan`."""

    uid: str
    spec: AgentScheduleSpec
    cron: Cron

    @property
    def timing(self) -> str:
        """Expression and zone as one text. After a change, times count from the change."""
        return f"{self.spec.schedule} {self.spec.time_zone}"

    @property
    def deadline(self) -> timedelta | None:
        """How late a job may be created; None for no limit."""
        seconds = self.spec.starting_deadline_seconds
        own = None if seconds is None else timedelta(seconds=seconds)
        if self.spec.catch_up.policy == "None":
            return ON_TIME if own is None else min(own, ON_TIME)
        return own

    def due(self, time: datetime) -> datetime:
        """Return when the job for `time` is due: after its own delay, and before the next time."""
        if not self.spec.jitter:
            return time
        following = self.cron.next_after(time)
        span = self.spec.jitter if following is None else min(self.spec.jitter, following - time)
        # Seeded from uid and time, so that every operator and every repetition gets the same instant.
        return time + span * random.Random(f"{self.uid}/{time.timestamp():.0f}").random()  # noqa: S311  no secret


@dataclass(frozen=True, slots=True)
class Illegal:
    """An invalid spec, with reason and message of the condition."""

    reason: ActiveReason
    message: str


def read_plan(schedule: Schedule) -> Plan | Illegal:
    """Validate and parse a spec. This costs as much as accepting a job: cache the result by uid and generation."""
    problems = validate_schedule({"metadata": {"name": schedule.name}, "spec": schedule.spec})
    if problems:
        spec = schedule.spec if isinstance(schedule.spec, Mapping) else {}
        timing = list(timing_problems(spec))
        reason = ActiveReason.INVALID_SCHEDULE if timing else ActiveReason.INVALID_SPEC
        if any(problem.message == NEVER for problem in timing):
            reason = ActiveReason.NEVER_FIRES
        return Illegal(reason, rejection(problems)[1])
    parsed = AgentScheduleSpec.model_validate(_without_work(schedule.spec))
    return Plan(schedule.uid, parsed, parse_cron(parsed.schedule, parsed.time_zone))


def _without_work(spec: Any) -> Any:
    """Replace a template's work with a dummy: the jobs look up their template themselves."""
    job = spec["jobTemplate"]
    if job["spec"].get("templateRef") is None:
        return spec
    return {**spec, "jobTemplate": {**job, "spec": {**_ANY_WORK, "templateRef": job["spec"]["templateRef"]}}}


def illegal_template(problems: Iterable[FieldProblem]) -> Illegal:
    """Return the condition for problems that the schedule's jobs would have, with fields of the schedule."""
    return Illegal(ActiveReason.INVALID_SPEC, rejection(map(of_template, problems))[1])
