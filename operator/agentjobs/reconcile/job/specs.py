"""Which spec counts for a job: the object's own until it is accepted, the accepted one ever after.

An edit of fixed fields after acceptance changes nothing: the API server's rules refuse it, and where a server has none,
the stored spec stands against it. Steering fields are always the object's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agentjobs.api.changes import Changes, attributes
from agentjobs.api.job.resolve import Unreadable, as_accepted, edited_fields, read_accepted, spec_hash
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.validation import read_spec
from agentjobs.api.problems import Problem
from agentjobs.api.substitution import expanded, names_of
from agentjobs.bounded import Bounded
from agentjobs.contract import Resolved
from agentjobs.core.job.observation import Job
from agentjobs.core.queues.admission import SessionLock

# Parsing takes some hundred microseconds; this many jobs in motion keep theirs.
KEPT: Final = 8192

_STEERING: Final = attributes(AgentJobSpec, Changes.ALWAYS)
_STEERING_BEFORE_START: Final = attributes(AgentJobSpec, Changes.ALWAYS, Changes.BEFORE_START)


@dataclass(frozen=True, slots=True)
class Own:
    """The object's own spec, read once a generation. `spec` is None when it breaks rules."""

    generation: int
    spec: AgentJobSpec | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What Postgres holds for a job."""

    resolved: Resolved
    spec: AgentJobSpec | None
    """None when this version cannot read what a newer one stored."""
    hash: str
    unreadable: str = ""
    """Which fields those are, and why."""


def read_stored(resolved: Resolved) -> Accepted:
    """Read what history has stored, maybe by another version of the operator."""
    read = read_accepted(resolved)
    spec, why = (None, read.why) if isinstance(read, Unreadable) else (read, "")
    return Accepted(resolved, spec, spec_hash(resolved), why)


def to_accept(spec: AgentJobSpec, resolved: Resolved) -> Accepted:
    """What is accepted of a job whose `spec` was resolved, if history has nothing stored for it yet."""
    return Accepted(resolved, as_accepted(spec, resolved), spec_hash(resolved))


class Specs:
    """Specs by uid, bounded; forgetting one costs a parse or a query."""

    def __init__(self) -> None:
        self._own: Bounded[str, Own] = Bounded(KEPT)
        self._accepted: Bounded[str, Accepted] = Bounded(KEPT)
        # Generation, session, partition.
        self._places: Bounded[str, tuple[int, SessionLock, str]] = Bounded(KEPT)

    def own(self, job: Job) -> Own:
        """The object's own spec."""
        known = self._own.get(job.uid)
        if known is None or known.generation != job.generation:
            read = read_spec(job.object)
            known = Own(job.generation, None, tuple(read)) if isinstance(read, list) else Own(job.generation, read, ())
            self._own.put(job.uid, known)
        return known

    def accept(self, uid: str, stored: Resolved, sent: Accepted | None = None) -> Accepted:
        """Remember what history stored as accepted, `sent` or what was accepted before."""
        accepted = sent if sent is not None and sent.resolved == stored else read_stored(stored)
        self._accepted.put(uid, accepted)
        self._places.drop(uid)
        return accepted

    def accepted(self, job: Job) -> Accepted | None:
        """What was accepted, if this process knows it."""
        return self._accepted.get(job.uid)

    def unreadable(self, job: Job) -> str:
        """What this version cannot read of the accepted spec; empty when it can, or when none is known."""
        accepted = self._accepted.get(job.uid)
        return "" if accepted is None else accepted.unreadable

    def in_force(self, job: Job) -> AgentJobSpec | None:
        """The accepted spec with the object's steering fields; the object's own while none is known."""
        own, accepted = self.own(job).spec, self._accepted.get(job.uid)
        if accepted is None:
            return own
        if own is None or accepted.spec is None:
            return accepted.spec
        fields = _STEERING if job.status.starts else _STEERING_BEFORE_START
        changed = {name: new for name in fields if (new := getattr(own, name)) != getattr(accepted.spec, name)}
        if job.status.starts and job.status.queue and job.status.queue.name != accepted.spec.queue:
            # It was moved between acceptance and the first start, and stays where it started.
            changed["queue"] = job.status.queue.name
        return accepted.spec.model_copy(update=changed) if changed else accepted.spec

    def edits(self, job: Job) -> list[str]:
        """Name the edits of the object since its acceptance that have no effect, each with its field."""
        accepted = self._accepted.get(job.uid)
        if accepted is None or accepted.spec is None:
            return []
        own = self.own(job)
        if own.spec is None:
            return [str(problem) for problem in own.problems]
        fields = edited_fields(job.object, accepted.resolved)
        if job.status.starts and job.status.queue and own.spec.queue != job.status.queue.name:
            fields.append("queue")
        return [f"spec.{field}" for field in fields]

    def lock(self, job: Job) -> SessionLock:
        """The session a job uses. Asked at every admission for all jobs that run, hence remembered."""
        return self._place(job)[1]

    def partition(self, job: Job) -> str:
        """The job's `partitionKey`, empty without one; names in it have their values."""
        return self._place(job)[2]

    def _place(self, job: Job) -> tuple[int, SessionLock, str]:
        known = self._places.get(job.uid)
        if known is None or known[0] != job.generation:
            spec = self.in_force(job)
            lock = spec.session_key(name=job.name, uid=job.uid) if spec else self._raw_lock(job)
            known = (job.generation, lock, self._partition(job, spec))
            self._places.put(job.uid, known)
        return known

    def _partition(self, job: Job, spec: AgentJobSpec | None) -> str:
        accepted = self._accepted.get(job.uid)
        if accepted is not None:
            return str(accepted.resolved["spec"].get("partitionKey") or "")
        key = spec.partition_key if spec else None
        return expanded(key, names_of(job.object["metadata"])) if key else ""

    def _raw_lock(self, job: Job) -> SessionLock:
        """The session as it was accepted, of a job that this version cannot read."""
        accepted = self._accepted.get(job.uid)
        session = accepted.resolved["spec"].get("session") if accepted else None
        if not isinstance(session, Mapping):
            return "", "", job.uid
        return str(session.get("appName")), str(session.get("userId")), str(session.get("sessionId"))

    def forget(self, uid: str) -> None:
        """The job is gone."""
        self._own.drop(uid)
        self._places.drop(uid)
        self._accepted.drop(uid)
