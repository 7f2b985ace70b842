"""The outbox in memory, for tests, filled by the transitions of a `MemoryHistory`.

history = MemoryHistory()
outbox = MemoryOutbox(history)
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta

from agentjobs.api.recorded_notifications import NotificationState, RecordedNotification
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.memory_rows import MemoryJob, MemoryNotification
from agentjobs.history.outbox import NO_SINK, place_of
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
        due = sorted((one for one in self._heads() if one.due <= now), key=lambda one: one.due)
        taken = [one for sink, count in room.items() for one in [each for each in due if each.sink == sink][:count]]
        for one in taken:
            one.tries, one.due = one.tries + 1, now + lease
        return [
            Due(one.uid, one.sink, one.transition, one.event, one.time, one.data, one.tries, now - one.since)
            for one in taken
        ]

    async def mark(self, tried: Tried) -> None:
        """Record how a try ended."""
        taken = tried.due
        rows = self._history.jobs_by_uid[taken.uid].notifications
        one, now = rows[taken.sink, taken.transition], self._history.now()
        stale = one.given_up is not None or one.tries != taken.tries
        if one.sent is not None or (tried.outcome is not Outcome.SENT and stale):
            return
        one.sent = now if tried.outcome is Outcome.SENT else None
        one.given_up = now if tried.outcome is Outcome.GIVEN_UP else None
        one.due, one.error = now + tried.retry_in, clean_text(tried.error)
        for later in rows.values():
            if later.is_open and later.sink == one.sink and later.transition > one.transition:
                later.due = one.due

    async def give_up(self, sinks: Collection[str], *, after: timedelta) -> int:
        """Give up notifications that wait that long for an unknown sink."""
        now = self._history.now()
        old = [one for one in self._open() if one.sink not in sinks and one.since < now - after]
        for one in old:
            one.given_up, one.error = now, NO_SINK
        return len(old)

    async def backlog(self) -> Backlog:
        """Return the backlog."""
        waits = [self._history.now() - one.since for one in self._open()]
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
            _recorded(job, one)
            for job in self._history.jobs_by_uid.values()
            if job.key.namespace == namespace and uid in (None, job.key.uid)
            for one in job.notifications.values()
            if not stuck or (one.sent is None and (one.given_up is not None or one.error))
        ]
        found.sort(key=place_of, reverse=True)
        if cursor is not None:
            before = parse_cursor(cursor, (datetime, str, str, int))
            found = [one for one in found if list(place_of(one)) < before]
        return page_of(found[:limit], place_of, more=len(found) > limit)

    async def retry(self, uid: str, sink: str | None = None) -> int:
        """Retry a job's notifications that failed or were given up."""
        job, now = self._history.jobs_by_uid.get(uid), self._history.now()
        failed = [
            one
            for one in (job.notifications.values() if job else ())
            if one.sent is None and (one.given_up is not None or one.error) and sink in (None, one.sink)
        ]
        for one in failed:
            one.since = one.since if one.given_up is None else now
            one.given_up, one.due = None, now
        return len(failed)

    def _open(self) -> Iterator[MemoryNotification]:
        for job in self._history.jobs_by_uid.values():
            yield from (one for one in job.notifications.values() if one.is_open)

    def _heads(self) -> Iterator[MemoryNotification]:
        """Those that wait for no other of their job and sink."""
        seen: set[tuple[str, str]] = set()
        for one in sorted(self._open(), key=lambda each: each.transition):
            if (one.uid, one.sink) not in seen:
                seen.add((one.uid, one.sink))
                yield one


def _recorded(job: MemoryJob, one: MemoryNotification) -> RecordedNotification:
    return RecordedNotification(
        uid=one.uid,
        namespace=job.key.namespace,
        name=job.key.name,
        sink=one.sink,
        transition=one.transition,
        event=one.event,
        time=one.time,
        state=_state(one),
        since=one.since,
        tries=one.tries,
        due=one.due if one.is_open else None,
        ended=one.sent or one.given_up,
        error=one.error,
    )


def _state(one: MemoryNotification) -> NotificationState:
    if one.sent is not None:
        return "Sent"
    if one.given_up is not None:
        return "GivenUp"
    return "Retrying" if one.error else "Waiting"
