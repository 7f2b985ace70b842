"""Asks REST the same several times, a few of them at once: of namespaces, or of jobs."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from fastapi import Request

from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.views.namespaces import Picker, picker
from agentjobs.problem import Problem

MAX_NAMESPACES: Final = 50
"""Of which a page asks one by one; a page of more would take longer than anybody waits."""
MAX_ROWS: Final = 300
"""Of a table: nobody reads more, and a page of more takes a second to be laid out."""
AT_ONCE: Final = 8
"""Fewer than what one person may have under way at REST."""

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Row = TypeVar("Row", covariant=True)


class Rows(Protocol[Row]):
    """A list of REST."""

    @property
    def items(self) -> Sequence[Row]:
        """What is in it."""
        ...


@dataclass(frozen=True, slots=True)
class Gathered(Generic[Answer]):
    """What REST answered of several namespaces, in the order of their names."""

    answers: Sequence[Answer]
    namespaces: Sequence[str]
    """Those that were asked."""
    left_out: int
    """How many more there are, which were not asked."""
    picker: Picker


async def of_each(asked: Iterable[Asked], ask: Callable[[Asked], Awaitable[Answer]]) -> list[Answer]:
    """Ask about each, a few at once, and return the answers in the same order. Raises what the first refusal raises."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def answer(one: Asked) -> Answer:
        async with slots:
            return await ask(one)

    return await asyncio.gather(*map(answer, asked))


def first_rows(answers: Iterable[Rows[Row]]) -> tuple[Sequence[Row], int]:
    """Return what a table shows of these lists, and how many rows more they have."""
    rows = [one for answer in answers for one in answer.items]
    return rows[:MAX_ROWS], max(0, len(rows) - MAX_ROWS)


async def gathered(request: Request, rest: Rest, ask: Callable[[str], Awaitable[Answer]]) -> Gathered[Answer]:
    """Ask of the namespaces in the URL, or else of all that the person may read.

    Raises:
        Problem: of a namespace that the URL names, and 503.
    """
    readable = await rest.namespaces()
    choice = picker(readable, request.query_params.multi_items())
    known = sorted(choice.chosen or readable.items)
    chosen = known[:MAX_NAMESPACES]

    async def answer(namespace: str) -> Answer | None:
        try:
            return await ask(namespace)
        except Problem as problem:
            if problem.status in (403, 404) and not choice.chosen:
                return None  # rights that were taken away since the list of namespaces was answered
            raise

    found = await of_each(chosen, answer)
    return Gathered([one for one in found if one is not None], chosen, len(known) - len(chosen), choice)
