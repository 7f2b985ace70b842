"""Reads a job together with its template and the defaults of its queue: one spec, or all problems.

Returns problems for any objects and never raises. Pure: the caller provides the template.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import TypeAdapter

from agentjobs.api.job.relations import is_of_a_trigger
from agentjobs.api.job.resolve import STEERING, Sources
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.team import as_list, as_object
from agentjobs.api.job.validation import judged, validate_job
from agentjobs.api.problems import MAX_PROBLEMS, FieldProblem
from agentjobs.api.substitution import names_of
from agentjobs.api.template.merge import JOB, Layer, Merged, merged
from agentjobs.api.template.parameters import value_problems, values_of
from agentjobs.api.template.spec import Parameter, TemplateFields
from agentjobs.contract import AcceptedTemplate

DEFAULT_QUEUE: Final = "agents"
QueueDefaults = Callable[[str], Mapping[str, Any]]
"""Returns the defaults of the queue of that name, or an empty object."""

_OF_TEMPLATES: Final = tuple(str(field.alias) for field in TemplateFields.model_fields.values())
_OF_JOBS: Final = ("templateRef", "parameters")
_PARAMETERS: Final = TypeAdapter(tuple[Parameter, ...])


@dataclass(frozen=True, slots=True)
class Template:
    """A valid version of an AgentTemplate, see `validate_template`."""

    name: str
    generation: int
    parameters: tuple[Parameter, ...]
    locked: tuple[str, ...]
    work: Mapping[str, Any]
    """Its part of a job's spec."""

    @property
    def layer(self) -> Layer:
        """Its layer in a merge."""
        return Layer(f"template {self.name}", self.work, self.locked)


def template_of(name: str, generation: int, spec: Mapping[str, Any]) -> Template:
    """Return the template of a valid spec.

    Raises:
        ValidationError: the declarations of parameters are invalid.
    """
    return Template(
        name=name,
        generation=generation,
        parameters=_PARAMETERS.validate_python(spec.get("parameters") or ()),
        locked=tuple(map(str, as_list(spec.get("locked")))),
        work=work_of(spec),
    )


def work_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a template's spec that are fields of a job's."""
    return {key: value for key, value in spec.items() if key not in _OF_TEMPLATES}


@dataclass(frozen=True, slots=True)
class ReadJob:
    """A job as it would be accepted now."""

    spec: AgentJobSpec | None
    """None if there are problems."""
    problems: tuple[FieldProblem, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Values of the template's parameters."""
    queue: str = DEFAULT_QUEUE
    """Its queue."""
    steering: Mapping[str, Any] | None = None
    """The template's and queue's values of fields that may change after acceptance; None if they have none."""
    template: AcceptedTemplate | None = None
    merged: Merged | None = None
    """Where its values came from; None if nothing was merged."""

    @property
    def sources(self) -> Sources:
        """The inputs of its work in addition to `spec`, except texts and answers."""
        return Sources(parameters=self.parameters, steering=self.steering, template=self.template)


def _no_defaults(_queue: str) -> Mapping[str, Any]:
    return {}


def read_job(
    job: Any,
    template: Template | None = None,
    queue_defaults: QueueDefaults = _no_defaults,
    *,
    default_queue: str = DEFAULT_QUEUE,
) -> ReadJob:
    """Return the job as it would be accepted now, or all its problems.

    Args:
        job: a raw AgentJob.
        template: its template, or None.
        queue_defaults: called with the job's queue.
        default_queue: the queue of a job with a template if neither names one.
    """
    raw = as_object(as_object(job).get("spec"))
    own = raw if template is None else {key: value for key, value in raw.items() if key not in _OF_JOBS}
    if template is not None and "unique" in (*template.work, *template.locked) and is_of_a_trigger(own):
        # The template decides which events are equal; name and history also ensure one job per call.
        own = {key: value for key, value in own.items() if key != "unique"}
    lower = [] if template is None else [template.layer]
    queue = own.get("queue") or (template.work.get("queue") if template else None) or default_queue
    queue = queue if isinstance(queue, str) else default_queue
    if template is not None and default_queue != DEFAULT_QUEUE:
        lower = [Layer("schedule", {"queue": default_queue}), *lower]
    if defaults := queue_defaults(queue):
        lower = [Layer(f"queue {queue}", defaults), *lower]
    if not lower:
        return replace(_read_alone(job), queue=queue)
    # First the problems that are independent of the other layers: they are reported even while the template is
    # missing.
    if own_problems := validate_job(job):
        return ReadJob(None, tuple(own_problems), queue=queue)
    return replace(_read_merged(job, own, lower, template), queue=queue)


def _read_alone(job: Any) -> ReadJob:
    names = names_of(as_object(as_object(job).get("metadata")))
    read = judged(job, names)
    return ReadJob(None, tuple(read)) if isinstance(read, list) else ReadJob(read)


def _read_merged(job: Any, own: Mapping[str, Any], lower: list[Layer], template: Template | None) -> ReadJob:
    values, given = {}, as_object(job["spec"].get("parameters"))
    problems: list[FieldProblem] = []
    if template is not None:
        problems += value_problems(template.parameters, given, template.name)
        values = values_of(template.parameters, given)
    whole = merged([*lower, Layer(JOB, own)])
    names = names_of(as_object(job.get("metadata")), values)
    read = judged({**job, "spec": whole.spec}, names)
    problems += whole.problems
    problems += [with_layers(whole, problem) for problem in read] if isinstance(read, list) else ()
    if problems or isinstance(read, list):
        return ReadJob(None, tuple(problems[:MAX_PROBLEMS]), values, merged=whole)
    steering = {key: value for key, value in merged(lower).spec.items() if key in STEERING}
    accepted = None if template is None else _accepted(template, values)
    return ReadJob(read, (), values, steering=steering, template=accepted, merged=whole)


def _accepted(template: Template, values: Mapping[str, str]) -> AcceptedTemplate:
    return AcceptedTemplate(
        name=template.name,
        generation=template.generation,
        locked=[name for name in template.locked if name in STEERING],
        parameters=dict(values),
    )


def with_layers(whole: Merged, problem: FieldProblem) -> FieldProblem:
    """Return the problem with the layers of the value, unless it is the job's own."""
    layers = whole.layers_of(problem.field)
    if not layers or layers == (JOB,):
        return problem
    return replace(problem, field=f"{' and '.join(layers)}: {problem.field}")
