"""Which of several equal jobs runs: the rule of `unique`, for PostgreSQL and for memory. Pure.

Each job is decided once, at its first acceptance, under a lock of its key. The decision is final, even after the other
job has ended. A skipped or replaced job loses its key and no longer counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from agentjobs.api.conditions import Phase
from agentjobs.history.records import (
    Acceptance,
    AcceptanceAnswer,
    Accepted,
    Duplicate,
    NoSlot,
    Superseded,
    UniqueRequest,
)
from agentjobs.history.sanitize import clean_text

Key = tuple[str, str]
"""Namespace and key."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """A job with a key, as stored in history."""

    uid: str
    name: str
    created: datetime
    """By the API server's clock, so that a delayed acceptance does not make a job younger."""
    stored: datetime
    """When history stored it first, by the database's clock."""
    started: bool = False
    ended: bool = False
    phase: str = Phase.PENDING.value

    @property
    def age(self) -> tuple[datetime, str]:
        """Sort key by age: creation times have whole seconds, so names decide within one, as for slots."""
        return self.created, self.name


@dataclass(frozen=True, slots=True)
class Runs:
    """The job runs, and replaces these jobs, which have not started."""

    replaced: tuple[Keyed, ...] = ()


@dataclass(slots=True)
class Decisions:
    """The decisions about a batch of jobs, one after another in order of creation."""

    stopped: dict[str, Duplicate | Superseded] = field(default_factory=dict)
    """Jobs that must not start, by uid."""
    replaced: dict[str, Superseded] = field(default_factory=dict)
    """Jobs that are replaced now, by uid: of earlier batches, or of this one."""
    took: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """Uid and name of the jobs that a job replaces now, by its uid."""
    keys: dict[str, str] = field(default_factory=dict)
    """The keys that the jobs of the batch keep, by uid."""
    _decided: set[str] = field(default_factory=set)
    _known: dict[Key, dict[str, Keyed]] = field(default_factory=lambda: defaultdict(dict))

    def remember(self, uid: str, accepted: bool, duplicate_of: str, replaced_by: str, other: str) -> None:
        """Take what was decided about a job of the batch before; `other` is the other job's name."""
        if accepted:
            self._decided.add(uid)
        if duplicate_of:
            self.stopped[uid] = Duplicate(duplicate_of, other)
        elif replaced_by:
            self.stopped[uid] = Superseded(replaced_by, other)

    def know(self, namespace: str, key: str, job: Keyed) -> None:
        """Take a job that has a key."""
        self._known[namespace, key][job.uid] = job

    def decide(self, batch: Iterable[Acceptance]) -> None:
        """Decide about each job with a key that has no decision yet."""
        for acceptance in sorted(batch, key=lambda each: (each.job.job.created, each.job.job.name)):
            if acceptance.unique is not None and acceptance.job.job.uid not in self._decided:
                self._decide(acceptance, acceptance.unique)

    def columns(self, uid: str) -> dict[str, str | None]:
        """What its row says of this at its first acceptance."""
        stop = self.stopped.get(uid)
        return {
            "unique_key": self.keys.get(uid),
            "duplicate_of": stop.uid if isinstance(stop, Duplicate) else "",
            "replaced_by": stop.uid if isinstance(stop, Superseded) else "",
        }

    def going(self, batch: Sequence[Acceptance]) -> list[Acceptance]:
        """Those of a batch that are not stopped."""
        return [acceptance for acceptance in batch if acceptance.job.job.uid not in self.stopped]

    def answer(self, uid: str, answer: Accepted | NoSlot) -> AcceptanceAnswer:
        """The answer to a job that is not stopped, with those whose place it took."""
        return replace(answer, replaced=tuple(self.took[uid])) if uid in self.took else answer

    def answers(self, batch: Sequence[Acceptance], going: Sequence[Accepted | NoSlot]) -> list[AcceptanceAnswer]:
        """The answers to a batch, from those to the ones that are `going`."""
        left, uids = iter(going), [acceptance.job.job.uid for acceptance in batch]
        return [self.stopped[uid] if uid in self.stopped else self.answer(uid, next(left)) for uid in uids]

    def _decide(self, acceptance: Acceptance, unique: UniqueRequest) -> None:
        key, job = acceptance.job.job, _keyed(acceptance)
        known = self._known[key.namespace, clean_text(unique.key)]
        others = [
            _as_seen(other, unique.ends(other.uid, key.namespace, other.name, other.stored)) for other in known.values()
        ]
        answer = Runs() if unique.is_decided else judge(job, unique, others)
        if not isinstance(answer, Runs):
            self.stopped[job.uid] = answer
            return
        for other in answer.replaced:
            del known[other.uid]
            self.keys.pop(other.uid, None)
            self.stopped[other.uid] = self.replaced[other.uid] = Superseded(job.uid, job.name)
            self.took[job.uid].append((other.uid, other.name))
        known[job.uid] = job
        self.keys[job.uid] = clean_text(unique.key)


def judge(job: Keyed, request: UniqueRequest, others: Iterable[Keyed]) -> Runs | Duplicate | Superseded:
    """Decide about a job that is accepted now, given the other jobs of its namespace with its key.

    Of jobs that replace each other the newest remains, independent of the order of acceptance.
    """
    counted = [other for other in others if other.uid != job.uid and _counts(other, job, request)]
    begun = [other for other in counted if other.started or other.ended]
    if begun or (counted and not request.replaces):
        decisive = _newest(begun or counted)
        return Duplicate(decisive.uid, decisive.name)
    if newer := [other for other in counted if other.age > job.age]:
        decisive = _newest(newer)
        return Superseded(decisive.uid, decisive.name)
    return Runs(tuple(counted))


def _keyed(acceptance: Acceptance) -> Keyed:
    job = acceptance.job.job
    return Keyed(job.uid, job.name, job.created, stored=datetime.max.replace(tzinfo=UTC))


def _as_seen(job: Keyed, end: str | None) -> Keyed:
    """Return a job as observed by the operator, whose end history may get a little later."""
    return job if job.ended or end is None else replace(job, ended=True, phase=end or job.phase)


def _counts(other: Keyed, job: Keyed, request: UniqueRequest) -> bool:
    if request.period is not None and abs(job.created - other.created) > request.period:
        return False
    match request.states:
        case "Scheduled":
            return not (other.started or other.ended)
        case "Incomplete":
            return not other.ended
        case "Successful":
            return not other.ended or other.phase == Phase.SUCCEEDED
        case "All":
            return True


def _newest(jobs: Iterable[Keyed]) -> Keyed:
    return max(jobs, key=lambda job: job.age)
