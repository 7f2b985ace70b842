"""Actions of people on pages and through REST, newest first."""

import asyncio

from fastapi import APIRouter, Request, Response

from agentjobs.dashboard.pages.dependencies import Renderer, UserRest
from agentjobs.dashboard.pages.parameters import only
from agentjobs.dashboard.views.actions import did
from agentjobs.dashboard.views.namespaces import chosen_namespaces, picker
from agentjobs.dashboard.views.urls import address, changes_of

router = APIRouter()


@router.get("/actions", dependencies=[only("cursor")])
async def actions(request: Request, rest: UserRest, pages: Renderer, cursor: str | None = None) -> Response:
    """Show a page of the actions in the chosen namespaces."""
    query = request.query_params.multi_items()
    chosen = chosen_namespaces(query)
    known, found = await asyncio.gather(rest.namespaces(), rest.actions(chosen, cursor=cursor or None))
    older = address("/actions", [*(("namespace", namespace) for namespace in chosen), ("cursor", found.cursor or "")])
    return pages.render(
        request,
        "actions.html",
        did=did(found.items),
        older=older if found.cursor else "",
        picker=picker(known, query),
        live=changes_of(chosen),
    )
