"""The agents that are killed: each shape of agents with its job. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_REPAIR: Final = {"schema": {"type": "object", "required": ["outcome"]}, "onInvalid": "Repair", "repairs": 3}
_STREAM: Final = {"runConfig": {"streaming_mode": "SSE"}}

_AT_ONCE: Final = {"initial": "100ms", "max": "100ms"}
_TRIES: Final = [
    {"match": ["fl*"], "maxAttempts": 3, "backoff": _AT_ONCE},
    {"match": ["slow"], "maxAttempts": 2, "backoff": _AT_ONCE, "timeout": "1s"},
]


@dataclass(frozen=True, slots=True)
class Topology:
    """One shape of agents."""

    name: str
    team: str = ""
    """The factory in `teams`; by default the name."""
    module: str = "tests.crash.teams"
    """Where the factory is."""
    at_once: bool = False
    """Whether effects happen at the same time, so that their order differs from run to run."""
    short: tuple[int, ...] = ()
    """Where it is killed when time is short: the number of the line of effects."""
    continues: bool = False
    """Whether the job continues the session of one before it, of the same shape."""
    retells: bool = False
    """Whether code tells something between two steps, which a start that is killed there may have told or not: what a
    callback answered, an event of a custom agent. Its timelines are not compared."""
    agent: Mapping[str, Any] = field(default_factory=dict)
    """What the job's `agent` says beside the module."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """What the job's spec says besides."""

    @property
    def ref(self) -> str:
        """The factory as a job names it."""
        return f"{self.module}:{self.team or self.name}"


TOPOLOGIES: Final = (
    Topology("parallel_tools", short=(9,), at_once=True),
    Topology("transfer"),
    Topology("sequence"),
    Topology("parallel", at_once=True),
    Topology("loop"),
    Topology("agent_tool"),
    Topology("single_turn", short=(11,)),
    Topology("graph_two"),
    Topology("graph_four"),
    Topology("graph_fan", short=(11,), at_once=True),
    Topology("custom", short=(11,)),
    Topology("nested", at_once=True),
    Topology("agent_tool_in_loop"),
    Topology("two_levels", short=(13,), at_once=True),
    Topology("graph_retry", at_once=True),
    Topology("run_node", at_once=True),
    Topology("callbacks", retells=True, short=(9,)),
    Topology("plugin_answers", retells=True),
    Topology("artifacts", short=(7, 13), at_once=True),
    Topology("sync_tools", at_once=True),
    Topology("compaction"),
    Topology("repairs", short=(8,), spec={"output": _REPAIR}),
    Topology("structured"),
    Topology("dynamic"),
    Topology("planner"),
    Topology("without_contents"),
    Topology("task"),
    Topology("there_and_back"),
    Topology("values", retells=True, at_once=True),
    Topology("values_in_tool", short=(9,), at_once=True),
    Topology("values_in_callback"),
    Topology("odd_results"),
    Topology("odd_texts"),
    Topology("continued", team="callbacks", retells=True, continues=True),
    Topology("mcp", at_once=True),
    Topology("mcp_stdio", at_once=True),
    Topology("compacted", spec={"steps": {"compaction": {"everyEvents": 3}}}),
    Topology("retried_model", at_once=True, spec={"steps": {"llm": {"backoff": _AT_ONCE}}}),
    Topology("retried_tools", at_once=True, spec={"steps": {"tools": _TRIES}}),
    Topology("parallel_tools_streamed", team="parallel_tools", at_once=True, agent=_STREAM),
    Topology("parallel_streamed", team="parallel", at_once=True, agent=_STREAM),
    Topology("agent_tool_streamed", team="agent_tool", agent=_STREAM),
    Topology("graph_fan_streamed", team="graph_fan", at_once=True, agent=_STREAM),
)
