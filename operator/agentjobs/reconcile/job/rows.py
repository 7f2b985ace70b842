"""Records of history and values of status of a job. Pure."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_UP, Decimal
from typing import Any, Final

from agentjobs.api.conditions import END_CONDITIONS, Condition, ConditionType, Phase, find_condition
from agentjobs.api.job.status import AgentJobStatus, AttemptRecord, ResultSummary, Usage
from agentjobs.contract import Published, Result, cut
from agentjobs.core.job.ended import KnownJob
from agentjobs.core.job.observation import FinalResult, Job, Progress
from agentjobs.core.job.progress import checkpoint_of
from agentjobs.history.labels import kept_labels
from agentjobs.history.records import EventDetails, JobKey, StartEnd, TransitionRecord
from agentjobs.models.budget import plain

SUMMARY_BYTES: Final = 1024
STRUCTURED_BYTES: Final = 4096
MICRODOLLAR: Final = Decimal("0.000001")
MAX_BITS: Final = 63
"""Digits of a number, without the sign."""


def job_key(job: KnownJob) -> JobKey:
    """Return the identity of a record's job."""
    return JobKey(
        uid=job.uid,
        namespace=job.namespace,
        name=job.name,
        created=job.created,
        schedule=job.made_by,
        parent_uid=job.parent_uid,
        # The summary of a finished job has none; its row was written with them.
        labels=kept_labels(job.labels) if isinstance(job, Job) else (),
    )


def transition(job: Job, status: AgentJobStatus) -> TransitionRecord:
    """Return the row of a status's last transition."""
    phase = status.phase or Phase.PENDING
    explaining = [condition for condition in status.conditions if condition.type in _EXPLAINING[phase]]
    last = max(explaining, key=lambda condition: condition.last_transition_time) if explaining else None
    return TransitionRecord(
        job=job_key(job),
        transition=status.transitions,
        time=status.completion_time or _since(job, status, last),
        phase=phase.value,
        reason=last.reason if last else "",
        message=last.message if last else "",
        finished=phase.is_terminal,
        details=event_details(status),
        workspace=_published(status),
    )


def _published(status: AgentJobStatus) -> Published | None:
    published = status.result.workspace if status.result else None
    if published is None:
        return None
    found = Published(branch=published.branch, commit=published.commit)
    if published.pull_request:
        found["pullRequest"] = published.pull_request
    return found


def event_details(status: AgentJobStatus) -> EventDetails:
    """Return the details of a transition for notifications."""
    result, used = status.result, status.usage
    return EventDetails(
        attempts=status.attempts,
        summary=result.summary if result else "",
        outcome=result.outcome if result else None,
        cost=used.cost_usd if used else None,
    )


def _since(job: Job, status: AgentJobStatus, last: Condition | None) -> datetime:
    """Return when a phase began. Its condition stays False between two waits, so its time alone would be that of the
    first.
    """
    moments = [job.created if last is None else last.last_transition_time]
    if status.phase is Phase.QUEUED and status.queue is not None and status.queue.since is not None:
        moments.append(status.queue.since)
    if resumed := find_condition(status.conditions, ConditionType.SUSPENDED):
        moments.append(resumed.last_transition_time)
    return max(moments)


# Return the condition whose reason explains a phase.
_EXPLAINING: Final[Mapping[Phase, tuple[str, ...]]] = {
    Phase.PENDING: ("Accepted",),
    Phase.SCHEDULED: ("Admitted",),
    Phase.QUEUED: ("Admitted",),
    Phase.RUNNING: ("Admitted",),
    Phase.RETRYING: ("Admitted",),
    Phase.SUSPENDED: ("Suspended",),
    **{phase: (condition,) for phase, condition in END_CONDITIONS.items()},
}


def start_end(job: Job, record: AttemptRecord) -> StartEnd:
    """Return the row of an ended start."""
    assert record.ended is not None
    return StartEnd(
        job=job_key(job),
        start=record.start,
        attempt=record.attempt,
        pod=record.pod,
        started=record.started,
        ended=record.ended,
        verdict=record.verdict,
        reason=record.reason,
        charged=record.charged,
        message=record.message,
    )


def diff_records(before: Job, after: Job) -> list[TransitionRecord | StartEnd]:
    """Return the records of the changes between two states of one job.

    Ends of starts come first, because the object may be deleted once the transition is stored.
    """
    known = {record.start for record in before.status.attempt_history if record.ended is not None}
    records: list[TransitionRecord | StartEnd] = [
        start_end(after, record)
        for record in after.status.attempt_history
        if record.ended is not None and record.start not in known
    ]
    if after.status.transitions != before.status.transitions:
        records.append(transition(after, after.status))
    return records


def records_from_status(job: Job) -> list[TransitionRecord | StartEnd]:
    """Return the records that a status contains: the last transition, and the newest ended starts."""
    ended = [start_end(job, record) for record in job.status.attempt_history if record.ended is not None]
    return [transition(job, job.status), *ended] if job.status.transitions else list(ended)


def with_result(job: Job, status: AgentJobStatus, result: FinalResult | None) -> AgentJobStatus:
    """Add history's data to the final status of a job, if `result` is given.

    These are usage, the last start's progress, and a preview of the answer.
    """
    if result is None:
        return status
    status = replace(_with_progress(status, result.progress), usage=usage(result.usage, result.cost))
    if status.phase is not Phase.SUCCEEDED and result.answer is None:
        return status
    known = status.result or ResultSummary()
    shown = preview(job, known.summary, result.answer)
    return replace(status, result=replace(shown, workspace=known.workspace))


def _with_progress(status: AgentJobStatus, known: Progress | None) -> AgentJobStatus:
    """Add the last step, and the last start's steps if its end was written without them."""
    if known is None:
        return status
    history = status.attempt_history
    if history and history[-1].to_step is None:
        history = (*history[:-1], replace(history[-1], from_step=known.before, to_step=known.last))
    return replace(status, attempt_history=history, checkpoint=checkpoint_of(known) or status.checkpoint)


def preview(job: Job, summary: str, result: Result | None) -> ResultSummary:
    """Return a preview of a stored answer for the status. Without a stored answer, the termination message's
    summary.
    """
    ref = f"history:{job.uid}/result"
    if result is None:
        return ResultSummary(summary=summary, ref=ref, truncated=False)
    text, structured = result["text"], result["structured"]
    shown = _storable(structured)
    if not isinstance(shown, dict) or len(json.dumps(shown).encode()) > STRUCTURED_BYTES:
        shown = None
    head = cut(text, SUMMARY_BYTES)
    return ResultSummary(
        summary=head,
        structured=shown,
        outcome=result.get("outcome"),
        truncated=head != text or structured != shown,
        ref=ref,
    )


def _storable(value: Any) -> Any:
    """Remove from a JSON value what a status cannot store, so that no answer prevents its job from ending.

    In a patch null removes a member, and the API server refuses numbers that fit neither 64 bits nor a float.
    """
    if isinstance(value, dict):
        kept = {key: _storable(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return None if isinstance(value, int) and value.bit_length() > MAX_BITS else value


def usage(counts: Mapping[str, int], cost: Decimal | None) -> Usage:
    """Return usage and cost in dollars of all starts of a job; rounded up, so that small costs are visible."""
    return Usage(
        llm_calls=counts.get("llmCalls", 0),
        tool_calls=counts.get("toolCalls", 0),
        input_tokens=counts.get("inputTokens", 0),
        output_tokens=counts.get("outputTokens", 0),
        cost_usd=None if cost is None else plain(cost.quantize(MICRODOLLAR, ROUND_UP)),
    )
