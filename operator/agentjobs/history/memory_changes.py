"""`ChangeReads` in memory, for tests."""

from collections.abc import Collection

from agentjobs.history.change_records import MAX_CHANGED, ChangedJob, Changes
from agentjobs.history.memory_rows import MemoryJob, MemoryRows


class MemoryChanges:
    """The changes of a history's jobs: each call scans all of them.

    Unlike PostgreSQL, a write without a changed value is not a change here.
    """

    def __init__(self, history: MemoryRows) -> None:
        self._history = history
        self._seen: dict[str, tuple[str, int]] = {}
        """By uid: the row as it was, and at which mark it had changed."""
        self._mark = 0

    async def changes(self, mark: str | None, *, watched: Collection[str] = ()) -> Changes:
        """Return which jobs were written since a mark, and how far the watched ones are, by uid."""
        self._history._check_available()
        self._mark += 1
        for uid, job in self._history.jobs_by_uid.items():
            before = self._seen.get(uid)
            if before is None or before[0] != _row(job):
                self._seen[uid] = _row(job), self._mark
        since = self._mark if mark is None else int(mark)
        newest = sorted(self._seen.items(), key=lambda item: item[1][1], reverse=True)
        keys = [self._history.jobs_by_uid[uid].key for uid, (_, at) in newest if at > since]
        jobs = [ChangedJob(key.namespace, key.name, key.uid) for key in keys]
        further = {uid: self._history.jobs_by_uid[uid] for uid in watched if uid in self._history.jobs_by_uid}
        progress = {uid: _progress(job) for uid, job in further.items() if job.starts}
        return Changes(str(self._mark), tuple(jobs[:MAX_CHANGED]), len(jobs) > MAX_CHANGED, progress)


def _row(job: MemoryJob) -> str:
    more = job.queue, job.workspace, job.duplicate_of, job.replaced_by
    # Each start is stored with its job.
    return repr((job.current, job.deleted, job.resolved, max(job.starts, default=0), *more))


def _progress(job: MemoryJob) -> str:
    newest = max(job.starts)
    start = job.starts[newest]
    steps = [(step.n, step.ended, step.void) for step in job.steps.values()]
    return repr(
        (newest, start.claimed, start.heartbeat, start.end, max(steps, default=None, key=str), len(start.events))
    )
