"""Finds the state of the jobs that a job waits for: by name in cache or history, by labels with a LIST.

Once the wait is over, the values for the job's texts are read from complete answers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw, Struct

from agentjobs.api.answers import Missing, Reader, Whole, as_text, whole
from agentjobs.api.conditions import AcceptedReason, ConditionType, Phase
from agentjobs.api.job.after import RESULTS, AfterName, after_names
from agentjobs.api.job.relations import After
from agentjobs.api.job.validation import grown_problems
from agentjobs.api.problems import FieldProblem
from agentjobs.api.substitution import names_of
from agentjobs.contract import LABEL_PARENT, cut
from agentjobs.core.job.awaiting import Awaited, Wants, cycle_of
from agentjobs.core.job.ended import KnownJob
from agentjobs.core.job.observation import Job, Observation
from agentjobs.history.records import Newest
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.reconcile.job.memo import JobMemo
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.state import State

LIST_SECONDS: Final = 1.0
"""Minimum time between two lists for the same job."""
MAX_READ: Final = 100
"""Maximum jobs in `$(after.results)`."""
MAX_VALUE: Final = 256 * 1024
"""Maximum bytes of all values together; more than fits into a spec."""
AT_ONCE: Final = 4
"""Answers that are in memory at the same time; each has up to 4 MiB."""
SUMMARY_BYTES: Final = 1024
MAX_NAME: Final = 60


@dataclass(frozen=True, slots=True)
class Standing:
    """State of one awaited job."""

    name: str
    uid: str = ""
    phase: str = ""
    exists: bool = True
    ended: bool = False
    in_cycle: bool = False
    """It failed because of a cycle, and never ran."""


class _Result(Struct, frozen=True):
    """One item of `$(after.results)`."""

    job: str
    phase: str
    outcome: str | None
    result: Raw


class Awaiting:
    """Answers `needs.AwaitedJobs`."""

    def __init__(self, ports: Ports, state: State) -> None:
        self._cluster = ports.cluster
        self._history = ports.history
        self._monotonic = ports.monotonic
        self._state = state

    async def selected(self, seen: Observation, memo: JobMemo) -> tuple[str, ...] | None:
        """Return the names of the jobs that have the labels of `after.selector`; None if they were listed just
        before.
        """
        job, after = seen.job, _after(seen)
        # Before anything is read, so that jobs that end from now on wake this job.
        self._state.waits.note(job.key, Wants(frozenset(after.jobs), after.when == "Any"), after.selector)
        if not after.selector:
            return ()
        if memo.listed_at is not None and self._monotonic() - memo.listed_at < LIST_SECONDS:
            return None
        memo.listed_at = self._monotonic()
        names: set[str] = set()
        selector = ",".join(f"{key}={value}" for key, value in sorted(after.selector.items()))
        async for items, _ in self._cluster.metadata_pages(AGENTJOBS, job.namespace, label_selector=selector):
            names.update(item["metadata"]["name"] for item in items)
        return tuple(sorted(names - {job.name}))

    async def look(self, seen: Observation, selected: tuple[str, ...] | None) -> Awaited:
        """Return their state. Raises Unavailable while history is unreachable."""
        if selected is None:
            return Awaited(is_over=False, is_old=True)
        job, after = seen.job, _after(seen)
        names = tuple(dict.fromkeys([*after.jobs, *selected]))
        wants = Wants(frozenset(names), after.when == "Any")
        self._state.waits.note(job.key, wants, after.selector)
        standing = await self._standing(job, names)
        ended_in_cycle = {other.name for other in standing if other.in_cycle}
        if cycle := cycle_of(job.name, self._state.waits.wants(job.namespace), ended_in_cycle):
            return Awaited(is_over=False, cycle=cycle)
        waiting = [other for other in standing if not other.ended or other.in_cycle]
        parent = self._unmade_parent(job.namespace, after)
        if parent or not _is_over(after, standing, waiting, selected):
            names_waiting = [other.name for other in waiting] + [name for name in parent if name not in names]
            absent = frozenset(other.name for other in waiting if not other.exists)
            return Awaited(is_over=False, waiting=tuple(names_waiting), absent=absent)
        return await self._read(seen, standing)

    def _unmade_parent(self, namespace: str, after: After) -> list[str]:
        """Return the parent whose follow-ups are selected, if not all of them have been created."""
        parent = after.selector.get(LABEL_PARENT)
        known = self._state.jobs.get((namespace, parent)) if parent else None
        is_open = isinstance(known, Job) and (not known.finished or known.needs_follow_ups)
        return [parent] if parent and is_open else []

    async def _standing(self, job: Job, names: Sequence[str]) -> list[Standing]:
        known = {name: self._state.jobs.get((job.namespace, name)) for name in names}
        absent = [name for name, other in known.items() if other is None]
        found = await self._history.newest(job.namespace, absent) if absent else {}
        standing: list[Standing] = []
        for name, other in known.items():
            if other is not None:
                standing.append(_of_cache(other))
            elif (newest := found.get(name)) is not None and _counts(job, newest):
                in_cycle = newest.reason == AcceptedReason.DEPENDENCY_CYCLE
                standing.append(Standing(name, newest.uid, newest.phase, True, newest.ended, in_cycle))
            else:
                standing.append(Standing(name, exists=False))
        return standing

    async def _read(self, seen: Observation, standing: Sequence[Standing]) -> Awaited:
        """Return the values that the texts read of ended jobs."""
        spec = seen.legal_spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        names_used = after_names(spec)
        if not names_used:
            return Awaited(is_over=True)
        ended = [job for job in standing if job.ended]
        texts = Texts(names_used)
        if RESULTS in names_used and len(ended) > MAX_READ:
            cure = f"would contain {len(ended)} jobs; select at most {MAX_READ}"
            return Awaited(is_over=True, problems=(_unresolved(RESULTS, cure),))
        for part in _parts(ended):
            answers = await self._history.answers([job.uid for job in part])
            for job in part:
                answer = answers.get(job.uid)
                texts.add(job, None if answer is None else whole(answer))
        values, problems = texts.values([job for job in standing if not job.ended])
        names = names_of(seen.job.object["metadata"], seen.sources.parameters, values)
        problems = problems or tuple(grown_problems(spec, names))
        return Awaited(is_over=True, texts=values, problems=problems)


class Texts:
    """The values of names, read from one answer at a time; only requested values are kept."""

    def __init__(self, names: Mapping[str, AfterName | None]) -> None:
        self._names = {name: read for name, read in names.items() if read is not None}
        self._of_all = RESULTS in names
        self._values: dict[str, str] = {}
        self._length = 0
        self._problems: list[FieldProblem] = []
        self._results: list[_Result] = []
        self._size = 0

    def add(self, job: Standing, answer: Whole | None) -> None:
        """Read the requested values of an ended job."""
        if self._of_all and self._size <= MAX_VALUE:
            result = answer.content if answer else Raw(b"null")
            self._size += len(memoryview(result))
            self._results.append(_Result(job.name, job.phase, (answer.outcome or None) if answer else None, result))
        reader = Reader(answer.content) if answer else None
        for name, read in self._names.items():
            if read.job == job.name:
                self._take(name, _value(job, answer, reader, read))

    def values(self, others: Iterable[Standing]) -> tuple[dict[str, str], tuple[FieldProblem, ...]]:
        """Return the values, and why some are missing. `others` have not ended, and so have no values."""
        for job in others:
            for name, read in self._names.items():
                if read.job == job.name:
                    self._take(name, _value(job, None, None, read))
        if self._of_all:
            results = (
                msgspec.json.format(msgspec.json.encode(self._results), indent=-1) if self._size <= MAX_VALUE else b""
            )
            self._take(RESULTS, results.decode() if results else _unresolved(RESULTS, _too_long(self._size)))
        return self._values, tuple(self._problems)

    def _take(self, name: str, value: str | FieldProblem) -> None:
        if isinstance(value, FieldProblem):
            self._problems.append(value)
        elif self._length + len(value) > MAX_VALUE:
            self._problems.append(_unresolved(name, _too_long(self._length + len(value))))
        else:
            self._length += len(value)
            self._values[name] = value


def _value(job: Standing, answer: Whole | None, reader: Reader | None, read: AfterName) -> str | FieldProblem:
    match read.what:
        case "phase":
            return job.phase if job.ended else ""
        case "outcome":
            return (answer.outcome or "") if answer else ""
        case "summary":
            return cut(as_text(answer.text), SUMMARY_BYTES) if answer else ""
        case "result" if not read.path:
            return as_text(answer.content) if answer else ""
    if reader is None:
        how = f"ended as {job.phase} without an answer" if job.ended else "has not ended"
        return _unresolved(read.name, f"cannot be read: job {job.name} {how}")
    found = reader.at(read.path)
    if not isinstance(found, Missing):
        return as_text(found)
    where = f"{found.at!r} of the answer" if found.at else "the answer"
    known = f"it has {', '.join(found.known)}" if found.known else "it is not an object"
    name = cut(read.path[len(found.at.split(".")) if found.at else 0], MAX_NAME)
    return _unresolved(read.name, f"does not exist: {where} of job {job.name} has no {name!r}; {known}")


def _too_long(size: int) -> str:
    return f"is too long: {size} bytes with earlier values, at most {MAX_VALUE} are allowed; name the parts you need"


def _unresolved(name: str, cure: str) -> FieldProblem:
    return FieldProblem("spec.after", f"$({name})", cure, AcceptedReason.UNRESOLVED_REFERENCE)


def _counts(job: Job, newest: Newest) -> bool:
    """Whether a job whose object is gone is the intended one, and not an older one with the same name.

    The jobs that a follow-up waits for have unique names.
    """
    return job.lineage is not None or newest.ended_at is None or newest.ended_at >= job.created


def _of_cache(job: KnownJob) -> Standing:
    if isinstance(job, Job):
        in_cycle = job.has_condition(ConditionType.FAILED, status=True, reason=AcceptedReason.DEPENDENCY_CYCLE)
        # Until its answer is in its status, history may not have made it final.
        ended = job.finished and not job.needs_result
        return Standing(job.name, job.uid, (job.status.phase or Phase.PENDING).value, True, ended, in_cycle)
    return Standing(job.name, job.uid, job.phase.value, True, True, job.in_cycle)


def _is_over(after: After, standing: Sequence[Standing], waiting: Sequence[Standing], selected: Sequence[str]) -> bool:
    if after.when == "Any":
        return len(waiting) < len(standing)
    return not waiting and bool(selected or not after.selector)


def _parts(jobs: Sequence[Standing]) -> Iterator[Sequence[Standing]]:
    for first in range(0, len(jobs), AT_ONCE):
        yield jobs[first : first + AT_ONCE]


def _after(seen: Observation) -> After:
    assert seen.legal_spec.after is not None
    return seen.legal_spec.after
