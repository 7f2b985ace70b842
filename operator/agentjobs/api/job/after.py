"""Names by which a job's texts read answers of the jobs that it waits for, `$(after.…)`; rules of `spec.after`.
Pure.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from agentjobs.api.conditions import AcceptedReason
from agentjobs.api.job.team import Raw, as_list, as_object
from agentjobs.api.problems import FieldProblem, Path, field_name, problem_at, shown
from agentjobs.api.substitution import AFTER, references

RESULTS: Final = "after.results"
"""All answers, as a JSON list."""
_LABEL: Final = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL_KEY: Final = re.compile(rf"([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_LABEL}")
_LABEL_VALUE: Final = re.compile(rf"({_LABEL})?")
_READ: Final = ("phase", "outcome", "summary", "result")

What = Literal["phase", "outcome", "summary", "result"]


@dataclass(frozen=True, slots=True)
class AfterName:
    """A name for a value of one job."""

    name: str
    """The name as written."""
    job: str
    what: What
    path: tuple[str, ...] = ()
    """Path into the result."""


def after_name(name: str) -> AfterName | None:
    """Parse a name that begins with `after.`; None if it is malformed.

    `after.<job>.<path>` is short for `after.<job>.result.<path>`.
    """
    job, _, rest = name.removeprefix(AFTER).partition(".")
    first, *path = rest.split(".")
    if not job or not first or not all(path):
        return None
    match first:
        case "result":
            return AfterName(name, job, "result", tuple(path))
        case "phase" | "outcome" | "summary" if not path:
            return AfterName(name, job, first)
        case _:
            return AfterName(name, job, "result", (first, *path))


def after_names(spec: Mapping[str, Any]) -> dict[str, AfterName | None]:
    """Return the names by which a spec's texts read other jobs; None stands for all results."""
    names = {name for _, name in references(spec) if name.startswith(AFTER)}
    return {name: None if name == RESULTS else after_name(name) for name in sorted(names)}


def after_problems(spec: Raw, job: str) -> Iterator[FieldProblem]:
    """Yield the problems of `spec.after` and of its names in texts. Never raises."""
    after = spec.get("after")
    if not isinstance(after, Mapping):
        return
    names = [name for name in as_list(after.get("jobs")) if isinstance(name, str)]
    if not names and not after.get("selector"):
        yield FieldProblem("spec.after", "", "names no job; set jobs, selector or both")
    for index, name in enumerate(names):
        path: Path = ("after", "jobs", index)
        if name == job:
            yield FieldProblem(field_name(path), shown(name), "is this job itself", AcceptedReason.DEPENDENCY_CYCLE)
        elif name in names[:index]:
            yield problem_at(path, name, "is named twice; keep one")
    yield from _selector_problems(as_object(after.get("selector")))
    yield from _text_problems(spec, names)


def _selector_problems(selector: Raw) -> Iterator[FieldProblem]:
    for key, value in selector.items():
        path: Path = ("after", "selector", str(key))
        if not isinstance(key, str) or not _LABEL_KEY.fullmatch(key):
            yield problem_at(path, str(key), "is not the name of a label")
        elif isinstance(value, str) and not _LABEL_VALUE.fullmatch(value):
            yield problem_at(path, value, "is not the value of a label")


def _text_problems(spec: Raw, jobs: list[str]) -> Iterator[FieldProblem]:
    for path, name in references(spec):
        if not name.startswith(AFTER):
            continue
        read = after_name(name)
        if path == ("partitionKey",):
            cure = "is not allowed here: an answer must not choose a job's partition"
        elif path == ("workspace", "worktree", "name"):
            cure = "is not allowed here: an answer must not choose a job's worktree"
        elif name == RESULTS or (read is not None and read.job in jobs):
            continue
        else:
            cure = "is not known: name $(after.results), or $(after.<job>.<path>) of a job in after.jobs"
        yield FieldProblem(field_name(path), shown(f"$({name})"), cure, AcceptedReason.UNRESOLVED_REFERENCE)
