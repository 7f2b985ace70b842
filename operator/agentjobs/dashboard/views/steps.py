"""A job's steps as lines of a table. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from agentjobs.api.recorded import RecordedStart, RecordedStep, StepContent
from agentjobs.api.step_states import state_of
from agentjobs.dashboard.views.documents import Text, json_text

PAGE = 100
"""Steps of one page."""
_CONTENT = 20_000


@dataclass(frozen=True, slots=True)
class StepLine:
    """A step."""

    step: RecordedStep
    state: str
    took: timedelta | None
    """None while it has not ended."""
    tokens_in: int
    tokens_out: int
    starts_over: bool
    """Whether its start began from the first step, and the line before is of another run."""


@dataclass(frozen=True, slots=True)
class StepShown:
    """Request and result of a step."""

    request: Text | None
    answer: Text | None
    unreadable: bool


def step_lines(steps: Iterable[RecordedStep], starts: Sequence[RecordedStart]) -> Iterator[StepLine]:
    """Yield the lines of steps, in their order."""
    run: int | None = None
    for step in steps:
        took = None if step.ended is None else step.ended - step.began
        sent, received = step.usage.get("inputTokens", 0), step.usage.get("outputTokens", 0)
        yield StepLine(step, state_of(step, starts), took, sent, received, run not in (None, step.run))
        run = step.run


def step_shown(content: StepContent) -> StepShown:
    """Return what is recorded of a step."""
    answer = None if content.body is None else json_text(content.body, _CONTENT)
    request = json_text(content.request, _CONTENT) if content.request else None
    return StepShown(request, answer, content.unreadable)


def call_shown(content: Mapping[str, Any]) -> Text:
    """Return request and answer of a model call, cut."""
    return json_text(call_content(content), _CONTENT)


def call_content(answer: Mapping[str, Any]) -> Any:
    """Return request and answer of a model call from REST's answer."""
    return answer.get("content", answer)


def first_of_page(step: int) -> int:
    """Return after which number the page begins that has a step."""
    return max(0, (step - 1) // PAGE * PAGE)
