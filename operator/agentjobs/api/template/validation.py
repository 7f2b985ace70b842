"""Checks all rules of a template that are independent of a job, and returns all problems together.

Missing values that a job can add are not problems. Returns problems for any object and never raises.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from agentjobs.api.job.relations import MAX_TEMPLATE_NAME
from agentjobs.api.job.team import as_object
from agentjobs.api.job.validation import fatal_problems, part_problems
from agentjobs.api.problems import (
    MAX_PROBLEMS,
    FieldProblem,
    Path,
    details,
    from_error,
    name_problems,
    problem_at,
    shown,
)
from agentjobs.api.substitution import AFTER, names_of
from agentjobs.api.template.parameters import declaration_problems
from agentjobs.api.template.read import work_of
from agentjobs.api.template.spec import NOT_IN_TEMPLATES, TemplateFields
from agentjobs.contract import ANNOTATION_PREVIOUS_TIME, ANNOTATION_SCHEDULED_TIME

# As in a job of a schedule, because the template may be used by one.
_TIMES: Final = {
    ANNOTATION_SCHEDULED_TIME: "2000-01-01T00:00:00Z",
    ANNOTATION_PREVIOUS_TIME: "2000-01-01T00:00:00Z",
}
_STAND_IN: Final = {"name": "job", "uid": "0" * 36, "annotations": _TIMES}


def validate_template(template: object) -> list[FieldProblem]:
    """Return all problems of a raw AgentTemplate; empty if jobs may use it.

    At most `MAX_PROBLEMS`. Never raises.
    """
    body = as_object(template)
    name = as_object(body.get("metadata")).get("name")
    found = list(name_problems(name, most=MAX_TEMPLATE_NAME, because="it becomes a label value"))
    spec = body.get("spec")
    if not isinstance(spec, Mapping):
        return [*found, FieldProblem("spec", "" if spec is None else shown(spec), "is not an object")]
    if fatal := fatal_problems(spec):
        return [*found, *fatal]
    found += _own_problems(spec)
    work = {"metadata": _STAND_IN, "spec": work_of(spec)}
    found += [*_misplaced(spec), *part_problems(work, _names(spec), unknown=(AFTER,))]
    return found[:MAX_PROBLEMS]


def _own_problems(spec: Mapping[str, Any]) -> Iterator[FieldProblem]:
    own = {key: value for key, value in spec.items() if key not in work_of(spec)}
    try:
        yield from declaration_problems(TemplateFields.model_validate(own).parameters)
    except ValidationError as refused:
        yield from (from_error(error, TemplateFields) for error in details(refused)[:MAX_PROBLEMS])


def _misplaced(spec: Mapping[str, Any]) -> Iterator[FieldProblem]:
    for name in NOT_IN_TEMPLATES:
        if name in work_of(spec):
            place: Path = (name,)
            yield problem_at(place, spec[name], "belongs to a single job; remove it from the template")


def _names(spec: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the names that texts may use, with dummy values; parameters without a name are reported elsewhere."""
    declared = spec.get("parameters")
    entries = declared if isinstance(declared, list | tuple) else ()
    return names_of(_STAND_IN, {str(as_object(entry).get("name")): "" for entry in entries})
