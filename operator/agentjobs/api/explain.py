"""One sentence about what happened to a job, and the possible actions: for the dashboard and the command line.

Uses the tables of `causes`; unknown reasons (runners and kubelets have their own) are shown unchanged. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from agentjobs.api.causes import (
    CANCELLATIONS,
    FAILURES,
    HOLDS,
    POD_TROUBLE,
    REJECTIONS,
    SKIPS,
    SUCCESSES,
    SUSPENSIONS,
    Cause,
    Look,
)
from agentjobs.api.conditions import DELETED, OVER, AdmittedReason, Phase, PodStartedReason, SuspendedReason
from agentjobs.durations import format_duration


class Order(StrEnum):
    """An action that a person can request for a job."""

    CANCEL = "cancel"
    SUSPEND = "suspend"
    RESUME = "resume"
    RERUN = "rerun"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """The known facts about a job. Unknown ones are empty or None."""

    phase: str
    reason: str
    """Reason of the condition that explains the phase."""
    pod_reason: str = ""
    """Why the start's pod does not run; reason of `PodStarted` while that is False."""
    attempts: int = 0
    max_attempts: int | None = None
    starts: int = 0
    queue: str = ""
    others_waiting: int | None = None
    """Other jobs that wait in the same queue."""
    created: datetime | None = None
    started: datetime | None = None
    """When the newest start was claimed."""
    claimed: datetime | None = None
    """When its runner first reported."""
    finished: datetime | None = None
    due: datetime | None = None
    """The earliest time of the next start."""
    last_reason: str = ""
    """Why the newest start ended."""
    step: int | None = None
    """The newest step."""
    doing: str = ""
    """What runs now: `tool search`, `model gemini-flash-latest`."""
    outcome: str | None = None
    twin: str = ""
    """The job because of which this one was skipped."""
    is_there: bool = True
    """Whether its object exists in the cluster."""
    asked: Order | None = None
    """What its spec already requests: `CANCEL` or `SUSPEND`."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The explanation of a job's state."""

    sentence: str
    cure: str
    """What a person can do about it, empty if nothing."""
    look: Look | None
    """Which page to look at next."""
    orders: tuple[Order, ...]
    """Possible actions, the likeliest first."""


def explain(seen: Situation, now: datetime) -> Explanation:
    """Return what happened, and the possible actions."""
    sentence, cause = _TOLD.get(seen.phase, _unknown)(seen, now)
    return Explanation(sentence, cause.cure, cause.look, orders(seen))


def orders(seen: Situation) -> tuple[Order, ...]:
    """Return the possible actions. A job whose object is gone can only run again."""
    if seen.phase in OVER or not seen.is_there:
        # A job that was never accepted would be refused again.
        return () if seen.reason in REJECTIONS else (Order.RERUN,)
    if seen.asked is Order.CANCEL:
        return ()
    if seen.phase == Phase.SUSPENDED:
        resumable = seen.reason in (SuspendedReason.REQUESTED, SuspendedReason.RULE)
        return (Order.RESUME, Order.CANCEL) if resumable else (Order.CANCEL,)
    return (Order.CANCEL, Order.RESUME if seen.asked is Order.SUSPEND else Order.SUSPEND)


def cure_of(word: str) -> str:
    """Return the cure for a reason; empty if there is none or the reason is unknown."""
    found = (table[word].cure for table in TABLES if word in table and table[word].cure)
    return next(found, "")


def _failed(seen: Situation, now: datetime) -> tuple[str, Cause]:
    cause = FAILURES.get(seen.reason, _said(seen.reason))
    if seen.starts == 0:
        return f"Failed before its first start: {cause.clause}.", cause
    after = f" after {seen.attempts} attempts" if seen.attempts > 1 else " in its first attempt"
    return f"Failed{after}: {cause.clause}. It will not be retried.", cause


def _running(seen: Situation, now: datetime) -> tuple[str, Cause]:
    if seen.pod_reason:
        cause = POD_TROUBLE.get(seen.pod_reason, _said(seen.pod_reason))
        if seen.pod_reason in _STOPS:
            return f"Start {seen.starts} is being stopped: {cause.clause}.", cause
        return f"Start {seen.starts} does not run yet: {cause.clause}.", cause
    since = f" for {_lasted(seen.started, now)}" if seen.started else ""
    if seen.claimed is None:
        return f"Running{since}, start {seen.starts}; its pod is being created.", Cause("")
    at = f", at step {seen.step}" if seen.step else ""
    doing = f", calling {seen.doing}" if seen.doing else ""
    return f"Running{since}, start {seen.starts}{at}{doing}.", Cause("", "", Look.TRANSCRIPT)


def _waiting(seen: Situation, now: datetime) -> tuple[str, Cause]:
    if not seen.reason:
        return "It was created a moment ago and will be examined next.", Cause("")
    cause = HOLDS.get(seen.reason, _said(seen.reason))
    if seen.reason == AdmittedReason.WAITING_FOR_START_TIME and seen.due:
        return f"Starts at {_clock(seen.due)}, in {_lasted(now, seen.due)}.", cause
    if seen.reason not in HOLDS:
        return f"Waits: {cause.clause}.", cause
    sentence = cause.clause.format(queue=seen.queue or "default")
    if cause.look is Look.QUEUE and seen.others_waiting is not None:
        others = f"{seen.others_waiting} other jobs wait" if seen.others_waiting != 1 else "1 other job waits"
        sentence += f" {others} in it." if seen.others_waiting else " No other job waits in it."
    return sentence, cause


def _retrying(seen: Situation, now: datetime) -> tuple[str, Cause]:
    last = FAILURES.get(seen.last_reason)
    because = f": {last.clause}" if last is not None else ""
    most = f" Attempts used: {seen.attempts} of {seen.max_attempts}." if seen.max_attempts else ""
    wait = (
        f"Waits {_lasted(now, seen.due)} before"
        if seen.due is not None and seen.due > now
        else "Will soon continue with"
    )
    return f"{wait} start {seen.starts + 1}{because}.{most}", last or Cause("")


def _suspended(seen: Situation, now: datetime) -> tuple[str, Cause]:
    cause = SUSPENSIONS.get(seen.reason, _said(seen.reason))
    kept = f" after step {seen.step}" if seen.step else ""
    return f"Suspended{kept}: {cause.clause}. It holds no slot and no pod.", cause


def _succeeded(seen: Situation, now: datetime) -> tuple[str, Cause]:
    cause = SUCCESSES.get(seen.reason, Cause("with an answer", "", Look.RESULT))
    took = f" in {_lasted(seen.created, seen.finished)}" if seen.created and seen.finished else ""
    starts = f" after {seen.starts} starts" if seen.starts > 1 else ""
    outcome = f" Its outcome is {seen.outcome}." if seen.outcome else ""
    return f"Succeeded{took}{starts}, {cause.clause}.{outcome}", cause


def _cancelled(seen: Situation, now: datetime) -> tuple[str, Cause]:
    cause = CANCELLATIONS.get(seen.reason, _said(seen.reason))
    when = "before its first start" if seen.starts == 0 else f"in start {seen.starts}"
    return f"Cancelled {when}: {cause.clause}.", cause


def _skipped(seen: Situation, now: datetime) -> tuple[str, Cause]:
    cause = SKIPS.get(seen.reason, _said(seen.reason))
    which = f": {seen.twin}" if seen.twin else ""
    return f"Skipped: {cause.clause}{which}.", cause


def _deleted(seen: Situation, now: datetime) -> tuple[str, Cause]:
    return "Its object was deleted before it ended. Nothing runs.", Cause("")


def _unknown(seen: Situation, now: datetime) -> tuple[str, Cause]:
    return f"Its phase is {seen.phase or 'not known yet'}.", Cause("")


def _said(reason: str) -> Cause:
    """An unknown reason, unchanged."""
    return Cause(f"for the reason {reason}" if reason else "for an unknown reason", "", Look.EVENTS)


def _lasted(since: datetime, until: datetime) -> str:
    seconds = max(0, round((until - since).total_seconds()))
    unit = 1 if seconds < 3600 else 60
    return format_duration(timedelta(seconds=seconds // unit * unit))


def _clock(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


_STOPS: Final = frozenset({PodStartedReason.STOPPING.value, PodStartedReason.SILENT.value})
_TOLD: Final = {
    Phase.PENDING.value: _waiting,
    Phase.SCHEDULED.value: _waiting,
    Phase.QUEUED.value: _waiting,
    Phase.RUNNING.value: _running,
    Phase.RETRYING.value: _retrying,
    Phase.SUSPENDED.value: _suspended,
    Phase.SUCCEEDED.value: _succeeded,
    Phase.FAILED.value: _failed,
    Phase.CANCELLED.value: _cancelled,
    Phase.SKIPPED.value: _skipped,
    DELETED: _deleted,
}
TABLES: Final[tuple[Mapping[str, Cause], ...]] = (
    FAILURES,
    HOLDS,
    POD_TROUBLE,
    SUSPENSIONS,
    SUCCESSES,
    CANCELLATIONS,
    SKIPS,
)
"""All tables, by condition."""
