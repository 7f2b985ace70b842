"""Returns unused amounts to the limits, and reports calls that are no longer running.

Calls only record this; a separate task sends it, so that nothing is lost when a call is cancelled at any point.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

from agentjobs.errors import AgentJobsError
from agentjobs.history.model_protocols import ModelLimits
from agentjobs.history.model_records import Correction

logger = logging.getLogger(__name__)

# Amounts within this time are sent together.
_LINGER_SECONDS: Final = 0.05
_TRY_AGAIN_SECONDS: Final = 1.0


class Returns:
    """The amounts to return.

    Args:
        on_ended: called when history has recorded the ends of calls.
    """

    def __init__(self, limits: ModelLimits, *, on_ended: Callable[[], None]) -> None:
        self._limits = limits
        self._on_ended = on_ended
        self._amounts: Counter[tuple[str, int]] = Counter()
        self._ended: set[UUID] = set()
        self._task: asyncio.Task[None] | None = None

    def correct(self, bucket: str, slice_: int, amount: int) -> None:
        """Add an amount to a slice."""
        if amount:
            self._amounts[bucket, slice_] += amount
            self._begin()

    def end(self, calls: Iterable[UUID]) -> None:
        """Record that calls are no longer running, whether or not history has them."""
        self._ended.update(calls)
        self._begin()

    async def close(self) -> None:
        """Send everything, once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._try()

    def _begin(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._amounts or self._ended:
                await asyncio.sleep(_LINGER_SECONDS)
                if not await self._try():
                    await asyncio.sleep(_TRY_AGAIN_SECONDS)
        finally:
            self._task = None

    async def _try(self) -> bool:
        try:
            await self._send()
        except AgentJobsError as error:
            logger.warning("limits.not_returned", extra={"error": str(error)})
            return False
        return True

    async def _send(self) -> None:
        amounts, self._amounts = self._amounts, Counter()
        ended, self._ended = self._ended, set()
        corrections = [Correction(bucket, slice_, amount) for (bucket, slice_), amount in amounts.items() if amount]
        try:
            if corrections or ended:
                await self._limits.give_back(corrections, ended)
        except BaseException:
            # Windows expire without a correction, but running calls would count for as long as this proxy lives.
            self._ended |= ended
            raise
        if ended:
            self._on_ended()
