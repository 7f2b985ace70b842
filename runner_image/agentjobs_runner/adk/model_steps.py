"""Model calls as steps: recorded answers are replayed, new ones are recorded before anything acts on them.

ADK's method for calling a model is replaced in the model object. So callbacks of agents and plugins always run, and
models called directly by a tool or a plugin are covered, too. `step_plugin` reports which agent's model call begins,
and checks the answers.
"""

import asyncio
import weakref
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from types import MethodType
from typing import Any, Final

from google.adk.agents.callback_context import CallbackContext
from google.adk.agents.invocation_context import InvocationContext
from google.adk.flows.llm_flows.base_llm_flow import BaseLlmFlow
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse

from agentjobs.contract import ErrorClass, StepKind
from agentjobs.models.budget import NOTHING, Spend, plain
from agentjobs.models.tokens import Tokens
from agentjobs_runner import model_access
from agentjobs_runner.adk.answer_checks import streams_from
from agentjobs_runner.adk.classify import classify
from agentjobs_runner.adk.held_context import holding
from agentjobs_runner.adk.model_usage import input_estimate, name_of, output_limit, tokens_of, usage_of
from agentjobs_runner.adk.recorded import answers_of, answers_to_json, reading
from agentjobs_runner.adk.requests import digest, in_any_order, of_model_call
from agentjobs_runner.adk.scripted import pass_over
from agentjobs_runner.adk.step_keys import StepKeys, inside
from agentjobs_runner.adk.step_retries import model_may_recover, wait
from agentjobs_runner.adk.steps_of_start import StepsOfStart
from agentjobs_runner.endings import StartEnded, cut_off
from agentjobs_runner.journal import NewStep
from agentjobs_runner.model_access import ModelStep
from agentjobs_runner.origins import Origin, Source, note_origin
from agentjobs_runner.recorded_steps import stored_key
from agentjobs_runner.steps import StepKey
from agentjobs_runner.user_steps import place

_METHOD: Final = "generate_content_async"
_ADKS_MODEL: Final = BaseLlmFlow._get_llm
# Whether a model's own code is running: its further calls are part of its answer.
_in_model: ContextVar[bool] = ContextVar("in_model", default=False)

CallModel = Callable[..., AsyncGenerator[LlmResponse, None]]


@dataclass(eq=False)
class ModelCall:
    """One model call of an agent."""

    key: StepKey
    context: CallbackContext | None
    """None if code called the model directly, without callbacks."""
    offered: frozenset[str]
    """The tools that the model may call."""
    answers: list[LlmResponse] = field(default_factory=list)
    replayed: bool = False
    seen: bool = False
    """Whether the answers were checked and recorded."""
    model: str = ""
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    is_live: bool = False
    """Whether the answer came over a live connection, which no later start can resume."""
    request: dict[str, Any] = field(default_factory=dict)

    @property
    def usage(self) -> dict[str, int]:
        """The call's usage, from its answers."""
        total: dict[str, int] = {}
        for answer in self.answers:
            for name, amount in usage_of(answer).items():
                total[name] = total.get(name, 0) + amount
        return {**total, "llmCalls": 1}

    @property
    def tokens(self) -> Tokens:
        """The tokens of all answers."""
        return sum(map(tokens_of, self.answers), Tokens())


class ModelSteps:
    """The model calls of one start."""

    def __init__(self, start: StepsOfStart, keys: StepKeys) -> None:
        self._start = start
        self._keys = keys
        self._begun: dict[int, tuple[weakref.ref[LlmRequest], ModelCall]] = {}
        """By the id of its request, which ADK passes to the model."""
        self._given: dict[int, ModelCall] = {}
        """By the id of an answer that is passed to the callbacks."""
        self._asides: Counter[str] = Counter()
        self._failed: dict[StepKey, ModelCall] = {}
        """Calls whose model raised an exception."""

    def install(self) -> None:
        """Route the model calls of every agent through here.

        An agent may create a model for each call, so the model must be wrapped when ADK gets it.
        """

        async def get(flow: BaseLlmFlow, context: InvocationContext) -> BaseLlm:
            model = await _ADKS_MODEL(flow, context)
            self.intercept(model)
            return model

        BaseLlmFlow._get_llm = get  # type: ignore[method-assign, assignment]

    async def begin(self, context: CallbackContext, request: LlmRequest) -> None:
        """Record which call belongs to `request`."""
        call = ModelCall(self._keys.next_call(context), context, frozenset(request.tools_dict))
        await self._start.survived.begins(call.key)
        number = id(request)
        self._begun[number] = (weakref.ref(request, lambda _: self._begun.pop(number, None)), call)

    def call_of(self, answer: LlmResponse) -> ModelCall | None:
        """Return the call of `answer`; None if it has another source."""
        return self._given.pop(id(answer), None)

    def answered_by_callback(self, context: CallbackContext, answer: LlmResponse) -> ModelCall:
        """Return the call whose failure a callback replaced by an answer, with which the run continues.

        Answers of a live connection are recorded here, too; they belong to no call.
        """
        key = self._keys.last_call(context) or StepKey(self._keys.strand(context), context.agent_name, 0)
        call = self._failed.pop(key, None) or ModelCall(key, context, frozenset(), is_live=True)
        self._start.survived.forget(key)
        call.answers = [answer]
        return call

    async def record(self, call: ModelCall, *, void: bool = False) -> None:
        """Record the answers of `call`, and end it."""
        step = NewStep(str(call.key), StepKind.MODEL, call.key.agent, call.model, call.began, call.request, call.usage)
        await self._start.journal.record(step, answers_to_json(call.answers), void=void or call.is_live)
        self._start.gate.leave(call.key)

    def intercept(self, model: BaseLlm) -> None:
        """Route the calls of `model` through here."""
        shadow = vars(model).get(_METHOD)
        if isinstance(shadow, _Shadow) and shadow.model is model and shadow.steps is self:
            return
        # A copy of a model has the original's method.
        given = shadow.function if isinstance(shadow, _Shadow) else getattr(model, _METHOD)
        function = MethodType(given.__func__, model) if isinstance(given, MethodType) else given
        # The classes are pydantic's, which reject unknown fields.
        object.__setattr__(model, _METHOD, _Shadow(model, function, self))

    def call_model(self, shadow: "_Shadow", request: LlmRequest, stream: bool) -> AsyncGenerator[LlmResponse, None]:
        """Answer `request` from the journal, or call the model."""
        _, call = self._begun.pop(id(request), (None, None))
        return self._answers(call or self._aside(shadow, request), shadow, request, stream)

    def _aside(self, shadow: "_Shadow", request: LlmRequest) -> ModelCall:
        """A call without callbacks: to summarize events, or from a tool's or plugin's own code."""
        within = inside()
        strand = f"{within[-1] if within else ''}>{digest(of_model_call(request, shadow.model.model))}"
        self._asides[strand] += 1
        return ModelCall(StepKey(strand, place.get().agent, self._asides[strand]), None, frozenset())

    async def _answers(
        self, call: ModelCall, shadow: "_Shadow", request: LlmRequest, stream: bool
    ) -> AsyncGenerator[LlmResponse, None]:
        key, requested = str(call.key), of_model_call(request, shadow.model.model) | in_any_order(request)
        if (recorded := self._start.journal.ended(key)) is not None:
            self._start.compare(recorded, requested)
            pass_over(shadow.model, call.key.agent, recorded["start"])
            with reading(recorded):
                call.answers, call.replayed = answers_of(recorded["body"]), True
        else:
            call.model, call.request = shadow.model.model, requested
            if (error := self._start.survived.again(call.key)) is not None:
                self._failed[call.key] = call
                self._start.lost(call.key, stored=False)
                raise error
            async with aclosing(self._call_with_retries(call, shadow, request, stream)) as partial:
                async for answer in partial:
                    yield answer
            if call.context is None and call.answers:
                await self.record(call, void=any(answer.error_code for answer in call.answers))
        if call.context is not None:
            self._given.update((id(answer), call) for answer in call.answers)
        try:
            for answer in call.answers:
                yield answer
        finally:
            self._start.gate.leave(call.key)

    async def _call_with_retries(
        self, call: ModelCall, shadow: "_Shadow", request: LlmRequest, stream: bool
    ) -> AsyncGenerator[LlmResponse, None]:
        """Call the model, with the job's retries: yield the parts of its answer, and store complete ones."""
        policy, named = self._start.policies.llm, f"a model call of {call.key.agent}"
        for tried in count(1):
            try:
                async with self._start.budget.model_call(self._most(shadow.model, request)) as charge:
                    await self._start.gate.enter(call.key, named, within=inside())
                    call.began = datetime.now(UTC)
                    async with aclosing(self._read_once(call, shadow, request, stream, policy.timeout)) as partial:
                        async for answer in partial:
                            yield answer
                    charge.spent = self._spent(call, shadow.model)
            except Exception as error:
                call.answers.clear()
                note_origin(error, Origin(Source.MODEL, call.key.agent))
                await self._end_by_budget(call, error)
                if tried >= policy.tries or (met := model_may_recover(error)) is None:
                    self._failed[call.key] = call
                    self._start.survived.failed(call.key, error)
                    self._start.lost(call.key, stored=False)
                    raise
                await wait(self._start, call.key, named, tried, policy, met)
            else:
                self._start.gate.end_copies()
                return
            finally:
                if not call.answers:
                    self._start.gate.leave(call.key)

    def _most(self, model: BaseLlm, request: LlmRequest) -> Spend:
        """A call's maximum usage, if usage is limited."""
        budget = self._start.budget
        if not budget.counts_tokens:
            return Spend(llm_calls=1)
        return budget.most(name_of(model), input_estimate(request), output_limit(request))

    def _spent(self, call: ModelCall, model: BaseLlm) -> Spend:
        """A call's usage; its cost, if known, is stored with the step."""
        cost = self._start.budget.cost(name_of(model), call.tokens)
        if cost is not None:
            call.request = {**call.request, "costUSD": plain(cost)}
        return Spend(cost or NOTHING, call.tokens.total, 1)

    async def _end_by_budget(self, call: ModelCall, error: Exception) -> None:
        """Allow no further step after a budget ended the call, and end the run after other running calls have ended."""
        ending = classify(error, now=datetime.now(UTC))
        if ending.reason in (ErrorClass.BUDGET_EXCEEDED, ErrorClass.UNKNOWN_MODEL_PRICE):
            self._start.budget.end(ending)
            self._start.gate.leave(call.key)
            await self._start.gate.run_out(within=inside())
            raise error if isinstance(error, StartEnded) else StartEnded(ending) from error

    async def _read_once(
        self, call: ModelCall, shadow: "_Shadow", request: LlmRequest, stream: bool, timeout: float
    ) -> AsyncGenerator[LlmResponse, None]:
        """Read the model's answer once.

        One call may have several complete answers. Nothing may act on the first before all are recorded.
        """
        step = ModelStep(stored_key(str(call.key)), timeout)
        async with (
            aclosing(shadow.function(request, stream)) as answers,
            aclosing(holding(model_access.current_step, step, answers)) as marked,
            aclosing(holding(_in_model, True, marked)) as guarded,
        ):
            while (answer := await _next(guarded, timeout)) is not None:
                if answer.partial:
                    self._start.gate.note_progress()
                    yield answer
                else:
                    call.answers.append(answer)
        if not call.answers and call.context is not None and streams_from(call.context, "Gemini"):
            raise cut_off()


class _Shadow:
    """Replaces a model object's method."""

    def __init__(self, model: BaseLlm, function: CallModel, steps: ModelSteps) -> None:
        self.model = model
        self.function = function
        self.steps = steps

    def __call__(self, llm_request: LlmRequest, stream: bool = False) -> AsyncGenerator[LlmResponse, None]:
        """Call through the journal."""
        if _in_model.get():
            return self.function(llm_request, stream)
        return self.steps.call_model(self, llm_request, stream)


async def _next(answers: AsyncGenerator[LlmResponse, None], timeout: float) -> LlmResponse | None:
    """Return the next of `answers`; None after the last.

    Raises:
        TimeoutError: there was none for `timeout` seconds.
    """
    limit = asyncio.timeout(timeout)
    try:
        async with limit:
            return await anext(answers)
    except StopAsyncIteration:
        return None
    except TimeoutError as error:
        if limit.expired():
            raise TimeoutError(f"no part of an answer for {timeout:g}s, the limit of steps.llm.timeout") from error
        raise
