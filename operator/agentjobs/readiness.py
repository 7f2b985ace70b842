"""Readiness of our servers: whether everything that they depend on is available.

Readiness is probed often and by several clients, so results are cached for a moment. A missing dependency is not a
crash: the pod keeps running, reports the reason, and becomes ready again with the dependency.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from agentjobs import errors

logger = logging.getLogger(__name__)

# Kubelets, dashboards and load balancers probe every few seconds; dependencies need not be checked for each probe.
STANDS_SECONDS: Final = 2.0
# Below the five seconds after which most probes give up.
CHECK_TIMEOUT_SECONDS: Final = 4.0

Check = Callable[[], Awaitable[None]]
"""Returns if healthy, else raises an AgentJobsError whose text is the problem."""


class Readiness:
    """Runs all checks concurrently and caches the result.

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
        """Return problems by the names of their checks; empty if ready."""
        async with self._lock:
            if self._clock() >= self._until:
                results = await asyncio.gather(*(self._result(check) for check in self._checks.values()))
                problems = {name: problem for name, problem in zip(self._checks, results, strict=True) if problem}
                if problems != self._problems:
                    event = f"{self._name}.{'not_ready' if problems else 'ready'}"
                    logger.warning(event, extra={"problems": problems})
                self._problems = problems
                self._until = self._clock() + STANDS_SECONDS
        return self._problems

    @staticmethod
    async def _result(check: Check) -> str:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                await check()
        except errors.AgentJobsError as error:
            return str(error) or type(error).__name__
        except TimeoutError:
            return f"no answer within {CHECK_TIMEOUT_SECONDS:.0f} s"
        return ""
