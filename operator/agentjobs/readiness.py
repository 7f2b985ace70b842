"""Whether a server of ours can do its work now: is all there that it cannot be without.

Readiness is asked often and by several at once, so an answer stands for a moment. Being away is never a crash: the pod
stays, says why it is not ready, and is ready again when the other side is.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from agentjobs import errors

logger = logging.getLogger(__name__)

# A kubelet asks every few seconds, every dashboard and load balancer as well; the servers behind us need not hear them
# all.
STANDS_SECONDS: Final = 2.0
# Below the five seconds after which most probes give up.
PATIENCE_SECONDS: Final = 4.0

Check = Callable[[], Awaitable[None]]
"""Returns when all is well, raises an AgentJobsError whose text says what is not."""


class Readiness:
    """Asks every check at once and remembers the answer.

    Args:
        name: first part of the events that are logged when the answer changes.
        clock: in seconds, monotonic.
    """

    def __init__(self, checks: Mapping[str, Check], *, name: str, clock: Callable[[], float]) -> None:
        self._checks = dict(checks)
        self._name = name
        self._clock = clock
        self._lock = asyncio.Lock()
        self._until = float("-inf")
        self._problems: dict[str, str] = {}

    async def problems(self) -> Mapping[str, str]:
        """Return what is wrong by the name of its check; empty when ready."""
        async with self._lock:
            if self._clock() >= self._until:
                said = await asyncio.gather(*(self._ask(check) for check in self._checks.values()))
                problems = {name: problem for name, problem in zip(self._checks, said, strict=True) if problem}
                if problems != self._problems:
                    event = f"{self._name}.{'waits' if problems else 'ready'}"
                    logger.warning(event, extra={"problems": problems})
                self._problems = problems
                self._until = self._clock() + STANDS_SECONDS
        return self._problems

    @staticmethod
    async def _ask(check: Check) -> str:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await check()
        except errors.AgentJobsError as error:
            return str(error) or type(error).__name__
        except TimeoutError:
            return f"no answer within {PATIENCE_SECONDS:.0f} s"
        return ""
