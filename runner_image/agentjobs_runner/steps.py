"""The identity of a step: which model call or tool call of an agent it is, in every run of the agent. Pure."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class StepKey:
    """The key of a step: equal in every run of an agent with the same requests, different for any two steps of a run.

    It contains no run id and no time, and does not depend on parallel steps.
    """

    strand: str
    """The step's line of execution. Steps that may run at the same time differ in it, or in `tool_call`."""
    agent: str
    """The step's agent."""
    model_call: int
    """The agent's model calls in its strand, counted from 1. For a tool call: the one that requested it."""
    tool_call: int | None = None
    """The position of a tool call in that answer, from 1; None for the model call itself.

    Not the call's id: some servers reuse an id in each turn, or twice in one answer.
    """

    def tool(self, place: int) -> "StepKey":
        """Return the key of the tool call at position `place` in the answer of this model call."""
        return replace(self, tool_call=place)

    def __str__(self) -> str:
        call = f"{self.strand}|{self.agent}#{self.model_call}"
        return call if self.tool_call is None else f"{call}/{self.tool_call}"


def is_within(strand: str, outer: str) -> bool:
    """Whether `strand` is `outer`, or a line of execution that began in it: a branch, a node, a tool call of it."""
    if strand == outer or strand.startswith(f"{outer}|"):
        return True
    call, beyond, place = outer.rpartition(">")
    if not strand.startswith(call + beyond):
        return False
    branch, _, path = place.partition("|")
    inner_branch, _, rest = strand[len(call + beyond) :].partition("|")
    inner_path = rest.partition("|")[0]
    return f"{inner_branch}.".startswith(f"{branch}." if branch else "") and f"{inner_path}/".startswith(
        f"{path}/" if path else ""
    )
