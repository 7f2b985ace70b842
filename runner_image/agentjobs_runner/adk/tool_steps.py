"""Tool calls as steps: a recorded result is replayed, with the tool's changes of the session.

ADK's method for running a tool is replaced in the tool object, so that callbacks of agents and plugins run in every
start. A call's beginning is recorded, so that a later start knows uncertain calls. `step_plugin` reports which call
begins. Tools that only contain other steps run again; those steps are replayed.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from types import MethodType
from typing import Any, Final
from weakref import WeakKeyDictionary

from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext

from agentjobs.contract import StepKind
from agentjobs_runner.adk.recorded import Changes, normalize_state, reading, redo, result_of, result_to_json
from agentjobs_runner.adk.requests import of_tool_call
from agentjobs_runner.adk.step_keys import StepKeys, inside
from agentjobs_runner.adk.step_policies import ToolPolicy
from agentjobs_runner.adk.step_retries import tool_interrupted, tool_may_recover, tool_timeout, wait
from agentjobs_runner.adk.steps_of_start import FailedCall, StepsOfStart, failure_note
from agentjobs_runner.endings import StartEnded
from agentjobs_runner.journal import NewStep
from agentjobs_runner.json_values import NotJson
from agentjobs_runner.steps import StepKey
from agentjobs_runner.user_steps import Place, place

_METHOD: Final = "run_async"
# Tools that only contain other steps: while those are held at the gate, nothing runs inside them.
_CONTAINERS: Final = frozenset({"AgentTool", "NodeTool"})

Runs = Callable[..., Awaitable[Any]]


@dataclass(eq=False)
class ToolCall:
    """One call of a tool."""

    key: StepKey
    tool: BaseTool
    step: NewStep
    within: tuple[StepKey, ...]
    """The enclosing calls."""
    contains: bool
    ran: bool = False
    ended: bool = False
    """Whether its result is recorded."""
    changes: Changes | None = None


class ToolSteps:
    """The tool calls of one start."""

    def __init__(self, start: StepsOfStart, keys: StepKeys) -> None:
        self._start = start
        self._keys = keys
        self._calls: WeakKeyDictionary[ToolContext, ToolCall] = WeakKeyDictionary()

    async def begin(self, tool: BaseTool, args: dict[str, Any], context: ToolContext) -> None:
        """Record which call begins, and route the tool through here."""
        outer = inside()
        key = self._keys.call(context, contains=_contains_steps(tool))
        named = f"{key} {tool.name} {self._keys.args(key)}".rstrip()
        step = NewStep(named, StepKind.TOOL, key.agent, tool.name, datetime.now(UTC), of_tool_call(args))
        place.set(Place(named, key.agent, within_call=not _contains_steps(tool), outer=place.get()))
        call = self._calls[context] = ToolCall(key, tool, step, outer, _contains_steps(tool))
        await self._start.survived.begins(key)
        if call.contains:
            await self._enter(call)
        else:
            self._intercept(tool)

    async def end(self, context: ToolContext, result: Any) -> None:
        """Record a call's result: a container's, or a callback's replacement of an error."""
        call = self._calls.get(context)
        if call is not None and call.ended and call.contains:
            self._start.tool_replayed(context.function_call_id, call.tool.name)
        elif call is not None and not call.ended:
            if call.contains:
                await self._start.journal.record(call.step, {"contains": "steps"})
                call.ended = True
            elif call.changes is not None:
                self._start.survived.forget(call.key, call.step.key)
                await self._record(call, context, result, call.changes)
        self.leave(context)

    def leave(self, context: ToolContext) -> None:
        """End a call in any way."""
        if (call := self._calls.get(context)) is not None:
            self._start.gate.leave(call.key)

    def _intercept(self, tool: BaseTool) -> None:
        shadow = vars(tool).get(_METHOD)
        if isinstance(shadow, _Shadow) and shadow.tool is tool and shadow.steps is self:
            return
        # A copy of a tool, as toolsets create them, has the original's method.
        given = shadow.runs if isinstance(shadow, _Shadow) else getattr(tool, _METHOD)
        runs = MethodType(given.__func__, tool) if isinstance(given, MethodType) else given
        object.__setattr__(tool, _METHOD, _Shadow(tool, runs, self))

    async def run(self, shadow: "_Shadow", args: dict[str, Any], context: ToolContext) -> Any:
        """Return a call's result from the journal, or run the tool."""
        call = self._calls.get(context)
        # Tools run other tools in their own context, by the same method.
        if call is None or call.ran or call.tool is not shadow.tool:
            return await shadow.runs(args=args, tool_context=context)
        call.ran = True
        recorded = self._start.journal.ended(call.step.key)
        if recorded is not None:
            self._start.compare(recorded, call.step.request)
            self._start.tool_replayed(context.function_call_id, shadow.tool.name)
            call.ended = True
            self._start.gave(call.key.strand, replayed=True)
            with reading(recorded):
                result = result_of(recorded["body"]["result"])
                redo(recorded["body"]["actions"], context)
            return result
        if (error := self._start.survived.again(call.key, call.step.key)) is not None:
            call.changes = Changes(context)
            raise error
        return await self._tried(call, shadow, args, context)

    async def _tried(self, call: ToolCall, shadow: "_Shadow", args: dict[str, Any], context: ToolContext) -> Any:
        """Run the tool, with the job's retries."""
        policy = self._start.policies.tool(call.tool.name)
        began = self._start.journal.interrupted(call.step.key)
        note = self._start.journal.ended(failure_note(call.step.key, began["start"])) if began is not None else None
        if began is not None and note is None and policy.fails_interrupted:
            raise tool_interrupted(call.tool.name, began["n"], began["start"])
        failed_before = note is not None and bool(note["body"]["failed"])
        call.changes = Changes(context)
        for tried in count(1):
            await self._enter(call)
            try:
                # A failed attempt may have changed its arguments.
                given = copy.deepcopy(args) if policy.tries > 1 else args
                result = await self._run(call, shadow, given, context, policy)
                break
            except Exception as error:
                if tried >= policy.tries or (met := tool_may_recover(error)) is None:
                    requested_by = replace(call.key, tool_call=None)
                    self._start.failed[call.key.strand] = FailedCall(call.step, requested_by, failed_before)
                    self._start.survived.failed(call.key, error, call.step.key)
                    raise
                named = f"tool {call.tool.name}"
                await wait(self._start, call.key, named, tried, policy, met)
        self._start.gate.end_copies()
        return await self._record(call, context, result, call.changes)

    async def _run(
        self, call: ToolCall, shadow: "_Shadow", args: dict[str, Any], context: ToolContext, policy: ToolPolicy
    ) -> Any:
        timeout = asyncio.timeout(policy.timeout)
        try:
            async with timeout:
                return await shadow.runs(args=args, tool_context=context)
        except TimeoutError as error:
            if timeout.expired():
                raise tool_timeout(call.tool.name, policy.timeout or 0.0) from error
            raise

    async def _enter(self, call: ToolCall) -> None:
        journal, key = self._start.journal, call.step.key
        call.ended = call.contains and journal.ended(key) is not None
        # A tool that only contains steps is not uncertain: its steps are.
        is_new = not (call.ended or (call.contains and journal.interrupted(key) is not None))
        if is_new:
            try:
                self._start.budget.tool_call()
            except StartEnded:
                await self._start.gate.run_out(within=call.within)
                raise
        await self._start.gate.enter(call.key, f"tool {call.tool.name}", within=call.within)
        call.step = replace(call.step, began=datetime.now(UTC))
        if is_new:
            await journal.begin(replace(call.step, usage={"toolCalls": 1}))
        if call.contains:
            self._start.gate.leave(call.key)

    async def _record(self, call: ToolCall, context: ToolContext, result: Any, changes: Changes) -> Any:
        """Record the result of a call; return it as every start gets it."""
        if _waits_for_people(context):
            return result
        try:
            body = {"result": result_to_json(result), "actions": changes.to_json()}
        except NotJson as error:
            self._start.not_recorded(call.key.agent, f"tool {call.tool.name}", f"{error}, which is not JSON")
            return result
        await self._start.journal.record(call.step, body)
        normalize_state(body["actions"], context)
        call.ended = True
        self._start.gave(call.key.strand, replayed=False)
        self._start.gate.leave(call.key)
        return result_of(body["result"])


class _Shadow:
    """Replaces a tool object's method."""

    def __init__(self, tool: BaseTool, runs: Runs, steps: ToolSteps) -> None:
        self.tool = tool
        self.runs = runs
        self.steps = steps

    async def __call__(self, *, args: dict[str, Any], tool_context: ToolContext) -> Any:
        """Run through the journal."""
        return await self.steps.run(self, args, tool_context)


def _waits_for_people(context: ToolContext) -> bool:
    """Whether the call only requested a confirmation or credentials, and runs again with them."""
    actions, call = context.actions, context.function_call_id
    return call in actions.requested_tool_confirmations or call in actions.requested_auth_configs


def _contains_steps(tool: BaseTool) -> bool:
    return any(kind.__name__ in _CONTAINERS for kind in type(tool).__mro__)
