"""Finds cancellations that no one requested.

Code raises CancelledError itself, awaits a task that it cancelled, or leaves an anyio scope, as MCP clients do. asyncio
and ADK treat such a task as cancelled from outside: a branch, a node or a whole agent ends early without an error, and
the other parts' output would pass for the answer.
"""

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any


class _Task(asyncio.Task[Any]):
    from_outside = False
    """Whether it was cancelled from outside. An anyio scope is inside the task, which should outlive it."""

    def cancel(self, msg: Any | None = None) -> bool:
        caller = str(sys._getframe(1).f_globals.get("__name__"))
        if not caller.startswith("anyio.") and asyncio.current_task(self.get_loop()) is not self:
            self.from_outside = True
        return super().cancel(msg)


@contextmanager
def raising_strays() -> Iterator[None]:
    """Raise the cancellation of an ADK task that began in here, if no one requested it.

    Raises:
        CancelledError: the first one, as it was raised.
    """
    found: list[asyncio.CancelledError] = []
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(lambda loop, code, **more: _made(loop, code, found, more))
    try:
        yield
    except asyncio.CancelledError:
        if not found:
            raise
    finally:
        loop.set_task_factory(before)
    if found:
        raise found[0]


def _made(loop: asyncio.AbstractEventLoop, code: Any, found: list[asyncio.CancelledError], more: Any) -> _Task:
    task = _Task(code, loop=loop, **more)
    if _is_adks(code):
        task.add_done_callback(lambda ended: _look(ended, found))
    return task


def _look(task: Any, found: list[asyncio.CancelledError]) -> None:
    if not task.cancelled() or task.from_outside:
        return
    try:
        task.result()
    except asyncio.CancelledError as error:
        found.append(error)


def _is_adks(code: Coroutine[Any, Any, Any]) -> bool:
    frame = getattr(code, "cr_frame", None)
    return frame is not None and str(frame.f_globals.get("__name__")).startswith("google.adk.")
