"""What `agentjobs validate` reports for each object of some files. Pure: the caller looks up templates and queues.

Uses the operator's own functions, so that both accept the same objects. What only a cluster can check is listed in
`unchecked`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from agentjobs import errors
from agentjobs.api.job.team import as_object
from agentjobs.api.job.validation import validate_job
from agentjobs.api.problems import FieldProblem, shown
from agentjobs.api.queues.spec import AgentQueueSpec
from agentjobs.api.queues.validation import read_queue
from agentjobs.api.schedule.spec import DEFAULT_QUEUE as SCHEDULED
from agentjobs.api.schedule.validation import stand_in, validate_schedule
from agentjobs.api.template.merge import JOB, Layer, Merged, merged
from agentjobs.api.template.read import DEFAULT_QUEUE, read_job, template_of
from agentjobs.api.template.validation import validate_template
from agentjobs.cli.failures import nearest
from agentjobs.contract import GROUP, VERSION
from agentjobs.core.queues.model import defaults_of

Find = Callable[[str, str], Mapping[str, Any] | str | None]
"""Looks up an object by kind and name: the object, None if it does not exist, or why the lookup is impossible."""
KINDS: Final = ("AgentJob", "AgentTemplate", "AgentQueue", "AgentSchedule")
# Only the API server enforces this rule: the operator never sees such a job.
_NO_TEMPLATE: Final = "belong to a template, but the job has none; set templateRef, or remove them"


@dataclass(frozen=True, slots=True)
class Judged:
    """The findings for one object."""

    kind: str
    name: str
    problems: tuple[FieldProblem, ...] = ()
    of_template: str = ""
    """The template whose fields the problems are about; empty if they are the object's own."""
    unchecked: tuple[str, ...] = ()
    """What could not be checked, in sentences."""
    merged: Merged | None = None
    """For jobs and schedules: the spec of the job, and the source of each value."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """The problems as sentences."""
        place = f"template {self.of_template}: " if self.of_template else ""
        return tuple(f"{place}{problem}" for problem in self.problems)

    @property
    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        place = {"template": self.of_template} if self.of_template else {}
        problems = [
            {**place, "field": problem.field, "value": problem.value, "message": problem.message}
            for problem in self.problems
        ]
        values: dict[str, Any] = {"kind": self.kind, "name": self.name, "problems": problems}
        if self.unchecked:
            values["unchecked"] = [*self.unchecked]
        if self.merged is not None:
            values |= {"spec": self.merged.spec, "origins": origins(self.merged)}
        return values


def origins(whole: Merged) -> dict[str, str]:
    """Return the source of each value, by field."""
    return {_dotted(path): layer for path, layer in whole.origins.items()}


def is_meant(body: Mapping[str, Any]) -> bool:
    """Return whether the object is one of ours, allowing for a misspelling."""
    return body.get("kind") in KINDS or str(body.get("apiVersion")).startswith(f"{GROUP}/")


def judged(body: Mapping[str, Any], find: Find) -> Judged | None:
    """Return the findings for an object; None for other kinds."""
    name = str(as_object(body.get("metadata")).get("name") or as_object(body.get("metadata")).get("generateName"))
    if is_meant(body) and (problem := _misnamed(body)):
        return Judged(str(body.get("kind")), name, (problem,))
    match body.get("kind"):
        case "AgentJob":
            return _job(name, body, find)
        case "AgentTemplate":
            return Judged("AgentTemplate", name, tuple(validate_template(body)))
        case "AgentQueue":
            read = read_queue(name, body.get("spec"))
            return Judged("AgentQueue", name, () if isinstance(read, AgentQueueSpec) else tuple(read))
        case "AgentSchedule":
            return _schedule(name, body, find)
    return None


def rejection(body: Mapping[str, Any], error: errors.Invalid) -> str:
    """Return why the API server rejected an object: all problems that our rules find, else the server's words.

    The server reports unknown fields alone, and others as patterns of its schema.
    """
    found = judged(body, lambda kind, name: f"{kind} {name} is not looked up")
    if found is None or not found.problems:
        return str(error)
    return "\n  ".join(["the API server rejected it:", *found.sentences])


def _misnamed(body: Mapping[str, Any]) -> FieldProblem | None:
    kind, version = str(body.get("kind")), body.get("apiVersion")
    if kind not in KINDS:
        return FieldProblem("kind", shown(kind), f"is not a kind of {GROUP}; {nearest(kind, KINDS)}")
    if version != f"{GROUP}/{VERSION}":
        return FieldProblem("apiVersion", shown(version), f"is not an apiVersion of {kind}; use {GROUP}/{VERSION}")
    return None


def _job(name: str, body: Mapping[str, Any], find: Find, *, default_queue: str = DEFAULT_QUEUE) -> Judged:
    spec = as_object(body.get("spec"))
    own = as_object(body.get("metadata"))
    # The API server adds five characters to generateName.
    whole_name = name if own.get("name") else f"{name}00000"
    metadata = {"uid": "00000000-0000-0000-0000-000000000000", **own, "name": whole_name}
    body = {**body, "metadata": metadata}
    unchecked: list[str] = []
    template = None
    if spec.get("templateRef") is not None:
        wanted = as_object(spec["templateRef"]).get("name")
        if not isinstance(wanted, str):
            return Judged("AgentJob", name, tuple(validate_job(body)), merged=merged([Layer(JOB, spec)]))
        found = find("AgentTemplate", wanted)
        if not isinstance(found, Mapping):
            why = found or f"template {wanted!r} does not exist; the job would wait for it"
            return Judged(
                "AgentJob", name, tuple(validate_job(body)), unchecked=(why,), merged=merged([Layer(JOB, spec)])
            )
        if problems := tuple(validate_template(found)):
            return Judged("AgentJob", name, problems, of_template=wanted)
        generation = as_object(found.get("metadata")).get("generation")
        template = template_of(wanted, generation if type(generation) is int else 0, found["spec"])

    def defaults(queue: str) -> Mapping[str, Any]:
        found = find("AgentQueue", queue)
        if isinstance(found, str):
            unchecked.append(found)
        read = read_queue(queue, found.get("spec")) if isinstance(found, Mapping) else None
        return defaults_of(read) if isinstance(read, AgentQueueSpec) else {}

    read = read_job(body, template, defaults, default_queue=default_queue)
    if template is None and spec.get("parameters"):
        read = replace(read, problems=(*read.problems, FieldProblem("spec.parameters", "", _NO_TEMPLATE)))
    whole = read.merged or merged([Layer(JOB, spec)])
    return Judged("AgentJob", name, tuple(read.problems), unchecked=tuple(unchecked), merged=whole)


def _schedule(name: str, body: Mapping[str, Any], find: Find) -> Judged:
    problems = validate_schedule(body)
    work = as_object(as_object(as_object(body.get("spec")).get("jobTemplate")).get("spec"))
    if problems or work.get("templateRef") is None:
        return Judged("AgentSchedule", name, tuple(problems), merged=merged([Layer(JOB, work)]))
    job = {"metadata": stand_in(name), "spec": work}
    judged_job = _job(str(job["metadata"]["name"]), job, find, default_queue=SCHEDULED)
    problems_there = judged_job.problems
    if not judged_job.of_template:
        problems_there = tuple(
            replace(problem, field=re.sub("^spec", "spec.jobTemplate.spec", problem.field))
            for problem in judged_job.problems
        )
    return replace(judged_job, kind="AgentSchedule", name=name, problems=problems_there)


def _dotted(path: tuple[str | int, ...]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")
