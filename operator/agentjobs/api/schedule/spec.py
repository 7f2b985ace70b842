"""AgentSchedule.spec as frozen models: when jobs are created, and from what.

The CRD and the field reference are generated from here. The job's part is AgentJob.spec itself, except for what the
schedule decides. A schedule has no layers, so its defaults are ordinary defaults in the CRD.
"""

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import Field

from agentjobs.api.changes import ALWAYS
from agentjobs.api.fields import Duration
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.model import Boolean, Integer, Model
from agentjobs.api.schedule.cron import MAX_SCHEDULE, MAX_ZONE, SCHEDULE_PATTERN

MAX_SCHEDULE_NAME: Final = 43
"""A job's name adds a dash and the minute's number, which has eight digits until the year 2160; jobs may have 52."""
MIN_DEADLINE_SECONDS: Final = 10
"""The time that a busy operator may need to process a start; shorter deadlines would be missed."""
DEFAULT_QUEUE: Final = "scheduled"

CatchUpPolicy = Literal["None", "Latest", "All"]
ConcurrencyPolicy = Literal["Allow", "Forbid", "Replace"]


class CatchUp(Model):
    """What happens to missed starts."""

    policy: CatchUpPolicy = Field(
        default="Latest",
        description="None drops starts that are more than a minute late; Latest makes only the last missed start; All "
        "makes them one by one, oldest first. Default: Latest.",
    )
    limit: Integer = Field(
        default=10,
        ge=1,
        le=1000,
        description="Maximum starts with policy All; older ones are missed. Default: 10.",
    )


class TemplateMetadata(Model):
    """Metadata of each job, in addition to AgentJobs' own."""

    labels: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict, max_length=32, description="Labels of the jobs."
    )
    annotations: dict[str, Annotated[str, Field(max_length=4096)]] = Field(
        default_factory=dict, max_length=32, description="Annotations of the jobs."
    )


class JobTemplate(Model):
    """The jobs that are created."""

    metadata: TemplateMetadata = Field(
        default_factory=TemplateMetadata, description="Labels and annotations of the jobs."
    )
    spec: AgentJobSpec = Field(
        description="`spec` of the jobs, as in an AgentJob; `queue` is `scheduled` unless set here or in the "
        "template. Texts can use `$(schedule.time)` and `$(schedule.previousTime)`."
    )


class AgentScheduleSpec(Model):
    """When jobs are created, and from what."""

    schedule: Annotated[str, ALWAYS] = Field(
        min_length=1,
        max_length=MAX_SCHEDULE,
        pattern=SCHEDULE_PATTERN,
        description="Five fields of cron (minute, hour, day of month, month, day of week), or `@hourly`, `@daily`, "
        "`@weekly`, `@monthly`, `@yearly`. `30 6 * * 1-5` is half past six on weekdays.",
    )
    time_zone: Annotated[str, ALWAYS] = Field(
        default="UTC",
        min_length=1,
        max_length=MAX_ZONE,
        description="IANA time zone, e.g. `Europe/Berlin`. Default: UTC.",
    )
    starting_deadline_seconds: Annotated[Integer | None, ALWAYS] = Field(
        default=None,
        ge=MIN_DEADLINE_SECONDS,
        le=2147483647,
        description="A start that is later than this is missed. Default: no limit.",
    )
    concurrency_policy: Annotated[ConcurrencyPolicy, ALWAYS] = Field(
        default="Forbid",
        description="What happens at a start while a job of this schedule has not ended: Forbid waits for its end, "
        "Allow starts another job, Replace cancels it first. Default: Forbid.",
    )
    suspend: Annotated[Boolean, ALWAYS] = Field(
        default=False,
        description="While true, no jobs are created; times that pass are never caught up. Default: false.",
    )
    successful_jobs_history_limit: Annotated[Integer, ALWAYS] = Field(
        default=3, ge=0, le=1000, description="Succeeded jobs that are kept; history is not affected. Default: 3."
    )
    failed_jobs_history_limit: Annotated[Integer, ALWAYS] = Field(
        default=3,
        ge=0,
        le=1000,
        description="Failed and cancelled jobs that are kept, and as many skipped ones; history is not affected. "
        "Default: 3.",
    )
    jitter: Annotated[Duration, ALWAYS] = Field(
        default=timedelta(0),
        description="Starts are spread over this time, each with its own delay, which never reaches the next start. "
        "Default: none.",
    )
    catch_up: Annotated[CatchUp, ALWAYS] = Field(default_factory=CatchUp, description="What happens to missed starts.")
    max_consecutive_failures: Annotated[Integer | None, ALWAYS] = Field(
        default=None,
        ge=1,
        le=1000,
        description="After this many failed jobs in a row, the schedule stops until the annotation "
        "`agentjobs.dev/resume` gets a new value. Default: no limit.",
    )
    max_runs: Annotated[Integer | None, ALWAYS] = Field(
        default=None,
        ge=1,
        le=2147483647,
        description="Maximum number of scheduled jobs; triggered jobs do not count. Default: no limit.",
    )
    job_template: Annotated[JobTemplate, ALWAYS] = Field(description="The jobs that are created.")
