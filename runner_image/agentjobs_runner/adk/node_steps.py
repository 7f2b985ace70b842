"""Function nodes of graphs as steps: a node's output is recorded before the graph continues.

ADK has no callback for them, so their class's method is replaced. A node that runs other nodes is not recorded itself:
it runs again, and those nodes are replayed.
"""

import inspect
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final

from google.adk.agents.context import Context
from google.adk.events.event import Event
from google.adk.workflow._function_node import FunctionNode

from agentjobs.contract import ErrorClass, RecordedStep, StepKind
from agentjobs_runner.adk.held_context import holding
from agentjobs_runner.adk.recorded import Changes, event_of, event_to_json, normalize_state, reading, redo
from agentjobs_runner.adk.requests import digest
from agentjobs_runner.adk.step_keys import StepKeys, inside
from agentjobs_runner.adk.steps_of_start import StepsOfStart
from agentjobs_runner.endings import StartEnded
from agentjobs_runner.journal import NewStep
from agentjobs_runner.json_values import NotJson
from agentjobs_runner.steps import StepKey
from agentjobs_runner.user_steps import Place, place

_ADKS: Final = FunctionNode._run_impl


class NodeSteps:
    """The function nodes of one start."""

    def __init__(self, start: StepsOfStart, keys: StepKeys) -> None:
        self._start = start
        self._keys = keys
        self._ended: Counter[tuple[str, str]] = Counter()
        """By strand and name. A node that failed runs again under the same key."""

    def install(self) -> None:
        """Make ADK run function nodes through here."""

        async def run(node: FunctionNode, *, ctx: Context, node_input: Any) -> AsyncGenerator[Any, None]:
            async with aclosing(self._run(node, ctx, node_input)) as events:
                async for event in events:
                    yield event

        FunctionNode._run_impl = run  # type: ignore[method-assign, assignment]

    async def _run(self, node: FunctionNode, context: Context, given: Any) -> AsyncGenerator[Any, None]:
        where = self._keys.strand(context), node.name
        key = StepKey(*where, self._ended[where] + 1)
        requested = {"args": digest(given)}
        step = NewStep(f"node:{key}", StepKind.NODE, node.name, node.name, datetime.now(UTC), requested)
        recorded = self._start.journal.ended(step.key)
        if recorded is not None:
            self._start.compare(recorded, requested)
            events: AsyncGenerator[Any, None] = self._replay(recorded, context)
        else:
            events = self._new(_Run(node, context, given), key, step)
        async with aclosing(events):
            async for event in events:
                yield event
        self._ended[where] += 1
        self._start.gave(where[0], replayed=recorded is not None)

    async def _replay(self, recorded: RecordedStep, context: Context) -> AsyncGenerator[Event, None]:
        with reading(recorded):
            changes = recorded["body"]["actions"]
            yielded = [(item["actions"], event_of(item["event"])) for item in recorded["body"]["yielded"]]
        for earlier, event in yielded:
            redo(earlier, context)
            self._start.answer_replayed(event.content)
            yield event
        redo(changes, context)
        if (route := recorded["body"].get("route")) is not None:
            context.route = route

    async def _new(self, run: "_Run", key: StepKey, step: NewStep) -> AsyncGenerator[Any, None]:
        """Run a node. A function's result is held until it is recorded; a generator's items are not."""
        gate, held = self._start.gate, list[Any]()
        try:
            self._start.budget.check()
        except StartEnded:
            await gate.run_out(within=inside())
            raise
        await gate.enter(key, f"node {step.name}", within=inside())
        run.on_inner = lambda: gate.leave(key)  # inner steps pass the gate themselves
        try:
            inner = Place(step.key, step.agent, within_call=True)
            async with aclosing(run.events()) as events, aclosing(holding(place, inner, events)) as given:
                async for event in given:
                    if run.generates:
                        yield event
                    else:
                        held.append(event)
            gate.end_copies()
            if (body := run.body()) is not None:
                await self._record(step, body)
            elif run.not_json is not None:
                self._start.not_recorded(step.agent, f"node {step.name}", f"{run.not_json}, which is not JSON")
        finally:
            gate.leave(key)
        for event in held:
            yield event

    async def _record(self, step: NewStep, body: dict[str, Any]) -> None:
        try:
            await self._start.journal.record(step, body)
        except StartEnded as ended:
            if ended.ending.reason != ErrorClass.STEP_TOO_LARGE:
                raise
            # It may be the job's result, which is truncated if too long.
            self._start.not_recorded(step.agent, f"node {step.name}", "more than a step can hold")


class _Run:
    """One run of a node, and its output until now, as JSON."""

    def __init__(self, node: FunctionNode, context: Context, given: Any) -> None:
        self._node = node
        self._context = context
        self._given = given
        self._yielded: list[dict[str, Any]] = []
        self._changes = Changes(context)
        self._is_whole = True
        self.not_json: NotJson | None = None
        function = node._unwrapped_func
        self.generates = inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)
        self.on_inner: Callable[[], None] = lambda: None

    async def events(self) -> AsyncGenerator[Any, None]:
        """Run the node."""
        run_node = self._context.run_node

        async def run(*args: Any, **more: Any) -> Any:
            self._is_whole = False
            self.on_inner()
            return await run_node(*args, **more)

        self._context.run_node = run  # type: ignore[method-assign]
        async with aclosing(_ADKS(self._node, ctx=self._context, node_input=self._given)) as events:
            async for event in events:
                self._note(event)
                yield event
                self._changes = Changes(self._context)

    def _note(self, event: Any) -> None:
        if type(event) is not Event:
            self._is_whole = False  # it waits for a person
            return
        try:
            actions = self._changes.to_json()
            self._yielded.append({"event": event_to_json(event), "actions": actions})
            normalize_state(actions, self._context)
        except NotJson as error:
            self._is_whole, self.not_json = False, error

    def body(self) -> dict[str, Any] | None:
        """Return the node's output after its end; None if it must run again in a later start."""
        if not self._is_whole:
            return None
        try:
            actions = self._changes.to_json()
        except NotJson as error:
            self.not_json = error
            return None
        normalize_state(actions, self._context)
        return {"yielded": self._yielded, "actions": actions, "route": self._context.route}
