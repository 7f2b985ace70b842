"""Runs blocking work of the runner outside of event loops. Standard library only."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `work(*args, **kwargs)`, run in its own thread, to its end even if the caller is cancelled.

    Not in the event loop's pool, as `asyncio.to_thread`: user code may have filled that with calls that hang.
    """
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # so that cancelling the caller cannot cancel it

    def run() -> None:
        try:
            done.set_result(work(*args, **kwargs))
        except BaseException as error:  # the caller raises it
            done.set_exception(error)

    threading.Thread(target=run, name="blocking", daemon=True).start()
    return await asyncio.wrap_future(done)
