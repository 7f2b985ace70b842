"""Refuses query parameters that a page does not have, as the list of jobs and REST do.

If they were ignored, a misspelled filter would show everything that it was meant to leave out.
"""

from typing import Any, Final

from fastapi import Depends, Request

from agentjobs.dashboard.pages.dependencies import Person
from agentjobs.dashboard.views.urls import PLACES, address
from agentjobs.problem import Problem

_SHOWN: Final = 3
_SHOWN_CHARS: Final = 60


class UnknownParameters(Problem):
    """The refusal of a page; `known` is its address without the unknown parameters."""

    def __init__(self, message: str, known: str) -> None:
        super().__init__(422, "UnknownParameter", message)
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
        kept = [pair for pair in query if pair[0] in own and pair[0] not in PLACES]
        raise UnknownParameters(message, address(request.url.path, kept))

    return Depends(refuse_unknown)
