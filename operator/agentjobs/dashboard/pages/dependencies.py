"""Dependencies of the routes of pages. They are coroutines, because FastAPI runs others in a thread."""

from typing import Annotated

import httpx
from fastapi import Depends, Request

from agentjobs.dashboard.identity import Identity, identity_of
from agentjobs.dashboard.rendering import Pages
from agentjobs.dashboard.rest import Rest


def rest_of(request: Request, person: Identity) -> Rest:
    """Return REST with a person's rights."""
    http: httpx.AsyncClient = request.app.state.http
    return Rest(http, person)


def pages_of(request: Request) -> Pages:
    """Return the renderer of templates."""
    pages: Pages = request.app.state.pages
    return pages


async def _person(request: Request) -> Identity:
    return identity_of(request)


Person = Annotated[Identity, Depends(_person)]
"""The person who is signed in; without one the answer is the sign-in page."""


async def _user_rest(request: Request, person: Person) -> Rest:
    return rest_of(request, person)


async def _renderer(request: Request) -> Pages:
    return pages_of(request)


UserRest = Annotated[Rest, Depends(_user_rest)]
"""REST with the rights of the person who is signed in."""
Renderer = Annotated[Pages, Depends(_renderer)]
"""The renderer of templates."""
