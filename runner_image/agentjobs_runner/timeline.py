"""The timeline of a start: its entries, and the thread that sends them and heartbeats.

`Recorder` has its own thread, so that a blocking tool stops neither. While the gateway is unavailable it keeps entries
and `recorded` is clear, which holds the agent at its next step.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from agentjobs import contract
from agentjobs.contract import TimelineEntry
from agentjobs.errors import Fenced, Invalid, Unavailable
from agentjobs_runner.gateway import LONGEST_PAUSE_SECONDS, Backoff, Gateway
from agentjobs_runner.log import logger
from agentjobs_runner.redaction import Redactor, cut_to_fit, plain, size_of
from agentjobs_runner.usage import UsageCounter

# An entry's other fields (seq, time, kind, author).
_FRAME_BYTES: Final = 1024
# The separator between entries of a body, as in `json.dumps`.
_COMMA_BYTES: Final = 2
_TEXT_BYTES: Final = 16 * 1024
# Eight bodies: what a slow gateway accepts in the half minute after an agent's end.
MAX_PENDING_BYTES: Final = 8 * contract.MAX_EVENTS_BODY_BYTES
_POLL_SECONDS: Final = 0.05
_SHOWN: Final = frozenset({"attempt", "start", "adk", "claudeCode", "code", "verdict", "reason"})


class Recorder:
    """Sends entries in order, and a heartbeat every `contract.HEARTBEAT_SECONDS`.

    Args:
        on_lost: called once from its thread with the error: Fenced, or Unavailable after all retries.
        in_full: whether to log arguments, results and texts, too.
    """

    def __init__(
        self,
        gateway: Gateway,
        redactor: Redactor,
        on_lost: Callable[[Fenced | Unavailable], None],
        *,
        in_full: bool = False,
    ) -> None:
        self._gateway = gateway
        self._redactor = self.redactor = redactor
        """Also redacts what engines store elsewhere."""
        self._on_lost = on_lost
        self._in_full = in_full
        self._pending: deque[tuple[TimelineEntry, int]] = deque()
        """Pending entries with their sizes in a body."""
        self._pending_bytes = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._seq = 0
        self._closing: Callable[[], float] | None = None
        self._retry_for = contract.GATEWAY_TIMEOUT_SECONDS
        self._progress: float | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self.usage = UsageCounter()
        """The start's usage until now."""
        self.recorded = threading.Event()
        """Set while the gateway accepts requests."""
        self.recorded.set()

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def add(self, kind: str, author: str, data: Mapping[str, Any]) -> None:
        """Append an entry; returns immediately. Strings are cut and redacted here."""
        self.progressed()
        cleared = self._redactor.data(plain(data, text_limit=_TEXT_BYTES))
        with self._lock:
            self._seq += 1
            event = TimelineEntry(
                seq=self._seq,
                time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                kind=kind,
                author=contract.cut(author, 200),
                data=cut_to_fit(cleared, contract.MAX_EVENT_BYTES - _FRAME_BYTES),
            )
            size = size_of(event)
            self._pending.append((event, size))
            self._pending_bytes += size + _FRAME_BYTES
        logger.info(f"step.{kind}", extra={"author": author, **_log_fields(kind, cleared, in_full=self._in_full)})
        self._wake.set()

    async def room(self) -> None:
        """Wait for space: an agent may produce entries faster than its gateway accepts them."""
        while self._pending_bytes > MAX_PENDING_BYTES:
            self.progressed()  # the agent is delayed by the recorder, not stuck
            await asyncio.sleep(_POLL_SECONDS)

    def progressed(self) -> None:
        """Record progress without an entry: the agent's start, a part of an answer."""
        self._progress = time.monotonic()

    @property
    def silence(self) -> float:
        """Seconds since the last progress; 0 before the first, and while the gateway is unavailable."""
        return 0.0 if self._progress is None or not self.recorded.is_set() else time.monotonic() - self._progress

    def finish(self, give_up: Callable[[], float]) -> None:
        """Send the pending entries until `give_up()`, then end the thread."""
        self._closing = give_up
        self._wake.set()
        while self._thread.is_alive() and time.monotonic() < give_up():
            self._thread.join(0.05)

    def _run(self) -> None:
        next_beat, failing_since, backoff = time.monotonic() + contract.HEARTBEAT_SECONDS, None, _backoff()
        while not self._is_done():
            try:
                # Before each batch: a backlog may take minutes, and the operator would consider a silent pod lost.
                if time.monotonic() >= next_beat:
                    self._beat()
                    next_beat = time.monotonic() + contract.HEARTBEAT_SECONDS
                self._send()
                if failing_since is not None:
                    failing_since, backoff = None, _backoff()
                    self.progressed()
                self.recorded.set()
                self._sleep(next_beat - time.monotonic())
            except Fenced as error:
                self._on_lost(error)
                return
            except Unavailable as error:
                self.recorded.clear()
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > self._retry_for:
                    self._on_lost(error)
                    return
                logger.warning("gateway.unavailable", extra={"error": self._redactor.message(str(error), 300)})
                time.sleep(backoff.after(error))
            except Exception:
                # A bug here must not stop the heartbeat, block the agent forever, or repeat in a tight loop.
                logger.exception("recorder.failed")
                self._drop()
                next_beat = time.monotonic() + contract.HEARTBEAT_SECONDS

    def _is_done(self) -> bool:
        closing = self._closing
        return closing is not None and (not self._pending or time.monotonic() >= closing())

    def _sleep(self, seconds: float) -> None:
        if not self._pending and self._closing is None:
            self._wake.wait(max(0.0, seconds))
        self._wake.clear()

    def _beat(self) -> None:
        try:
            self._gateway.heartbeat()
        except Invalid as error:
            # A proxy before the gateway rejects it; entries count as signs of life, too.
            logger.error("heartbeat.refused", extra={"error": str(error)[:300]})

    def _send(self) -> None:
        """Send the next entries, as many as fit in one body."""
        if not (batch := self._batch()):
            return
        try:
            self._gateway.add_events(batch)
        except Invalid as error:
            # The same batch would be rejected forever; the run is more important than its timeline.
            logger.error("events.refused", extra={"count": len(batch), "error": str(error)[:300]})
        with self._lock:
            for _ in batch:
                self._pending_bytes -= self._pending.popleft()[1] + _FRAME_BYTES

    def _batch(self) -> list[TimelineEntry]:
        batch: list[TimelineEntry] = []
        size = _FRAME_BYTES
        with self._lock:
            for event, taken in self._pending:
                size += taken + _COMMA_BYTES
                if batch and (size > contract.MAX_EVENTS_BODY_BYTES or len(batch) == contract.MAX_EVENTS):
                    break
                batch.append(event)
        return batch

    def _drop(self) -> None:
        with self._lock:
            self._pending.clear()
            self._pending_bytes = 0


def _backoff() -> Backoff:
    # No longer, even if the gateway requests it: the operator would consider a silent pod lost.
    return Backoff(max_retry_after=LONGEST_PAUSE_SECONDS)


def _log_fields(kind: str, data: Mapping[str, Any], *, in_full: bool) -> dict[str, Any]:
    """The fields of an entry's log line: names and numbers; texts, arguments and results only if `in_full`."""
    match kind:
        case "model":
            calls = data.get("toolCalls") or ()
            tokens = {"tokens_in": data.get("inputTokens"), "tokens_out": data.get("outputTokens")}
            return {**tokens, "tools": [call["name"] for call in calls], **({"calls": calls} if in_full else {})}
        case "resumed":
            return {"from_step": data.get("fromStep"), "replayed": data.get("replayed")}
        case "tool":
            return {"tool": data.get("name"), **({"result": data.get("result")} if in_full else {})}
        case "text":
            size = {"bytes": len(str(data.get("text")).encode()), "final": data.get("final")}
            return {**size, **({"text": data.get("text")} if in_full else {})}
        case _:
            return {key: value for key, value in data.items() if key in _SHOWN}
