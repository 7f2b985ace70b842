"""Sends REST the same request for several namespaces or jobs, a few at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from fastapi import Request

from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.views.namespaces import Picker, picker
from agentjobs.problem import Problem

MAX_NAMESPACES: Final = 50
"""Namespaces that one page reads; a page of more would take too long."""
AT_ONCE: Final = 8
"""Fewer than the requests that REST serves for one person at the same time."""

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Row = TypeVar("Row", covariant=True)


class Rows(Protocol[Row]):
    """A list of REST."""

    @property
    def items(self) -> Sequence[Row]:
        """Its rows."""
        ...


@dataclass(frozen=True, slots=True)
class Gathered(Generic[Answer]):
    """What REST answered for several namespaces."""

    answers: Mapping[str, Answer]
    """By namespace, in the order of their names."""
    left_out: int
    """Namespaces that were not read."""
    picker: Picker


async def of_each(asked: Iterable[Asked], ask: Callable[[Asked], Awaitable[Answer]]) -> list[Answer]:
    """Send one request for each, a few at the same time, and return the answers in the same order.

    Raises what the first refusal raises.
    """
    slots = asyncio.Semaphore(AT_ONCE)

    async def answer(one: Asked) -> Answer:
        async with slots:
            return await ask(one)

    return await asyncio.gather(*map(answer, asked))


def all_rows(answers: Mapping[str, Rows[Row]]) -> list[Row]:
    """Return the rows of all namespaces."""
    return [row for answer in answers.values() for row in answer.items]


async def gathered(request: Request, rest: Rest, ask: Callable[[str], Awaitable[Answer]]) -> Gathered[Answer]:
    """Send a request for each namespace in the URL, or else for each that the person may read.

    Raises:
        Problem: REST refused a namespace that the URL names, or is unavailable.
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
                return None  # the right was removed after the namespaces were listed
            raise

    found = await of_each(chosen, answer)
    answers = {name: one for name, one in zip(chosen, found, strict=True) if one is not None}
    return Gathered(answers, len(known) - len(chosen), choice)
