"""Tasks that run as long as their process. If one ends unexpectedly, that is a defect, and `on_death` is called.

A process without its writer, its recorder or its lists looks healthy but is not. So these tasks are started here, and
the operator and the gateway exit with an error when one dies; the kubelet restarts them.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

from agentjobs.errors import AgentJobsError

logger = logging.getLogger(__name__)


class Died(AgentJobsError):
    """A background task ended unexpectedly."""


class Background:
    """A group of tasks, cancelled and awaited at the end of a `with` block.

    Args:
        on_death: called in the event loop when a task ends without being cancelled, with its error if that is an
            AgentJobsError, otherwise with `Died`.
    """

    def __init__(self, on_death: Callable[[AgentJobsError], None]) -> None:
        self._on_death = on_death
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str, *, may_return: bool = False) -> asyncio.Task[Any]:
        """Run `work` in the background. With `may_return` it may return; an error always counts as a death."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, may_return))
        return task

    async def __aenter__(self) -> "Background":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any], may_return: bool) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None and may_return:
            return
        reason = "it returned" if error is None else f"{type(error).__name__}: {error}"
        ours = isinstance(error, AgentJobsError)
        # An unexpected error needs its stack; for an AgentJobsError the message is enough.
        stack = None if error is None or ours else error
        logger.error("task.failed", extra={"task": task.get_name(), "error": reason}, exc_info=stack)
        self._on_death(
            error if isinstance(error, AgentJobsError) else Died(f"background task {task.get_name()} ended: {reason}")
        )
