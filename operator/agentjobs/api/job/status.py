"""AgentJob.status: reads and writes what the operator stores there.

Reading is tolerant: a value that is missing, of a wrong type or out of range becomes its default, and nothing raises. A
status may be absent, or written by an older operator or by `kubectl edit --subresource=status`. Plain dataclasses
instead of pydantic models, because a status is parsed at each event of each job (measured: 30 µs).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, cast

from pydantic import Field, WithJsonSchema

from agentjobs.api.conditions import FollowUpReason, Phase
from agentjobs.api.job.relations import MAX_FOLLOW_UPS, MAX_TEMPLATE_NAME
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

MAX_RULES: Final = 32
MAX_COST: Final = 32
MAX_STEP_NAME: Final = 253
MAX_ATTEMPT_HISTORY: Final = 10
"""Older starts are in the database."""
MAX_FOLLOW_UP_MESSAGE: Final = 256
"""Bytes; the status must have room for sixteen of them."""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One ended or running start."""

    attempt: Annotated[Count, Field(description="Number of the attempt, from 1.")]
    start: Annotated[Count, Field(description="Number of the start, from 1. An attempt may have several starts.")]
    pod: Annotated[str, Field(max_length=253, description="Name of its pod.")]
    started: Annotated[datetime | None, Field(description="When it was claimed.")] = None
    ended: Annotated[datetime | None, Field(description="When its pod ended.")] = None
    verdict: Annotated[str, Field(max_length=16, description="Succeed, Retry, Snooze, Fail or Cancel.")] = ""
    reason: Annotated[str, Field(max_length=63, description="Class of the error, if any.")] = ""
    charged: Annotated[bool, Field(description="Whether it used up an attempt.")] = False
    message: Annotated[str, Field(max_length=1024, description="The error message.")] = ""
    from_step: Annotated[
        Count | None,
        Field(
            description="The last recorded step when it began; 0 if it began with the first step. Absent while it "
            "runs, and if the database was unreachable at its end."
        ),
    ] = None
    to_step: Annotated[
        Count | None,
        Field(description="The last recorded step when it ended; equal to `fromStep` if it recorded none."),
    ] = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The last recorded step of the job, as of the end of its last start."""

    step: Annotated[Count, Field(description="Its number in the job, from 1, over all starts.")]
    name: Annotated[str, Field(max_length=MAX_STEP_NAME, description="Name of the model, tool or value.")] = ""
    time: Annotated[datetime | None, Field(description="When it was recorded.")] = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What all starts of the job used."""

    llm_calls: Annotated[int, Field(ge=0, description="Model calls.")] = 0
    tool_calls: Annotated[int, Field(ge=0, description="Tool calls.")] = 0
    input_tokens: Annotated[int, Field(ge=0, description="Tokens sent to models.")] = 0
    output_tokens: Annotated[int, Field(ge=0, description="Tokens received from models.")] = 0
    cost_usd: Annotated[
        str | None,
        Field(
            max_length=MAX_COST,
            description="Cost of calls through the model proxy, in US dollars; absent if there were none.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class PublishedWorkspace:
    """What was published of the workspace, as the publish container reported."""

    branch: Annotated[str, Field(max_length=253, description="The branch; empty if nothing had changed.")] = ""
    commit: Annotated[str, Field(max_length=64, description="Its commit.")] = ""
    pull_request: Annotated[str, Field(max_length=512, description="Address of the pull request, if any.")] = ""


@dataclass(frozen=True, slots=True)
class ResultSummary:
    """The answer, shortened; `agentjobs result NAME` prints the whole."""

    summary: Annotated[str, Field(max_length=1024, description="Beginning of the answer.")] = ""
    structured: Annotated[
        dict[str, Any] | None, Field(description="The answer, when it is a JSON object of at most 4 KiB.")
    ] = None
    truncated: Annotated[
        bool,
        Field(
            description="Whether the stored answer is longer than this preview. If the stored answer was cut too, the "
            "job's message reports it."
        ),
    ] = False
    ref: Annotated[str, Field(max_length=253, description="Path of the whole answer.")] = ""
    outcome: Annotated[
        str | None,
        Field(max_length=63, description="The answer's value at `output.outcomeKey`, if any."),
    ] = None
    workspace: Annotated[
        PublishedWorkspace | None, Field(description="What was published of the workspace, if anything.")
    ] = None


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """The job's place in its queue."""

    name: Annotated[str, Field(max_length=63, description="Name of the queue.")] = ""
    since: Annotated[
        datetime | None,
        Field(description="Since when it waits or holds a slot. Among equal priorities, the oldest job starts first."),
    ] = None


@dataclass(frozen=True, slots=True)
class ResolvedSpec:
    """What was accepted."""

    spec_hash: Annotated[str, Field(max_length=64, description="Hash of the job's work.")] = ""
    template: Annotated[
        str | None, Field(max_length=63, description="The template that it was merged with, if any.")
    ] = None
    template_generation: Annotated[
        int | None, Field(ge=0, description="`metadata.generation` of the template as it was merged.")
    ] = None
    ttl_seconds_after_finished: Annotated[
        int | None, Field(ge=0, description="The template's, used if the job has none.")
    ] = None
    pod_retention: Annotated[
        str | None, Field(max_length=16, description="`runtime.podRetention` as merged, if the job has none.")
    ] = None


@dataclass(frozen=True, slots=True)
class EqualJob:
    """Another job with the same `unique` key."""

    name: Annotated[str, Field(max_length=253, description="Its name.")] = ""
    uid: Annotated[str, Field(max_length=63, description="Its uid, for history if the object is gone.")] = ""


@dataclass(frozen=True, slots=True)
class Lineage:
    """The ancestors of a follow-up job."""

    root: Annotated[str, Field(max_length=253, description="Name of the first job of the chain.")]
    parent: Annotated[str, Field(max_length=253, description="Name of the job that it follows.")]
    depth: Annotated[Count, Field(description="Number of jobs before it in the chain.")]


@dataclass(frozen=True, slots=True)
class FollowUpStatus:
    """State of a follow-up."""

    name: Annotated[str, Field(max_length=40, description="Its name in `spec.followUps`.")]
    made: Annotated[bool, Field(description="Whether all of its jobs were created.")] = False
    jobs: Annotated[Count, Field(description="How many jobs were created.")] = 0
    job: Annotated[str | None, Field(max_length=63, description="Name of its job, if it has exactly one.")] = None
    reason: Annotated[str | None, Field(max_length=63, description="Why they were not created, in one word.")] = None
    message: Annotated[
        str | None, Field(max_length=MAX_FOLLOW_UP_MESSAGE, description="Why they were not created, in a sentence.")
    ] = None

    @property
    def is_open(self) -> bool:
        """Whether it still needs work. An unknown reason was written by another version, which handles it."""
        return not self.made and (self.reason is None or self.reason in _MAY_HEAL)


@dataclass(frozen=True, slots=True)
class AgentJobStatus:
    """State of the job."""

    observed_generation: Generation = 0
    phase: Annotated[
        Phase | None,
        # Not an enum: phases may be added, and an older CRD must not refuse them.
        WithJsonSchema({"type": "string", "maxLength": 32}),
        Field(description="One word for people; derived from the conditions."),
    ] = None
    reason: Annotated[
        str | None,
        Field(
            max_length=63,
            description="Why it ended or what it waits for, in one word; derived from the conditions.",
        ),
    ] = None
    conditions: Conditions = ()
    start_time: Annotated[datetime | None, Field(description="When the first start was claimed.")] = None
    completion_time: Annotated[datetime | None, Field(description="When the job ended.")] = None
    next_attempt_time: Annotated[datetime | None, Field(description="Earliest time of the next start.")] = None
    attempts: Annotated[Count, Field(description="Number of the current attempt.")] = 0
    starts: Annotated[Count, Field(description="Number of the current start; its pod is `<job>-<starts>`.")] = 0
    transitions: Annotated[Count, Field(description="Number of phase changes, which number the history.")] = 0
    snoozes: Annotated[Count, Field(description="Number of snoozes that cost no attempt.")] = 0
    running_seconds: Annotated[Count, Field(description="Running time of ended starts, for `timeouts.running`.")] = 0
    infra_restarts: Annotated[Count, Field(description="Number of starts lost to the cluster.")] = 0
    rule_counts: Annotated[
        dict[str, int] | None,
        Field(max_length=MAX_RULES, description="How often each rule of `resultPolicy` fired."),
    ] = None
    last_resume: Annotated[
        str | None,
        Field(max_length=MAX_RESUME, description="Last seen value of the annotation `agentjobs.dev/resume`."),
    ] = None
    attempt_history: Annotated[
        tuple[AttemptRecord, ...],
        Field(max_length=MAX_ATTEMPT_HISTORY, description="The last 10 starts, oldest first."),
    ] = ()
    checkpoint: Annotated[
        Checkpoint | None,
        Field(
            description="The last recorded step, written when a start ends; the next start continues after it, unless "
            "`retry.resume` or `steps.checkpoint` differ. `agentjobs show NAME --steps` lists all steps."
        ),
    ] = None
    usage: Annotated[Usage | None, Field(description="What all starts used, from the database; set at the end.")] = None
    result: Annotated[ResultSummary | None, Field(description="The answer, shortened.")] = None
    queue: Annotated[QueuePlace | None, Field(description="The job's place in its queue.")] = None
    resolved: Annotated[ResolvedSpec | None, Field(description="What was accepted.")] = None
    duplicate_of: Annotated[
        EqualJob | None, Field(description="The job with the same `unique` key, if this one was skipped.")
    ] = None
    lineage: Annotated[Lineage | None, Field(description="The jobs before it, if it is a follow-up.")] = None
    follow_ups: Annotated[
        tuple[FollowUpStatus, ...] | None,
        Field(
            max_length=MAX_FOLLOW_UPS,
            description="The follow-ups that match the job's end, and their state.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = None

    @classmethod
    def parse(cls, raw: object) -> "AgentJobStatus":
        """Read `status` of an object as it came from the API server. Never raises."""
        if not isinstance(raw, Mapping) or not raw:
            return cls()
        return cls(
            observed_generation=read_count(raw, "observedGeneration", 2**63 - 1),
            phase=_PHASES.get(read_text(raw, "phase")),
            reason=read_text(raw, "reason") or None,
            conditions=tuple(map(read_condition, read_objects(raw, "conditions"))),
            start_time=read_time(raw, "startTime"),
            completion_time=read_time(raw, "completionTime"),
            next_attempt_time=read_time(raw, "nextAttemptTime"),
            attempts=read_count(raw, "attempts"),
            starts=read_count(raw, "starts"),
            transitions=read_count(raw, "transitions"),
            snoozes=read_count(raw, "snoozes"),
            running_seconds=read_count(raw, "runningSeconds"),
            infra_restarts=read_count(raw, "infraRestarts"),
            rule_counts=_counts(raw.get("ruleCounts")),
            last_resume=read_text(raw, "lastResume")[:MAX_RESUME] or None,
            attempt_history=tuple(map(_attempt, read_objects(raw, "attemptHistory"))),
            checkpoint=_checkpoint(raw.get("checkpoint")),
            usage=_usage(raw.get("usage")),
            result=_result(raw.get("result")),
            queue=_queue(raw.get("queue")),
            resolved=_resolved(raw.get("resolved")),
            lineage=_lineage(raw.get("lineage")),
            follow_ups=_follow_ups(raw) if "followUps" in raw else None,
            duplicate_of=_equal_job(raw.get("duplicateOf")),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the whole status with the CRD's names, without None.

        A merge patch must send null for a cleared field: see `patch_from`.
        """
        return cast("dict[str, Any]", plain(self))

    def patch_from(self, before: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the merge patch (RFC 7386) that turns the raw status `before` into this one; empty when equal.

        Unknown fields of `before` are kept.
        """
        return merge_patch(before if isinstance(before, Mapping) else {}, self.to_dict(), known=_KEYS)


_MAY_HEAL: Final = frozenset(reason.value for reason in FollowUpReason if reason.is_retried)
_TTL: Final = "ttlSecondsAfterFinished"
_PHASES: Final = {phase.value: phase for phase in Phase}


def _attempt(raw: Mapping[str, Any]) -> AttemptRecord:
    return AttemptRecord(
        attempt=read_count(raw, "attempt"),
        start=read_count(raw, "start"),
        pod=read_text(raw, "pod"),
        started=read_time(raw, "started"),
        ended=read_time(raw, "ended"),
        verdict=read_text(raw, "verdict"),
        reason=read_text(raw, "reason"),
        charged=raw.get("charged") is True,
        message=read_text(raw, "message"),
        from_step=_step(raw, "fromStep"),
        to_step=_step(raw, "toStep"),
    )


def _step(raw: Mapping[str, Any], key: str) -> int | None:
    return read_count(raw, key) if key in raw else None


def _checkpoint(raw: object) -> Checkpoint | None:
    if not isinstance(raw, Mapping):
        return None
    return Checkpoint(read_count(raw, "step"), read_text(raw, "name")[:MAX_STEP_NAME], read_time(raw, "time"))


def _usage(raw: object) -> Usage | None:
    if not isinstance(raw, Mapping):
        return None
    return Usage(
        llm_calls=read_count(raw, "llmCalls", 2**63 - 1),
        tool_calls=read_count(raw, "toolCalls", 2**63 - 1),
        input_tokens=read_count(raw, "inputTokens", 2**63 - 1),
        output_tokens=read_count(raw, "outputTokens", 2**63 - 1),
        cost_usd=read_text(raw, "costUSD")[:MAX_COST] or None,
    )


def _result(raw: object) -> ResultSummary | None:
    if not isinstance(raw, Mapping):
        return None
    structured = raw.get("structured")
    return ResultSummary(
        summary=read_text(raw, "summary"),
        structured=dict(structured) if isinstance(structured, Mapping) else None,
        truncated=raw.get("truncated") is True,
        ref=read_text(raw, "ref"),
        outcome=read_text(raw, "outcome") or None,
        workspace=_published(raw.get("workspace")),
    )


def _published(raw: object) -> PublishedWorkspace | None:
    if not isinstance(raw, Mapping):
        return None
    return PublishedWorkspace(
        branch=read_text(raw, "branch"), commit=read_text(raw, "commit"), pull_request=read_text(raw, "pullRequest")
    )


def _queue(raw: object) -> QueuePlace | None:
    return QueuePlace(read_text(raw, "name"), read_time(raw, "since")) if isinstance(raw, Mapping) else None


def _resolved(raw: object) -> ResolvedSpec | None:
    if not isinstance(raw, Mapping):
        return None
    return ResolvedSpec(
        spec_hash=read_text(raw, "specHash"),
        template=read_text(raw, "template")[:MAX_TEMPLATE_NAME] or None,
        template_generation=read_count(raw, "templateGeneration", 2**63 - 1) if "templateGeneration" in raw else None,
        ttl_seconds_after_finished=read_count(raw, _TTL) if _TTL in raw else None,
        pod_retention=read_text(raw, "podRetention")[:16] or None,
    )


def _equal_job(raw: object) -> EqualJob | None:
    return EqualJob(read_text(raw, "name"), read_text(raw, "uid")) if isinstance(raw, Mapping) else None


def _lineage(raw: object) -> Lineage | None:
    if not isinstance(raw, Mapping):
        return None
    return Lineage(read_text(raw, "root"), read_text(raw, "parent"), read_count(raw, "depth"))


def _follow_ups(raw: Mapping[str, Any]) -> tuple[FollowUpStatus, ...]:
    return tuple(
        FollowUpStatus(
            name=read_text(entry, "name"),
            made=entry.get("made") is True,
            jobs=read_count(entry, "jobs"),
            job=read_text(entry, "job") or None,
            reason=read_text(entry, "reason") or None,
            message=read_text(entry, "message")[:MAX_FOLLOW_UP_MESSAGE] or None,
        )
        for entry in read_objects(raw, "followUps")[:MAX_FOLLOW_UPS]
    )


def _counts(raw: object) -> dict[str, int] | None:
    if not isinstance(raw, Mapping) or not raw:
        return None
    return {str(name): read_count(raw, name) for name in list(raw)[:MAX_RULES]}


_KEYS: Final = keys_of(AgentJobStatus)
