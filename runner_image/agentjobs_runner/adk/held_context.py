"""Generators whose code sees a context variable that their consumers do not see."""

from collections.abc import AsyncGenerator
from contextvars import ContextVar
from typing import TypeVar

V = TypeVar("V")
T = TypeVar("T")


async def holding(variable: ContextVar[V], value: V, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Yield `items`, produced while `variable` is `value`. The caller closes `items`."""
    while True:
        token = variable.set(value)
        try:
            item = await anext(items)
        except StopAsyncIteration:
            return
        finally:
            variable.reset(token)
        yield item
