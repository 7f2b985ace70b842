"""What a job asks a store, recorded where no tool's step does it: agents, callbacks and instructions run again."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from agentjobs_runner.user_steps import place, step

T = TypeVar("T")


async def asked_once(name: str, ask: Callable[[], Awaitable[T]], *, key: str | None = None) -> T:
    """Return what `ask` gives, JSON; a later start gets the same without asking again.

    Args:
        name: of the step.
        key: of a question whose answer holds for the whole job; else it is asked each time that the code asks.
    """
    return await (ask() if place.get().within_call else step(name, ask, key=key))
