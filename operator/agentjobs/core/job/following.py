"""What `decide` does about the follow-ups of a finished job.

end             the write that ends the job lists the matching follow-ups
MakeFollowUp    in order, creates or finds the jobs of each
RecordFollowUps once all have been tried

A job is created only after the parent was read from the API server, and its known children from history: a job that
existed and was deleted is not created again. Pure.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from agentjobs.api.conditions import ConditionType, FollowUpReason, find_condition
from agentjobs.api.job.status import MAX_FOLLOW_UP_MESSAGE, FollowUpStatus
from agentjobs.contract import cut
from agentjobs.core.children import RefusalReason
from agentjobs.core.job import needs
from agentjobs.core.job.actions import Decision, MakeFollowUp, NeedOrDecision, RecordFollowUps
from agentjobs.core.job.follow_ups import Plans, Unmade, accepted_follow_ups, requested
from agentjobs.core.job.observation import Job, Observation, Tried

SOON: Final = timedelta(seconds=2)
AT_LAST: Final = timedelta(minutes=1)
SHARE: Final = 10
"""Long-lasting refusals are retried less often."""


def follow(seen: Observation) -> NeedOrDecision | None:
    """Return what to do about the follow-ups of a finished job now, or None."""
    job, record = seen.job, seen.record
    if not job.needs_follow_ups or job.deleting or not seen.history_available:
        return None
    if record is None:
        return needs.ParentRecord()
    known = accepted_follow_ups(record.resolved) if record.resolved else ()
    if known is None:
        action = RecordFollowUps(job.status.follow_ups or (), FollowUpReason.SPEC_UNREADABLE, "")
        return _written(job, action)
    plans = Plans(job, record, known, depth=seen.depth)
    entries: dict[str, FollowUpStatus] = {}
    for entry in job.status.follow_ups or requested(known, job.status):
        found = _next(entry, plans, entries, seen)
        if isinstance(found, MakeFollowUp):
            return Decision(found)
        entries[entry.name] = found
    return _written(job, _recorded(tuple(entries.values())))


def again(job: Job, now: datetime) -> datetime:
    """Return when to retry after a refusal, or while history is unreachable."""
    waited = now - (job.status.completion_time or now)
    return now + min(AT_LAST, max(SOON, waited / SHARE))


def _next(
    entry: FollowUpStatus, plans: Plans, before: dict[str, FollowUpStatus], seen: Observation
) -> FollowUpStatus | MakeFollowUp:
    """Return the state of a follow-up, or its jobs to create."""
    if not entry.is_open:
        return entry
    waited_for = [before[name] for name in plans.before(entry.name) if name in before]
    if any(follow_up.is_open for follow_up in waited_for):
        return entry
    if lacking := next((follow_up for follow_up in waited_for if not follow_up.made), None):
        return _unmade(entry, FollowUpReason.AFTER_NOT_MADE, f"{lacking.name}: {lacking.reason}")
    if (tried := seen.tried.get(entry.name)) is not None:
        return _as_tried(entry, tried)
    planned = plans.planned(entry.name)
    if isinstance(planned, Unmade):
        return _unmade(entry, planned.reason, planned.message)
    return MakeFollowUp(entry.name, planned) if planned else FollowUpStatus(entry.name, made=True)


def _as_tried(entry: FollowUpStatus, tried: Tried) -> FollowUpStatus:
    refusal, alone = tried.refusal, tried.job if tried.made == 1 else None
    if refusal is None:
        return FollowUpStatus(entry.name, made=True, jobs=tried.made, job=alone)
    reason = FollowUpReason.NAME_TAKEN if refusal.reason is RefusalReason.NAME_TAKEN else FollowUpReason.REFUSED
    unmade = _unmade(entry, FollowUpReason.INVALID if refusal.final else reason, refusal.message)
    return replace(unmade, jobs=tried.made, job=alone)


def _unmade(entry: FollowUpStatus, reason: FollowUpReason, message: str) -> FollowUpStatus:
    return FollowUpStatus(entry.name, reason=reason.value, message=cut(message, MAX_FOLLOW_UP_MESSAGE))


def _recorded(entries: tuple[FollowUpStatus, ...]) -> RecordFollowUps:
    """Return all entries and the condition, whose message prefers problems that are retried."""
    if all(entry.made for entry in entries):
        made = sum(entry.jobs for entry in entries)
        return RecordFollowUps(entries, FollowUpReason.CREATED, f"{made} job{'' if made == 1 else 's'}")
    first = min(
        (entry for entry in entries if not entry.made), key=lambda entry: (not entry.is_open, entry.reason is None)
    )
    reason = first.reason or FollowUpReason.PENDING
    return RecordFollowUps(entries, reason, f"{first.name}: {first.message}" if first.message else first.name)


def _written(job: Job, action: RecordFollowUps) -> Decision | None:
    """Return the action, unless the status differs only in messages, because a quota's message changes with each
    try.
    """
    condition = find_condition(job.status.conditions, ConditionType.FOLLOW_UPS_CREATED)
    same = condition is not None and condition.reason == action.reason
    if same and list(map(_gist, job.status.follow_ups or ())) == list(map(_gist, action.follow_ups)):
        return None
    return Decision(action)


def _gist(entry: FollowUpStatus) -> FollowUpStatus:
    return replace(entry, message=None)
