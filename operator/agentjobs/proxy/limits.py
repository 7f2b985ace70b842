"""Gives calls their turns within the limits of providers' keys, which all proxies share (`history.ModelLimits`).

A call waits in the line of its model and keys. Jobs take turns there, and the calls of a job stay in order. A line
sends one request at a time to history, for all waiting calls. Far below the limits it takes a little in advance, so
that a busy line does not send a request for each call; with waiting calls it asks when the next may fit. Keys without
limits need no requests.

Limits of queues (`queue_limits`) are taken together with those of the key: their calls wait in separate lines, so that
a queue that has used up its limits delays no other. When limits change, waiting calls move to other lines.

Amounts to return are recorded immediately and sent later (`returns`). `closures` has the closed keys.
"""

import contextlib
from typing import Final
from uuid import UUID

from agentjobs.history.model_protocols import ModelLimits
from agentjobs.models.config import Key
from agentjobs.models.tokens import Tokens
from agentjobs.proxy.closures import Closures
from agentjobs.proxy.line import LimitsChanged, Line, Shared, best_effort, time
from agentjobs.proxy.queue_limits import QueueLimits
from agentjobs.proxy.returns import Returns
from agentjobs.proxy.turns import Turn, Wanted

# Keys without limits: how often to read the keys closed by other proxies, while calls are made.
_POLL_SECONDS: Final = 5.0
# Names of models come from pods, so empty lines beyond this number are removed.
_LINES: Final = 256


class Limiter:
    """The limits of keys, for the calls of one proxy. It belongs to one event loop.

    Args:
        proxy: its name, as in `ModelLedger.seen`.
        queues: returns the limits of a call in addition to its keys'. Default: none.
    """

    def __init__(
        self,
        limits: ModelLimits,
        *,
        proxy: str,
        queues: QueueLimits | None = None,
    ) -> None:
        self._queues = queues
        self._shared = Shared(limits, proxy, Closures(time), Returns(limits, on_ended=self._call_ended))
        self._lines: dict[tuple[str, tuple[Key, ...]], Line] = {}
        self._open: set[UUID] = set()
        self._polled_at = -_POLL_SECONDS

    async def enter(self, call: Wanted, *, max_wait: float) -> Turn:
        """Wait for a turn, for at most this many seconds.

        Raises:
            NoTurn: there is none in time; raised immediately if that is known.
            errors.AgentJobsError: history is unavailable.
        """
        until = time() + max_wait
        if self._queues is not None:
            await self._queues.ready()
        turn = None
        while turn is None:
            line = self._line(call)
            with contextlib.suppress(LimitsChanged):
                turn = line.at_once(call) or await line.wait(call, max(0.0, until - time()))
        if not turn.taken:
            self._poll()
        self._open.add(turn.id)
        return turn

    def leave(self, turn: Turn, used: Tokens | None) -> None:
        """Record a call's end and usage; None means no usage. Only the first call counts."""
        if turn.id in self._open:
            self._open.remove(turn.id)
            self._shared.give_back(turn, used or Tokens())
            if turn.is_probe and used is not None:
                self._shared.send(lambda: self._answered(turn))

    def unused(self, turn: Turn) -> None:
        """Return the turn of a call that was not sent."""
        if turn.id in self._open:
            self._open.remove(turn.id)
            self._shared.give_back(turn, None)

    async def refused(self, turn: Turn, *, seconds: float, reason: str, whole_key: bool = False) -> None:
        """Close the turn's key for all proxies for this long: for the turn's model, or with `whole_key` for all.

        The caller must still leave the turn. Parallel calls are rejected together; only the first is recorded.
        """
        model = "" if whole_key else turn.model
        if self._shared.closures.close(turn.key, model, seconds) or turn.is_probe:
            for line in self._lines.values():
                line.key_closed(turn.key)
                if not whole_key:  # waiting does not help with an invalid or empty key: its jobs must report it
                    line.report_if_closed(reason)
            with best_effort():
                await self._shared.limits.close(turn.key, model, seconds=seconds, reason=reason)

    def limits_changed(self) -> None:
        """Move calls that wait under outdated limits to other lines."""
        for line in self._lines.values():
            line.reconsider(self._keys_of)

    def _keys_of(self, call: Wanted) -> tuple[Key, ...]:
        return call.keys if self._queues is None else self._queues.keys_of(call)

    async def close(self) -> None:
        """End all waiting, and send amounts to return."""
        for line in self._lines.values():
            line.close()
        await self._shared.close()

    def _line(self, call: Wanted) -> "Line":
        place = call.model, self._keys_of(call)
        line = self._lines.get(place)
        if line is None:
            if len(self._lines) >= _LINES:
                self._lines = {place: line for place, line in self._lines.items() if line.is_used}
            line = self._lines[place] = Line(self._shared, *place)
        return line

    def _call_ended(self) -> None:
        for line in self._lines.values():
            line.call_ended()

    def _poll(self) -> None:
        """Periodically read the keys that other proxies closed; calls with limits learn this anyway."""
        if time() - self._polled_at >= _POLL_SECONDS:
            self._polled_at = time()
            self._shared.send(self._learn)

    async def _learn(self) -> None:
        began = time()
        self._shared.closures.update_all(await self._shared.limits.closed_keys(), as_of=began)

    async def _answered(self, turn: Turn) -> None:
        """Open a key that was tried; if it was rejected meanwhile it stays closed."""
        await self._shared.limits.opened(turn.key, turn.model)
        for line in self._lines.values():
            line.recheck()
