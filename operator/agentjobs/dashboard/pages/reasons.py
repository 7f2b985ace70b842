"""The reference of reasons and phases."""

from fastapi import APIRouter, Request, Response

from agentjobs.dashboard.pages.dependencies import Person, Renderer
from agentjobs.dashboard.views.reasons import CURES, MEANINGS
from agentjobs.problem import Problem

router = APIRouter()


@router.get("/reasons")
async def all_reasons(request: Request, person: Person, pages: Renderer) -> Response:
    """List all reasons."""
    return pages.render(request, "reasons.html", meanings=dict(sorted(MEANINGS.items())), cures=CURES)


@router.get("/reasons/{reason}")
async def show_reason(request: Request, person: Person, pages: Renderer, reason: str) -> Response:
    """Explain one reason."""
    if reason not in MEANINGS:
        raise Problem(
            404, "NotFound", "This is not a reason of AgentJobs. A runner or the kubelet may have written it."
        )
    return pages.render(request, "reasons.html", meanings={reason: MEANINGS[reason]}, cures=CURES)
