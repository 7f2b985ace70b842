"""Parameters of a template: declarations, and the values of a job. Pure."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from agentjobs.api.problems import FieldProblem, Path, field_name, problem_at, shown
from agentjobs.api.substitution import PARAMETERS, REFERENCE
from agentjobs.api.template.spec import Parameter

_OURS: Final = (PARAMETERS, "job.", "schedule.")


def declaration_problems(declared: Sequence[Parameter]) -> Iterator[FieldProblem]:
    """Yield the problems of a template's declarations."""
    names: set[str] = set()
    for index, parameter in enumerate(declared):
        here: Path = ("parameters", index)
        if parameter.name in names:
            yield problem_at((*here, "name"), parameter.name, "is declared twice; keep one")
        names.add(parameter.name)
        if parameter.required and parameter.default is not None:
            yield FieldProblem(field_name(here), "", "is required, so its default has no effect; keep one of the two")
        if parameter.default is not None and any(
            name and name.startswith(_OURS) for name in REFERENCE.findall(parameter.default)
        ):
            yield problem_at(
                (*here, "default"), parameter.default, "contains $(…), which is not replaced here; write the value"
            )
        if parameter.enum and parameter.default is None and not parameter.required:
            yield FieldProblem(field_name(here), "", "has an enum, so it needs a default from it, or required: true")
        if parameter.enum and parameter.default is not None and parameter.default not in parameter.enum:
            yield problem_at(
                (*here, "default"), parameter.default, f"is not in enum; use one of {_list(parameter.enum)}"
            )


def value_problems(declared: Sequence[Parameter], given: Mapping[str, object], template: str) -> Iterator[FieldProblem]:
    """Yield the problems of a job's values."""
    known = {parameter.name: parameter for parameter in declared}
    for name, value in given.items():
        here: Path = ("parameters", name)
        if name not in known:
            yield FieldProblem(field_name(here), "", _undeclared(name, list(known), template))
        elif known[name].enum and value not in known[name].enum:
            yield problem_at(here, value, f"is not allowed; use one of {_list(known[name].enum)}")
    for name, parameter in known.items():
        if parameter.required and name not in given:
            about = f": {parameter.description[:200]}" if parameter.description else ""
            yield FieldProblem(field_name(("parameters", name)), "", f"is required by template {template}{about}")


def values_of(declared: Sequence[Parameter], given: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each declared parameter: the job's, else the default, else the empty text."""
    return {parameter.name: given.get(parameter.name, parameter.default or "") for parameter in declared}


def _undeclared(name: str, known: Sequence[str], template: str) -> str:
    near = difflib.get_close_matches(name[:63], known, n=1)
    cure = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}" if known else "it has none"
    return f"is not a parameter of template {template}; {cure}"


def _list(values: Sequence[str]) -> str:
    return ", ".join(map(shown, values[:10])) + (", …" if len(values) > 10 else "")
