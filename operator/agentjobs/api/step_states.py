"""The state of a recorded step, in one word: for the command line and the dashboard. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agentjobs.api.recorded import RecordedStart, RecordedStep

RECORDED: Final = "recorded"
REPLAYED: Final = "replayed"
VOID: Final = "void"
INTERRUPTED: Final = "interrupted"
RUNNING: Final = "running"


def state_of(step: "RecordedStep", starts: "Sequence[RecordedStart]") -> str:
    """Return the state of a step.

    `replayed` if a later start reused it, `void` if no later start may use it, `interrupted` if its start ended before
    its call did. `starts` are keyed by number.
    """
    if step.void:
        return VOID
    if step.ended is None:
        newest = starts[-1] if starts else None
        under_way = newest is not None and newest.start == step.start and newest.ended is None
        return RUNNING if under_way else INTERRUPTED
    return REPLAYED if step.replayed else RECORDED
