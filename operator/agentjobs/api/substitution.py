"""`$(…)` in a job's texts: names of the job, its schedule, its parameters and the jobs that it waited for.

One rule for all fields: `$(name)` becomes the value, `$$(` becomes `$(`, and an unknown name is a problem of the job.
There are no expressions, values are not substituted again, and texts from ConfigMaps are data and stay unchanged.
References, images, commands and accounts are never substituted: a model must not choose what runs or as whom.

Texts of follow-ups are checked, but not substituted until the job has ended, and then in one pass: with two passes,
names inside the values of the first would be replaced by the second.

Pure; used by `validation` to find problems and by `resolve` to substitute.
"""

import difflib
import re
from collections import ChainMap, Counter
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final, cast

from agentjobs.api.conditions import AcceptedReason
from agentjobs.api.job.team import state_placeholders
from agentjobs.api.job.workspace import WORKSPACE_TEXTS
from agentjobs.api.problems import FieldProblem, Path, field_name, shown
from agentjobs.contract import ANNOTATION_PREVIOUS_TIME, ANNOTATION_SCHEDULED_TIME
from agentjobs.durations import format_time, parse_time

Visit = Callable[[Path, str], str]
"""Takes one text and returns its replacement."""

PARAMETERS: Final = "params."
AFTER: Final = "after."
OF_FOLLOW_UPS: Final = ("result", "parent", "item", "index", "after")
"""First parts of names that only texts of follow-ups may use, because they get values when the job has ended."""

REFERENCE: Final = re.compile(r"\$\$\(|\$\(([^()\n]*)\)")
_OF_A_SCHEDULE: Final = ("schedule.time", "schedule.previousTime")


def names_of(
    metadata: Mapping[str, Any], parameters: Mapping[str, str] | None = None, more: Mapping[str, str] | None = None
) -> Mapping[str, str]:
    """Return the names that a job's texts may use, with their values.

    Names of a schedule exist if the job's annotations hold the times. The previous time of a first run is the empty
    text.

    Args:
        metadata: the job's, with its name, uid and annotations.
        parameters: values of its template's parameters, by name.
        more: further names with their values, such as those of the jobs that it waited for; may be lazy.
    """
    own = _names_of(metadata) | {f"{PARAMETERS}{name}": value for name, value in (parameters or {}).items()}
    return ChainMap(own, cast("MutableMapping[str, str]", more)) if more else own


def _names_of(metadata: Mapping[str, Any]) -> dict[str, str]:
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


def substitution_problems(
    spec: Mapping[str, Any], names: Mapping[str, str], unknown: tuple[str, ...] = ()
) -> Iterator[FieldProblem]:
    """Yield each name in a text of the spec that is not in `names`. Never raises.

    Args:
        spec: a raw spec.
        names: the names, with their values.
        unknown: prefixes of names that may be known later.
    """
    found: dict[tuple[str, str], FieldProblem] = {}

    def collect(path: Path, text: str) -> str:
        is_later = path[:1] == ("followUps",)
        for match in REFERENCE.finditer(text):
            name = match[1]
            if name is None or name in names or name.startswith(unknown):
                continue
            if is_later and name.partition(".")[0] in OF_FOLLOW_UPS:
                continue
            field, cure = field_name(path), _cure(name, names)
            found[field, name] = FieldProblem(field, shown(f"$({name})"), cure, AcceptedReason.UNRESOLVED_REFERENCE)
        return text

    texts(spec, collect)
    follow_up_texts(spec, collect)
    yield from found.values()


def references(spec: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """Return each name in the texts of a spec, with the path of its text; without texts of follow-ups."""
    found: list[tuple[Path, str]] = []

    def collect(path: Path, text: str) -> str:
        found.extend((path, match[1]) for match in REFERENCE.finditer(text) if match[1] is not None)
        return text

    texts(spec, collect)
    return found


def substituted(spec: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the spec with names replaced by values; names that are not in `names` stay unchanged."""
    return texts(spec, lambda _path, text: expanded(text, names))


def growth(spec: Mapping[str, Any], names: Mapping[str, str]) -> int:
    """Return by how many characters the spec's texts grow when names are replaced."""
    more = 0

    def add(_path: Path, text: str) -> str:
        nonlocal more
        for match in REFERENCE.finditer(text):
            value = names.get(match[1]) if match[1] is not None else None
            more += 0 if value is None else len(value) - len(match[0])
        return text

    texts(spec, add)
    return more


def placeholder_faults(spec: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[FieldProblem]:
    """Yield the instructions in which a value would create a placeholder, with which ADK reads the session's state."""
    found: list[FieldProblem] = []

    def collect(path: Path, text: str) -> str:
        if path[-1] == "instruction" and (
            made := Counter(state_placeholders(expanded(text, names))) - Counter(state_placeholders(text))
        ):
            cure = f"would read {next(iter(made))[:60]} of the session's state, because a value contains braces"
            found.append(FieldProblem(field_name(path), "", f"{cure}; put that name into input.message instead"))
        return text

    texts(spec, collect)
    yield from found


def expanded(text: str, names: Mapping[str, str]) -> str:
    """Return one text with names replaced by values."""
    return REFERENCE.sub(lambda match: "$(" if match[1] is None else names.get(match[1], match[0]), text)


_CURES: Final[Mapping[str, str]] = {
    **dict.fromkeys(OF_FOLLOW_UPS, "it has a value only in followUps"),
    "params": "declare it in parameters of the template",
    "after": "name the jobs to wait for in after.jobs",
}


def _cure(name: str, names: Mapping[str, str]) -> str:
    if name in _OF_A_SCHEDULE:
        return (
            f"only has a value in jobs of a schedule, with annotation {ANNOTATION_SCHEDULED_TIME}; "
            f"the names here are {', '.join(names)}"
        )
    near = difflib.get_close_matches(name[:63], [*names, *_OF_A_SCHEDULE], n=1)
    hint = f"did you mean $({near[0]})? " if near else ""
    if cure := _CURES.get(name.partition(".")[0]):
        return f"is not known here; {hint}{cure}; for the text itself write $$("
    return f"is not a known name; {hint}the names are {', '.join(names)}; for the text itself write $$("


def texts(spec: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """Return the spec with `visit` applied to every text that is substituted at acceptance.

    Values of wrong types stay unchanged.
    """
    new = dict(spec)
    given = new.get("input")
    if isinstance(given, Mapping):
        given = new["input"] = _with_text(given, ("input", "message"), visit)
        if "state" in given:
            given["state"] = _deep(("input", "state"), given["state"], visit)
    new = _with_text(new, ("partitionKey",), visit)
    if isinstance(new.get("unique"), Mapping):
        new["unique"] = _with_text(new["unique"], ("unique", "key"), visit)
    agent = new.get("agent")
    inline = agent.get("inline") if isinstance(agent, Mapping) else None
    if isinstance(agent, Mapping) and isinstance(inline, Mapping):
        here: Path = ("agent", "inline")
        inline = _with_text(inline, (*here, "instruction"), visit)
        if isinstance(inline.get("agents"), list | tuple):
            inline["agents"] = [
                _with_text(member, (*here, "agents", index, "instruction"), visit)
                if isinstance(member, Mapping)
                else member
                for index, member in enumerate(inline["agents"])
            ]
        new["agent"] = {**agent, "inline": inline}
    claude = agent.get("claudeCode") if isinstance(agent, Mapping) else None
    if isinstance(agent, Mapping) and isinstance(claude, Mapping):
        for name in ("systemPrompt", "appendSystemPrompt"):
            claude = _with_text(claude, ("agent", "claudeCode", name), visit)
        new["agent"] = {**agent, "claudeCode": claude}
    workspace = new.get("workspace")
    if isinstance(workspace, Mapping):
        new["workspace"] = {**workspace, **_workspace(workspace, visit)}
    return new


def _workspace(workspace: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    return {
        part: _with_text(workspace[part], (top, part, key), visit)
        for top, part, key in WORKSPACE_TEXTS
        if isinstance(workspace.get(part), Mapping)
    }


def follow_up_texts(spec: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """Return the spec with `visit` applied to every text of its follow-ups. Values of wrong types stay unchanged."""
    entries = spec.get("followUps")
    if not isinstance(entries, list | tuple):
        return dict(spec)
    visited = [_follow_up(entry, ("followUps", index), visit) for index, entry in enumerate(entries)]
    return {**spec, "followUps": visited}


def _follow_up(entry: Any, path: Path, visit: Visit) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    new = _with_text(entry, (*path, "forEach"), visit)
    if isinstance(new.get("input"), Mapping):
        new["input"] = _with_text(new["input"], (*path, "input", "message"), visit)
    if isinstance(new.get("parameters"), Mapping):
        new["parameters"] = _deep((*path, "parameters"), new["parameters"], visit)
    return new


def _with_text(parent: Mapping[str, Any], path: Path, visit: Visit) -> dict[str, Any]:
    """Return the object with `visit` applied to the text at the last part of `path`, if it is a text."""
    key = str(path[-1])
    text = parent.get(key)
    return {**parent, key: visit(path, text)} if isinstance(text, str) else dict(parent)


def _deep(path: Path, value: Any, visit: Visit) -> Any:
    """Apply `visit` to every text of a JSON value, except keys."""
    if isinstance(value, str):
        return visit(path, value)
    if isinstance(value, Mapping):
        return {key: _deep((*path, str(key)), item, visit) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_deep((*path, index), item, visit) for index, item in enumerate(value)]
    return value
