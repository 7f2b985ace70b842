"""The words: what each reason and phase means."""

from fastapi import APIRouter, Request, Response

from agentjobs.dashboard.pages.asking import Person, Shown
from agentjobs.dashboard.views.reasons import CURES, MEANINGS
from agentjobs.problem import Problem

router = APIRouter()


@router.get("/reasons")
async def all_reasons(request: Request, person: Person, pages: Shown) -> Response:
    """List all words."""
    return pages.render(request, "reasons.html", meanings=dict(sorted(MEANINGS.items())), cures=CURES)


@router.get("/reasons/{reason}")
async def one_reason(request: Request, person: Person, pages: Shown, reason: str) -> Response:
    """Tell what a word means."""
    if reason not in MEANINGS:
        raise Problem(404, "NotFound", "AgentJobs has no such word; a runner or the kubelet may have written it.")
    return pages.render(request, "reasons.html", meanings={reason: MEANINGS[reason]}, cures=CURES)
