"""Models: keys and their remaining limits, calls in progress, prices, and usage."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import APIRouter, Request, Response

from agentjobs.api.recorded_overview import Namespaces
from agentjobs.dashboard.pages.dependencies import Renderer, UserRest
from agentjobs.dashboard.pages.parameters import one_of, only
from agentjobs.dashboard.views.models import models_view
from agentjobs.dashboard.views.namespaces import chosen_namespaces, picker
from agentjobs.dashboard.views.overview import BY, used
from agentjobs.dashboard.views.urls import changes_of, with_values
from agentjobs.problem import Problem

router = APIRouter()

_SPAN: Final = timedelta(days=30)


@router.get("/models", dependencies=[only("by"), one_of("by", BY)])
async def models(request: Request, rest: UserRest, pages: Renderer) -> Response:
    """Show the models of the chosen namespace, or of the installation."""
    query, now = request.query_params.multi_items(), datetime.now(UTC)
    by = request.query_params.get("by", "").strip() or BY[0]
    known = await rest.namespaces()
    chosen = chosen_namespaces(query)
    namespace, *others = _as_namespaces(known, chosen)
    seen, usage = await asyncio.gather(rest.models(namespace), rest.usage_series(by, now - _SPAN, now, chosen))
    return pages.render(
        request,
        "models.html",
        models=models_view(seen, now),
        as_namespace=namespace,
        others=[(each, with_values("/models", query, namespace=each)) for each in others],
        used=used(usage),
        by=by,
        bys=[(each, with_values("/models", query, by=each) + "#usage") for each in BY],
        picker=picker(known, query),
        now=now,
        live=changes_of(chosen),
    )


def _as_namespaces(known: Namespaces, chosen: tuple[str, ...]) -> Sequence[str | None]:
    """Return the namespace whose keys are shown, None for those of the installation, and then the others to choose.

    Raises Problem (403) if there is none.
    """
    if chosen:
        return chosen
    if known.everywhere:
        return [None]
    if not known.items:
        raise Problem(403, "Forbidden", "You may not read any namespace, so there are no models to show.")
    return known.items
