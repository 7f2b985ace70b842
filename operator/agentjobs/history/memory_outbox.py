"""The outbox in memory, for tests, filled by the transitions of a `MemoryHistory`.

history = MemoryHistory()
outbox = MemoryOutbox(history)
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta

from agentjobs.api.recorded_notifications import NotificationState, RecordedNotification
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.memory_rows import MemoryJob, MemoryNotification
from agentjobs.history.outbox import NO_SINK, SINK_DOWN, place_of
from agentjobs.history.outbox_records import Backlog, Due, Outcome, Tried
from agentjobs.history.pages import DEFAULT_LIMIT, Page, checked_limit, page_of, parse_cursor
from agentjobs.history.sanitize import clean_text


class MemoryOutbox:
    """What `Outbox` and `Notifications` promise."""

    def __init__(self, history: MemoryHistory) -> None:
        self._history = history

    async def take(self, room: Mapping[str, int], *, lease: timedelta) -> list[Due]:
        """Take due notifications, for each sink up to its capacity."""
        now = self._history.now()
        due = sorted((row for row in self._heads() if row.due <= now), key=lambda row: row.due)
        taken = [row for sink, count in room.items() for row in [each for each in due if each.sink == sink][:count]]
        for row in taken:
            row.tries, row.due = row.tries + 1, now + lease
        return [
            Due(row.uid, row.sink, row.transition, row.event, row.time, row.data, row.tries, now - row.since)
            for row in taken
        ]

    async def mark(self, tried: Tried) -> None:
        """Record how a try ended."""
        taken = tried.due
        rows = self._history.jobs_by_uid[taken.uid].notifications
        row, now = rows[taken.sink, taken.transition], self._history.now()
        stale = row.given_up is not None or row.tries != taken.tries
        if row.sent is not None or (tried.outcome is not Outcome.SENT and stale):
            return
        row.sent = now if tried.outcome is Outcome.SENT else None
        row.given_up = now if tried.outcome is Outcome.GIVEN_UP else None
        row.due, row.error = now + tried.retry_in, clean_text(tried.error)
        for later in rows.values():
            if later.is_open and later.sink == row.sink and later.transition > row.transition:
                later.due = row.due

    async def give_up(self, sinks: Collection[str], *, down: Collection[str] = (), after: timedelta) -> Counter[str]:
        """Give up notifications that wait that long for an unknown sink, or for one that is down."""
        now = self._history.now()
        available = set(sinks) - set(down)
        old = [row for row in self._open() if row.sink not in available and row.since < now - after]
        for row in old:
            row.given_up, row.error = now, (row.error or SINK_DOWN) if row.sink in sinks else NO_SINK
        return Counter(row.sink for row in old)

    async def backlog(self) -> Backlog:
        """Return the backlog."""
        waits = [self._history.now() - row.since for row in self._open()]
        return Backlog(len(waits), max(waits, default=timedelta(0)))

    async def notifications(
        self,
        namespace: str,
        *,
        uid: str | None = None,
        stuck: bool = False,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[RecordedNotification]:
        """Return notifications, newest first."""
        limit = checked_limit(limit)
        found = [
            _recorded(job, row)
            for job in self._history.jobs_by_uid.values()
            if job.key.namespace == namespace and uid in (None, job.key.uid)
            for row in job.notifications.values()
            if not stuck or (row.sent is None and (row.given_up is not None or row.error))
        ]
        found.sort(key=place_of, reverse=True)
        if cursor is not None:
            before = parse_cursor(cursor, (datetime, str, str, int))
            found = [row for row in found if list(place_of(row)) < before]
        return page_of(found[:limit], place_of, more=len(found) > limit)

    async def retry(self, uid: str, sink: str | None = None) -> int:
        """Retry a job's notifications that failed or were given up."""
        job, now = self._history.jobs_by_uid.get(uid), self._history.now()
        failed = [
            row
            for row in (job.notifications.values() if job else ())
            if row.sent is None and (row.given_up is not None or row.error) and sink in (None, row.sink)
        ]
        for row in failed:
            row.since = row.since if row.given_up is None else now
            row.given_up, row.due = None, now
        return len(failed)

    def _open(self) -> Iterator[MemoryNotification]:
        for job in self._history.jobs_by_uid.values():
            yield from (row for row in job.notifications.values() if row.is_open)

    def _heads(self) -> Iterator[MemoryNotification]:
        """Those that wait for no other of their job and sink."""
        seen: set[tuple[str, str]] = set()
        for row in sorted(self._open(), key=lambda each: each.transition):
            if (row.uid, row.sink) not in seen:
                seen.add((row.uid, row.sink))
                yield row


def _recorded(job: MemoryJob, row: MemoryNotification) -> RecordedNotification:
    return RecordedNotification(
        uid=row.uid,
        namespace=job.key.namespace,
        name=job.key.name,
        sink=row.sink,
        transition=row.transition,
        event=row.event,
        time=row.time,
        state=_state(row),
        since=row.since,
        tries=row.tries,
        due=row.due if row.is_open else None,
        ended=row.sent or row.given_up,
        error=row.error,
    )


def _state(row: MemoryNotification) -> NotificationState:
    if row.sent is not None:
        return "Sent"
    if row.given_up is not None:
        return "GivenUp"
    return "Retrying" if row.error else "Waiting"
