"""The end of a job whose object is already deleted: `recorded_end`.

A job with a short `ttlSecondsAfterFinished` may be gone before a follower has seen how it ended. Only history knows it
then.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from agentjobs import errors
from agentjobs.api.conditions import Condition, ConditionType, Phase
from agentjobs.api.job.status import PublishedWorkspace, ResultSummary
from agentjobs.api.recorded import RecordedJob
from agentjobs.client.effects import Operation, Sleep
from agentjobs.client.job import Job

if TYPE_CHECKING:
    from agentjobs.client.operations import Operations

# History records an end a moment after the status.
_PAUSES: Final = (0.5, 1.0, 2.0)
_CONDITIONS: Final = {
    Phase.SUCCEEDED: ConditionType.COMPLETE,
    Phase.FAILED: ConditionType.FAILED,
    Phase.CANCELLED: ConditionType.CANCELLED,
    Phase.SKIPPED: ConditionType.SKIPPED,
}


def recorded_end(do: "Operations", known: Job) -> Operation[Job | None]:
    """Return a job as it ended; None if it was deleted before its end, or history cannot be read."""
    for pause in (*_PAUSES, None):
        try:
            record = (yield from do.job_history(known.uid)).job
        except errors.AgentJobsError:
            return None
        if record.finished is not None and record.phase in _CONDITIONS:
            return _ended(known, record)
        if record.deleted is not None or pause is None:
            break
        yield Sleep(pause)
    return None


def _ended(known: Job, record: RecordedJob) -> Job:
    """The job with the status that its record tells of; the answer is only in history."""
    phase = next(each for each in _CONDITIONS if each == record.phase)
    at = record.finished or record.created
    conditions = [
        Condition(kind, "True", record.reason, record.message, at)
        for kind in (_CONDITIONS[phase], ConditionType.FINISHED)
    ]
    found, published = record.workspace, None
    if found is not None:
        published = PublishedWorkspace(found.branch, found.commit, found.pull_request or "")
    result = ResultSummary(truncated=True, outcome=record.outcome, workspace=published)
    status = replace(
        known.status,
        phase=phase,
        reason=record.reason,
        conditions=tuple(conditions),
        completion_time=at,
        attempts=record.attempts,
        starts=record.starts,
        result=result if phase is Phase.SUCCEEDED else None,
    )
    return replace(known, status=status)
