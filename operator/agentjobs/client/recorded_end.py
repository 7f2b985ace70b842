"""The end of a job whose object is already deleted: `recorded_end`, and `recorded_end_of` for one that was never seen.

A job with a short `ttlSecondsAfterFinished` may be gone before a follower has seen how it ended. Only history knows it
then.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from agentjobs import errors
from agentjobs.api.conditions import END_CONDITIONS, Condition, ConditionType, Phase
from agentjobs.api.job.status import AgentJobStatus, PublishedWorkspace, ResultSummary
from agentjobs.api.recorded import RecordedJob
from agentjobs.client.effects import Operation, Sleep
from agentjobs.client.job import Job

if TYPE_CHECKING:
    from agentjobs.client.operations import Operations

# History records an end a moment after the status.
_PAUSES: Final = (0.5, 1.0, 2.0)


def recorded_end(do: "Operations", known: Job) -> Operation[Job | None]:
    """Return a job as it ended; None if it was deleted before its end.

    Raises:
        errors.NotFound: history cannot be read; the message says why.
    """
    try:
        record = yield from _final_record(do, known.uid)
    except errors.NotFound:
        return None
    except errors.AgentJobsError as error:
        why = f"AgentJob {known.name!r} was deleted; if it had ended, only history knows how, but: {error}"
        raise errors.NotFound(why) from error
    return None if record is None else _ended(known, record)


def recorded_end_of(do: "Operations", name: str) -> Operation[Job | None]:
    """Return the newest job of that name as it ended; None if it was deleted before its end. Its spec is empty.

    Raises:
        errors.AgentJobsError: history does not have it (NotFound), or cannot be read.
    """
    record = yield from _final_record(do, name)
    return None if record is None else _ended(_without_object(record), record)


def _final_record(do: "Operations", name: str) -> Operation[RecordedJob | None]:
    """Read a job by name or uid; None if its end is not recorded."""
    for pause in (*_PAUSES, None):
        record = (yield from do.job_history(name)).job
        if record.finished is not None and record.phase in END_CONDITIONS:
            return record
        if record.deleted is not None or pause is None:
            break
        yield Sleep(pause)
    return None


def _without_object(record: RecordedJob) -> Job:
    return Job(
        namespace=record.namespace,
        name=record.name,
        uid=record.uid,
        created=record.created,
        version="",
        spec={},
        labels={},
        annotations={},
        deleting=False,
        status=AgentJobStatus(),
    )


def _ended(known: Job, record: RecordedJob) -> Job:
    """The job with the status that its record tells of; the answer is only in history."""
    phase = next(each for each in END_CONDITIONS if each == record.phase)
    at = record.finished or record.created
    conditions = [
        Condition(kind, "True", record.reason, record.message, at)
        for kind in (END_CONDITIONS[phase], ConditionType.FINISHED)
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
