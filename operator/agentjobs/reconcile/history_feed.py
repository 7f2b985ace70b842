"""Writes each change of a job to history.

It subscribes to the cache rather than to our own writes: responses may get lost, and other clients write too.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from agentjobs.contract import ErrorClass
from agentjobs.core.job.ended import KnownJob
from agentjobs.core.job.observation import Job
from agentjobs.engine.cache import Name
from agentjobs.history.records import Deletion
from agentjobs.reconcile.job.rows import diff_records, job_key, start_end
from agentjobs.reconcile.ports import Writer


class HistoryFeed:
    """A subscriber of the cache of jobs."""

    def __init__(self, writer: Writer, now: Callable[[], datetime]) -> None:
        self._writer = writer
        self._now = now

    def on_change(self, name: Name, before: KnownJob | None, after: KnownJob | None) -> None:
        """Write the records that result from a change of one job."""
        if before is None:
            return
        if after is None:
            self._close(before)
            return
        if isinstance(before, Job) and isinstance(after, Job):
            for record in diff_records(before, after):
                self._writer.put(record)

    def _close(self, job: KnownJob) -> None:
        """Record the deletion of a job, and the end of the start that was active."""
        now = self._now()
        self._writer.put(Deletion(job=job_key(job), time=now))
        if isinstance(job, Job) and job.active is not None:
            ended = replace(
                job.active, ended=now, verdict="Cancel", reason=ErrorClass.JOB_DELETED, message="the job was deleted"
            )
            self._writer.put(start_end(job, ended))
