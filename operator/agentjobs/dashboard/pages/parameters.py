"""Refuses query parameters and values that a page does not have, as the list of jobs and REST do.

If they were ignored, a misspelled filter would show everything that it was meant to leave out.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final

from fastapi import Depends, Request

from agentjobs.dashboard.pages.dependencies import Person
from agentjobs.dashboard.views.urls import PLACES, address
from agentjobs.problem import Problem

_SHOWN: Final = 3
_SHOWN_CHARS: Final = 60


class RefusedParameters(Problem):
    """The refusal of a page; `known` is its address without the refused parameters."""

    def __init__(self, reason: str, message: str, known: str) -> None:
        super().__init__(422, reason, message)
        self.known = known


def only(*names: str) -> Any:
    """Return a dependency that refuses other parameters than these and `namespace`. Empty ones are ignored."""
    own = ("namespace", *names)

    async def refuse_unknown(request: Request, person: Person) -> None:
        query = request.query_params.multi_items()
        unknown = dict.fromkeys(name for name, value in query if value.strip() and name not in own)
        if not unknown:
            return
        shown = ", ".join(name[:_SHOWN_CHARS] for name in list(unknown)[:_SHOWN])
        message = f"This page has no parameter {shown}; it has {', '.join(own)}."
        raise RefusedParameters("UnknownParameter", message, _keeping(request, own))

    return Depends(refuse_unknown)


def one_of(name: str, values: Collection[str]) -> Any:
    """Return a dependency that refuses other values of a parameter than these. Empty ones are ignored."""

    async def refuse_others(request: Request, person: Person) -> None:
        given = request.query_params.getlist(name)
        wrong = next((value for value in given if value.strip() and value not in values), None)
        if wrong is None:
            return
        message = f"{name}: expected one of {', '.join(values)}, got {wrong[:_SHOWN_CHARS]}."
        kept = request.query_params.keys() - {name}
        raise RefusedParameters("InvalidParameter", message, _keeping(request, kept))

    return Depends(refuse_others)


def _keeping(request: Request, names: Iterable[str]) -> str:
    """Return the page's address with only these parameters, and without a place in a list."""
    kept = set(names) - PLACES
    return address(request.url.path, [pair for pair in request.query_params.multi_items() if pair[0] in kept])
