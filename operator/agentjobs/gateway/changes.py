"""Who is told of which changes, and when. Pure: `change_feed` asks history, `changes_api` writes to the streams.

A stream is told one thing at a time, the newest, and how many there were: what it has not read yet takes the same room
however much happens. Each thing has a number; a stream that comes back says the last it heard, and is told what it
missed.
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
"""Changes, for streams that come back."""
BEFORE_SECONDS: Final = 5.0
"""A page was made a moment before its stream opens: what changed in this time is told to one that is new."""
PROGRESS_REMEMBERED: Final = 2000
TOLD_A_SECOND: Final = 6.0
"""Streams of lists that are told in a second, in the long run, and as many of single jobs: who is told asks for a page,
which takes some ten milliseconds of this process."""
TOLD_AT_ONCE: Final = 20
"""Streams that are told without waiting for a turn."""

# Less than a clock may be able to tell.
_AT_ONCE_SECONDS: Final = 0.001


class What(StrEnum):
    """What of a job has changed."""

    JOB = "job"
    """Its row: the phase, the reason, its end."""
    STEPS = "steps"
    """How far its newest start is: steps, entries, heartbeats."""
    ALL = "all"
    """Nobody can say what: anything may have."""


@dataclass(frozen=True, slots=True)
class Interest:
    """What a stream is about: the jobs of namespaces, or one job."""

    namespaces: tuple[str, ...] | None = None
    """None for all."""
    job: str = ""
    """The name or the uid of one job, in the only namespace; empty for all jobs."""
    uid: str = ""
    """That job's, once it is known: its steps are looked at."""
    name: str = ""
    """That job's, as long as `uid` is known."""

    def has(self, job: ChangedJob) -> bool:
        """Whether a job is among them."""
        if self.namespaces is not None and job.namespace not in self.namespaces:
            return False
        return not self.job or self.job in (job.uid, job.name) or self.uid == job.uid


class Event(msgspec.Struct, frozen=True):
    """What a stream is told: the last job that changed, and how often any did."""

    namespace: str
    name: str
    uid: str
    what: What
    changes: int = 1
    """How many this stands for; 0 where nobody counted."""


_ANYTHING: Final = Event("", "", "", What.ALL, 0)


class Pace:
    """Gives out turns, so many a second in the long run and some at once; in the order in which they are asked for."""

    def __init__(self, *, a_second: float = TOLD_A_SECOND, at_once: int = TOLD_AT_ONCE) -> None:
        self._between = 1.0 / a_second
        self._ahead = (at_once - 1) * self._between
        self._last = float("-inf")

    def turn(self, now: float) -> float:
        """Return when the turn is that is asked for now."""
        self._last = max(self._last + self._between, now - self._ahead)
        return max(now, self._last)


@dataclass(frozen=True, slots=True)
class _Told:
    number: int
    time: float
    job: ChangedJob | None
    """None: anything may have changed."""
    what: What

    def event(self) -> Event:
        if self.job is None:
            return _ANYTHING
        return Event(self.job.namespace, self.job.name, self.job.uid, self.what)


class Listener:
    """One stream: what it is still to be told.

    Args:
        every: seconds; it is told at most once in so many.
        wake: called when there is something.
    """

    def __init__(self, interest: Interest, *, every: float, wake: Callable[[], None]) -> None:
        self.interest = interest
        self.number = 0
        """Of the last change that it knows of."""
        self._every = every
        self.wake = wake
        self.pace: Pace | None = None
        """By which it is told; None: at once."""
        self._pending: Event | None = None
        self._away = self._is_away_told = False
        self._free_at = float("-inf")

    def hear(self, told: _Told, now: float) -> None:
        """Note a change, if it is about what the stream is."""
        self.number = told.number
        if told.job is not None and not self._concerns(told.job, told.what):
            return
        if self._pending is None:
            self._pending = told.event()
            self._free_at = max(self._free_at, self.pace.turn(now) if self.pace else now)
        else:
            self._pending = _together(self._pending, told.event())
        self.wake()

    def hear_of(self, *, away: bool) -> None:
        """Note that history is away, or back."""
        self._away = away
        if not away:
            self._is_away_told = False
        else:
            self.wake()

    @property
    def away_is_due(self) -> bool:
        """Whether the next event reports that history is unavailable."""
        return self._away and not self._is_away_told

    def due_in(self, now: float) -> float | None:
        """Return in how many seconds there is something to tell; None while there is nothing."""
        if self.away_is_due:
            return 0.0
        if self._pending is None:
            return None
        left = self._free_at - now
        return left if left > _AT_ONCE_SECONDS else 0.0

    def take(self, now: float) -> Event | None:
        """Return what is to be told now, if `due_in` is 0; None says that history is away."""
        if self.away_is_due:
            self._is_away_told = True
            return None
        event, self._pending = self._pending, None
        self._free_at = now + self._every
        assert event is not None, "nothing is due"
        return event

    def _concerns(self, job: ChangedJob, what: What) -> bool:
        if not self.interest.has(job):
            return False
        if self.interest.job and self.interest.uid != job.uid and what is What.JOB:
            # A name means its newest job.
            self.interest = replace(self.interest, uid=job.uid, name=job.name)
        return what is What.JOB or bool(self.interest.job)


def _together(before: Event, event: Event) -> Event:
    """One event for both: the later, unless anything may have changed; of one job its row says more than its steps."""
    if What.ALL in (before.what, event.what):
        return _ANYTHING
    what = before.what if before.uid == event.uid and before.what is What.JOB else event.what
    return msgspec.structs.replace(event, what=what, changes=before.changes + 1)


class Board:
    """What has changed lately, and who is to hear of it. One a process.

    Args:
        name: of this process's numbers; those of others mean nothing here.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.listeners: set[Listener] = set()
        self._told: deque[_Told] = deque(maxlen=REMEMBERED)
        self._number = 0
        self._away = False
        self._progress: Bounded[str, str] = Bounded(PROGRESS_REMEMBERED)
        # Of their own: what happens to one job must not wait until all lists have been told of it.
        self._lists, self._jobs = Pace(), Pace()

    @property
    def watched(self) -> frozenset[str]:
        """The uids of jobs whose steps somebody looks at."""
        return frozenset(each.interest.uid for each in self.listeners if each.interest.uid)

    def id_of(self, listener: Listener) -> str:
        """Return what a stream says when it comes back."""
        return f"{self.name}-{listener.number}"

    def join(self, listener: Listener, *, last: str | None, now: float) -> None:
        """Add a stream, and have it hear what it missed; where many are told, each waits for its turn.

        Args:
            last: `id_of` when it was here before; None for one that is new.
        """
        self.listeners.add(listener)
        listener.number = self._number
        listener.pace = self._jobs if listener.interest.job else self._lists
        for told in self._missed(last, now):
            listener.hear(told, now)
        if self._away:
            listener.hear_of(away=True)

    def leave(self, listener: Listener) -> None:
        """Remove a stream."""
        self.listeners.discard(listener)

    def tell(self, changes: Changes, *, now: float, first: bool = False) -> None:
        """Tell the streams what history answered.

        Args:
            first: nothing was known before, so nobody can say what changed until now.
        """
        if self._away:
            self._away = False
            for each in self.listeners:
                each.hear_of(away=False)
            self._note(None, What.ALL, now)
        if first or changes.more:
            self._note(None, What.ALL, now)
        for job in reversed(changes.jobs):
            self._note(job, What.JOB, now)
        for uid, progress in changes.progress.items():
            before = self._progress.get(uid)
            self._progress.put(uid, progress)
            if before is not None and before != progress:
                self._note_steps(uid, now)

    def tell_away(self) -> None:
        """Tell the streams that history does not answer."""
        if not self._away:
            self._away = True
            for each in self.listeners:
                each.hear_of(away=True)

    def _note_steps(self, uid: str, now: float) -> None:
        interest = next((one.interest for one in self.listeners if one.interest.uid == uid), None)
        if interest is not None and interest.namespaces:
            self._note(ChangedJob(interest.namespaces[0], interest.name, uid), What.STEPS, now)

    def _note(self, job: ChangedJob | None, what: What, now: float) -> None:
        self._number += 1
        told = _Told(self._number, now, job, what)
        self._told.append(told)
        for each in self.listeners:
            each.hear(told, now)

    def _missed(self, last: str | None, now: float) -> Iterable[_Told]:
        if last is None:
            return [told for told in self._told if told.time > now - BEFORE_SECONDS]
        name, _, number = last.rpartition("-")
        oldest = self._told[0].number if self._told else self._number + 1
        if name != self.name or not number.isdecimal() or int(number) + 1 < oldest:
            return [_Told(self._number, now, None, What.ALL)]
        return list(self._after(int(number)))

    def _after(self, number: int) -> Iterator[_Told]:
        return (told for told in self._told if told.number > number)
