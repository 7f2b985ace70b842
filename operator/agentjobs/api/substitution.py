"""`$(…)` in a job's texts: names of the job and of its schedule, put in once, when the job is accepted.

One rule for all places: `$(name)` becomes the value, `$$(` becomes `$(`, and a name nobody knows is a fault of the job.
There are no expressions, what was put in is never read again, and texts from ConfigMaps are data and stay as they are.
No reference, image, command or account is ever a place: what a model writes must not choose what runs or as whom.
Pure; used by `validation` to find faults and by `resolve` to put in the values.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from agentjobs.api.conditions import AcceptedReason
from agentjobs.api.problems import Path, Problem, field_name, shown
from agentjobs.contract import ANNOTATION_PREVIOUS_TIME, ANNOTATION_SCHEDULED_TIME
from agentjobs.durations import format_time, parse_time

Visit = Callable[[Path, str], str]
"""Looks at one text and returns what stands there instead."""

_REFERENCE: Final = re.compile(r"\$\$\(|\$\(([^()\n]*)\)")
_OF_A_SCHEDULE: Final = ("schedule.time", "schedule.previousTime")


def names_of(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the names that a job's texts may use, with their values.

    Those of a schedule are there when the job's annotations hold the times. A first run has no previous time, which is
    the empty text then.
    """
    names = {"job.name": str(metadata.get("name") or ""), "job.uid": str(metadata.get("uid") or "")}
    annotations = metadata.get("annotations")
    annotations = annotations if isinstance(annotations, Mapping) else {}
    try:
        names["schedule.time"] = format_time(parse_time(annotations.get(ANNOTATION_SCHEDULED_TIME)))
        previous = annotations.get(ANNOTATION_PREVIOUS_TIME)
        names["schedule.previousTime"] = "" if previous is None else format_time(parse_time(previous))
    except ValueError:
        return names
    return names


def substitution_problems(spec: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[Problem]:
    """Yield each name in a text of the spec that is none of `names`. Whatever the spec is, this never raises."""
    found: dict[tuple[str, str], Problem] = {}

    def look(path: Path, text: str) -> str:
        for match in _REFERENCE.finditer(text):
            name = match[1]
            if name is not None and name not in names:
                field = field_name(path)
                found[field, name] = Problem(
                    field, shown(f"$({name})"), _cure(name, names), AcceptedReason.UNRESOLVED_REFERENCE
                )
        return text

    _visited(spec, look)
    yield from found.values()


def substituted(spec: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the spec with the values put in; a name that is none of `names` stays as it is."""
    return _visited(spec, lambda _path, text: expanded(text, names))


def expanded(text: str, names: Mapping[str, str]) -> str:
    """Return one text with the values put in."""
    return _REFERENCE.sub(lambda match: "$(" if match[1] is None else names.get(match[1], match[0]), text)


def _cure(name: str, names: Mapping[str, str]) -> str:
    if name in _OF_A_SCHEDULE:
        return (
            f"has a value in jobs of a schedule only, whose annotation {ANNOTATION_SCHEDULED_TIME} holds a time; "
            f"the names here are {', '.join(names)}"
        )
    near = difflib.get_close_matches(name[:63], [*names, *_OF_A_SCHEDULE], n=1)
    guess = f"did you mean $({near[0]})? " if near else ""
    return f"is not a known name; {guess}the names are {', '.join(names)}; for the text itself write $$("


def _visited(spec: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """Return the spec with every text that may hold names as `visit` wants it. What has the wrong type stays."""
    new = dict(spec)
    given = new.get("input")
    if isinstance(given, Mapping):
        given = new["input"] = _with_text(given, ("input", "message"), visit)
        if "state" in given:
            given["state"] = _deep(("input", "state"), given["state"], visit)
    new = _with_text(new, ("partitionKey",), visit)
    agent = new.get("agent")
    inline = agent.get("inline") if isinstance(agent, Mapping) else None
    if isinstance(agent, Mapping) and isinstance(inline, Mapping):
        here: Path = ("agent", "inline")
        inline = _with_text(inline, (*here, "instruction"), visit)
        if isinstance(inline.get("agents"), list | tuple):
            inline["agents"] = [
                _with_text(one, (*here, "agents", place, "instruction"), visit) if isinstance(one, Mapping) else one
                for place, one in enumerate(inline["agents"])
            ]
        new["agent"] = {**agent, "inline": inline}
    return new


def _with_text(parent: Mapping[str, Any], path: Path, visit: Visit) -> dict[str, Any]:
    """Return the object with the text at the last part of `path` visited, if it is one."""
    key = str(path[-1])
    text = parent.get(key)
    return {**parent, key: visit(path, text)} if isinstance(text, str) else dict(parent)


def _deep(path: Path, value: Any, visit: Visit) -> Any:
    """Visit every text of a JSON value; keys of objects are no places."""
    if isinstance(value, str):
        return visit(path, value)
    if isinstance(value, Mapping):
        return {key: _deep((*path, str(key)), item, visit) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_deep((*path, place), item, visit) for place, item in enumerate(value)]
    return value
