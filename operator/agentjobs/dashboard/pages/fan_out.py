"""Sends REST the same request for several namespaces or jobs, a few at the same time, or once for all namespaces."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from fastapi import Request

from agentjobs.api.recorded_overview import Namespaces
from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.views.namespaces import Picker, chosen_namespaces, picker
from agentjobs.problem import Problem

MAX_NAMESPACES: Final = 50
"""Namespaces that one page reads one by one; a page of more would take too long."""
AT_ONCE: Final = 8
"""Fewer than the requests that REST serves for one person at the same time."""

Item = TypeVar("Item")
T = TypeVar("T")


class _Row(Protocol):
    @property
    def namespace(self) -> str: ...


Row = TypeVar("Row", bound=_Row)
_Listed = TypeVar("_Listed", bound=_Row, covariant=True)


class Rows(Protocol[_Listed]):
    """A list of REST."""

    @property
    def items(self) -> Sequence[_Listed]:
        """Its rows."""
        ...

    @property
    def truncated(self) -> bool:
        """Whether there are more rows."""
        ...


@dataclass(frozen=True, slots=True)
class Gathered(Generic[Row]):
    """The objects of one kind in several namespaces."""

    rows: Sequence[Row]
    """Ordered by namespace."""
    complete: Sequence[str]
    """Namespaces all of whose objects are among the rows, in the order of their names."""
    truncated: bool
    """Whether REST returned only some objects of a namespace, or of all."""
    left_out: int
    """Namespaces that were not read."""
    picker: Picker


async def of_each(items: Iterable[Item], read: Callable[[Item], Awaitable[T]]) -> list[T]:
    """Send one request for each, a few at the same time, and return the answers in the same order.

    Raises what the first refusal raises.
    """
    slots = asyncio.Semaphore(AT_ONCE)

    async def answer(item: Item) -> T:
        async with slots:
            return await read(item)

    return await asyncio.gather(*map(answer, items))


async def gathered(request: Request, rest: Rest, read: Callable[[str | None], Awaitable[Rows[Row]]]) -> Gathered[Row]:
    """Return the objects of the namespaces in the URL, or else of all that the person may read.

    History only knows namespaces that have had jobs. So one request covers all namespaces if the person may list the
    objects of all; otherwise there is one for each namespace that history knows.

    Args:
        read: returns the objects of a namespace; of all for None.

    Raises:
        Problem: REST refused a namespace that the URL names, or is unavailable.
    """
    query = request.query_params.multi_items()
    if chosen_namespaces(query):
        readable, all_rows = await rest.namespaces(), None
    else:
        readable, all_rows = await asyncio.gather(rest.namespaces(), _if_allowed(read, None))
    if all_rows is None:
        return await _of_namespaces(read, readable.items, picker(readable, query))
    found = {row.namespace for row in all_rows.items}
    known = sorted({*readable.items, *found})
    # A person who may not list the jobs of a namespace must not see that its queues have none.
    complete = known if readable.everywhere else readable.items
    # With a list that was cut, namespaces that are not in it can be entered.
    choice = picker(Namespaces(items=known, everywhere=not all_rows.truncated), query)
    return Gathered(all_rows.items, [] if all_rows.truncated else complete, all_rows.truncated, 0, choice)


async def _of_namespaces(
    read: Callable[[str | None], Awaitable[Rows[Row]]], readable: Sequence[str], choice: Picker
) -> Gathered[Row]:
    known = sorted(choice.chosen or readable)
    read_now = known[:MAX_NAMESPACES]
    # Rights may have been removed after the namespaces were listed.
    found = await of_each(read_now, read if choice.chosen else lambda namespace: _if_allowed(read, namespace))
    answers = {name: answer for name, answer in zip(read_now, found, strict=True) if answer is not None}
    return Gathered(
        [row for answer in answers.values() for row in answer.items],
        [name for name, answer in answers.items() if not answer.truncated],
        any(answer.truncated for answer in answers.values()),
        len(known) - len(read_now),
        choice,
    )


async def _if_allowed(read: Callable[[str | None], Awaitable[T]], namespace: str | None) -> T | None:
    try:
        return await read(namespace)
    except Problem as problem:
        if problem.status in (403, 404):
            return None
        raise
