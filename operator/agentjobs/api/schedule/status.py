"""AgentSchedule.status: read back tolerantly, written again. See `status` for the rules that both follow."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, cast

from pydantic import Field

from agentjobs.api.conditions import Word
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
"""Jobs of one schedule that may be unfinished at once; more starts wait. Keeps the status below 16 KiB."""


class ScheduleConditionType(Word):
    """What is said about a schedule."""

    ACTIVE = "Active", "The schedule makes jobs at its times."
    BLOCKED = "Blocked", "A start is due and held up; the message names the job that it waits for, and why that waits."
    DEGRADED = "Degraded", "The last job that ended has failed, or a job could not be made."


class ActiveReason(Word):
    """Why a schedule makes jobs, or makes none."""

    SCHEDULED = "Scheduled", "All is well."
    SUSPENDED = "Suspended", "`spec.suspend` is true; jobs can still be made by hand."
    INVALID_SPEC = "InvalidSpec", "The spec breaks rules; the message names each field, value and cure."
    INVALID_SCHEDULE = "InvalidSchedule", "`schedule` is not a cron expression, or `timeZone` is not an IANA zone."
    NEVER_FIRES = "NeverFires", "The expression names a day that never comes, like the 30th of February."
    TOO_MANY_FAILURES = (
        "TooManyFailures",
        "`maxConsecutiveFailures` is reached; a new value of the annotation `agentjobs.dev/resume` starts it again.",
    )
    MAX_RUNS_REACHED = "MaxRunsReached", "`maxRuns` jobs were created; a larger number starts it again."


class BlockedReason(Word):
    """What holds up a start."""

    NOT_BLOCKED = "NotBlocked", "Nothing is held up any more."
    JOB_RUNNING = "JobRunning", "An earlier job still runs, and `concurrencyPolicy` is Forbid."
    JOB_QUEUED = "JobQueued", "An earlier job waits for its queue, and `concurrencyPolicy` is Forbid."
    JOB_SUSPENDED = "JobSuspended", "An earlier job is suspended, and `concurrencyPolicy` is Forbid."
    JOB_WAITS = "JobWaits", "An earlier job waits for something else (an approval, a reference, a start time)."
    JOB_ENDING = "JobEnding", "An earlier job is being cancelled or deleted, and its pod has its grace period."
    JOB_NAME_TAKEN = "JobNameTaken", "An AgentJob of the start's name exists and is not this schedule's."
    JOB_REFUSED = "JobRefused", "The API server does not take the job (a quota, a policy); it is tried again."
    TOO_MANY_JOBS = "TooManyJobs", f"{MAX_ACTIVE} jobs of this schedule have not ended."


class DegradedReason(Word):
    """What is wrong with the jobs of a schedule."""

    JOBS_SUCCEED = "JobsSucceed", "The last job that ended has succeeded."
    JOB_FAILED = "JobFailed", "The last job that ended has failed; see `status.consecutiveFailures`."
    JOB_NOT_ACCEPTED = (
        "JobNotAccepted",
        "A job that was never accepted holds up a start. Provide what it names, or edit the template: it is replaced.",
    )
    START_FAILED = "StartFailed", "A job could not be made and its start is missed."


@dataclass(frozen=True, slots=True)
class ActiveJob:
    """A start of the schedule whose job has not ended. Without `uid` it is claimed, and its job may not exist yet."""

    name: Annotated[str, Field(max_length=63, description="Name of the job.")]
    time: Annotated[datetime, Field(description="The time it stands for.")]
    uid: Annotated[str, Field(max_length=64, description="Its uid; absent until its job is known to exist.")] = ""
    previous: Annotated[
        datetime | None, Field(description="The schedule's previous time, which the job receives; absent with a uid.")
    ] = None


@dataclass(frozen=True, slots=True)
class AgentScheduleStatus:
    """What is known about the schedule."""

    observed_generation: Generation = 0
    conditions: Conditions = ()
    active: Annotated[
        tuple[ActiveJob, ...],
        Field(max_length=MAX_ACTIVE, description="Starts whose jobs have not ended, oldest first."),
    ] = ()
    running: Annotated[Count, Field(description="Length of `active`.")] = 0
    last_schedule_time: Annotated[datetime | None, Field(description="The latest time a start was made for.")] = None
    last_successful_time: Annotated[datetime | None, Field(description="When a job last succeeded.")] = None
    next_schedule_time: Annotated[
        datetime | None, Field(description="The next time, without jitter; absent when there is none.")
    ] = None
    settled_time: Annotated[
        datetime | None,
        Field(
            description="Times up to then are settled though no start was made for them: missed, or passed while the "
            "schedule was not Active or was another."
        ),
    ] = None
    timing: Annotated[
        str, Field(max_length=400, description="The schedule and zone that the times above are about.")
    ] = ""
    missed: Annotated[Count, Field(description="Times for which no start was made though the schedule was Active.")] = 0
    runs: Annotated[Count, Field(description="Scheduled starts so far, caught up ones included.")] = 0
    consecutive_failures: Annotated[Count, Field(description="Failed jobs since the last success or resume.")] = 0
    last_trigger: Annotated[
        str | None,
        Field(max_length=MAX_RESUME, description="Value of the annotation `agentjobs.dev/trigger` handled last."),
    ] = None
    last_resume: Annotated[
        str | None,
        Field(max_length=MAX_RESUME, description="Value of the annotation `agentjobs.dev/resume` handled last."),
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
        """Return the whole status with the CRD's names; what is None or empty is left out."""
        body = cast("dict[str, Any]", plain(self))
        return _filled(body | {"active": [_filled(job) for job in body["active"]]})

    def patch_from(self, before: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the merge patch (RFC 7386) that turns the raw status `before` into this one; empty when equal.

        Fields of `before` that this version does not know are left alone.
        """
        return merge_patch(before if isinstance(before, Mapping) else {}, self.to_dict(), known=_KEYS)


def _active(raw: Mapping[str, Any]) -> ActiveJob | None:
    name, time = read_text(raw, "name"), read_time(raw, "time")
    return ActiveJob(name, time, read_text(raw, "uid"), read_time(raw, "previous")) if name and time else None


def _filled(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value != ""}


_KEYS: Final = keys_of(AgentScheduleStatus)
