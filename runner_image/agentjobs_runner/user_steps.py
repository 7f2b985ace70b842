"""Durable steps of user code: `step` records a value, `idempotency_key` identifies a call in every start.

An engine sets `place` around each agent and each tool call, and `install` provides the journal. Outside of a start
`step` only calls its function, so that the same code runs anywhere.
"""

import inspect
import json
import os
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from agentjobs.contract import ErrorClass, RecordedStep, StepKind, Verdict
from agentjobs_runner.journal import Journal, NewStep

if TYPE_CHECKING:  # it imports asyncio, which a script that only needs an exception should not load
    from agentjobs_runner.gate import Gate

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """The position of the current code in a run."""

    key: str
    """The same in every start: of the tool call, or of the agent in its strand."""
    agent: str = ""
    within_call: bool = False
    """Whether it is inside a step that has begun: then it may also run behind a closed gate."""
    outer: "Place | None" = field(default=None, compare=False, repr=False)
    """The previous place; None if the engine need not restore it."""


_NOWHERE = Place("")
place: ContextVar[Place] = ContextVar("place", default=_NOWHERE)


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of `step`."""

    name: str
    key: str
    here: Place
    counted: str | None = None
    """Its key without the count; None if the caller gives a key."""
    arguments: str = ""
    """A digest of the arguments; empty for none, and for arguments without a JSON form."""


@dataclass(eq=False)
class UserSteps:
    """The steps of user code in one start."""

    uid: str
    """The job's uid."""
    journal: Journal
    gate: "Gate"
    report: Callable[[str, str, Mapping[str, Any]], None] = lambda kind, author, data: None
    """Adds an entry to the timeline."""
    fails_diverged: bool = False
    """Whether the start ends if a value was recorded for other arguments."""
    _calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    _running: set[str] = field(default_factory=set)
    _used: set[str] = field(default_factory=set)
    """The keys of this start's calls that are identified by their count."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _process: int = field(default_factory=os.getpid)

    @property
    def here(self) -> bool:
        """Whether this is the start's process, not a forked copy."""
        return os.getpid() == self._process

    def run(self, name: str, fn: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], key: str | None) -> Any:
        """Return the value of `fn`, from now or from an earlier start."""
        call = self._begin(name, key, _digest(args, kwargs) if key is None and (args or kwargs) else "")
        recorded = self._found(call)
        if recorded is not None:
            return _recorded(recorded)
        self._enter(call)
        token = place.set(_inside(call))
        began = datetime.now(UTC)
        try:
            given = fn(*args, **kwargs)
            if inspect.isawaitable(given):
                return self._awaited(call, given)
            value = _as_json(name, given)
            self.journal.record_now(_step(call, began), {"value": value})
        finally:
            place.reset(token)
            self._leave(call)
        return value

    async def _awaited(self, call: _Call, given: Awaitable[Any]) -> Any:
        if not call.here.within_call:
            try:
                await self.gate.enter(call.key, f"step {call.name}")
            except BaseException:
                if inspect.iscoroutine(given):  # it never runs
                    given.close()
                raise
        self._enter(call)
        token = place.set(_inside(call))
        began = datetime.now(UTC)
        try:
            value = _as_json(call.name, await given)
            await self.journal.record(_step(call, began), {"value": value, "awaited": True})
        finally:
            place.reset(token)
            self._leave(call)
        return value

    def _found(self, call: _Call) -> RecordedStep | None:
        """The recorded step of a call: with its number, or with the same arguments if the order has changed.

        Raises:
            StartEnded: Diverged, if the job requires that.
        """
        found = self.journal.ended(call.key)
        if found is None or call.counted is None or _same(found, call):
            return found
        for number in count(1):
            other = self.journal.ended(f"{call.counted}#{number}")
            if other is None:
                break
            with self._lock:
                if _same(other, call) and other["key"] not in self._used:
                    self._used.add(other["key"])
                    return other
        self._differs(found)
        return found

    def _differs(self, found: RecordedStep) -> None:
        from agentjobs_runner.endings import Ending, StartEnded

        what = f"step {found['n']} (value {found['name']} of {found['agent']}) was recorded for other arguments"
        cure = "If calls of one name may change their order, pass step() a key for each"
        if self.fails_diverged:
            raise StartEnded(Ending(Verdict.FAIL, ErrorClass.DIVERGED, f"{what}. {cure}"))
        message = f"{what}; its value is used. {cure}"
        self.report("warning", found["agent"], {"level": "WARNING", "message": message})

    def _begin(self, name: str, key: str | None, arguments: str) -> _Call:
        here = place.get()
        base = f"{here.key}>step:{quote(name, safe=' ')}"
        with self._lock:
            if key is not None:
                return _Call(name, f"{base}={key}", here)
            self._calls[here.key, name] += 1
            return _Call(name, f"{base}#{self._calls[here.key, name]}", here, base, arguments)

    def _enter(self, call: _Call) -> None:
        with self._lock:
            if call.key in self._running:
                raise ValueError(f"step {call.name!r} is already running with this key: give each call its own key")
            self._running.add(call.key)
        self.gate.note(call.key, f"step {call.name}")

    def _leave(self, call: _Call) -> None:
        with self._lock:
            self._running.discard(call.key)
        self.gate.leave(call.key)


_start: UserSteps | None = None
_elsewhere = os.urandom(16).hex()


def install(start: UserSteps | None) -> None:
    """Use `start` for `step` and `idempotency_key` from now on; None for no start."""
    global _start
    _start = start


def step(name: str, fn: Callable[..., T], /, *args: Any, key: str | None = None, **kwargs: Any) -> T:
    """Return `fn(*args, **kwargs)`, recorded: a later start of the job gets the same value without calling `fn`.

    For calls that must not be repeated or change their result: a payment, a random choice, the time, a slow query. In
    agents, tools and callbacks, synchronous and asynchronous:

        rate = step("rate", fetch_rate, "EUR")
        page = await step("page", download, url)

    An exception of `fn` is not recorded; a later start calls it again. Without a job, in a test or a script, `fn` is
    just called.

    Args:
        name: describes the value. Calls of one name in one tool call, or in one agent, are counted in order.
        fn: a function, or an async function, whose result is then awaited.
        key: identifies calls of one name whose order may differ between two starts, instead of the count. Without it, a
            value that was recorded for other arguments is reported as a divergence.

    Returns:
        The value after conversion to JSON, also in the first start: a tuple becomes a list, a date a text.

    Raises:
        TypeError: the value has no JSON form, or `fn` cannot be called.
        ValueError: a call with the same key has not ended.
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"step(name, fn, …): the name must be a string, not {name!r:.100}")
    if not callable(fn):
        raise TypeError(f"step({name!r}, fn, …): pass the function itself, not {type(fn).__name__}")
    start = _start
    if start is None or not start.here:
        return fn(*args, **kwargs)
    given: T = start.run(name, fn, args, kwargs, key)
    return given


def idempotency_key() -> str:
    """Return a text that is the same in every start of the job for the calling tool call or `step`.

    For services that deduplicate by key. In your own threads or processes, call it before and pass it on. Without a job
    the text is the same for the life of the process.

    Raises:
        RuntimeError: the code runs in a job, but not in a known tool call, step or agent.
    """
    if _start is None:
        return _elsewhere
    here = place.get()
    if here == _NOWHERE:
        raise RuntimeError(
            "idempotency_key() was called outside of a tool call: call it in the tool, and pass it to threads"
        )
    return f"{_start.uid}-{sha256(here.key.encode('utf-8', 'replace')).hexdigest()[:32]}"


def _inside(call: _Call) -> Place:
    return Place(call.key, call.here.agent, within_call=True)


def _step(call: _Call, began: datetime) -> NewStep:
    request = {"args": call.arguments} if call.arguments else {}
    return NewStep(call.key, StepKind.VALUE, call.here.agent, call.name, began, request)


def _same(recorded: RecordedStep, call: _Call) -> bool:
    return bool(recorded["request"].get("args", "") == call.arguments)


def _digest(args: Any, kwargs: Mapping[str, Any]) -> str:
    from agentjobs_runner.json_values import NotJson, jsonable

    try:
        written = json.dumps(jsonable([list(args), dict(kwargs)], ()), sort_keys=True)
    except (NotJson, TypeError):
        return ""
    return sha256(written.encode()).hexdigest()[:16]


def _recorded(step: RecordedStep) -> Any:
    body = step["body"]
    return _at_once(body["value"]) if body.get("awaited") else body["value"]


async def _at_once(value: Any) -> Any:
    return value


def _as_json(name: str, value: Any) -> Any:
    from agentjobs_runner.json_values import NotJson, jsonable  # imports pydantic's core, which a script does not need

    try:
        return json.loads(json.dumps(jsonable(value, ())))
    except NotJson as error:
        at = f" at {error.place}" if error.place else ""
        raise TypeError(f"step {name!r} returned a value of type {error.kind}{at}, which is not JSON") from error
