"""A circuit breaker for all requests of one process to PostgreSQL.

While PostgreSQL is unreachable, requests fail immediately, and one probe a second checks whether it is back; then
listeners are called. Silence is detected before any deadline: if no request was answered for a second, a probe is sent
on its own connection. So a slow statement is not interrupted, and a network that drops packets blocks no caller for
long.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from agentjobs import errors

logger = logging.getLogger(__name__)

# Between two probes.
PAUSE_SECONDS: Final = 1.0
# If the probe is answered and requests are not (a table is missing), the pause doubles up to this.
LONGEST_PAUSE_SECONDS: Final = 15.0
# All waiting requests are sent when it is back. A failure within this time means that it is not repaired.
RELAPSE_SECONDS: Final = 5.0
# Most answers take milliseconds.
SILENCE_SECONDS: Final = 1.0


class Away(errors.Unavailable):
    """PostgreSQL is known to be unreachable: no request was sent, or its response was abandoned."""


class Breaker:
    """Belongs to one event loop.

    Args:
        probe: returns if PostgreSQL is usable, else raises Unavailable within a few seconds.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        *,
        pause: float = PAUSE_SECONDS,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self._probe = probe
        self._pause = pause
        self._silence = silence
        self._problem = ""
        self._since = 0.0
        self._back_at = float("-inf")
        self._relapse_pause = 0.0
        self._answered_at = float("-inf")
        self._limits: set[asyncio.Timeout] = set()
        self._probing: asyncio.Task[None] | None = None
        self._on_back: list[Callable[[], None]] = []

    @property
    def away(self) -> bool:
        """Whether requests fail immediately."""
        return bool(self._problem)

    def on_back(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever PostgreSQL answers again after an outage."""
        self._on_back.append(callback)

    def check(self) -> None:
        """Return if PostgreSQL is not known to be unreachable.

        Raises:
            Away: it is unreachable.
        """
        if self.away:
            raise Away(self._problem)

    @contextlib.asynccontextmanager
    async def guard(self, seconds: float) -> AsyncIterator[None]:
        """Limit a request to `seconds`, and abandon it once PostgreSQL is known to be unreachable.

        Raises:
            Away: it is unreachable; no request was sent.
            TimeoutError: the time is over, or it became unreachable.
        """
        self.check()
        loop = asyncio.get_running_loop()
        silence = loop.call_later(self._silence, self._suspect, loop.time())
        try:
            async with asyncio.timeout(seconds) as limit:
                self._limits.add(limit)
                try:
                    yield
                finally:
                    self._limits.discard(limit)
        finally:
            silence.cancel()

    def suspect(self) -> None:
        """A connection failed in the background: send the probe if requests wait for one."""
        if self._limits and not self.away:
            self._start_probing()

    def answered(self) -> None:
        """A request was answered, possibly with a refusal."""
        self._answered_at = asyncio.get_running_loop().time()

    def failed(self, error: errors.Unavailable, *, began: float) -> errors.Unavailable:
        """A request reached no server; return the error to raise.

        If others were answered since it began (the loop's time), only this request is at fault, and also if it timed
        out while the probe succeeds.
        """
        if not self.away and self._answered_at < began:
            self._start_probing()
            if error.__cause__ is not None:
                self._open(error)
        return Away(self._problem) if self.away else error

    async def close(self) -> None:
        """Stop probing."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    def _suspect(self, began: float) -> None:
        if not self.away and self._answered_at < began:
            self._start_probing()

    def _start_probing(self) -> None:
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe_until_back(), name="database-probe")

    async def _probe_until_back(self) -> None:
        await asyncio.sleep(self._relapse_pause if self.away else 0)
        while True:
            try:
                await self._probe()
            except errors.Unavailable as error:
                self._open(error)
            except Exception as error:  # only an answer may end this loop, because all requests wait for it
                self._open(errors.Unavailable(f"{type(error).__name__}: {error}"))
            else:
                self._close()
                return
            await asyncio.sleep(self._pause)

    def _open(self, error: errors.Unavailable) -> None:
        if not self.away:
            self._since = asyncio.get_running_loop().time()
            longer = min(LONGEST_PAUSE_SECONDS, max(self._pause, 2 * self._relapse_pause))
            self._relapse_pause = longer if self._since - self._back_at < RELAPSE_SECONDS else 0.0
            logger.warning("database.unavailable", extra={"error": str(error)})
        self._problem = str(error) or "PostgreSQL is unreachable"
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(now)

    def _close(self) -> None:
        self.answered()
        if not self.away:
            return
        self._problem = ""
        self._back_at = self._answered_at
        logger.warning("database.available", extra={"unavailable_seconds": round(self._answered_at - self._since, 1)})
        for callback in self._on_back:
            callback()
