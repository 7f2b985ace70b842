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
    DetailPage,
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
    equal_job: str = ""
    """The job because of which this one was skipped."""
    is_there: bool = True
    """Whether its object exists in the cluster."""
    requested: Order | None = None
    """What its spec already requests: `CANCEL` or `SUSPEND`."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The explanation of a job's state."""

    sentence: str
    cure: str
    """What a person can do about it, empty if nothing."""
    page: DetailPage | None
    """The page with more about it."""
    orders: tuple[Order, ...]
    """Possible actions, the likeliest first."""


def explain(situation: Situation, now: datetime) -> Explanation:
    """Return what happened, and the possible actions."""
    sentence, cause = _SENTENCES.get(situation.phase, _unknown)(situation, now)
    return Explanation(sentence, cause.cure, cause.page, orders(situation))


def orders(situation: Situation) -> tuple[Order, ...]:
    """Return the possible actions. A job whose object is gone can only run again."""
    if situation.phase in OVER or not situation.is_there:
        # A job that was never accepted would be refused again.
        return () if situation.reason in REJECTIONS else (Order.RERUN,)
    if situation.requested is Order.CANCEL:
        return ()
    if situation.phase == Phase.SUSPENDED:
        resumable = situation.reason in (SuspendedReason.REQUESTED, SuspendedReason.RULE)
        return (Order.RESUME, Order.CANCEL) if resumable else (Order.CANCEL,)
    return (Order.CANCEL, Order.RESUME if situation.requested is Order.SUSPEND else Order.SUSPEND)


def cure_of(reason: str) -> str:
    """Return the cure for a reason; empty if there is none or the reason is unknown."""
    found = (table[reason].cure for table in TABLES if reason in table and table[reason].cure)
    return next(found, "")


def _failed(situation: Situation, now: datetime) -> tuple[str, Cause]:
    cause = FAILURES.get(situation.reason, _unknown_reason(situation.reason))
    if situation.starts == 0:
        return f"Failed before its first start: {cause.clause}.", cause
    after = f" after {situation.attempts} attempts" if situation.attempts > 1 else " in its first attempt"
    return f"Failed{after}: {cause.clause}. It will not be retried.", cause


def _running(situation: Situation, now: datetime) -> tuple[str, Cause]:
    if situation.pod_reason:
        cause = POD_TROUBLE.get(situation.pod_reason, _unknown_reason(situation.pod_reason))
        if situation.pod_reason in _STOPS:
            return f"Start {situation.starts} is being stopped: {cause.clause}.", cause
        return f"Start {situation.starts} does not run yet: {cause.clause}.", cause
    since = f" for {_lasted(situation.started, now)}" if situation.started else ""
    if situation.claimed is None:
        return f"Running{since}, start {situation.starts}; its pod has not reported yet.", Cause("")
    at = f", at step {situation.step}" if situation.step else ""
    doing = f", calling {situation.doing}" if situation.doing else ""
    return f"Running{since}, start {situation.starts}{at}{doing}.", Cause("", "", DetailPage.TRANSCRIPT)


def _waiting(situation: Situation, now: datetime) -> tuple[str, Cause]:
    if not situation.reason:
        return "It was created a moment ago and will be examined next.", Cause("")
    cause = HOLDS.get(situation.reason, _unknown_reason(situation.reason))
    if situation.reason == AdmittedReason.WAITING_FOR_START_TIME and situation.due:
        return f"Starts at {_clock(situation.due)}, in {_lasted(now, situation.due)}.", cause
    if situation.reason not in HOLDS:
        return f"Waits: {cause.clause}.", cause
    sentence = cause.clause.format(queue=situation.queue or "default")
    if cause.page is DetailPage.QUEUE and situation.others_waiting is not None:
        others = f"{situation.others_waiting} other jobs wait" if situation.others_waiting != 1 else "1 other job waits"
        sentence += f" {others} in it." if situation.others_waiting else " No other job waits in it."
    return sentence, cause


def _retrying(situation: Situation, now: datetime) -> tuple[str, Cause]:
    last = FAILURES.get(situation.last_reason)
    because = f": {last.clause}" if last is not None else ""
    most = f" Attempts used: {situation.attempts} of {situation.max_attempts}." if situation.max_attempts else ""
    wait = (
        f"Waits {_lasted(now, situation.due)} before"
        if situation.due is not None and situation.due > now
        else "Will soon continue with"
    )
    return f"{wait} start {situation.starts + 1}{because}.{most}", last or Cause("")


def _suspended(situation: Situation, now: datetime) -> tuple[str, Cause]:
    cause = SUSPENSIONS.get(situation.reason, _unknown_reason(situation.reason))
    kept = f" after step {situation.step}" if situation.step else ""
    return f"Suspended{kept}: {cause.clause}. It holds no slot and no pod.", cause


def _succeeded(situation: Situation, now: datetime) -> tuple[str, Cause]:
    cause = SUCCESSES.get(situation.reason, Cause("with an answer", "", DetailPage.RESULT))
    took = f" in {_lasted(situation.created, situation.finished)}" if situation.created and situation.finished else ""
    starts = f" after {situation.starts} starts" if situation.starts > 1 else ""
    outcome = f" Its outcome is {situation.outcome}." if situation.outcome else ""
    return f"Succeeded{took}{starts}, {cause.clause}.{outcome}", cause


def _cancelled(situation: Situation, now: datetime) -> tuple[str, Cause]:
    cause = CANCELLATIONS.get(situation.reason, _unknown_reason(situation.reason))
    when = "before its first start" if situation.starts == 0 else f"in start {situation.starts}"
    return f"Cancelled {when}: {cause.clause}.", cause


def _skipped(situation: Situation, now: datetime) -> tuple[str, Cause]:
    cause = SKIPS.get(situation.reason, _unknown_reason(situation.reason))
    which = f": {situation.equal_job}" if situation.equal_job else ""
    return f"Skipped: {cause.clause}{which}.", cause


def _deleted(situation: Situation, now: datetime) -> tuple[str, Cause]:
    return "Its object was deleted before it ended. Nothing runs.", Cause("")


def _unknown(situation: Situation, now: datetime) -> tuple[str, Cause]:
    return f"Its phase is {situation.phase or 'not known yet'}.", Cause("")


def _unknown_reason(reason: str) -> Cause:
    """An unknown reason, unchanged."""
    return Cause(f"for the reason {reason}" if reason else "for an unknown reason", "", DetailPage.EVENTS)


def _lasted(since: datetime, until: datetime) -> str:
    seconds = max(0, round((until - since).total_seconds()))
    unit = 1 if seconds < 3600 else 60
    return format_duration(timedelta(seconds=seconds // unit * unit))


def _clock(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


_STOPS: Final = frozenset({PodStartedReason.STOPPING.value, PodStartedReason.SILENT.value})
_SENTENCES: Final = {
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
