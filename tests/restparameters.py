"""Query parameters that REST would refuse, of requests that a test recorded."""

from collections.abc import Iterable

from fastapi.routing import APIRoute

from agentjobs.gateway.app import _ROUTES
from agentjobs.gateway.parameters import TRIGGERS, parameters_of

STRICT = [
    route
    for group in _ROUTES["people"].routes
    for route in group.original_router.routes
    if isinstance(route, APIRoute) and TRIGGERS not in route.tags
]
"""The routes that refuse unknown parameters."""


def unknown_parameters(method: str, path: str, names: Iterable[str]) -> list[str]:
    """Return the parameters that the route of a request does not have; none without such a route."""
    of = next((route for route in STRICT if method in route.methods and route.path_regex.match(path)), None)
    return [] if of is None else [f"{method} {path}?{name}" for name in names if name not in parameters_of(of)]
