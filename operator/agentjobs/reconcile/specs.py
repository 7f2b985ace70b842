"""Which spec counts for a job: the object's own until it is accepted, the accepted one ever after.

An edit of fixed fields after acceptance changes nothing: the API server's rules refuse it, and where a server has none,
the stored spec stands against it. Steering fields are always the object's.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentjobs.api.agentjob import AgentJobSpec
from agentjobs.api.problems import Problem
from agentjobs.api.resolve import accepted_spec, spec_hash
from agentjobs.api.validation import validate_job
from agentjobs.contract import Resolved
from agentjobs.core.observation import Job

# Parsing takes some hundred microseconds; this many jobs in motion keep theirs.
KEPT: Final = 8192


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
    spec: AgentJobSpec
    hash: str


class Specs:
    """Specs by uid, bounded; forgetting one costs a parse or a query."""

    def __init__(self) -> None:
        self._own: OrderedDict[str, Own] = OrderedDict()
        self._accepted: OrderedDict[str, Accepted] = OrderedDict()

    def own(self, job: Job) -> Own:
        """The object's own spec."""
        known = self._own.get(job.uid)
        if known is None or known.generation != job.generation:
            problems = tuple(validate_job(job.object))
            spec = None if problems or not isinstance(job.spec, Mapping) else AgentJobSpec.model_validate(job.spec)
            known = Own(job.generation, spec, problems)
            _keep(self._own, job.uid, known)
        return known

    def accept(self, uid: str, resolved: Resolved) -> Accepted:
        """Remember what Postgres said is accepted."""
        accepted = Accepted(resolved, accepted_spec(resolved), spec_hash(resolved))
        _keep(self._accepted, uid, accepted)
        return accepted

    def accepted(self, job: Job) -> Accepted | None:
        """What was accepted, if this process knows it."""
        return self._accepted.get(job.uid)

    def in_force(self, job: Job) -> AgentJobSpec | None:
        """The accepted spec with the object's steering fields; the object's own while none is known."""
        own, accepted = self.own(job).spec, self._accepted.get(job.uid)
        if accepted is None:
            return own
        if own is None:
            return accepted.spec
        steering: dict[str, Any] = {
            "priority": own.priority,
            "ttl_seconds_after_finished": own.ttl_seconds_after_finished,
        }
        if job.status.starts == 0:
            steering |= {"queue": own.queue, "start_at": own.start_at, "start_after": own.start_after}
        return accepted.spec.model_copy(update=steering)

    def forget(self, uid: str) -> None:
        """The job is gone."""
        self._own.pop(uid, None)
        self._accepted.pop(uid, None)


def _keep(store: "OrderedDict[str, Own] | OrderedDict[str, Accepted]", uid: str, value: Own | Accepted) -> None:
    store[uid] = value  # type: ignore[assignment]  # the caller pairs store and value
    store.move_to_end(uid)
    if len(store) > KEPT:
        store.popitem(last=False)
