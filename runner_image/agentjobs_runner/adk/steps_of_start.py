"""What the recorders of a start's steps share: the journal, the gate, and what replay has to tell."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.adk.events.event import Event

from agentjobs.contract import RecordedStep
from agentjobs_runner.adk.requests import difference
from agentjobs_runner.gate import Gate
from agentjobs_runner.journal import Journal

Tell = Callable[[str, str, Mapping[str, Any]], None]


@dataclass(eq=False)
class StepsOfStart:
    """One start's steps."""

    journal: Journal
    gate: Gate
    tell: Tell
    """Adds an entry to the timeline: kind, author, data."""
    diverged: int = 0
    """Steps that were asked something else when they were recorded."""
    _contents: dict[int, object] = field(default_factory=dict)
    """What came from the journal and stands in events as it is, by id."""
    _results: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Calls, by id and tool, whose results came from the journal and have not been seen in an event."""

    def compare(self, recorded: RecordedStep, asked: dict[str, Any]) -> None:
        """See whether a recorded step was asked the same; its answer is used in any case."""
        found = difference(recorded["request"], asked)
        if not found:
            return
        self.diverged += 1
        if self.diverged == 1:
            self.tell(
                "warning",
                recorded["agent"],
                {"level": "WARNING", "message": f"step {recorded['n']} was recorded for {found}"},
            )

    def not_recorded(self, agent: str, named: str, what: str) -> None:
        """Tell that a step gave `what`, which the journal cannot hold."""
        said = f"{named} gave {what}: it is not recorded, and runs again in later starts"
        self.tell("warning", agent, {"level": "WARNING", "message": said})

    def answer_replayed(self, content: object) -> None:
        """Note that `content` came from the journal."""
        self._contents[id(content)] = content

    def tool_replayed(self, call: str | None, tool: str) -> None:
        """Note that the result of a call came from the journal."""
        self._results[call or "", tool] += 1

    def is_news(self, event: Event) -> bool:
        """Whether no earlier start told of `event`."""
        if event.content is not None and self._contents.get(id(event.content)) is event.content:
            return False
        calls = [(result.id or "", result.name or "") for result in event.get_function_responses()]
        told = [call for call in calls if self._results[call] > 0]
        self._results.subtract(told)
        return not calls or len(told) < len(calls)
