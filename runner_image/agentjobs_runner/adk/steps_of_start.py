"""What the recorders of a start's steps share: the journal, the gate, and what replay has to tell."""

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

Tell = Callable[[str, str, Mapping[str, Any]], None]


def failure_note(key: str, start: int) -> str:
    """Return the key of the note that the tool call of `key` ended `start` by an error, so that it is not uncertain."""
    return f"failed:{key}@{start}"


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A tool call that raised an error."""

    step: NewStep
    asked_by: StepKey
    """The model call that asked for it."""
    before: bool
    """Whether it had ended the start before by an error, too."""


@dataclass(eq=False)
class StepsOfStart:
    """One start's steps."""

    journal: Journal
    gate: Gate
    tell: Tell
    """Adds an entry to the timeline: kind, author, data."""
    number: int = 1
    """Of the start."""
    policies: StepPolicies = field(default_factory=StepPolicies)
    budget: StartBudget = field(default_factory=StartBudget)
    answers: list[StepKey] = field(default_factory=list)
    """The model calls that have been answered, in their order."""
    is_new: bool = False
    """Whether a step was not replayed: this start did something that no earlier one had recorded."""
    answer_is_new: bool = False
    """Whether the newest answer was not replayed."""
    repaired_from: int | None = None
    """Which of the answers was the first that had to be repaired."""
    failed: dict[str, FailedCall] = field(default_factory=dict)
    """The tool calls that raised an error with which nothing went on, by strand."""
    orders: list[Ending] = field(default_factory=list)
    """What the job says about its steps, as callbacks of ours raised it."""
    error: BaseException | None = None
    """What came out of the run and ended the start."""
    failed_in: tuple[str, str] | None = None
    """The strand and name of the agent that raised the error by which the start ended."""
    judged: str | None = None
    """The agent whose answer was judged to be wrong, where it is known."""
    _gave: dict[str, int] = field(default_factory=dict)
    """How many answers there were when a strand's newest result came."""
    _lost: dict[str, int] = field(default_factory=dict)
    """How many answers there were when a strand's newest model call gave none that may be used."""
    diverged: int = 0
    """Steps that were asked something else when they were recorded."""
    _contents: dict[int, object] = field(default_factory=dict)
    """What came from the journal and stands in events as it is, by id."""
    _results: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Calls, by id and tool, whose results came from the journal and have not been seen in an event."""

    def __post_init__(self) -> None:
        self.survived = SurvivedErrors(self.journal)

    def answered(self, key: StepKey, *, replayed: bool) -> None:
        """Note that a model's answer is used."""
        self.survived.went_on()
        self.answers.append(key)
        self.answer_is_new = not replayed
        self.is_new = self.is_new or not replayed
        self.failed.pop(key.strand, None)

    def gave(self, strand: str, *, replayed: bool) -> None:
        """Note that the result of a tool or node is used."""
        self.survived.went_on()
        self._gave[strand] = len(self.answers)
        self.is_new = self.is_new or not replayed
        self.failed.pop(strand, None)

    def lost(self, key: StepKey, *, stored: bool) -> None:
        """Note that a model call raised an error, or gave an answer that was refused and is `stored` as void."""
        self._lost[key.strand] = len(self.answers)
        self.is_new = self.is_new or stored

    def failing(self, error: BaseException, strand: str, agent: str) -> None:
        """Note that `error` came out of `agent`; the innermost agent's note stays."""
        vars(error).setdefault(_NOTE, (strand, agent))

    def ended_by(self, error: BaseException) -> None:
        """Note that `error` ended the start."""
        self.error = error
        for cause in causes(error):
            self.failed_in = vars(cause.error).get(_NOTE, self.failed_in)

    def ending(self, met: Ending) -> Ending:
        """Return how the start ends that ends as `met`, as far as its error tells.

        A budget ends it whatever code made of that. And ADK's parallel agents take the cause off an error, which is
        all that tells an order of ours in ADK's words for errors of plugins.
        """
        if self.budget.ending is not None:
            return self.budget.ending
        return next((order for order in self.orders if order.message in met.message), met)

    def newest(self) -> StepKey | None:
        """Return the newest answer of what failed; of all, where none is known to have had a part in it."""
        if self.failed_in is None:
            mine = [key for key in self.answers if key.agent == self.judged]
        else:
            strand, agent = self.failed_in
            mine = [key for key in self.answers if f"{key}|".startswith(f"{strand}|{agent}#")]
            mine = mine or [key for key in self.answers if is_within(key.strand, strand)]
        return next(reversed(mine or self.answers), None)

    def built_on(self, answer: StepKey) -> list[StepKey]:
        """Return `answer`, one of `answers`, and the later ones that may have been given for what it said."""
        later = self.answers[self._up_to(answer) :]
        return [
            answer,
            *(key for key in later if is_within(key.strand, answer.strand) or is_within(answer.strand, key.strand)),
        ]

    def gave_after(self, answer: StepKey) -> bool:
        """Whether results came after `answer`, one of `answers`, in what failed."""
        return self._after(answer, self._gave)

    def lost_after(self, answer: StepKey) -> bool:
        """Whether a model call came to nothing after `answer`, one of `answers`, in what failed."""
        return self._after(answer, self._lost)

    def _after(self, answer: StepKey, counts: Mapping[str, int]) -> bool:
        answered = self._up_to(answer)
        within = self.failed_in[0] if self.failed_in is not None else "|"
        return any(count >= answered for strand, count in counts.items() if is_within(strand, within))

    def _up_to(self, answer: StepKey) -> int:
        """How many answers there were when `answer` had come last."""
        return len(self.answers) - self.answers[::-1].index(answer)

    def compare(self, recorded: RecordedStep, asked: dict[str, Any]) -> None:
        """Mark a recorded step in traces, and see whether it was asked the same; its answer is used in any case.

        Raises:
            StartEnded: Diverged, where the job wants that.
        """
        trace.get_current_span().set_attribute("agentjobs.replayed", True)  # what was recorded costs nothing again
        found = difference(recorded["request"], asked)
        if not found:
            return
        self.diverged += 1
        what = f"step {recorded['n']} ({recorded['kind']} {recorded['name']} of {recorded['agent']})"
        said = f"{what} was recorded for {found}"
        if self.policies.fails_diverged:
            cure = "Make what the agent asks the same in every start, or set steps.onDivergence: Continue"
            raise StartEnded(Ending(Verdict.FAIL, ErrorClass.DIVERGED, f"{said}. {cure}"))
        if self.diverged == 1:
            self.tell("warning", recorded["agent"], {"level": "WARNING", "message": f"{said}; its result is used"})

    def tell_diverged(self) -> None:
        """Tell how many more recorded steps were asked something else."""
        if self.diverged > 1:
            said = f"{self.diverged} recorded steps were asked something else than before; their results were used"
            self.tell("warning", "", {"level": "WARNING", "message": said})

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
        return (not calls or len(told) < len(calls)) and not self.replays

    @property
    def replays(self) -> bool:
        """Whether the start only does again what earlier ones did: what code says meanwhile has been told."""
        return not self.is_new and self.journal.has_more
