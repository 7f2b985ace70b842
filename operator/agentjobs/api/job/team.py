"""Rules about inline agents: their names, their tree, and the state that their instructions read.

Works on raw specs, so that all problems are found together. Values of wrong types are skipped: the models report them.
Called by `validation`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from agentjobs.api.job.agent import RESERVED_AGENT_NAME, scripted_model
from agentjobs.api.job.spec import default_agent_name
from agentjobs.api.problems import FieldProblem, Path, field_name, problem_at
from agentjobs.models.names import SCRIPTED
from agentjobs.refused_value import RefusedValue

Raw = Mapping[str, Any]

INLINE: Final[Path] = ("agent", "inline")
# The placeholders of google-adk 2.13: any number of braces without braces inside, unless preceded by $, { or \. It
# leaves names unchanged that it cannot look up.
_PLACEHOLDER: Final = re.compile(r"(?<![${\\])\{+([^{}]*)\}+")
_STATE_SCOPES: Final = ("app", "user", "temp")
# Fields without effect in an agent of that class, so probably a mistake.
_OF_A_MODEL: Final = ("instruction", "instructionFrom", "tools", "mcpServers", "model", "maxOutputTokens")
_FOREIGN: Final[Mapping[str, tuple[str, ...]]] = {
    "LlmAgent": ("maxIterations",),
    "SequentialAgent": (*_OF_A_MODEL, "maxIterations"),
    "ParallelAgent": (*_OF_A_MODEL, "maxIterations"),
    "LoopAgent": _OF_A_MODEL,
}


def team_problems(spec: Raw, *, job: str) -> Iterator[FieldProblem]:
    """Yield the problems of the inline agent, its sub-agents, and their tree."""
    agent = as_object(spec.get("agent"))
    inline = as_object(agent.get("inline"))
    if not inline:
        return
    state = as_object(as_object(spec.get("input")).get("state"))
    members = [(INLINE, inline), *_further_agents(inline)]
    yield from _unused_model_problems(agent.get("model"), [member for _, member in members])
    for path, member in members:
        yield from _class_problems(path, member)
        yield from _model_problems(path, member, inherited=agent.get("model"))
        yield from _instruction_problems(path, member, state)
        yield from _server_problems(path, member)
        if member.get("name") == RESERVED_AGENT_NAME:
            name = (*path, "name")
            yield problem_at(name, RESERVED_AGENT_NAME, "is reserved by ADK; use another name, e.g. assistant")
    yield from _tree_problems(inline, root=inline.get("name") or default_agent_name(job))


def as_object(value: object) -> Raw:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: object) -> list[Any]:
    """Return the value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def required_names(instruction: str) -> Iterator[tuple[str, str]]:
    """Yield `(placeholder, name)` of each required name: ADK raises KeyError if it is missing."""
    for match in _PLACEHOLDER.finditer(instruction):
        name = match[1].strip()
        if not name.endswith("?") and _is_state_or_artifact(name):
            yield match[0], name


def state_placeholders(instruction: str) -> Iterator[str]:
    """Yield each placeholder for which ADK reads the state or an artifact."""
    for match in _PLACEHOLDER.finditer(instruction):
        if _is_state_or_artifact(match[1].strip().removesuffix("?")):
            yield match[0]


def _is_state_or_artifact(name: str) -> bool:
    return name.startswith("artifact.") or _is_state_name(name)


def _is_state_name(name: str) -> bool:
    scope, colon, rest = name.partition(":")
    return scope in _STATE_SCOPES and rest.isidentifier() if colon else name.isidentifier()


def _further_agents(inline: Raw) -> list[tuple[Path, Raw]]:
    entries = enumerate(as_list(inline.get("agents")))
    return [((*INLINE, "agents", index), entry) for index, entry in entries if isinstance(entry, Mapping)]


def _with_article(kind: str) -> str:
    return f"an {kind}" if kind == "LlmAgent" else f"a {kind}"


def _class_problems(path: Path, member: Raw) -> Iterator[FieldProblem]:
    kind = member.get("agentClass") or "LlmAgent"
    if not isinstance(kind, str) or kind not in _FOREIGN:
        return
    for field in _FOREIGN[kind]:
        if member.get(field):
            owner = _with_article("LoopAgent" if field == "maxIterations" else "LlmAgent")
            cure = f"has no effect on {_with_article(kind)}, only on {owner}; remove it"
            yield problem_at((*path, field), member[field], cure, lacking=member.get("agentClass") is None)
    if kind != "LlmAgent" and not member.get("subAgents"):
        yield FieldProblem(
            field_name((*path, "subAgents")),
            "",
            f"is empty; name at least one agent for the {kind} to run",
            lacking=True,
        )


def _model_problems(path: Path, member: Raw, *, inherited: object) -> Iterator[FieldProblem]:
    own = member.get("model")
    if _uses_a_model(member) and not own and not inherited:
        where: Path = ("agent", "model") if path == INLINE else (*path, "model")
        yield FieldProblem(field_name(where), "", "is required for an LlmAgent; e.g. gemini-flash-latest", lacking=True)
    yield from scripted_problems((*path, "model"), own)


def _uses_a_model(member: Raw) -> bool:
    return (member.get("agentClass") or "LlmAgent") == "LlmAgent"


def _unused_model_problems(model: object, members: list[Raw]) -> Iterator[FieldProblem]:
    # A scripted model replaces every model. Only the runner can see agents inside Python tools.
    if not isinstance(model, str) or not model or model.startswith(SCRIPTED):
        return
    model_agents = [member for member in members if _uses_a_model(member)]
    if model_agents and all(member.get("model") for member in model_agents) and not any(map(_has_code, model_agents)):
        yield problem_at(("agent", "model"), model, "has no effect, because every agent names its model; remove it")


def _has_code(member: Raw) -> bool:
    return any(":" in str(as_object(tool).get("name")) for tool in as_list(member.get("tools")))


def scripted_problems(path: Path, model: object) -> Iterator[FieldProblem]:
    """Yield a problem if the model is scripted and names no ConfigMap and key."""
    try:
        scripted_model(model if isinstance(model, str) else None)
    except RefusedValue as error:
        yield problem_at(path, error.value, error.message)


def _instruction_problems(path: Path, member: Raw, state: Raw) -> Iterator[FieldProblem]:
    instruction = member.get("instruction")
    if instruction is not None and member.get("instructionFrom") is not None:
        cure = "has instruction and instructionFrom, which exclude each other; keep one"
        yield FieldProblem(field_name(path), "", cure)
    if not isinstance(instruction, str):
        return
    for problem in placeholder_problems(instruction, state):
        # A missing key of the state can be added; a key that nothing can set cannot.
        yield problem_at((*path, "instruction"), problem.placeholder, problem.cure, lacking=not problem.is_impossible)


class Unset(NamedTuple):
    """A placeholder without a value in the session's state."""

    placeholder: str
    cure: str
    is_impossible: bool
    """Whether no state could provide it."""

    def __str__(self) -> str:
        return f"{self.placeholder[:80]}, which {self.cure}"


def placeholder_problems(instruction: str, state: Raw) -> Iterator[Unset]:
    """Yield the placeholders of an instruction without a value at the start, given `state`."""
    # Only the job's own state is certain to exist then. Keys that a tool or an earlier agent may write, and temp:
    # keys, which ADK drops when it creates the session, must be optional.
    for placeholder, name in dict(required_names(instruction)).items():
        if name in state and not name.startswith("temp:"):
            continue
        optional = "{" + name[:60] + "?}"
        is_impossible = name.startswith(("artifact.", "temp:"))
        if is_impossible:
            cure = f"cannot exist at the start; write {optional}, which is empty while missing"
        else:
            literal = "{" + name[:60] + "}"
            cure = (
                f"is not in input.state; add it there, or write {optional}, which is empty while missing; to show "
                f"the braces to the model, give the key the value '{literal}'"
            )
        yield Unset(placeholder, cure, is_impossible)


def _server_problems(path: Path, member: Raw) -> Iterator[FieldProblem]:
    servers = as_list(member.get("mcpServers"))
    yield from _repeated((*path, "mcpServers"), servers, "name")
    for index, server in enumerate(servers):
        headers = as_list(as_object(server).get("headersFrom"))
        yield from _repeated((*path, "mcpServers", index, "headersFrom"), headers, "header")


def _repeated(path: Path, entries: list[Any], key: str) -> Iterator[FieldProblem]:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        value = as_object(entry).get(key)
        # Headers are case-insensitive; names of servers that differ only in case are confusing.
        if isinstance(value, str) and value.lower() in seen:
            yield problem_at((*path, index, key), value, "is given twice; keep one")
        if isinstance(value, str):
            seen.add(value.lower())


def _tree_problems(inline: Raw, *, root: object) -> Iterator[FieldProblem]:
    """Check that the flat list forms one tree: known names, each once, each with one parent, all below the root."""
    paths: dict[str, Path] = {}
    for path, entry in _further_agents(inline):
        name = entry.get("name")
        if not isinstance(name, str):
            continue
        if name == root or name in paths:
            yield problem_at((*path, "name"), name, "is taken by another agent of this job; use each name once")
        paths.setdefault(name, path)
    parents: dict[str, list[str]] = {name: [] for name in paths}
    children: dict[str, list[str]] = {}
    for path, member in [(INLINE, inline), *_further_agents(inline)]:
        # The root is "" here, which no other agent is called.
        parent = "" if path == INLINE else member.get("name")
        for index, child in enumerate(as_list(member.get("subAgents"))):
            if not isinstance(child, str) or not isinstance(parent, str):
                continue
            if child not in paths:
                known = ", ".join(list(paths)[:5]) or "it is empty"
                cure = f"is not an entry of inline.agents ({known}); add it there or correct the name"
                yield problem_at((*path, "subAgents", index), child, cure, lacking=True)
                continue
            parents[child].append(parent)
            children.setdefault(parent, []).append(child)
    yield from _parent_problems(paths, parents, _reachable(children))


def _parent_problems(
    paths: Mapping[str, Path], parents: Mapping[str, list[str]], reachable: set[str]
) -> Iterator[FieldProblem]:
    for name, path in paths.items():
        is_twice = len(parents[name]) > 1
        if not parents[name]:
            cure = "is not in any subAgents, so it would never run; add it to one or remove it"
        elif is_twice:
            cure = "is in subAgents more than once; an agent has one parent, use a second entry with another name"
        elif name not in reachable:
            cure = "is part of a cycle or below an agent that never runs; subAgents must form a tree"
        else:
            continue
        yield problem_at((*path, "name"), name, cure, lacking=not is_twice)


def _reachable(children: Mapping[str, list[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [""]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in seen:
                seen.add(child)
                waiting.append(child)
    return seen
