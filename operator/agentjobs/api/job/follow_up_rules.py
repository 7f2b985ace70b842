"""The rules of `followUps` that no single field has: names, order, and what each text may name. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from agentjobs.api.conditions import AcceptedReason
from agentjobs.api.problems import Path, Problem, field_name, problem_at, shown
from agentjobs.api.substitution import OF_FOLLOW_UPS, REFERENCE, follow_up_texts

FOR_EACH: Final = re.compile(r"\$\((result\.[^()\n]+)\)")
OF_PARENT: Final = ("name", "uid", "phase", "reason", "outcome", "summary")
RESULTS: Final = "after.results"


def follow_up_problems(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the follow-ups of a spec. Values of wrong types are skipped: the models report them."""
    entries = spec.get("followUps")
    if not isinstance(entries, list | tuple):
        return
    before: list[object] = []
    for place, entry in enumerate(entries):
        if isinstance(entry, Mapping):
            yield from _own_problems(entry, ("followUps", place), before)
            yield from _inherit_problems(spec, entry, ("followUps", place, "inherit"))
            before.append(entry.get("name"))
    yield from _text_problems(spec, entries)


def _own_problems(entry: Mapping[str, Any], here: Path, before: list[object]) -> Iterator[Problem]:
    own = entry.get("name")
    if isinstance(own, str) and own in before:
        yield problem_at((*here, "name"), own, "is there twice; each follow-up has a name of its own")
    after = entry.get("after")
    for number, name in enumerate(after if isinstance(after, list | tuple) else ()):
        if name not in before:
            cure = "is no follow-up before this one in the list; only those can be waited for"
            yield problem_at((*here, "after", number), name, cure)
    for_each = entry.get("forEach")
    if isinstance(for_each, str) and FOR_EACH.fullmatch(for_each) is None:
        yield problem_at((*here, "forEach"), for_each, "must be one name of a list in the answer: $(result.<path>)")


def _inherit_problems(spec: Mapping[str, Any], entry: Mapping[str, Any], here: Path) -> Iterator[Problem]:
    inherit, workspace = entry.get("inherit"), spec.get("workspace")
    if not isinstance(inherit, list | tuple) or "Workspace" not in inherit:
        return
    worktree = workspace.get("worktree") if isinstance(workspace, Mapping) else None
    mode = worktree.get("mode") if isinstance(worktree, Mapping) else None
    if mode != "Named":
        cure = (
            "Workspace is the worktree of this job, which has none that outlives it; set workspace.worktree.mode Named"
        )
        yield Problem(field_name(here), "", cure, lacking=mode is None)


def _text_problems(spec: Mapping[str, Any], entries: Any) -> Iterator[Problem]:
    """Check the names that get their values when the job has ended; `substitution_problems` checks all others."""
    found: dict[tuple[str, str], Problem] = {}

    def look(path: Path, text: str) -> str:
        entry = entries[path[1]]
        for match in REFERENCE.finditer(text):
            name = match[1]
            if name is None or name.partition(".")[0] not in OF_FOLLOW_UPS:
                continue
            if cure := _cure(name, entry, is_message=path[2] == "input"):
                field = field_name(path)
                problem = Problem(field, shown(f"$({name})"), cure, AcceptedReason.UNRESOLVED_REFERENCE)
                found[field, name] = problem
        return text

    follow_up_texts(spec, look)
    yield from found.values()


def _cure(name: str, entry: Mapping[str, Any], *, is_message: bool) -> str:
    """What to do about a name; empty when it has a value there."""
    first, dot, path = name.partition(".")
    if (dot and not path) or ".." in name or name.endswith("."):
        return "has an empty part; a path is names of members and numbers of items, joined by dots"
    match first:
        case "result":
            return ""
        case "item":
            return "" if entry.get("forEach") else "is an item of forEach, which this follow-up does not have"
        case "index":
            own = "" if entry.get("forEach") else "is the number of an item of forEach, which this follow-up lacks"
            return own if name == first else "is a number and has no parts"
        case "parent":
            names = ", ".join(f"parent.{one}" for one in OF_PARENT)
            return "" if path in OF_PARENT else f"is not a known name; the names are {names}"
        case _ if name != RESULTS:
            return f"is not known in a follow-up; $({RESULTS}) are the answers of the jobs that it waits for"
        case _ if not is_message:
            return "can stand in input.message alone"
        case _:
            return "" if entry.get("after") else "are answers of other follow-ups, which must be named in `after`"
