"""AgentSchedule.status: read tolerantly and written; the rules are those of `api.job.status`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, cast

from pydantic import Field

from agentjobs.api.conditions import DescribedEnum
from agentjobs.api.raw_status import (
    MAX_RESUME,
    Conditions,
    Count,
    Generation,
    keys_of,
    merge_patch,
    plain,
    read_condition,
    read_count,
    read_objects,
    read_text,
    read_time,
)

MAX_ACTIVE: Final = 64
"""Maximum unfinished jobs of one schedule; further starts wait. Keeps the status below 16 KiB."""


class ScheduleConditionType(DescribedEnum):
    """Aspects of a schedule's state."""

    ACTIVE = "Active", "The schedule creates jobs at its times."
    BLOCKED = (
        "Blocked",
        "A start is due but blocked; the message names the job that it waits for, and why that job waits.",
    )
    DEGRADED = "Degraded", "The last job that ended failed, or a job could not be created."


class ActiveReason(DescribedEnum):
    """Why a schedule creates jobs or not."""

    SCHEDULED = "Scheduled", "The schedule creates jobs."
    SUSPENDED = "Suspended", "`spec.suspend` is true; jobs can still be triggered."
    INVALID_SPEC = "InvalidSpec", "The spec breaks rules; the message names each field, value and cure."
    INVALID_SCHEDULE = "InvalidSchedule", "`schedule` is not a cron expression, or `timeZone` is not an IANA zone."
    NEVER_FIRES = "NeverFires", "The expression never matches, like the 30th of February."
    TOO_MANY_FAILURES = (
        "TooManyFailures",
        "`maxConsecutiveFailures` is reached; a new value of the annotation `agentjobs.dev/resume` starts it again.",
    )
    MAX_RUNS_REACHED = "MaxRunsReached", "`maxRuns` jobs were created; a larger number starts it again."


class BlockedReason(DescribedEnum):
    """What blocks a start."""

    NOT_BLOCKED = "NotBlocked", "No start is blocked."
    JOB_RUNNING = "JobRunning", "An earlier job is running, and `concurrencyPolicy` is Forbid."
    JOB_QUEUED = "JobQueued", "An earlier job waits in its queue, and `concurrencyPolicy` is Forbid."
    JOB_SUSPENDED = "JobSuspended", "An earlier job is suspended, and `concurrencyPolicy` is Forbid."
    JOB_WAITS = "JobWaits", "An earlier job waits for something else (an approval, a reference, a start time)."
    JOB_ENDING = "JobEnding", "An earlier job is being cancelled or deleted, and its pod is in its grace period."
    JOB_NAME_TAKEN = "JobNameTaken", "An AgentJob with the start's name exists and does not belong to this schedule."
    JOB_REFUSED = "JobRefused", "The API server rejects the job (a quota, a policy); the operator retries."
    TOO_MANY_JOBS = "TooManyJobs", f"{MAX_ACTIVE} jobs of this schedule have not ended."


class DegradedReason(DescribedEnum):
    """Problems of a schedule's jobs."""

    JOBS_SUCCEED = "JobsSucceed", "The last job that ended succeeded."
    JOB_FAILED = "JobFailed", "The last job that ended failed; see `status.consecutiveFailures`."
    JOB_NOT_ACCEPTED = (
        "JobNotAccepted",
        (
            "A job that is not accepted blocks a start. Create the objects that it names, or edit the template, which "
            "replaces it."
        ),
    )
    START_FAILED = "StartFailed", "A job could not be created, so its start is missed."


@dataclass(frozen=True, slots=True)
class ActiveJob:
    """A start of the schedule whose job has not ended. Without `uid` it is reserved, and its job may not exist yet."""

    name: Annotated[str, Field(max_length=63, description="Name of the job.")]
    time: Annotated[datetime, Field(description="The scheduled time.")]
    uid: Annotated[str, Field(max_length=64, description="Its uid; absent until the job exists.")] = ""
    previous: Annotated[
        datetime | None, Field(description="The schedule's previous time, for the job; absent once `uid` is set.")
    ] = None


@dataclass(frozen=True, slots=True)
class AgentScheduleStatus:
    """State of the schedule."""

    observed_generation: Generation = 0
    conditions: Conditions = ()
    active: Annotated[
        tuple[ActiveJob, ...],
        Field(max_length=MAX_ACTIVE, description="Starts whose jobs have not ended, oldest first."),
    ] = ()
    running: Annotated[Count, Field(description="Length of `active`.")] = 0
    last_schedule_time: Annotated[
        datetime | None, Field(description="The latest time for which a job was created.")
    ] = None
    last_successful_time: Annotated[datetime | None, Field(description="When a job last succeeded.")] = None
    next_schedule_time: Annotated[datetime | None, Field(description="The next time, without jitter, if any.")] = None
    settled_time: Annotated[
        datetime | None,
        Field(
            description="Times until then without a job are settled: missed, or passed while the schedule was not "
            "Active or was different."
        ),
    ] = None
    timing: Annotated[
        str, Field(max_length=400, description="The expression and zone that the times above refer to.")
    ] = ""
    missed: Annotated[Count, Field(description="Times without a job although the schedule was Active.")] = 0
    runs: Annotated[Count, Field(description="Number of scheduled starts, including caught up ones.")] = 0
    consecutive_failures: Annotated[Count, Field(description="Failed jobs since the last success or resume.")] = 0
    last_trigger: Annotated[
        str | None,
        Field(max_length=MAX_RESUME, description="Last handled value of the annotation `agentjobs.dev/trigger`."),
    ] = None
    last_resume: Annotated[
        str | None,
        Field(max_length=MAX_RESUME, description="Last handled value of the annotation `agentjobs.dev/resume`."),
    ] = None

    @classmethod
    def parse(cls, raw: object) -> "AgentScheduleStatus":
        """Read `status` of an object as it came from the API server. Never raises."""
        if not isinstance(raw, Mapping) or not raw:
            return cls()
        active = tuple(job for job in map(_active, read_objects(raw, "active")) if job is not None)
        return cls(
            observed_generation=read_count(raw, "observedGeneration", 2**63 - 1),
            conditions=tuple(map(read_condition, read_objects(raw, "conditions"))),
            active=active,
            running=read_count(raw, "running"),
            last_schedule_time=read_time(raw, "lastScheduleTime"),
            last_successful_time=read_time(raw, "lastSuccessfulTime"),
            next_schedule_time=read_time(raw, "nextScheduleTime"),
            settled_time=read_time(raw, "settledTime"),
            timing=read_text(raw, "timing"),
            missed=read_count(raw, "missed"),
            runs=read_count(raw, "runs"),
            consecutive_failures=read_count(raw, "consecutiveFailures"),
            last_trigger=read_text(raw, "lastTrigger")[:MAX_RESUME] or None,
            last_resume=read_text(raw, "lastResume")[:MAX_RESUME] or None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the whole status with the CRD's names, without None and empty values."""
        body = cast("dict[str, Any]", plain(self))
        return _filled(body | {"active": [_filled(job) for job in body["active"]]})

    def patch_from(self, before: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the merge patch (RFC 7386) that turns the raw status `before` into this one; empty when equal.

        Unknown fields of `before` are kept.
        """
        return merge_patch(before if isinstance(before, Mapping) else {}, self.to_dict(), known=_KEYS)


def _active(raw: Mapping[str, Any]) -> ActiveJob | None:
    name, time = read_text(raw, "name"), read_time(raw, "time")
    return ActiveJob(name, time, read_text(raw, "uid"), read_time(raw, "previous")) if name and time else None


def _filled(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value != ""}


_KEYS: Final = keys_of(AgentScheduleStatus)
