"""Which step a callback of ADK's is about, as a key that the next run of the agent gives it too.

ADK tells steps apart by ids of its own (of the invocation, of calls) that differ from run to run. What remains and is
the same each time: the tool call that the code runs in, the branch, and the path of nodes. Together they make the
strand; within a strand the model calls of an agent come one after the other, so that a counter tells them apart.
User code may run several Runners at once, whose branches and paths are equal: they differ by their messages.
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
"""Of the keys; to be raised when a step gets another key than before, also by ADK's way to write the paths of nodes."""
# ADK takes ids that begin so out of what it sends to providers: they have not seen them.
_ADKS_PREFIX: Final = "adk-"
_NAMESPACE: Final = UUID("5f0c6f5e-8a35-4be0-9d1c-0d5a4c0c8a11")


class _Call(NamedTuple):
    id: str
    key: StepKey
    contains: bool
    """Whether the tool only runs an agent, with a Runner of its own."""


class _Site(NamedTuple):
    """Where ADK runs an agent: enough to tell the callbacks of this run of it from those of others."""

    invocation: str
    branch: str
    path: str
    agent: str


# The tool calls that the current code runs in, outermost first: tools may run agents of their own.
_inside: ContextVar[tuple[_Call, ...]] = ContextVar("inside", default=())
# The model call that the current code made last.
_asked: ContextVar[StepKey | None] = ContextVar("asked", default=None)


class StepKeys:
    """The keys of the steps of one start."""

    def __init__(self) -> None:
        self._model_calls: Counter[tuple[str, str]] = Counter()
        self._tool_calls: Counter[StepKey] = Counter()
        self._newest: dict[_Site, StepKey] = {}
        self._issued: dict[tuple[str, _Site], dict[str, list[StepKey]]] = {}
        """The tool calls that the newest answers asked for, by id."""
        self._args: dict[StepKey, str] = {}
        self._tasks: dict[str, str] = {}
        """The ids of calls that delegated a task, and the keys that stand for them in strands."""
        self._job: BaseSessionService | None = None
        """Keeps the job's own session."""
        self._runs: dict[str, str] = {}
        """What stands in strands for the invocations of Runners that user code made."""
        self._messages: Counter[tuple[str, str]] = Counter()

    def ask(self, context: CallbackContext) -> StepKey:
        """Return the key of a model call that begins."""
        strand, agent = self.strand(context), context.agent_name
        self._model_calls[strand, agent] += 1
        key = StepKey(strand, agent, self._model_calls[strand, agent])
        self._newest[_site(context)] = key
        _asked.set(key)
        return key

    def asked(self, context: CallbackContext) -> StepKey | None:
        """Return the key of the model call that the agent made last."""
        mine = _asked.get()
        if mine is not None and (mine.strand, mine.agent) == (self.strand(context), context.agent_name):
            return mine
        # Code that takes an agent's events one by one may do so in a task for each, which does not see the others'.
        return self._newest.get(_site(context))

    def answer(self, context: CallbackContext, *answers: LlmResponse) -> None:
        """Take in the tool calls of a call's answers; those without an id get one, which is the same in each run."""
        key, calls = self.asked(context), [call for answer in answers for call in _calls(answer)]
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
        """Return the key of a tool call that begins; what the current code runs from now on is inside of it.

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
        """Return a digest of the arguments that a model gave to a tool call; empty for a call that no model asked for.

        A model that answers anew, in place of an answer that is void, may ask for another call in the same place.
        """
        return self._args.get(key, "")

    def _unissued(self, context: ToolContext) -> StepKey:
        """The key of a call that no model asked for, as far as we saw: a callback or code did."""
        key = self.asked(context) or StepKey(self.strand(context), context.agent_name, 0)
        self._tool_calls[key] += 1
        return key.tool(self._tool_calls[key])

    def strand(self, context: CallbackContext) -> str:
        """Return the line of execution that `context` is in."""
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
        """What tells the invocation of a Runner that user code made from others that may run at the same time."""
        if self._job is None:
            self._job = invocation.session_service
        inside = _inside.get()
        if invocation.session_service is self._job or (inside and inside[-1].contains):
            return ""
        if (run := self._runs.get(invocation.invocation_id)) is None:
            # Neither who comes first nor a thread's context is the same in each start; the message is.
            asked = str(inside[-1].key) if inside else "", digest(invocation.user_content)
            self._messages[asked] += 1
            run = self._runs[invocation.invocation_id] = f"run:{asked[1]}.{self._messages[asked]}/"
        return run

    def _delegated(self, context: CallbackContext, call_id: str) -> str:
        """The key of the call that delegated the task that `context` runs in: one of an agent above it."""
        here = _site(context)
        for (_, site), issued in self._issued.items():
            above = site.invocation == here.invocation and here.branch.startswith(site.branch)
            if above and len(site.branch) < len(here.branch) and call_id in issued:
                return str(issued[call_id][0])
        return call_id


def inside() -> tuple[StepKey, ...]:
    """Return the tool calls that the current code runs in, outermost first."""
    return tuple(call.key for call in _inside.get())


def _calls(answer: LlmResponse) -> Iterator[types.FunctionCall]:
    for part in (answer.content.parts if answer.content else None) or ():
        if part.function_call:
            yield part.function_call


def _site(context: CallbackContext) -> _Site:
    invocation = context.get_invocation_context()
    return _Site(context.invocation_id, invocation.branch or "", context.node_path, context.agent_name)
