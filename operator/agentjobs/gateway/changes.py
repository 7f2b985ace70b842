"""Decides which stream gets which changes, and when. Pure: `change_feed` reads history, `changes_api` writes streams.

A stream gets the newest change and the number of changes, so its memory does not grow with their number. Changes are
numbered. A client that connects again sends the last number it received, and gets what it missed.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import msgspec

from agentjobs.bounded import Bounded
from agentjobs.history.change_records import ChangedJob, Changes

REMEMBERED: Final = 2000
"""The number of changes that are kept for clients that connect again."""
BEFORE_SECONDS: Final = 5.0
"""A page is rendered a moment before its stream opens, so a new stream gets the changes of this time."""
PROGRESS_REMEMBERED: Final = 2000
NOTIFIED_PER_SECOND: Final = 6.0
"""The rate at which streams of lists are notified, in the long run; streams of single jobs have the same rate. Each
notified client requests a page, which takes about ten milliseconds of this process."""
NOTIFIED_BURST: Final = 20
"""The number of streams that may be notified without waiting for their turn."""

# Below the resolution of the clock.
_AT_ONCE_SECONDS: Final = 0.001


class ChangeKind(StrEnum):
    """What has changed."""

    JOB = "job"
    """The job: its phase, its reason or its end."""
    STEPS = "steps"
    """The progress of its newest start: steps, entries, heartbeats."""
    ALL = "all"
    """Unknown: any job may have changed."""


@dataclass(frozen=True, slots=True)
class Interest:
    """The jobs that a stream is about: those of namespaces, or one job."""

    namespaces: tuple[str, ...] | None = None
    """None for all namespaces."""
    job: str = ""
    """The name or the uid of one job in the only namespace; empty for all jobs."""
    uid: str = ""
    """The uid of that job, once it is known; its steps are watched."""
    name: str = ""
    """The name of that job, if `uid` is known."""

    def has(self, job: ChangedJob) -> bool:
        """Whether the stream is about a job."""
        if self.namespaces is not None and job.namespace not in self.namespaces:
            return False
        return not self.job or self.job in (job.uid, job.name) or self.uid == job.uid


class StreamEvent(msgspec.Struct, frozen=True):
    """An event of a stream: the last job that changed, and the number of changes."""

    namespace: str
    name: str
    uid: str
    what: ChangeKind
    changes: int = 1
    """The number of changes that it reports; 0 if unknown."""


_ANYTHING: Final = StreamEvent("", "", "", ChangeKind.ALL, 0)


class Pace:
    """A token bucket that assigns turns in the order of requests."""

    def __init__(self, *, per_second: float = NOTIFIED_PER_SECOND, at_once: int = NOTIFIED_BURST) -> None:
        self._between = 1.0 / per_second
        self._ahead = (at_once - 1) * self._between
        self._last = float("-inf")

    def turn(self, now: float) -> float:
        """Return the time of the turn that is requested now."""
        self._last = max(self._last + self._between, now - self._ahead)
        return max(now, self._last)


@dataclass(frozen=True, slots=True)
class _Change:
    number: int
    time: float
    job: ChangedJob | None
    """None if any job may have changed."""
    what: ChangeKind

    def event(self) -> StreamEvent:
        if self.job is None:
            return _ANYTHING
        return StreamEvent(self.job.namespace, self.job.name, self.job.uid, self.what)


class Listener:
    """One stream and its pending event.

    Args:
        every: the shortest time between two events, in seconds.
        wake: called when there is an event.
    """

    def __init__(self, interest: Interest, *, every: float, wake: Callable[[], None]) -> None:
        self.interest = interest
        self.number = 0
        """The number of the last change that it has received."""
        self._every = every
        self.wake = wake
        self.pace: Pace | None = None
        """Its turns; None for immediate events."""
        self._pending: StreamEvent | None = None
        self._away = self._is_away_reported = False
        self._free_at = float("-inf")

    def receive(self, change: _Change, now: float) -> None:
        """Process a change, if the stream is about its job."""
        self.number = change.number
        if change.job is not None and not self._concerns(change.job, change.what):
            return
        if self._pending is None:
            self._pending = change.event()
            self._free_at = max(self._free_at, self.pace.turn(now) if self.pace else now)
        else:
            self._pending = _merged(self._pending, change.event())
        self.wake()

    def narrow(self, interest: Interest) -> None:
        """Follow other namespaces. A pending event does not name a job of a namespace that is lost."""
        before, self.interest = self.interest.namespaces, interest
        after = interest.namespaces
        if self._pending is None or after is None or (before is not None and set(before) <= set(after)):
            return
        if self._pending.changes > 1:
            self._pending = _ANYTHING  # some of its changes may be of the namespaces that remain
        elif self._pending.what is not ChangeKind.ALL and self._pending.namespace not in after:
            self._pending = None

    def set_away(self, *, away: bool) -> None:
        """Record whether history is unavailable."""
        self._away = away
        if not away:
            self._is_away_reported = False
        else:
            self.wake()

    @property
    def away_is_due(self) -> bool:
        """Whether the next event reports that history is unavailable."""
        return self._away and not self._is_away_reported

    def due_in(self, now: float) -> float | None:
        """Return the seconds until an event is due; None without a pending event."""
        if self.away_is_due:
            return 0.0
        if self._pending is None:
            return None
        left = self._free_at - now
        return left if left > _AT_ONCE_SECONDS else 0.0

    def take(self, now: float) -> StreamEvent | None:
        """Return the event that is due (`due_in` is 0); None if history is unavailable."""
        if self.away_is_due:
            self._is_away_reported = True
            return None
        event, self._pending = self._pending, None
        self._free_at = now + self._every
        assert event is not None, "nothing is due"
        return event

    def _concerns(self, job: ChangedJob, what: ChangeKind) -> bool:
        if not self.interest.has(job):
            return False
        if self.interest.job and self.interest.uid != job.uid and what is ChangeKind.JOB:
            # A name refers to its newest job.
            self.interest = replace(self.interest, uid=job.uid, name=job.name)
        return what is ChangeKind.JOB or bool(self.interest.job)


def _merged(before: StreamEvent, event: StreamEvent) -> StreamEvent:
    """Merge two events: the later one counts, but ALL before any other, and JOB before STEPS of the same job."""
    if ChangeKind.ALL in (before.what, event.what):
        return _ANYTHING
    what = before.what if before.uid == event.uid and before.what is ChangeKind.JOB else event.what
    return msgspec.structs.replace(event, what=what, changes=before.changes + 1)


class Board:
    """Recent changes and the streams of a process.

    Args:
        name: identifies this process; numbers of other processes mean nothing here.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.listeners: set[Listener] = set()
        self._recent: deque[_Change] = deque(maxlen=REMEMBERED)
        self._number = 0
        self._away = False
        self._progress: Bounded[str, str] = Bounded(PROGRESS_REMEMBERED)
        # Separate, so that streams of single jobs do not wait for those of lists.
        self._lists, self._jobs = Pace(), Pace()

    @property
    def watched(self) -> frozenset[str]:
        """The uids of the jobs whose steps are watched."""
        return frozenset(each.interest.uid for each in self.listeners if each.interest.uid)

    def id_of(self, listener: Listener) -> str:
        """Return the id that a client sends when it connects again."""
        return f"{self.name}-{listener.number}"

    def join(self, listener: Listener, *, last: str | None, now: float) -> None:
        """Add a stream and send it what it missed, in its turn.

        Args:
            last: `id_of` at the end of its previous stream; None for a new one.
        """
        self.listeners.add(listener)
        listener.number = self._number
        listener.pace = self._jobs if listener.interest.job else self._lists
        for change in self._missed(last, now):
            listener.receive(change, now)
        if self._away:
            listener.set_away(away=True)

    def leave(self, listener: Listener) -> None:
        """Remove a stream."""
        self.listeners.discard(listener)

    def publish(self, changes: Changes, *, now: float, first: bool = False) -> None:
        """Send changes to the streams.

        Args:
            first: whether this is the first query, so that earlier changes are unknown.
        """
        if self._away:
            self._away = False
            for each in self.listeners:
                each.set_away(away=False)
            self._note(None, ChangeKind.ALL, now)
        if first or changes.more:
            self._note(None, ChangeKind.ALL, now)
        for job in reversed(changes.jobs):
            self._note(job, ChangeKind.JOB, now)
        for uid, progress in changes.progress.items():
            before = self._progress.get(uid)
            self._progress.put(uid, progress)
            if before is not None and before != progress:
                self._note_steps(uid, now)

    def publish_away(self) -> None:
        """Report to the streams that history is unavailable."""
        if not self._away:
            self._away = True
            for each in self.listeners:
                each.set_away(away=True)

    def _note_steps(self, uid: str, now: float) -> None:
        interest = next((listener.interest for listener in self.listeners if listener.interest.uid == uid), None)
        if interest is not None and interest.namespaces:
            self._note(ChangedJob(interest.namespaces[0], interest.name, uid), ChangeKind.STEPS, now)

    def _note(self, job: ChangedJob | None, what: ChangeKind, now: float) -> None:
        self._number += 1
        change = _Change(self._number, now, job, what)
        self._recent.append(change)
        for each in self.listeners:
            each.receive(change, now)

    def _missed(self, last: str | None, now: float) -> Iterable[_Change]:
        if last is None:
            return [change for change in self._recent if change.time > now - BEFORE_SECONDS]
        name, _, number = last.rpartition("-")
        oldest = self._recent[0].number if self._recent else self._number + 1
        if name != self.name or not number.isdecimal() or int(number) + 1 < oldest:
            return [_Change(self._number, now, None, ChangeKind.ALL)]
        return list(self._after(int(number)))

    def _after(self, number: int) -> Iterator[_Change]:
        return (change for change in self._recent if change.number > number)
