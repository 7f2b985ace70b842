"""State shared by the recorders of a start's steps: the journal, the gate, and reports about replay."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.adk.events.event import Event
from opentelemetry import trace

from agentjobs.contract import ErrorClass, RecordedStep, Verdict
from agentjobs_runner.adk.requests import difference
from agentjobs_runner.adk.step_policies import StepPolicies
from agentjobs_runner.adk.survived_errors import SurvivedErrors
from agentjobs_runner.budget import StartBudget
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.gate import Gate
from agentjobs_runner.journal import Journal, NewStep
from agentjobs_runner.origins import causes
from agentjobs_runner.steps import StepKey, is_within

_NOTE: Final = "__agentjobs_failed_in__"

Report = Callable[[str, str, Mapping[str, Any]], None]


def failure_note(key: str, start: int) -> str:
    """Return the key of the note that the tool call of `key` ended `start` with an error, so it is not uncertain."""
    return f"failed:{key}@{start}"


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A tool call that raised an error."""

    step: NewStep
    requested_by: StepKey
    """The model call that requested it."""
    before: bool
    """Whether it had already ended an earlier start with an error."""


@dataclass(eq=False)
class StepsOfStart:
    """One start's steps."""

    journal: Journal
    gate: Gate
    report: Report
    """Adds an entry to the timeline: kind, author, data."""
    number: int = 1
    """The start's number."""
    policies: StepPolicies = field(default_factory=StepPolicies)
    budget: StartBudget = field(default_factory=StartBudget)
    answers: list[StepKey] = field(default_factory=list)
    """The answered model calls, in order."""
    is_new: bool = False
    """Whether a step was not replayed: this start did something new."""
    answer_is_new: bool = False
    """Whether the newest answer was not replayed."""
    repaired_from: int | None = None
    """The position of the first answer that was repaired."""
    failed: dict[str, FailedCall] = field(default_factory=dict)
    """Tool calls with an unhandled error, by strand."""
    orders: list[Ending] = field(default_factory=list)
    """Errors of the job's rules for its steps, raised by our callbacks."""
    error: BaseException | None = None
    """The error that ended the start."""
    failed_in: tuple[str, str] | None = None
    """Strand and name of the agent whose error ended the start."""
    judged: str | None = None
    """The agent whose answer was invalid, if known."""
    _gave: dict[str, int] = field(default_factory=dict)
    """The number of answers at a strand's newest result."""
    _lost: dict[str, int] = field(default_factory=dict)
    """The number of answers at a strand's newest failed model call."""
    diverged: int = 0
    """Recorded steps with a different request."""
    _contents: dict[int, object] = field(default_factory=dict)
    """Replayed contents that are in events unchanged, by id."""
    _results: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Calls, by id and tool, with replayed results that have not been in an event yet."""

    def __post_init__(self) -> None:
        self.survived = SurvivedErrors(self.journal)

    def answered(self, key: StepKey, *, replayed: bool) -> None:
        """Record that a model's answer is used."""
        self.survived.went_on()
        self.answers.append(key)
        self.answer_is_new = not replayed
        self.is_new = self.is_new or not replayed
        self.failed.pop(key.strand, None)

    def gave(self, strand: str, *, replayed: bool) -> None:
        """Record that the result of a tool or node is used."""
        self.survived.went_on()
        self._gave[strand] = len(self.answers)
        self.is_new = self.is_new or not replayed
        self.failed.pop(strand, None)

    def lost(self, key: StepKey, *, stored: bool) -> None:
        """Record that a model call failed, or that its answer was rejected and is `stored` as void."""
        self._lost[key.strand] = len(self.answers)
        self.is_new = self.is_new or stored

    def failing(self, error: BaseException, strand: str, agent: str) -> None:
        """Record that `agent` raised `error`; the innermost agent stays."""
        vars(error).setdefault(_NOTE, (strand, agent))

    def ended_by(self, error: BaseException) -> None:
        """Record that `error` ended the start."""
        self.error = error
        for cause in causes(error):
            self.failed_in = vars(cause.error).get(_NOTE, self.failed_in)

    def ending(self, met: Ending) -> Ending:
        """Return the start's ending, given `met` from its error.

        A used-up budget always ends it. And ADK's parallel agents remove the cause of an error, which is the only sign
        of a Snooze, Cancel or Permanent in ADK's wrapper for plugin errors.
        """
        if self.budget.ending is not None:
            return self.budget.ending
        return next((order for order in self.orders if order.message in met.message), met)

    def newest(self) -> StepKey | None:
        """Return the newest answer of the failed part; of all parts if none is known to be involved."""
        if self.failed_in is None:
            mine = [key for key in self.answers if key.agent == self.judged]
        else:
            strand, agent = self.failed_in
            mine = [key for key in self.answers if f"{key}|".startswith(f"{strand}|{agent}#")]
            mine = mine or [key for key in self.answers if is_within(key.strand, strand)]
        return next(reversed(mine or self.answers), None)

    def built_on(self, answer: StepKey) -> list[StepKey]:
        """Return `answer`, one of `answers`, and later ones that may depend on it."""
        later = self.answers[self._up_to(answer) :]
        return [
            answer,
            *(key for key in later if is_within(key.strand, answer.strand) or is_within(answer.strand, key.strand)),
        ]

    def gave_after(self, answer: StepKey) -> bool:
        """Whether the failed part had results after `answer`, one of `answers`."""
        return self._after(answer, self._gave)

    def lost_after(self, answer: StepKey) -> bool:
        """Whether the failed part had a failed model call after `answer`, one of `answers`."""
        return self._after(answer, self._lost)

    def _after(self, answer: StepKey, counts: Mapping[str, int]) -> bool:
        answered = self._up_to(answer)
        within = self.failed_in[0] if self.failed_in is not None else "|"
        return any(count >= answered for strand, count in counts.items() if is_within(strand, within))

    def _up_to(self, answer: StepKey) -> int:
        """The number of answers when `answer` was the last."""
        return len(self.answers) - self.answers[::-1].index(answer)

    def compare(self, recorded: RecordedStep, requested: dict[str, Any]) -> None:
        """Mark a replayed step in traces, and compare its request; its result is used in any case.

        Raises:
            StartEnded: Diverged, if the job requires that.
        """
        trace.get_current_span().set_attribute("agentjobs.replayed", True)  # a replayed step costs nothing
        found = difference(recorded["request"], requested)
        if not found:
            return
        self.diverged += 1
        what = f"step {recorded['n']} ({recorded['kind']} {recorded['name']} of {recorded['agent']})"
        message = f"{what} was recorded with {found}"
        if self.policies.fails_diverged:
            cure = "Make the agent's requests the same in every start, or set steps.onDivergence: Continue"
            raise StartEnded(Ending(Verdict.FAIL, ErrorClass.DIVERGED, f"{message}. {cure}"))
        if self.diverged == 1:
            self.report("warning", recorded["agent"], {"level": "WARNING", "message": f"{message}; its result is used"})

    def report_diverged(self) -> None:
        """Report how many more recorded steps had a different request."""
        if self.diverged > 1:
            message = f"{self.diverged} recorded steps had different requests than before; their results were used"
            self.report("warning", "", {"level": "WARNING", "message": message})

    def not_recorded(self, agent: str, named: str, what: str) -> None:
        """Report that a step returned `what`, which the journal cannot store."""
        message = f"{named} returned {what}: it is not recorded, and runs again in later starts"
        self.report("warning", agent, {"level": "WARNING", "message": message})

    def answer_replayed(self, content: object) -> None:
        """Record that `content` was replayed."""
        self._contents[id(content)] = content

    def tool_replayed(self, call: str | None, tool: str) -> None:
        """Record that the result of a call was replayed."""
        self._results[call or "", tool] += 1

    def is_unreported(self, event: Event) -> bool:
        """Whether no earlier start has reported `event`."""
        if event.content is not None and self._contents.get(id(event.content)) is event.content:
            return False
        calls = [(result.id or "", result.name or "") for result in event.get_function_responses()]
        known = [call for call in calls if self._results[call] > 0]
        self._results.subtract(known)
        return (not calls or len(known) < len(calls)) and not self.replays

    @property
    def replays(self) -> bool:
        """Whether the start only replays earlier ones, so that log lines of code are repetitions."""
        return not self.is_new and self.journal.has_more
