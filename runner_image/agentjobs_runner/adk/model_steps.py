"""Model calls as steps: a recorded answer comes at once, a new one is recorded before anything acts on it.

The method by which ADK asks a model is replaced in the model object. So the callbacks of agents and plugins run as
ever, whether the answer is recorded or not, and a model that a tool or a plugin asks by itself is found as well.
`step_plugin` says which model call of which agent begins, and checks its answers.
"""

import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MethodType
from typing import Any, Final

from google.adk.agents.callback_context import CallbackContext
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse

from agentjobs.contract import StepKind
from agentjobs_runner.adk.answer_checks import streams_from, usage_of
from agentjobs_runner.adk.recorded import answers_of, answers_to_json
from agentjobs_runner.adk.requests import of_model_call
from agentjobs_runner.adk.step_keys import StepKeys, inside
from agentjobs_runner.adk.steps_of_start import StepsOfStart
from agentjobs_runner.endings import cut_off
from agentjobs_runner.journal import NewStep
from agentjobs_runner.steps import StepKey

_METHOD: Final = "generate_content_async"
# Whether the current code is a model's own: what that asks further is part of its answer.
_asking: ContextVar[bool] = ContextVar("asking", default=False)

Asks = Callable[..., AsyncGenerator[LlmResponse, None]]


@dataclass(eq=False)
class ModelCall:
    """One model call of an agent."""

    key: StepKey
    context: CallbackContext
    offered: frozenset[str]
    """The tools that the model may call."""
    answers: list[LlmResponse] = field(default_factory=list)
    replayed: bool = False
    seen: bool = False
    """Whether the answers were checked and recorded."""
    model: str = ""
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    is_live: bool = False
    """Whether the answer came over a live connection, which no later start can take up."""
    request: dict[str, Any] = field(default_factory=dict)

    @property
    def usage(self) -> dict[str, int]:
        """What the call used, as its answers tell."""
        total: dict[str, int] = {}
        for answer in self.answers:
            for name, amount in usage_of(answer).items():
                total[name] = total.get(name, 0) + max(0, amount)
        return {**total, "llmCalls": 1}


class ModelSteps:
    """The model calls of one start."""

    def __init__(self, start: StepsOfStart, keys: StepKeys) -> None:
        self._start = start
        self._keys = keys
        self._begun: dict[int, tuple[weakref.ref[LlmRequest], ModelCall]] = {}
        """By the id of its request: ADK hands that on to the model."""
        self._given: dict[int, ModelCall] = {}
        """By the id of an answer that is on its way to the callbacks."""
        self._failed: dict[StepKey, ModelCall] = {}
        """Calls whose model raised an error."""

    async def begin(self, context: CallbackContext, request: LlmRequest) -> None:
        """Note which call asks `request`, and see to it that the agent's model is asked through here."""
        call = ModelCall(self._keys.ask(context), context, frozenset(request.tools_dict))
        place = id(request)
        self._begun[place] = (weakref.ref(request, lambda _: self._begun.pop(place, None)), call)
        model = await _model_of(context)
        if model is not None:
            self._intercept(model)

    def call_of(self, answer: LlmResponse) -> ModelCall | None:
        """Return the call that `answer` came from; None when it came from elsewhere."""
        return self._given.pop(id(answer), None)

    def answered_by_callback(self, context: CallbackContext, answer: LlmResponse) -> ModelCall:
        """Return the call that a callback answered when the model had failed; the run goes on with that answer.

        Answers of a live connection are taken in here, too; those belong to no call.
        """
        key = self._keys.asked(context) or StepKey(self._keys.strand(context), context.agent_name, 0)
        call = self._failed.pop(key, None) or ModelCall(key, context, frozenset(), is_live=True)
        call.answers = [answer]
        return call

    async def record(self, call: ModelCall, *, void: bool = False) -> None:
        """Record the answers of `call`, and end it."""
        step = NewStep(str(call.key), StepKind.MODEL, call.key.agent, call.model, call.began, call.request, call.usage)
        await self._start.journal.record(step, answers_to_json(call.answers), void=void or call.is_live)
        self._start.gate.leave(call.key)

    def _intercept(self, model: BaseLlm) -> None:
        shadow = vars(model).get(_METHOD)
        if isinstance(shadow, _Shadow) and shadow.model is model and shadow.steps is self:
            return
        # A copy of a model holds the original's.
        given = shadow.asks if isinstance(shadow, _Shadow) else getattr(model, _METHOD)
        asks = MethodType(given.__func__, model) if isinstance(given, MethodType) else given
        # The classes are pydantic's, which refuse what is not a field.
        object.__setattr__(model, _METHOD, _Shadow(model, asks, self))

    def ask(self, shadow: "_Shadow", request: LlmRequest, stream: bool) -> AsyncGenerator[LlmResponse, None]:
        """Answer `request` from the journal, or ask the model."""
        _, call = self._begun.pop(id(request), (None, None))
        if call is None:
            return shadow.asks(request, stream)
        return self._answers(call, shadow, request, stream)

    async def _answers(
        self, call: ModelCall, shadow: "_Shadow", request: LlmRequest, stream: bool
    ) -> AsyncGenerator[LlmResponse, None]:
        key, asked = str(call.key), of_model_call(request, shadow.model.model)
        if (recorded := self._start.journal.ended(key)) is not None:
            self._start.compare(recorded, asked)
            call.answers, call.replayed = answers_of(recorded["body"]), True
        else:
            call.model, call.request = shadow.model.model, asked
            await self._start.gate.enter(call.key, f"a model call of {call.key.agent}", within=inside())
            call.began = datetime.now(UTC)
            async with aclosing(self._asked(call, shadow, request, stream)) as partial:
                async for answer in partial:
                    yield answer
        self._given.update((id(answer), call) for answer in call.answers)
        try:
            for answer in call.answers:
                yield answer
        finally:
            self._start.gate.leave(call.key)

    async def _asked(
        self, call: ModelCall, shadow: "_Shadow", request: LlmRequest, stream: bool
    ) -> AsyncGenerator[LlmResponse, None]:
        """Ask the model: yield the parts of its answer, and keep what is whole until all of it is here.

        A model may give several whole answers to one call. Nothing may act on the first before all are recorded.
        """
        whole = False
        try:
            async with (
                aclosing(shadow.asks(request, stream)) as answers,
                aclosing(_within_model(answers)) as heard,
            ):
                async for answer in heard:
                    if answer.partial:
                        self._start.gate.note_progress()
                        yield answer
                    else:
                        call.answers.append(answer)
            if not call.answers and streams_from(call.context, "Gemini"):
                raise cut_off()
            whole = bool(call.answers)
        finally:
            if not whole:
                self._failed[call.key] = call
                self._start.gate.leave(call.key)


class _Shadow:
    """Stands in a model object for its method."""

    def __init__(self, model: BaseLlm, asks: Asks, steps: ModelSteps) -> None:
        self.model = model
        self.asks = asks
        self.steps = steps

    def __call__(self, llm_request: LlmRequest, stream: bool = False) -> AsyncGenerator[LlmResponse, None]:
        """Ask through the journal."""
        if _asking.get():
            return self.asks(llm_request, stream)
        return self.steps.ask(self, llm_request, stream)


async def _within_model(answers: AsyncGenerator[LlmResponse, None]) -> AsyncGenerator[LlmResponse, None]:
    """Yield `answers`; only the model's own code runs as such, not that of those who take them."""
    while True:
        token = _asking.set(True)
        try:
            answer = await anext(answers)
        except StopAsyncIteration:
            return
        finally:
            _asking.reset(token)
        yield answer


async def _model_of(context: CallbackContext) -> BaseLlm | None:
    """The model that ADK is about to ask."""
    agent: Any = context.get_invocation_context().agent
    if hasattr(agent, "canonical_model_async"):
        found: BaseLlm = await agent.canonical_model_async(context)
        return found
    return getattr(agent, "canonical_model", None)
