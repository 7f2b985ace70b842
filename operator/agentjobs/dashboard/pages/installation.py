"""The installation: versions, leader, database, providers, and problems."""

import asyncio
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response

from agentjobs.dashboard.pages.dependencies import Renderer, UserRest
from agentjobs.dashboard.pages.parameters import only
from agentjobs.dashboard.views.installation import installation_view
from agentjobs.problem import Problem

router = APIRouter()


@router.get("/installation", dependencies=[only()])
async def installation(request: Request, rest: UserRest, pages: Renderer) -> Response:
    """Show the installation to a person who may read all namespaces."""
    now = datetime.now(UTC)
    try:
        seen, models = await asyncio.gather(rest.installation(), rest.models())
    except Problem as problem:
        if problem.status != 403:
            raise
        return pages.render(request, "installation_closed.html", status=403)
    view = installation_view(seen, models, now)
    return pages.render(request, "installation.html", seen=seen, view=view, now=now, live="/v1/changes")
