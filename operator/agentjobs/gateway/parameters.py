"""Refuses query parameters that a route does not have.

If they were ignored, a misspelled filter would return the jobs that it was meant to leave out.
"""

import difflib
from collections.abc import Iterator
from typing import Final

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from agentjobs.problem import Problem

TRIGGERS: Final = "triggers"
"""Tag of routes that take any parameters: the systems that call them may add some of their own."""
_SHOWN_CHARS: Final = 60


def parameters_of(route: APIRoute) -> tuple[str, ...]:
    """Return the names of a route's query parameters, also of those that its dependencies declare."""
    return tuple(sorted(set(_declared(route.dependant))))


def _declared(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for below in dependant.dependencies:
        yield from _declared(below)


async def refuse_unknown(request: Request) -> None:
    """Return if the route has all query parameters of the request.

    Raises:
        Problem: 422 with the unknown parameter, and what may have been meant.
    """
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute) or TRIGGERS in route.tags:
        return
    known = parameters_of(route)
    unknown = next((name for name in request.query_params if name not in known), None)
    if unknown is not None:
        message = f"query.{unknown[:_SHOWN_CHARS]} is an unknown parameter; {_cure(unknown, known)}"
        raise Problem(422, "UnknownParameter", f"The request is invalid: {message}")


def _cure(unknown: str, known: tuple[str, ...]) -> str:
    by_case = {name.lower(): name for name in known}
    written = unknown[:_SHOWN_CHARS].replace("_", "").replace("-", "").lower()
    if near := difflib.get_close_matches(written, by_case, n=2):
        return f"did you mean {' or '.join(by_case[name] for name in near)}?"
    return f"use one of {', '.join(known)}." if known else "remove it: this route has none."
