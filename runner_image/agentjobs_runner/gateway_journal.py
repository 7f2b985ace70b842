"""The journal that the gateway keeps: a thread of its own reads the recorded steps and stores new ones.

A step is sealed and written as JSON where it is recorded; then it travels to the thread through a queue. What is
queued while a request is under way travels together in the next one. Whoever records waits for its own step only, in
any thread and any event loop; blocking the loop's thread is safe, because the requests are made in this one.
"""

import asyncio
import json
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

import agentjobs
from agentjobs import contract
from agentjobs.contract import Attempt, ErrorClass, RecordedStep, StepsPage, Verdict, Versions
from agentjobs.errors import AgentJobsError, Fenced, Invalid, Unavailable
from agentjobs_runner import version_change
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.gateway import LONGEST_PAUSE_SECONDS, Backoff, TooLarge
from agentjobs_runner.journal import NewStep
from agentjobs_runner.log import logger
from agentjobs_runner.recorded_steps import RecordedSteps, stored_key
from agentjobs_runner.redaction import Redactor
from agentjobs_runner.timeline import Recorder

# What stands around the steps of a body: the run and the versions.
_FRAME_BYTES: Final = 8 * 1024
_POLL_SECONDS: Final = 0.02


class Requests(Protocol):
    """The requests of `gateway.Gateway` that the journal makes."""

    def steps(self, after: int) -> StepsPage:
        """Return the page of recorded steps behind number `after`, in one try."""
        ...

    def add_steps(self, body: bytes) -> None:
        """Store steps, in one try; sending the same again is harmless."""
        ...


@dataclass(frozen=True, slots=True)
class _Order:
    """A step to store, or the keys of steps to void."""

    done: "Future[None]"
    key: str = ""
    step: bytes = b""
    void: tuple[str, ...] = ()


class GatewayJournal:
    """The journal of one start; see `journal.Journal` for what engines use of it.

    Args:
        recorder: takes `resumed` and `warning` entries, signs of progress, and the usage of what is recorded.
        on_lost: called once from the thread, with what ended it: Fenced, or Unavailable after all patience. What waits
            for the journal then waits for ever: the supervisor ends the process.
    """

    def __init__(
        self,
        attempt: Attempt,
        gateway: Requests,
        redactor: Redactor,
        recorder: Recorder,
        on_lost: Callable[[Fenced | Unavailable], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gateway = gateway
        self._redactor = redactor
        self._recorder = recorder
        self._on_lost = on_lost
        self._clock = clock
        self._sleep = sleep
        self._job = attempt["job"]
        self._start = attempt["start"]
        self._policy = (attempt["resolved"]["spec"].get("retry") or {}).get("onVersionChange", version_change.CONTINUE)
        head = attempt.get("journal")
        self._run = head["run"] if head else attempt["start"]
        self._last = head["last"] if head else 0
        self._before = head["versions"] if head else None
        self._versions: Versions | None = None
        self._told_versions = False
        self._steps = RecordedSteps(redactor.unseal)
        self._read: Future[None] = Future()
        self._replayed: set[str] | None = set() if self._last else None
        """The keys that answered; None once `resumed` is told, or where nothing was recorded."""
        self._begun: set[str] = set()
        """The calls of this start that have not ended."""
        self._queue: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._next: _Order | None = None
        self._lock = threading.Lock()
        self._waiting = 0
        self._lost: Fenced | Unavailable | None = None
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self.reachable = threading.Event()
        """Set while the gateway takes what is sent."""
        self.reachable.set()

    def start(self) -> None:
        """Begin to read what is recorded, and to store."""
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether something waits for the gateway: the agent is then not silent."""
        return self._waiting > 0 or not self._read.done()

    def finish(self, give_up: Callable[[], float]) -> None:
        """Wait until all that was recorded is stored, and say in the timeline how much answered from the journal.

        Raises:
            Fenced: another pod holds this start.
            Unavailable: not all was stored until `give_up()`.
        """
        while self._waiting and self._lost is None and self._clock() < give_up():
            self._sleep(_POLL_SECONDS)
        if self._lost is not None and (self._waiting or isinstance(self._lost, Fenced)):
            raise self._lost
        if self._waiting:
            raise Unavailable("steps could not be stored in time")
        if self._read.done():
            self._tell_resumed()

    def open(self, *, adk: str, scheme: str, agent: str) -> None:
        """Take in what this image would run; see `Journal.open`."""
        self._read.result()
        versions = Versions(adk=adk, runner=agentjobs.__version__, scheme=scheme, agent=agent)
        self._versions = versions
        change = version_change.judge(self._before if self._last else None, versions, self._policy)
        if change.told:
            self._recorder.add("warning", self._job, {"level": "WARNING", "message": change.told})
        if change.restart:
            self._run, self._last, self._replayed = self._start, 0, None
            self._steps.clear()

    def ended(self, key: str) -> RecordedStep | None:
        """Return the step of that key; see `Journal.ended`."""
        self._read.result()
        key = stored_key(key)
        found = self._steps.ended(key)
        if found is None:
            self._tell_resumed()
        elif self._replayed is not None:
            self._replayed.add(key)
        return found

    def interrupted(self, key: str) -> RecordedStep | None:
        """Return the call of that key that did not end; see `Journal.interrupted`."""
        self._read.result()
        return self._steps.interrupted(stored_key(key))

    async def begin(self, step: NewStep) -> None:
        """Record that a call is about to begin."""
        await asyncio.wrap_future(self._add(step, None, None))

    async def record(self, step: NewStep, body: Any, *, void: bool = False) -> None:
        """Record what a step gave; see `Journal.record`."""
        await asyncio.wrap_future(self._add(step, datetime.now(UTC), body, void=void))

    def record_now(self, step: NewStep, body: Any) -> None:
        """Record what a step gave, and block until it is stored."""
        self._add(step, datetime.now(UTC), body).result()

    async def void(self, keys: Sequence[str]) -> None:
        """Let no later start use the steps of these keys."""
        void = tuple(stored_key(key) for key in keys)
        self._steps.drop(void)
        if void:
            await asyncio.wrap_future(self._put(_Order(Future(), void=void)))

    def _add(self, step: NewStep, ended: datetime | None, body: Any, *, void: bool = False) -> "Future[None]":
        self._tell_resumed()
        frame = _frame(step, ended, void=void)
        with self._lock:
            if ended is None:
                self._begun.add(frame["key"])
            elif frame["key"] in self._begun:  # what a call used was counted when it began
                self._begun.discard(frame["key"])
                frame["usage"] = {}
        written = _json(self._redactor.seal(body))
        if len(written) > contract.MAX_STEP_BYTES:
            raise _too_large(frame, len(written))
        self._recorder.usage.count(frame["usage"], told=True)
        if ended is not None and not void:
            self._steps.put({**frame, "n": 0, "start": self._start}, written)
        return self._put(_Order(Future(), key=frame["key"], step=_json(frame)[:-1] + b',"body":' + written + b"}"))

    def _put(self, order: _Order) -> "Future[None]":
        # What was recorded is stored even when its task is cancelled meanwhile: it happened, and it cost.
        order.done.set_running_or_notify_cancel()
        with self._lock:
            self._waiting += 1
        self._queue.put(order)
        return order.done

    def _tell_resumed(self) -> None:
        with self._lock:
            replayed, self._replayed = self._replayed, None
        if replayed is not None:
            self._recorder.add("resumed", self._job, {"fromStep": self._last + 1, "replayed": len(replayed)})

    def _work(self) -> None:
        """The thread: read what is recorded, then store what comes, for ever."""
        try:
            self._read_all()
            while True:
                self._store(self._batch())
        except (Fenced, Unavailable) as error:
            self._lose(error)
        except Exception as error:
            logger.exception("journal.failed")
            self._lose(Unavailable(f"the runner's journal failed: {type(error).__name__}"))

    def _lose(self, error: Fenced | Unavailable) -> None:
        self._lost = error
        self.reachable.clear()
        self._on_lost(error)

    def _read_all(self) -> None:
        after: int | None = 0 if self._last else None
        try:
            while after is not None:
                page = self._patiently(partial(self._gateway.steps, after))
                self._steps.add(page["steps"])
                after = page["next"]
        except StartEnded as ended:
            self._read.set_exception(ended)
        except (Invalid, KeyError, TypeError) as error:
            said = f"the gateway does not give the recorded steps: {type(error).__name__}: {error}"
            self._read.set_exception(StartEnded(Ending(Verdict.FAIL, ErrorClass.STEP_UNREADABLE, said)))
        else:
            self._read.set_result(None)

    def _batch(self) -> list[_Order]:
        """Wait for orders and return as many as one request takes: steps, or keys to void, in their order."""
        batch = [self._next or self._queue.get()]
        self._next, size = None, _FRAME_BYTES + len(batch[0].step)
        while len(batch) < contract.MAX_STEPS:
            try:
                order = self._queue.get_nowait()
            except queue.Empty:
                break
            size += len(order.step) + 1
            if bool(order.void) != bool(batch[0].void) or size > contract.MAX_STEPS_BODY_BYTES:
                self._next = order
                break
            batch.append(order)
        return batch

    def _store(self, batch: list[_Order]) -> None:
        """Store orders and let go those who wait for them."""
        body = self._body(batch)
        try:
            self._patiently(lambda: self._gateway.add_steps(body))
        except Invalid as error:
            if len(batch) > 1:  # nothing of it was stored: one of them is the reason
                for order in batch:
                    self._store([order])
                return
            self._steps.drop([batch[0].key])
            self._let_go(batch, _refused(batch[0], error))
        else:
            self._told_versions = self._told_versions or self._versions is not None
            self._let_go(batch, None)

    def _let_go(self, batch: list[_Order], error: StartEnded | None) -> None:
        self._recorder.progressed()
        with self._lock:
            self._waiting -= len(batch)
        for order in batch:
            if error is None:
                order.done.set_result(None)
            else:
                order.done.set_exception(error)

    def _body(self, batch: list[_Order]) -> bytes:
        frame: dict[str, Any] = {"run": self._run, "void": [key for order in batch for key in order.void]}
        if self._versions is not None and not self._told_versions:
            frame["versions"] = self._versions
        steps = b",".join(order.step for order in batch if order.step)
        return _json(frame)[:-1] + b',"steps":[' + steps + b"]}"

    def _patiently(self, request: Callable[[], Any]) -> Any:
        """Make a request, again and again while the gateway is away.

        Raises:
            Fenced, Invalid: at once.
            Unavailable: after all patience.
        """
        failing_since: float | None = None
        backoff = Backoff(longest_asked=LONGEST_PAUSE_SECONDS)
        while True:
            try:
                answer = request()
            except Unavailable as error:
                self.reachable.clear()
                failing_since = self._clock() if failing_since is None else failing_since
                if self._clock() - failing_since > contract.GATEWAY_PATIENCE_SECONDS:
                    raise
                logger.warning("journal.unavailable", extra={"error": self._redactor.message(str(error), 300)})
                self._sleep(backoff.after(error))
            else:
                self.reachable.set()
                return answer


def _frame(step: NewStep, ended: datetime | None, *, void: bool) -> dict[str, Any]:
    """A step without its body."""
    return {
        "key": stored_key(step.key),
        "kind": step.kind.value,
        "agent": contract.cut(step.agent, 200),
        "name": contract.cut(step.name, 200),
        "began": _time(step.began),
        "ended": None if ended is None else _time(ended),
        "request": step.request,
        "usage": {name: amount for name, amount in step.usage.items() if amount > 0},
        **({"void": True} if void else {}),
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _too_large(frame: Mapping[str, Any], size: int) -> StartEnded:
    what = f"{frame['kind']} step {frame['name']} of {frame['agent']}" if frame["agent"] else f"step {frame['name']}"
    most = contract.MAX_STEP_BYTES
    cure = "Keep large data outside of the agent, as an artifact or in a store, and give its name"
    message = f"{what} gave {size} bytes of JSON, and a step can hold {most}. {cure}"
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.STEP_TOO_LARGE, message))


def _refused(order: _Order, error: AgentJobsError) -> StartEnded:
    what = f"step {order.key[:200]}" if order.key else "the void keys"
    if isinstance(error, TooLarge):
        return StartEnded(Ending(Verdict.FAIL, ErrorClass.STEP_TOO_LARGE, f"{what}: {error}"))
    message = f"the gateway refused {what}: {error}. Are runner and gateway of one version?"
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.CONFIG_INVALID, message))
