"""Identifies the step of an ADK callback, by a key that is the same in the agent's next run.

ADK's own ids (of the invocation, of calls) differ from run to run. What stays the same: the enclosing tool call, the
branch, and the path of nodes. Together they make the strand; within a strand an agent's model calls are sequential, so
a counter identifies them. User code may run several Runners in parallel with equal branches and paths: they differ by
their messages.
"""

from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from sys import intern
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from google.adk.agents.callback_context import CallbackContext
from google.adk.agents.invocation_context import InvocationContext
from google.adk.models.llm_response import LlmResponse
from google.adk.sessions.base_session_service import BaseSessionService
from google.adk.tools.tool_context import ToolContext
from google.genai import types

from agentjobs_runner.adk.requests import digest
from agentjobs_runner.steps import StepKey

SCHEME: Final = "1"
"""Version of the keys; increase it when a step gets another key, also because of ADK's format of node paths."""
# ADK removes ids with this prefix from requests, because the providers did not create them.
_ADKS_PREFIX: Final = "adk-"
_NAMESPACE: Final = UUID("5f0c6f5e-8a35-4be0-9d1c-0d5a4c0c8a11")


class _Call(NamedTuple):
    id: str
    key: StepKey
    contains: bool
    """Whether the tool only runs an agent, in its own Runner."""


class _Site(NamedTuple):
    """Where ADK runs an agent: identifies the callbacks of this run of it."""

    invocation: str
    branch: str
    path: str
    agent: str


# The enclosing tool calls, outermost first: tools may run agents.
_inside: ContextVar[tuple[_Call, ...]] = ContextVar("inside", default=())
# The current code's last model call.
_last_call: ContextVar[StepKey | None] = ContextVar("last_call", default=None)


class StepKeys:
    """The keys of the steps of one start."""

    def __init__(self) -> None:
        self._model_calls: Counter[tuple[str, str]] = Counter()
        self._tool_calls: Counter[StepKey] = Counter()
        self._newest: dict[_Site, StepKey] = {}
        self._issued: dict[tuple[str, _Site], dict[str, list[StepKey]]] = {}
        """The tool calls in the newest answers, by id."""
        self._args: dict[StepKey, str] = {}
        self._tasks: dict[str, str] = {}
        """The ids of calls that delegated a task, with their keys in strands."""
        self._job: BaseSessionService | None = None
        """The store of the job's own session."""
        self._runs: dict[str, str] = {}
        """Names in strands for invocations of Runners that user code created."""
        self._messages: Counter[tuple[str, str]] = Counter()

    def next_call(self, context: CallbackContext) -> StepKey:
        """Return the key of a beginning model call."""
        strand, agent = self.strand(context), context.agent_name
        self._model_calls[strand, agent] += 1
        key = StepKey(strand, agent, self._model_calls[strand, agent])
        self._newest[_site(context)] = key
        _last_call.set(key)
        return key

    def last_call(self, context: CallbackContext) -> StepKey | None:
        """Return the key of the agent's last model call."""
        mine = _last_call.get()
        if mine is not None and (mine.strand, mine.agent) == (self.strand(context), context.agent_name):
            return mine
        # Code may read an agent's events in a task for each, and these tasks do not share context variables.
        return self._newest.get(_site(context))

    def answer(self, context: CallbackContext, *answers: LlmResponse) -> None:
        """Process the tool calls of a call's answers; those without an id get one, the same in each run."""
        key, calls = self.last_call(context), [call for answer in answers for call in _calls(answer)]
        if key is None or not calls:
            return
        issued: dict[str, list[StepKey]] = {}
        for place, call in enumerate(calls, 1):
            call.id = call.id or f"{_ADKS_PREFIX}{uuid5(_NAMESPACE, str(key.tool(place)))}"
            issued.setdefault(call.id, []).append(key.tool(place))
            self._args[key.tool(place)] = digest(call.args or {})
        self._tool_calls[key] = len(calls)
        self._issued[key.strand, _site(context)] = issued

    def call(self, context: ToolContext, *, contains: bool = False) -> StepKey:
        """Return the key of a beginning tool call; further steps of the current code are inside of it.

        Args:
            context: of the call.
            contains: whether the tool only runs an agent.
        """
        call_id = context.function_call_id or ""
        here = self.strand(context), _site(context)
        issued = self._issued.setdefault(here, {}).setdefault(call_id, [])
        if not issued:
            issued.append(self._unissued(context))
        # An answer may use an id twice.
        key = issued.pop(0) if len(issued) > 1 else issued[0]
        _inside.set((*_inside.get(), _Call(call_id, key, contains)))
        return key

    def args(self, key: StepKey) -> str:
        """Return a digest of a tool call's arguments from the model; empty for a call without a model.

        A repeated answer, replacing a void one, may have another call at the same position.
        """
        return self._args.get(key, "")

    def _unissued(self, context: ToolContext) -> StepKey:
        """The key of a call that no model requested, as far as known: a callback or code did."""
        key = self.last_call(context) or StepKey(self.strand(context), context.agent_name, 0)
        self._tool_calls[key] += 1
        return key.tool(self._tool_calls[key])

    def strand(self, context: CallbackContext) -> str:
        """Return the line of execution of `context`."""
        inside = _inside.get()
        invocation = context.get_invocation_context()
        place = f"{self._run(invocation)}{invocation.branch or ''}|{context.node_path}"
        for call in inside:
            place = place.replace(f"@{call.id}", "@")
        if context.isolation_scope:
            self._tasks[context.isolation_scope] = self._delegated(context, context.isolation_scope)
        for call_id, key in self._tasks.items():
            place = place.replace(f"@{call_id}", f"@{key}")
        # One string for all steps of a strand: there may be thousands.
        return intern(f"{inside[-1].key}>{place}" if inside else place)

    def _run(self, invocation: InvocationContext) -> str:
        """Identifies an invocation of a user's Runner among parallel ones."""
        if self._job is None:
            self._job = invocation.session_service
        inside = _inside.get()
        if invocation.session_service is self._job or (inside and inside[-1].contains):
            return ""
        if (run := self._runs.get(invocation.invocation_id)) is None:
            # Neither the order nor a thread's context is the same in each start; the message is.
            message = str(inside[-1].key) if inside else "", digest(invocation.user_content)
            self._messages[message] += 1
            run = self._runs[invocation.invocation_id] = f"run:{message[1]}.{self._messages[message]}/"
        return run

    def _delegated(self, context: CallbackContext, call_id: str) -> str:
        """The key of the call that delegated the task of `context`, by an agent above it."""
        here = _site(context)
        for (_, site), issued in self._issued.items():
            above = site.invocation == here.invocation and here.branch.startswith(site.branch)
            if above and len(site.branch) < len(here.branch) and call_id in issued:
                return str(issued[call_id][0])
        return call_id


def inside() -> tuple[StepKey, ...]:
    """Return the enclosing tool calls, outermost first."""
    return tuple(call.key for call in _inside.get())


def _calls(answer: LlmResponse) -> Iterator[types.FunctionCall]:
    for part in (answer.content.parts if answer.content else None) or ():
        if part.function_call:
            yield part.function_call


def _site(context: CallbackContext) -> _Site:
    invocation = context.get_invocation_context()
    return _Site(context.invocation_id, invocation.branch or "", context.node_path, context.agent_name)
