"""The structure of a root agent: the parts whose answers and errors count, and all agents below it, including tools.

`engine` reads it from ADK's objects once per start; `answer` and `agents` use it. ADK's classes are identified by name,
so that none is loaded for a job that does not use it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind(Enum):
    """How a part runs its members."""

    AGENT = "agent"
    """Runs by itself: an LlmAgent that transfers to sub-agents, or a user's agent class."""
    IN_TURN = "in turn"
    """Runs all of them in turn, without reading their results: a sequence, a loop, one node over many inputs."""
    PARALLEL = "parallel"
    GRAPH = "graph"
    CODE = "code"
    """A node without members: a function. Agents that its code runs are not members."""


@dataclass(frozen=True, slots=True)
class Part:
    """An agent or node and its members. `ends` are the members of a graph without a successor."""

    name: str
    kind: Kind
    members: tuple["Part", ...] = ()
    ends: frozenset[str] = frozenset()

    def all(self) -> Iterator["Part"]:
        """Yield this part and all below it."""
        yield self
        for member in self.members:
            yield from member.all()


def tree_of(node: Any) -> Part:
    """Return the structure of `node`, an ADK agent or node."""
    kind = _kind(node)
    if kind is Kind.AGENT:
        return Part(node.name, kind, tuple(tree_of(child) for child in node.sub_agents))
    members = tuple(tree_of(child) for child in _children(node))
    followed = {edge.from_node.name for edge in node.graph.edges} if kind is Kind.GRAPH and node.graph else set()
    ends = frozenset(member.name for member in members if member.name not in followed)
    return Part(str(getattr(node, "name", "")), kind, members, ends if kind is Kind.GRAPH else frozenset())


def duplicate_names(node: Any) -> list[str]:
    """Return names that several agents below `node` share, or a graph and a node in it; their events look alike."""
    found: dict[str, set[int]] = {}
    pending = [node]
    while pending:
        current = pending.pop()
        if is_a(current, "BaseAgent"):
            found.setdefault(current.name, set()).add(id(current))
        pending += _children(current)
    inside = {part.name for part in tree_of(node).all() if part.kind is Kind.GRAPH and part.name in _below(part)}
    return sorted(inside | {name for name, agents in found.items() if len(agents) > 1})


def _below(part: Part) -> set[str]:
    return {below.name for member in part.members for below in member.all()}


def walk(node: Any) -> Iterator[Any]:
    """Yield `node` and every agent and node below it, including those inside its tools, each once."""
    pending, seen = [node], set[int]()
    while pending:
        current = pending.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        # An AgentTool has its agent in a field; a NodeTool and the like are among ADK's own children.
        inside = [getattr(tool, "agent", None) for tool in getattr(current, "tools", None) or ()]
        pending += [*_children(current), *_held(current), *(agent for agent in inside if agent is not None)]


def is_a(node: object, *names: str) -> bool:
    """Whether `node` is an instance of one of ADK's classes with these names."""
    return any(kind.__name__ in names and kind.__module__.startswith("google.adk.") for kind in type(node).__mro__)


def _kind(node: Any) -> Kind:
    if is_a(node, "ParallelAgent"):
        return Kind.PARALLEL
    if is_a(node, "SequentialAgent", "LoopAgent", "_ParallelWorker"):
        return Kind.IN_TURN
    if is_a(node, "Workflow"):
        return Kind.GRAPH
    if is_a(node, "BaseAgent"):
        return Kind.AGENT
    return Kind.IN_TURN if _children(node) else Kind.CODE


def _held(node: Any) -> Iterator[Any]:
    """Agents in fields of a user's class, which ADK's lists of children do not include."""
    for name, value in vars(node).items():
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else (value,)
        yield from (item for item in inside if name != "parent_agent" and is_a(item, "BaseAgent", "BaseNode"))


def _children(node: Any) -> list[Any]:
    found = getattr(node, "_iter_static_children", None)
    return list(found()) if found is not None else list(getattr(node, "sub_agents", ()))
