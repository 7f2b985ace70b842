"""What the routes of pages ask for, as FastAPI's dependencies: coroutines, since others go through a thread each time."""

from typing import Annotated

import httpx
from fastapi import Depends, Request

from agentjobs.dashboard.identity import Identity, identity_of
from agentjobs.dashboard.rendering import Pages
from agentjobs.dashboard.rest import Rest

async def person_of(request: Request) -> Identity:
    """Return who is signed in. Raises SignInNeeded."""
    return identity_of(request)


Person = Annotated[Identity, Depends(person_of)]


async def rest_of(request: Request, person: Person) -> Rest:
    """Return REST with the rights of who is signed in. Raises SignInNeeded."""
    http: httpx.AsyncClient = request.app.state.http
    return Rest(http, person)


async def pages_of(request: Request) -> Pages:
    """Return what renders templates."""
    pages: Pages = request.app.state.pages
    return pages


Asked = Annotated[Rest, Depends(rest_of)]
Shown = Annotated[Pages, Depends(pages_of)]
