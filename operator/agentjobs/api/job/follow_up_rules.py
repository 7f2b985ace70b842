"""Rules of `followUps` over several fields: names, order, and the names in texts. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from agentjobs.api.conditions import AcceptedReason
from agentjobs.api.problems import FieldProblem, Path, field_name, problem_at, shown
from agentjobs.api.substitution import OF_FOLLOW_UPS, REFERENCE, follow_up_texts

FOR_EACH: Final = re.compile(r"\$\((result\.[^()\n]+)\)")
OF_PARENT: Final = ("name", "uid", "phase", "reason", "outcome", "summary")
RESULTS: Final = "after.results"


def follow_up_problems(spec: Mapping[str, Any]) -> Iterator[FieldProblem]:
    """Yield the problems of a spec's follow-ups. Values of wrong types are skipped: the models report them."""
    entries = spec.get("followUps")
    if not isinstance(entries, list | tuple):
        return
    before: list[object] = []
    for index, entry in enumerate(entries):
        if isinstance(entry, Mapping):
            yield from _own_problems(entry, ("followUps", index), before)
            yield from _inherit_problems(spec, entry, ("followUps", index, "inherit"))
            before.append(entry.get("name"))
    yield from _text_problems(spec, entries)


def _own_problems(entry: Mapping[str, Any], here: Path, before: list[object]) -> Iterator[FieldProblem]:
    own = entry.get("name")
    if isinstance(own, str) and own in before:
        yield problem_at((*here, "name"), own, "is used twice; give each follow-up its own name")
    after = entry.get("after")
    for index, name in enumerate(after if isinstance(after, list | tuple) else ()):
        if name not in before:
            cure = "is not an earlier follow-up in the list; name one before this"
            yield problem_at((*here, "after", index), name, cure)
    for_each = entry.get("forEach")
    if isinstance(for_each, str) and FOR_EACH.fullmatch(for_each) is None:
        yield problem_at((*here, "forEach"), for_each, "must be the name of a list in the answer: $(result.<path>)")


def _inherit_problems(spec: Mapping[str, Any], entry: Mapping[str, Any], here: Path) -> Iterator[FieldProblem]:
    inherit, workspace = entry.get("inherit"), spec.get("workspace")
    if not isinstance(inherit, list | tuple) or "Workspace" not in inherit:
        return
    worktree = workspace.get("worktree") if isinstance(workspace, Mapping) else None
    mode = worktree.get("mode") if isinstance(worktree, Mapping) else None
    if mode != "Named":
        cure = "Workspace needs a worktree that outlives this job; set workspace.worktree.mode Named"
        yield FieldProblem(field_name(here), "", cure, lacking=mode is None)


def _text_problems(spec: Mapping[str, Any], entries: Any) -> Iterator[FieldProblem]:
    """Check the names that get their values when the job has ended; `substitution_problems` checks the rest."""
    found: dict[tuple[str, str], FieldProblem] = {}

    def collect(path: Path, text: str) -> str:
        entry = entries[path[1]]
        for match in REFERENCE.finditer(text):
            name = match[1]
            if name is None or name.partition(".")[0] not in OF_FOLLOW_UPS:
                continue
            if cure := _cure(name, entry, is_message=path[2] == "input"):
                field = field_name(path)
                problem = FieldProblem(field, shown(f"$({name})"), cure, AcceptedReason.UNRESOLVED_REFERENCE)
                found[field, name] = problem
        return text

    follow_up_texts(spec, collect)
    yield from found.values()


def _cure(name: str, entry: Mapping[str, Any], *, is_message: bool) -> str:
    """Return the problem with a name; empty if it has a value there."""
    first, dot, path = name.partition(".")
    if (dot and not path) or ".." in name or name.endswith("."):
        return "has an empty part; join member names and item numbers by dots"
    match first:
        case "result":
            return ""
        case "item":
            return "" if entry.get("forEach") else "needs forEach, which this follow-up does not have"
        case "index":
            own = "" if entry.get("forEach") else "needs forEach, which this follow-up does not have"
            return own if name == first else "is a number and has no members"
        case "parent":
            names = ", ".join(f"parent.{field}" for field in OF_PARENT)
            return "" if path in OF_PARENT else f"is not a known name; the names are {names}"
        case _ if name != RESULTS:
            return f"is not known in a follow-up; $({RESULTS}) holds the answers of the jobs that it waits for"
        case _ if not is_message:
            return "is only allowed in input.message"
        case _:
            return "" if entry.get("after") else "needs the follow-ups to wait for; name them in `after`"
