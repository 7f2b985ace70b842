"""The effective spec of a job: the object's own before acceptance, the accepted one afterwards.

Edits of immutable fields after acceptance have no effect: the API server's rules refuse them, and otherwise the stored
spec is used. Steering fields are always the object's.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from agentjobs.api.changes import Changes, attributes
from agentjobs.api.job.relations import FollowUp
from agentjobs.api.job.resolve import (
    STEERING,
    Sources,
    Unreadable,
    as_accepted,
    edited_fields,
    read_accepted,
    spec_hash,
    template_of,
)
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.status import AgentJobStatus, ResolvedSpec
from agentjobs.api.job.validation import read_spec, validate_job
from agentjobs.api.problems import FieldProblem
from agentjobs.api.schedule.spec import DEFAULT_QUEUE as SCHEDULED
from agentjobs.api.substitution import expanded, names_of
from agentjobs.api.template.merge import JOB, Layer, merged
from agentjobs.api.template.read import DEFAULT_QUEUE, read_job
from agentjobs.bounded import Bounded
from agentjobs.contract import Resolved
from agentjobs.core.job.observation import Job
from agentjobs.core.pods.volume_claims import worktree_claim
from agentjobs.core.queues.admission import SessionLock, WorktreeLock
from agentjobs.core.template.model import AgentTemplate
from agentjobs.engine.cache import Cache, Name

# Parsing takes some hundred microseconds; the specs of this many active jobs are cached.
KEPT: Final = 8192

_STEERING: Final = attributes(AgentJobSpec, Changes.ALWAYS)
_STEERING_BEFORE_START: Final = attributes(AgentJobSpec, Changes.ALWAYS, Changes.BEFORE_START)


Defaults = Callable[[Name], Mapping[str, Any]]
"""Returns a queue's defaults for jobs, or an empty object."""


@dataclass(frozen=True, slots=True)
class Own:
    """The object's spec, merged with template and queue as they are now, or as accepted.

    Read once for each version of its inputs. `spec` is None if it is invalid, or its template is missing.
    """

    version: Hashable
    queue: str
    spec: AgentJobSpec | None
    problems: tuple[FieldProblem, ...] = ()
    without: str = ""
    """Why its template cannot be used; empty if it can, or if it has none."""
    sources: Sources = field(default_factory=Sources)
    """The inputs of its work in addition to `spec`."""

    @property
    def is_alone(self) -> bool:
        """Whether nothing was merged into the object's spec."""
        return self.sources.steering is None and not self.without


@dataclass(frozen=True, slots=True)
class Accepted:
    """The accepted work of a job in Postgres."""

    resolved: Resolved
    spec: AgentJobSpec | None
    """None if this version cannot read the spec that a newer one stored."""
    hash: str
    unreadable: str = ""
    """Unreadable fields, and why."""


def read_stored(resolved: Resolved) -> Accepted:
    """Read accepted work from history, possibly stored by another version of the operator."""
    read = read_accepted(resolved)
    spec, why = (None, read.why) if isinstance(read, Unreadable) else (read, "")
    return Accepted(resolved, spec, spec_hash(resolved), why)


def to_accept(spec: AgentJobSpec, resolved: Resolved) -> Accepted:
    """Return the work to accept for a resolved `spec`, if history has none stored yet."""
    return Accepted(resolved, as_accepted(spec, resolved), spec_hash(resolved))


class Specs:
    """Specs by uid, bounded; evicting one costs a parse or a query."""

    def __init__(self, templates: Cache[AgentTemplate], defaults: Defaults) -> None:
        """`defaults` is called with a queue's namespace and name."""
        self._templates = templates
        self._defaults = defaults
        self._own: Bounded[str, Own] = Bounded(KEPT)
        self._accepted: Bounded[str, Accepted] = Bounded(KEPT)
        # Version, session, partition, worktree.
        self._places: Bounded[str, tuple[Hashable, SessionLock, str, WorktreeLock]] = Bounded(KEPT)

    def own(self, job: Job) -> Own:
        """Return the object's own spec."""
        known, accepted = self._own.get(job.uid), self._accepted.get(job.uid)
        steering = None if accepted is None else accepted.resolved.get("steering")
        if accepted is not None and steering is not None:
            if known is not None and known.version == (job.generation, _STEERED):
                return known
            known = _steered(job, steering, accepted.resolved)
        else:
            if known is not None and known.version == self._version(job, known.queue):
                return known
            known = self._read(job)
        self._own.put(job.uid, known)
        return known

    def _version(self, job: Job, queue: str) -> Hashable:
        template = self._template(job)
        version = "" if template is None else template.version
        defaults = self._defaults((job.namespace, queue))
        return job.generation, version, tuple(map(str, defaults.items())) if defaults else ()

    def _template(self, job: Job) -> AgentTemplate | None:
        return self._templates.get((job.namespace, job.template)) if job.template is not None else None

    def _read(self, job: Job) -> Own:
        found = self._template(job)
        template = found.template if found is not None else None
        if job.template is not None and template is None:
            problems = tuple(validate_job(job.object))
            return Own(self._version(job, ""), "", None, problems, _why_without(job.template, found))
        read = read_job(
            job.object,
            template,
            lambda queue: self._defaults((job.namespace, queue)),
            default_queue=SCHEDULED if job.made_by else DEFAULT_QUEUE,
        )
        return Own(self._version(job, read.queue), read.queue, read.spec, read.problems, "", read.sources)

    def accept(self, uid: str, stored: Resolved, sent: Accepted | None = None) -> Accepted:
        """Cache the work that history stored as accepted: `sent`, or that of an earlier acceptance."""
        accepted = sent if sent is not None and sent.resolved == stored else read_stored(stored)
        self._accepted.put(uid, accepted)
        self._places.drop(uid)
        return accepted

    def accepted(self, job: Job) -> Accepted | None:
        """Return the accepted work, if cached."""
        return self._accepted.get(job.uid)

    def unreadable(self, job: Job) -> str:
        """Return the unreadable fields of the accepted spec; empty if it is readable or unknown."""
        accepted = self._accepted.get(job.uid)
        return "" if accepted is None else accepted.unreadable

    def in_force(self, job: Job, known: Own | None = None) -> AgentJobSpec | None:
        """Return the accepted spec with the object's steering fields; the object's own if none is known.

        `known` is what `own` returned of the job just now.
        """
        own, accepted = (known or self.own(job)).spec, self._accepted.get(job.uid)
        if accepted is None:
            return own
        if own is None or accepted.spec is None:
            return accepted.spec
        fields = _STEERING if job.status.starts else _STEERING_BEFORE_START
        changed = {name: new for name in fields if (new := getattr(own, name)) != getattr(accepted.spec, name)}
        if job.status.starts and job.status.queue and job.status.queue.name != accepted.spec.queue:
            # It was moved to another queue between acceptance and the first start, and stays there.
            changed["queue"] = job.status.queue.name
        return accepted.spec.model_copy(update=changed) if changed else accepted.spec

    def follow_ups(self, job: Job, known: Own) -> tuple[FollowUp, ...] | None:
        """Return the accepted follow-ups; None if unknown. `known` is what `own` returned."""
        if (accepted := self._accepted.get(job.uid)) is not None:
            return None if accepted.spec is None else accepted.spec.follow_ups
        own = known.spec
        return None if own is None or job.generation > 1 or job.template is not None else own.follow_ups

    def edits(self, job: Job) -> list[str]:
        """Return the fields of edits since acceptance that have no effect."""
        accepted = self._accepted.get(job.uid)
        if accepted is None or accepted.spec is None:
            return []
        own = self.own(job)
        if own.spec is None:
            return [str(problem) for problem in own.problems]
        fields = [*edited_fields(job.object, accepted.resolved), *_locked_edits(job, accepted.resolved)]
        if job.status.starts and job.status.queue and own.spec.queue != job.status.queue.name:
            fields.append("queue")
        return [f"spec.{field}" for field in fields]

    def with_template(self, job: Job, status: AgentJobStatus) -> AgentJobStatus:
        """Return the status with the template's values, once the job is accepted."""
        accepted = self._accepted.get(job.uid)
        if accepted is None or status.resolved is None or "steering" not in accepted.resolved:
            return status
        return replace(status, resolved=_resolved(accepted))

    def lock(self, job: Job) -> SessionLock:
        """Return a job's session. Cached, because every admission reads it for all running jobs."""
        return self._place(job)[1]

    def partition(self, job: Job) -> str:
        """Return the job's resolved `partitionKey`, or empty."""
        return self._place(job)[2]

    def worktree(self, job: Job) -> WorktreeLock:
        """Return the claim of the job's Named worktree, or empty."""
        return self._place(job)[3]

    def _place(self, job: Job) -> tuple[Hashable, SessionLock, str, WorktreeLock]:
        known, found = self._places.get(job.uid), None if job.accepted else self._template(job)
        version = job.generation, None if found is None else found.version
        if known is None or known[0] != version:
            spec = self.in_force(job)
            lock = spec.session_key(name=job.name, uid=job.uid) if spec else self._raw_lock(job)
            known = (version, lock, self._partition(job, spec), self._worktree(job, spec))
            self._places.put(job.uid, known)
        return known

    def _partition(self, job: Job, spec: AgentJobSpec | None) -> str:
        accepted = self._accepted.get(job.uid)
        if accepted is not None:
            return str(accepted.resolved["spec"].get("partitionKey") or "")
        key = spec.partition_key if spec else None
        return expanded(key, names_of(job.object["metadata"], self.own(job).sources.parameters)) if key else ""

    def _worktree(self, job: Job, spec: AgentJobSpec | None) -> WorktreeLock:
        workspace = spec.workspace if spec else None
        if workspace is None or (name := workspace.worktree.name) is None:
            return ""
        if self._accepted.get(job.uid) is None:
            name = expanded(name, names_of(job.object["metadata"], self.own(job).sources.parameters))
            worktree = workspace.worktree.model_copy(update={"name": name})
            workspace = workspace.model_copy(update={"worktree": worktree})
        return worktree_claim(workspace)

    def _raw_lock(self, job: Job) -> SessionLock:
        """Return the accepted session of a job that this version cannot read."""
        accepted = self._accepted.get(job.uid)
        session = accepted.resolved["spec"].get("session") if accepted else None
        if not isinstance(session, Mapping):
            return "", "", job.uid
        return str(session.get("appName")), str(session.get("userId")), str(session.get("sessionId"))

    def forget(self, uid: str) -> None:
        """Remove a job that is gone."""
        self._own.drop(uid)
        self._places.drop(uid)
        self._accepted.drop(uid)


_STEERED: Final = "accepted"


def _why_without(name: str, found: AgentTemplate | None) -> str:
    if found is None:
        return f"spec.templateRef: no template {name!r}; create an AgentTemplate with that name"
    return f"spec.templateRef: template {name!r} is invalid; fix the problems in its condition Valid"


def _locked_edits(job: Job, resolved: Resolved) -> list[str]:
    """Return the steering fields that the object sets although its template locks them."""
    template, own = template_of(resolved), job.spec if isinstance(job.spec, Mapping) else {}
    return [field for field in (template["locked"] if template else ()) if own.get(field) is not None]


def _steered(job: Job, steering: Mapping[str, Any], resolved: Resolved) -> Own:
    """Return the steering fields of an accepted merged job: the object's, over those of acceptance.

    The object's work is ignored, as are fields that the template locks.
    """
    template = template_of(resolved)
    locked = template["locked"] if template else ()
    own = job.spec if isinstance(job.spec, Mapping) else {}
    mine = {key: value for key, value in own.items() if key in STEERING and key not in locked}
    spec = merged([Layer("accepted", steering), Layer(JOB, mine)]).spec
    read = read_spec({"metadata": {"name": job.name}, "spec": {**_ANY_WORK, **spec}})
    version, sources = (job.generation, _STEERED), Sources(steering=steering)
    if isinstance(read, list):
        return Own(version, "", None, tuple(read), "", sources)
    return Own(version, read.queue, read, (), "", sources)


# Placeholder for work that is not read.
_ANY_WORK: Final[Mapping[str, Any]] = {"agent": {"module": {"ref": "accepted"}}, "input": {"message": "accepted"}}


def _resolved(accepted: Accepted) -> ResolvedSpec:
    template, runtime = template_of(accepted.resolved), accepted.resolved["spec"].get("runtime")
    retention = runtime.get("podRetention") if isinstance(runtime, Mapping) else None
    seconds = accepted.resolved.get("steering", {}).get("ttlSecondsAfterFinished")
    return ResolvedSpec(
        spec_hash=accepted.hash,
        template=template["name"] if template else None,
        template_generation=template["generation"] if template else None,
        ttl_seconds_after_finished=seconds if type(seconds) is int else None,
        pod_retention=retention if isinstance(retention, str) and retention != "Keep" else None,
    )
