"""Gives calls their turns at the limits of providers' keys, which all proxies share (`history.ModelLimits`).

A call waits in the line of its model and keys. Jobs take turns there, and the calls of a job stay in order. A line asks
history once at a time, for all that wait. Where no limit is near it takes a little ahead, so that a busy line does not
ask for each call; where calls wait it asks when the next may fit. Keys that nothing limits cost no question at all.

Limits of queues (`queue_limits`) are taken together with those of the key: calls under them wait in lines of their own,
so that a queue which has used up its limits delays no other. When limits change, those who wait go to other lines.

What calls give back is noted at once and sent later (`returns`). Which keys are closed is known by `closures`.
"""

import contextlib
from typing import Final
from uuid import UUID

from agentjobs.history.model_protocols import ModelLimits
from agentjobs.models.config import Key
from agentjobs.models.tokens import Tokens
from agentjobs.proxy.closures import Closures
from agentjobs.proxy.line import LimitsChanged, Line, Shared, time, unheard
from agentjobs.proxy.queue_limits import QueueLimits
from agentjobs.proxy.returns import Returns
from agentjobs.proxy.turns import Turn, Wanted

# Keys without limits: how often to look which keys other proxies closed, while calls are made.
_LOOK_SECONDS: Final = 5.0
# Names of models come from pods: lines that nothing waits in are forgotten beyond this number.
_LINES: Final = 256


class Limiter:
    """The limits of keys as the calls of one proxy meet them. It belongs to one event loop.

    Args:
        proxy: its name among the proxies, as `ModelLedger.seen` tells it.
        queues: says what limits a call beside its keys. Default: nothing does.
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
        self._looked = -_LOOK_SECONDS

    async def enter(self, call: Wanted, *, patience: float) -> Turn:
        """Wait for a turn, this many seconds at most.

        Raises:
            NoTurn: there is none in time; also at once, when that is known.
            errors.AgentJobsError: history cannot be asked.
        """
        until = time() + patience
        if self._queues is not None:
            await self._queues.ready()
        turn = None
        while turn is None:
            line = self._line(call)
            with contextlib.suppress(LimitsChanged):
                turn = line.at_once(call) or await line.wait(call, max(0.0, until - time()))
        if not turn.taken:
            self._look()
        self._open.add(turn.id)
        return turn

    def leave(self, turn: Turn, used: Tokens | None) -> None:
        """Note that a call ended, and what it used; None is nothing. Only the first time counts."""
        if turn.id in self._open:
            self._open.remove(turn.id)
            self._shared.give_back(turn, used or Tokens())
            if turn.is_probe and used is not None:
                self._shared.tell(lambda: self._answered(turn))

    def unused(self, turn: Turn) -> None:
        """Give back the turn of a call that was not sent."""
        if turn.id in self._open:
            self._open.remove(turn.id)
            self._shared.give_back(turn, None)

    async def refused(self, turn: Turn, *, seconds: float, reason: str, whole_key: bool = False) -> None:
        """Let no proxy use the turn's key for this long: for the turn's model, or with `whole_key` for any.

        The turn has still to be left. Calls that were under way together are refused together; that is told once.
        """
        model = "" if whole_key else turn.model
        if self._shared.closures.close(turn.key, model, seconds) or turn.is_probe:
            for line in self._lines.values():
                line.key_closed(turn.key)
                if not whole_key:  # a key that is wrong or empty is no reason to wait: its jobs shall say so
                    line.tell_if_closed(reason)
            with unheard():
                await self._shared.limits.close(turn.key, model, seconds=seconds, reason=reason)

    def limits_changed(self) -> None:
        """Let those who wait under other limits than hold now go to other lines."""
        for line in self._lines.values():
            line.reconsider(self._keys_of)

    def _keys_of(self, call: Wanted) -> tuple[Key, ...]:
        return call.keys if self._queues is None else self._queues.keys_of(call)

    async def close(self) -> None:
        """Let nothing wait any more, and send what is to be given back."""
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

    def _look(self) -> None:
        """Learn now and then which keys other proxies closed; a call that takes from limits learns it by that."""
        if time() - self._looked >= _LOOK_SECONDS:
            self._looked = time()
            self._shared.tell(self._learn)

    async def _learn(self) -> None:
        began = time()
        self._shared.closures.told_all(await self._shared.limits.closed_keys(), asked_at=began)

    async def _answered(self, turn: Turn) -> None:
        """Open a key that was tried; one that was refused meanwhile stays closed there."""
        await self._shared.limits.opened(turn.key, turn.model)
        for line in self._lines.values():
            line.look_again()
