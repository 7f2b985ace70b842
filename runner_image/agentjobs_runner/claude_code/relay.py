"""Converts the CLI's output to timeline entries, recorded steps, signs of progress and names of running steps.

Only real progress is passed on, not retries, pings and status lines, so that a hanging start is silent.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, Final

from agentjobs.contract import MAX_STEP_BYTES, Attempt, RecordedStep, StepKind
from agentjobs.models.budget import Spend, plain
from agentjobs.models.names import Api, canonical
from agentjobs.models.tokens import Tokens
from agentjobs_runner.budget import StartBudget
from agentjobs_runner.claude_code.prompt import Uncertain
from agentjobs_runner.claude_code.session import Calls
from agentjobs_runner.claude_code.stream import Answered, Began, Call, Concluded, Retrying, Seen, ToolEnded
from agentjobs_runner.gate import Gate
from agentjobs_runner.journal import Journal, NewStep
from agentjobs_runner.log import logger
from agentjobs_runner.redaction import cut_to_fit
from agentjobs_runner.timeline import Recorder

SCHEME: Final = "claude-code/1"
MAIN: Final = "claude"
"""Author of the main agent's entries."""
SUBAGENT: Final = "subagent"
_MODEL_CALL: Final = "a model call"
_STARTS: Final = "the start"
_MOST_BYTES: Final = MAX_STEP_BYTES - 4096
# How far the CLI may be ahead of the recorded steps.
_AHEAD_SECONDS: Final = 1.0


def agent_digest(spec: Mapping[str, Any]) -> str:
    """Return what distinguishes two definitions of an agent."""
    agent = spec.get("agent") or {}
    return hashlib.sha256(json.dumps(agent, sort_keys=True).encode()).hexdigest()[:16]


def turns_of(earlier: Iterable[RecordedStep], attempt: int | None) -> int:
    """Return the number of turns in earlier starts: answers of the main model.

    Args:
        attempt: the only attempt whose turns count; None for all.
    """
    return sum(
        step["kind"] == StepKind.MODEL
        and bool(step["request"].get("turn"))
        and attempt in (None, step["request"].get("attempt"))
        for step in earlier
    )


def uncertain_calls(calls: Calls, earlier: Sequence[RecordedStep]) -> list[Uncertain]:
    """Return the tool calls of earlier starts whose effect is not certain from the session.

    A recorded call may be missing in the session, which is kept a little later. And the session may contain the end of
    the newest start's call without a record: then its files were perhaps not kept.
    """
    newest = max((step["start"] for step in earlier), default=0)
    tools = [step for step in earlier if step["kind"] == StepKind.TOOL]
    unended = {step["request"].get("id") for step in tools if step["start"] == newest and step["ended"] is None}
    known = [
        Uncertain(call["id"], call["name"], json.dumps(call["input"], ensure_ascii=False))
        for call in calls.requested.values()
        if call["id"] not in calls.answered or call["id"] in unended
    ]
    missing = [
        Uncertain(str(step["request"].get("id")), step["name"], "")
        for step in tools
        if step["request"].get("id") not in calls.requested
    ]
    return known + missing


def _priced(model: str, usage: Mapping[str, int]) -> tuple[str, Tokens]:
    """The tokens of a call for its price. Cached tokens of the prompt count fully, so the price is rather too high."""
    return canonical(Api.ANTHROPIC, model), Tokens(usage.get("inputTokens", 0), usage.get("outputTokens", 0))


class Relay:
    """Passes on the output of one process. Used from the engine's thread.

    Args:
        budget: checked for tool calls.
        spends: counts model calls; None if the model proxy does.
        loop: an event loop only for the journal.
        held: pauses the CLI. Entered if a step is not stored soon, as without a gateway: a later start would not know
            what the CLI did meanwhile.
    """

    def __init__(
        self,
        attempt: Attempt,
        gate: Gate,
        recorder: Recorder,
        journal: Journal,
        budget: StartBudget,
        spends: StartBudget | None,
        loop: asyncio.AbstractEventLoop,
        held: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._held = held
        self._attempt, self._gate, self._recorder, self._journal = attempt, gate, recorder, journal
        self._budget, self._spends, self._loop = budget, spends, loop
        self._started = False
        self._called_at = datetime.now(UTC)
        self._pending: Answered | None = None
        """An answer that may have more parts."""
        self._recorded: set[str] = set()
        """The ids of recorded answers: their parts come in sequence, and may be repeated."""
        self._calls: set[tuple[str, str]] = set()
        """The ids of answers and calls that have begun."""
        self._times: Counter[str] = Counter()
        """How often a call's id occurred: some servers reuse ids."""
        self._tools: dict[str, NewStep] = {}
        """The running calls, by id."""
        self._ended: set[str] = set()
        """The ids of calls whose results are recorded."""
        self._output = 0
        """Tokens of the main agent's answers since the last result, as far as reported."""

    @property
    def in_tool(self) -> bool:
        """Whether a tool is running."""
        return bool(self._tools)

    def has_recorded(self, call: str) -> bool:
        """Whether the result of the call with this id is recorded, and its changed files are kept. Thread-safe."""
        return call in self._ended

    def starts(self, servers: Iterable[str]) -> None:
        """Record that the CLI starts. It first connects the MCP servers, and waits for them."""
        named = f" with its MCP servers {', '.join(sorted(servers))}" if servers else ""
        self._gate.note(_STARTS, f"the start of Claude Code{named}")

    def model_called(self) -> None:
        """Record that a model is being called."""
        self._called_at = datetime.now(UTC)
        self._gate.note(_MODEL_CALL, _MODEL_CALL)

    def check(self) -> None:
        """Allow a model call.

        Raises:
            StartEnded: the budget does not allow another call, unless a proxy checks it.
        """
        if self._spends is not None:
            self._wait(self._probe(self._spends))

    def pass_on(self, seen: Seen | None) -> None:
        """Pass on an event; None at the end.

        Raises:
            StartEnded: the budget is used up, or a step cannot be recorded.
        """
        match seen:
            case Began():
                self._begin(seen)
            case Answered():
                self._answer(seen)
            case ToolEnded():
                self._flush()
                self._end_tool(seen)
            case Concluded():
                self._flush(output=seen.usage.get("outputTokens", 0))
                self._output = 0
                self._gate.leave(_MODEL_CALL)
            case Retrying():
                fields = {"attempt": seen.attempt, "status": seen.status, "error": seen.error}
                logger.warning("claude.retries", extra=fields)
            case None:
                self._flush()
        self._wait(self._recorder.room())

    def _begin(self, began: Began) -> None:
        if self._started:
            return
        self._started = True
        self.model_called()
        self._gate.leave(_STARTS)
        version = {"attempt": self._attempt["attempt"], "start": self._attempt["start"], "claudeCode": began.version}
        self._recorder.add("started", MAIN, version)

    def _answer(self, answer: Answered) -> None:
        self._recorder.progressed()
        if self._pending is not None and self._pending.id != answer.id:
            self._flush()
        new = [call for call in answer.calls if (answer.id, call.id) not in self._calls]
        self._calls.update((answer.id, call.id) for call in new)
        self._pending = None if answer.id in self._recorded else answer
        if not new:
            return
        if self._pending is not None:
            self._flush()
        else:
            self._recorder.add("model", _author(answer.main), _entry(answer.model, {}, new))
        for call in new:
            self._begin_tool(call, _author(answer.main))
        self._recorder.progressed()

    def _flush(self, output: int = 0) -> None:
        """Record the completed answer.

        `output` are the tokens of the main agent's answers since the last result, which only the result has.
        """
        answer, self._pending = self._pending, None
        if answer is None:
            return
        self._recorded.add(answer.id)
        usage = {"llmCalls": 1, **answer.usage}
        if answer.main:
            usage["outputTokens"] = max(usage.get("outputTokens", 0), output - self._output)
            self._output += usage["outputTokens"]
        author = _author(answer.main)
        request = {"model": answer.model, "turn": answer.main, "attempt": self._attempt["attempt"]}
        if self._spends is not None and (cost := self._spends.cost(*_priced(answer.model, usage))) is not None:
            request["costUSD"] = plain(cost)  # without a proxy that counts it
        key = f"{self._attempt['start']}/{answer.id}"
        step = NewStep(key, StepKind.MODEL, author, answer.model, self._called_at, request, usage)
        calls = [{"id": call.id, "name": call.name, "input": call.input} for call in answer.calls]
        self._recorder.add("model", author, _entry(answer.model, usage, answer.calls))
        if answer.text:
            self._recorder.add("text", author, {"text": answer.text, "final": answer.main and not calls})
        self._gate.leave(_MODEL_CALL)
        self._wait(self._journal.record(step, cut_to_fit({"text": answer.text, "calls": calls}, _MOST_BYTES)))
        if self._spends is not None:
            self._wait(self._spend(self._spends, answer.model, usage))
            if answer.calls:
                self.check()

    async def _spend(self, budget: StartBudget, model: str, usage: Mapping[str, int]) -> None:
        """Count a finished call."""
        spent = Spend(llm_calls=1)
        if budget.counts_tokens:
            spent = budget.most(canonical(Api.ANTHROPIC, model), usage.get("inputTokens", 0), usage.get("outputTokens"))
        async with budget.model_call(spent) as charge:
            charge.spent = spent

    async def _probe(self, budget: StartBudget) -> None:
        async with budget.model_call(Spend(llm_calls=1)):
            pass

    def _begin_tool(self, call: Call, author: str) -> None:
        self._times[call.id] += 1
        again = f"#{self._times[call.id]}" if self._times[call.id] > 1 else ""
        key = f"{self._attempt['start']}/{call.id}{again}"
        step = NewStep(key, StepKind.TOOL, author, call.name, datetime.now(UTC), {"id": call.id}, {"toolCalls": 1})
        self._tools[call.id] = step
        self._ended.discard(call.id)
        self._gate.note(key, f"tool {call.name}")
        self._wait(self._journal.begin(step))
        self._budget.tool_call()

    def _end_tool(self, ended: ToolEnded) -> None:
        step = self._tools.pop(ended.id, None)
        name = step.name if step else ended.name or "a tool"
        result = {"error" if ended.is_error else "result": ended.result}
        self._recorder.add("tool", _author(ended.main), {"name": name, "callId": ended.id, "result": result})
        if step is None:
            self._ended.add(ended.id)
            return
        body = cut_to_fit({"result": ended.result, "isError": ended.is_error, "ran": ended.ran}, _MOST_BYTES)
        self._wait(self._journal.record(step, body))
        self._ended.add(ended.id)
        self._gate.leave(step.key)
        if not self._tools:
            self.model_called()

    def _wait(self, recording: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(recording)
        self._loop.run_until_complete(asyncio.wait({task}, timeout=_AHEAD_SECONDS))
        if not task.done():
            with self._held():
                self._loop.run_until_complete(asyncio.wait({task}))
        task.result()


def _entry(model: str, usage: Mapping[str, int], calls: Iterable[Call]) -> dict[str, Any]:
    return {
        "model": model,
        "inputTokens": usage.get("inputTokens"),
        "outputTokens": usage.get("outputTokens"),
        "toolCalls": [{"name": call.name, "callId": call.id, "args": call.input} for call in calls],
    }


def _author(main: bool) -> str:
    return MAIN if main else SUBAGENT
