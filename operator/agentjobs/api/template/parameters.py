"""Parameters of a template: declarations, and the values of a job. Pure."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from agentjobs.api.problems import Path, Problem, field_name, problem_at, shown
from agentjobs.api.substitution import PARAMETERS, REFERENCE
from agentjobs.api.template.spec import Parameter

_OURS: Final = (PARAMETERS, "job.", "schedule.")


def declaration_problems(declared: Sequence[Parameter]) -> Iterator[Problem]:
    """Yield the problems of a template's declarations."""
    seen: set[str] = set()
    for place, one in enumerate(declared):
        here: Path = ("parameters", place)
        if one.name in seen:
            yield problem_at((*here, "name"), one.name, "is declared twice; keep one")
        seen.add(one.name)
        if one.required and one.default is not None:
            yield Problem(field_name(here), "", "is required, so its default has no effect; keep one of the two")
        if one.default is not None and any(name and name.startswith(_OURS) for name in REFERENCE.findall(one.default)):
            yield problem_at(
                (*here, "default"), one.default, "contains $(…), which is not replaced here; write the value"
            )
        if one.enum and one.default is None and not one.required:
            yield Problem(field_name(here), "", "has an enum, so it needs a default from it, or required: true")
        if one.enum and one.default is not None and one.default not in one.enum:
            yield problem_at((*here, "default"), one.default, f"is not in enum; use one of {_list(one.enum)}")


def value_problems(declared: Sequence[Parameter], given: Mapping[str, object], template: str) -> Iterator[Problem]:
    """Yield the problems of a job's values."""
    known = {one.name: one for one in declared}
    for name, value in given.items():
        here: Path = ("parameters", name)
        if name not in known:
            yield Problem(field_name(here), "", _undeclared(name, list(known), template))
        elif known[name].enum and value not in known[name].enum:
            yield problem_at(here, value, f"is not allowed; use one of {_list(known[name].enum)}")
    for name, one in known.items():
        if one.required and name not in given:
            about = f": {one.description[:200]}" if one.description else ""
            yield Problem(field_name(("parameters", name)), "", f"is required by template {template}{about}")


def values_of(declared: Sequence[Parameter], given: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each declared parameter: the job's, else the default, else the empty text."""
    return {one.name: given.get(one.name, one.default or "") for one in declared}


def _undeclared(name: str, known: Sequence[str], template: str) -> str:
    near = difflib.get_close_matches(name[:63], known, n=1)
    cure = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}" if known else "it has none"
    return f"is not a parameter of template {template}; {cure}"


def _list(values: Sequence[str]) -> str:
    return ", ".join(map(shown, values[:10])) + (", …" if len(values) > 10 else "")
