"""Sends steps to the gateway in its own thread, in order, with as many as possible per request.

Steps added during a request are sent together in the next one. A caller waits only for its own step, in any thread and
event loop; blocking the loop's thread is safe, because this thread makes the requests.
"""

import json
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from agentjobs import contract
from agentjobs.contract import ErrorClass, Verdict
from agentjobs.errors import Fenced, Invalid, JournalFull, TooLarge, Unavailable
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.gateway import LONGEST_PAUSE_SECONDS, Gateway
from agentjobs_runner.log import logger

T = TypeVar("T")

# The rest of a body: the run and the versions.
_FRAME_BYTES: Final = 8 * 1024
_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Order:
    """A step to store, or the keys of steps to make void, as many as one request takes."""

    key: str = ""
    step: bytes = b""
    """As JSON."""
    void: tuple[str, ...] = ()
    done: "Future[None]" = field(default_factory=Future)


class StepSender:
    """Stores steps.

    Args:
        frame: the other fields of the next body.
        stored: called from the thread with that frame when the gateway has stored a body.
        on_lost: called once from the thread with the error: Fenced, or Unavailable after all retries. Callers then wait
            forever: the supervisor ends the process.
    """

    def __init__(
        self,
        gateway: Gateway,
        frame: Callable[[], dict[str, Any]],
        stored: Callable[[dict[str, Any]], None],
        on_lost: Callable[[Fenced | Unavailable], None],
    ) -> None:
        self._gateway = gateway
        self._frame = frame
        self._stored = stored
        self._on_lost = on_lost
        self._queue: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._next: Order | None = None
        self._lock = threading.Lock()
        self._waiting = 0
        self._process = os.getpid()
        self._lost: Fenced | Unavailable | None = None
        self.reachable = threading.Event()
        """Set while the gateway accepts requests."""
        self.reachable.set()

    def start(self, first: Callable[[], None]) -> None:
        """Begin to send, after `first`, which may make requests with retries."""
        threading.Thread(target=self._work, args=(first,), name="journal", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether something waits for the gateway."""
        return self._waiting > 0

    def put(self, order: Order) -> "Future[None]":
        """Pass an order to the thread; returns a future that is done when it is stored."""
        if os.getpid() != self._process:
            # A forked child continued with a copy of the agent. It has no sending thread, and nothing to report.
            os._exit(70)
        # A recorded step is stored even if its task is cancelled meanwhile: it happened, and it cost money.
        order.done.set_running_or_notify_cancel()
        with self._lock:
            self._waiting += 1
        self._queue.put(order)
        return order.done

    def finish(self, give_up: Callable[[], float], pending: Callable[[], bool]) -> None:
        """Wait until all is stored, and while steps are `pending`, which will be put later.

        Raises:
            Fenced: another pod holds this start.
            Unavailable: not everything was stored before `give_up()`.
        """
        # `pending` is read first: a step that is no longer pending has been put.
        while (unstored := pending() or self.busy) and self._lost is None and time.monotonic() < give_up():
            time.sleep(_POLL_SECONDS)
        if self._lost is not None and (unstored or isinstance(self._lost, Fenced)):
            raise self._lost
        if unstored:
            raise Unavailable("steps could not be stored in time")

    def with_retries(self, request: Callable[[], T]) -> T:
        """Send a request; see `Gateway.with_retries`."""
        answer = self._gateway.with_retries(request, failed=self._failed, max_retry_after=LONGEST_PAUSE_SECONDS)
        self.reachable.set()
        return answer

    def _failed(self, error: Unavailable) -> None:
        self.reachable.clear()
        logger.warning("journal.unavailable", extra={"error": str(error)[:300]})

    def _work(self, first: Callable[[], None]) -> None:
        try:
            first()
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

    def _batch(self) -> list[Order]:
        """Wait for orders and return those for one request: steps, or one order to make keys void, in order."""
        batch = [self._next or self._queue.get()]
        self._next, size = None, _FRAME_BYTES + len(batch[0].step)
        while len(batch) < contract.MAX_STEPS:
            try:
                order = self._queue.get_nowait()
            except queue.Empty:
                break
            size += len(order.step) + 1
            if order.void or batch[0].void or size > contract.MAX_STEPS_BODY_BYTES:
                self._next = order
                break
            batch.append(order)
        return batch

    def _store(self, batch: list[Order]) -> None:
        """Store orders and wake up their callers."""
        frame = self._frame()
        body = _body(frame, batch)
        try:
            self.with_retries(partial(self._gateway.add_steps, body))
        except Invalid as error:
            if len(batch) > 1:  # nothing was stored, because of one of them
                for order in batch:
                    self._store([order])
            else:
                self._let_go(batch, _refused(batch[0], error))
        else:
            self._stored(frame)
            self._let_go(batch, None)

    def _let_go(self, batch: list[Order], error: StartEnded | None) -> None:
        with self._lock:
            self._waiting -= len(batch)
        for order in batch:
            if error is None:
                order.done.set_result(None)
            else:
                order.done.set_exception(error)


def as_json(value: Any) -> bytes:
    """Return the JSON to send.

    Raises:
        ValueError: it is not JSON.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _body(frame: dict[str, Any], batch: list[Order]) -> bytes:
    begin = as_json({**frame, "void": [key for order in batch for key in order.void]})
    return begin[:-1] + b',"steps":[' + b",".join(order.step for order in batch if order.step) + b"]}"


def _refused(order: Order, error: Invalid) -> StartEnded:
    what = f"step {order.key[:200]}" if order.key else "the list of void steps"
    match error:
        case JournalFull():
            reason, message = ErrorClass.JOURNAL_FULL, f"{what}: {error}"
        case TooLarge():
            reason, message = ErrorClass.STEP_TOO_LARGE, f"{what}: {error}"
        case _:
            reason = ErrorClass.CONFIG_INVALID
            message = f"the gateway rejected {what}: {error}. Check that runner and gateway have the same version"
    return StartEnded(Ending(Verdict.FAIL, reason, message))
