"""AgentJob.status: what the operator last wrote, read back into values, and written again.

Reading is tolerant: whatever is missing, of a wrong type or out of range becomes its default, and nothing raises. A
status may come from an older operator, from a hand on `kubectl edit --subresource=status`, or not at all. Plain
dataclasses instead of pydantic models, because a status is parsed at each event of each job (measured: 30 µs).
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any, Final, cast

from pydantic import Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from agentjobs.api.conditions import Condition, ConditionStatus, Phase
from agentjobs.api.durations import format_time, parse_time

MAX_COUNT: Final = 2**31 - 1
MAX_CONDITIONS: Final = 16
MAX_RULES: Final = 32
MAX_RESUME: Final = 253
MAX_ATTEMPT_HISTORY: Final = 10
"""Older starts are in the database."""

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One ended or running start."""

    attempt: Annotated[Count, Field(description="Number of the attempt, from 1.")]
    start: Annotated[Count, Field(description="Number of the start, from 1. An attempt may need several starts.")]
    pod: Annotated[str, Field(max_length=253, description="Name of its pod.")]
    started: Annotated[datetime | None, Field(description="When it was claimed.")] = None
    ended: Annotated[datetime | None, Field(description="When its pod ended.")] = None
    verdict: Annotated[str, Field(max_length=16, description="Succeed, Retry, Snooze, Fail or Cancel.")] = ""
    reason: Annotated[str, Field(max_length=63, description="Class of the error, if any.")] = ""
    charged: Annotated[bool, Field(description="Whether it used up an attempt.")] = False
    message: Annotated[str, Field(max_length=1024, description="The error in words.")] = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What all starts of the job used."""

    llm_calls: Annotated[int, Field(ge=0, description="Calls of models.")] = 0
    tool_calls: Annotated[int, Field(ge=0, description="Calls of tools.")] = 0
    input_tokens: Annotated[int, Field(ge=0, description="Tokens sent to models.")] = 0
    output_tokens: Annotated[int, Field(ge=0, description="Tokens received from models.")] = 0


@dataclass(frozen=True, slots=True)
class ResultSummary:
    """The answer, shortened; `agentjobs result NAME` prints the whole."""

    summary: Annotated[str, Field(max_length=1024, description="Beginning of the answer.")] = ""
    structured: Annotated[
        dict[str, Any] | None, Field(description="The answer, when it is a JSON object of at most 4 KiB.")
    ] = None
    truncated: Annotated[bool, Field(description="Whether the whole answer is longer.")] = False
    ref: Annotated[str, Field(max_length=253, description="Where the whole answer is.")] = ""
    outcome: Annotated[
        str | None,
        Field(max_length=63, description="What the answer decided, by `output.outcomeKey`; absent without one."),
    ] = None


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Where the job waits or holds its slot."""

    name: Annotated[str, Field(max_length=63, description="Name of the queue.")] = ""
    since: Annotated[datetime | None, Field(description="Since when; age decides among equal priorities.")] = None


@dataclass(frozen=True, slots=True)
class ResolvedSpec:
    """What was accepted."""

    spec_hash: Annotated[str, Field(max_length=64, description="Hash of what every start runs.")] = ""


@dataclass(frozen=True, slots=True)
class AgentJobStatus:
    """What is known about the job."""

    observed_generation: Annotated[int, Field(ge=0, description="`metadata.generation` this was said about.")] = 0
    phase: Annotated[
        Phase | None,
        # No enum: phases may be added, and an older CRD must not refuse them.
        WithJsonSchema({"type": "string", "maxLength": 32}),
        Field(description="One word for people; derived from the conditions."),
    ] = None
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=MAX_CONDITIONS,
            description="What holds, and why; see the reference of conditions.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
    start_time: Annotated[datetime | None, Field(description="When the first start was claimed.")] = None
    completion_time: Annotated[datetime | None, Field(description="When the job ended.")] = None
    next_attempt_time: Annotated[datetime | None, Field(description="Not before then starts the next one.")] = None
    attempts: Annotated[Count, Field(description="Number of the current attempt.")] = 0
    starts: Annotated[Count, Field(description="Number of the current start; its pod is `<job>-<starts>`.")] = 0
    transitions: Annotated[Count, Field(description="Changes of the phase so far; they number the history.")] = 0
    snoozes: Annotated[Count, Field(description="Waits so far that cost no attempt.")] = 0
    running_seconds: Annotated[Count, Field(description="Running time of ended starts, for `timeouts.running`.")] = 0
    infra_restarts: Annotated[Count, Field(description="Starts lost to the cluster so far.")] = 0
    rule_counts: Annotated[
        dict[str, int] | None,
        Field(max_length=MAX_RULES, description="How often each rule of `resultPolicy` fired."),
    ] = None
    last_resume: Annotated[
        str | None,
        Field(max_length=MAX_RESUME, description="Value of the annotation `agentjobs.dev/resume` seen last."),
    ] = None
    attempt_history: Annotated[
        tuple[AttemptRecord, ...],
        Field(max_length=MAX_ATTEMPT_HISTORY, description="The last 10, oldest first."),
    ] = ()
    usage: Annotated[Usage | None, Field(description="What all starts used, by the database; set at the end.")] = None
    result: Annotated[ResultSummary | None, Field(description="The answer, shortened.")] = None
    queue: Annotated[QueuePlace | None, Field(description="Where the job waits or holds its slot.")] = None
    resolved: Annotated[ResolvedSpec | None, Field(description="What was accepted.")] = None

    @classmethod
    def parse(cls, raw: object) -> "AgentJobStatus":
        """Read `status` of an object as it came from the API server. Never raises."""
        if not isinstance(raw, Mapping) or not raw:
            return cls()
        return cls(
            observed_generation=_count(raw, "observedGeneration", 2**63 - 1),
            phase=_PHASES.get(_text(raw, "phase")),
            conditions=tuple(map(_condition, _objects(raw, "conditions"))),
            start_time=_time(raw, "startTime"),
            completion_time=_time(raw, "completionTime"),
            next_attempt_time=_time(raw, "nextAttemptTime"),
            attempts=_count(raw, "attempts"),
            starts=_count(raw, "starts"),
            transitions=_count(raw, "transitions"),
            snoozes=_count(raw, "snoozes"),
            running_seconds=_count(raw, "runningSeconds"),
            infra_restarts=_count(raw, "infraRestarts"),
            rule_counts=_counts(raw.get("ruleCounts")),
            last_resume=_text(raw, "lastResume")[:MAX_RESUME] or None,
            attempt_history=tuple(map(_attempt, _objects(raw, "attemptHistory"))),
            usage=_usage(raw.get("usage")),
            result=_result(raw.get("result")),
            queue=_queue(raw.get("queue")),
            resolved=_resolved(raw.get("resolved")),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the whole status with the CRD's names; what is None is left out.

        For a merge patch a caller that has cleared a field must send null for it: see `patch_from`.
        """
        return cast("dict[str, Any]", _plain(self))

    def patch_from(self, before: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the merge patch (RFC 7386) that turns the raw status `before` into this one; empty when equal.

        Fields of `before` that this version does not know are left alone.
        """
        return _merge_patch(before if isinstance(before, Mapping) else {}, self.to_dict(), known=_KEYS)


_PHASES: Final = {phase.value: phase for phase in Phase}
_STATUSES: Final = ("True", "False", "Unknown")
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _condition(raw: Mapping[str, Any]) -> Condition:
    status = _text(raw, "status")
    return Condition(
        type=_text(raw, "type"),
        status=cast("ConditionStatus", status) if status in _STATUSES else "Unknown",
        reason=_text(raw, "reason"),
        message=_text(raw, "message"),
        last_transition_time=_time(raw, "lastTransitionTime") or _EPOCH,
        observed_generation=_count(raw, "observedGeneration", 2**63 - 1),
    )


def _attempt(raw: Mapping[str, Any]) -> AttemptRecord:
    return AttemptRecord(
        attempt=_count(raw, "attempt"),
        start=_count(raw, "start"),
        pod=_text(raw, "pod"),
        started=_time(raw, "started"),
        ended=_time(raw, "ended"),
        verdict=_text(raw, "verdict"),
        reason=_text(raw, "reason"),
        charged=raw.get("charged") is True,
        message=_text(raw, "message"),
    )


def _usage(raw: object) -> Usage | None:
    if not isinstance(raw, Mapping):
        return None
    names = ("llmCalls", "toolCalls", "inputTokens", "outputTokens")
    return Usage(*(_count(raw, name, 2**63 - 1) for name in names))


def _result(raw: object) -> ResultSummary | None:
    if not isinstance(raw, Mapping):
        return None
    structured = raw.get("structured")
    return ResultSummary(
        summary=_text(raw, "summary"),
        structured=dict(structured) if isinstance(structured, Mapping) else None,
        truncated=raw.get("truncated") is True,
        ref=_text(raw, "ref"),
        outcome=_text(raw, "outcome") or None,
    )


def _queue(raw: object) -> QueuePlace | None:
    return QueuePlace(_text(raw, "name"), _time(raw, "since")) if isinstance(raw, Mapping) else None


def _resolved(raw: object) -> ResolvedSpec | None:
    return ResolvedSpec(_text(raw, "specHash")) if isinstance(raw, Mapping) else None


def _objects(raw: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = raw.get(key)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _count(raw: Mapping[str, Any], key: str, most: int = MAX_COUNT) -> int:
    value = raw.get(key)
    return value if type(value) is int and 0 <= value <= most else 0


def _counts(raw: object) -> dict[str, int] | None:
    if not isinstance(raw, Mapping) or not raw:
        return None
    return {str(name): _count(raw, name) for name in list(raw)[:MAX_RULES]}


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def _time(raw: Mapping[str, Any], key: str) -> datetime | None:
    value = raw.get(key)
    if not isinstance(value, str):
        return None
    try:
        return _known_time(value)
    except ValueError:
        return None


@functools.lru_cache(maxsize=8192)
def _known_time(text: str) -> datetime:
    # The same few instants come again with each event of a job; reading them was half of the cost of a status.
    return parse_time(text)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    keys = _FIELD_KEYS.get(type(value))
    if keys is None:
        return str(value) if isinstance(value, Phase) else value
    members = ((key, getattr(value, name)) for name, key in keys)
    return {key: _plain(member) for key, member in members if member is not None}


def _merge_patch(before: Mapping[str, Any], after: Mapping[str, Any], *, known: Iterable[str]) -> dict[str, Any]:
    patch: dict[str, Any] = {key: None for key in known if key in before and key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            inner = _merge_patch(old, value, known=old)
            if inner:
                patch[key] = inner
        elif old != value or type(old) is not type(value):
            patch[key] = value
    return patch


_FIELD_KEYS: Final[dict[type, tuple[tuple[str, str], ...]]] = {
    kind: tuple((field.name, to_camel(field.name)) for field in fields(kind))
    for kind in (AgentJobStatus, AttemptRecord, Condition, QueuePlace, ResolvedSpec, ResultSummary, Usage)
}
_KEYS: Final = frozenset(key for _, key in _FIELD_KEYS[AgentJobStatus])
