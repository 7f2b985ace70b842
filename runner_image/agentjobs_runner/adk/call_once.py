"""Records a job's reads from stores outside of tools: agents, callbacks and instructions run again in later starts."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from agentjobs_runner.user_steps import place, step

T = TypeVar("T")


async def call_once(name: str, function: Callable[[], Awaitable[T]], *, key: str | None = None) -> T:
    """Return the result of `function`, JSON; a later start gets the same without calling it.

    Args:
        name: of the step.
        key: for a read with the same result in the whole job; otherwise each call is recorded separately.
    """
    return await (function() if place.get().within_call else step(name, function, key=key))
