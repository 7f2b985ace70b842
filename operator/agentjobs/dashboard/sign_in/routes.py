"""Signing in by a token or a link, and signing out."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from agentjobs.dashboard.forms import form_of
from agentjobs.dashboard.identity import known
from agentjobs.dashboard.sign_in.pages import begin, hop, no_such_page, sign_in_page, ways_of
from agentjobs.dashboard.sign_in.return_path import own_path
from agentjobs.dashboard.texts import link
from agentjobs.problem import Problem
from agentjobs.tokens import bearer

router = APIRouter()


@router.get("/sign-in")
async def choose(request: Request, to: str = "", done: str = "") -> Response:
    """Show the ways to sign in."""
    return sign_in_page(request, to=to, done=done)


@router.post("/sign-in/token")
async def by_token(request: Request) -> Response:
    """Sign in with a token of the API server."""
    ways = ways_of(request)
    if not ways.token:
        raise no_such_page()
    form = await form_of(request)
    token, to = form.get("token", "").strip(), form.get("to", "")
    address = ways.proxies.address(request)
    ways.attempts.take(address)
    answer = RedirectResponse(own_path(to), 303)
    try:
        await begin(request, answer, way="token", name="", token=bearer(f"Bearer {token}"))
    except Problem as problem:
        ways.note(request, "token", None, problem.reason)
        if problem.status != 401:
            raise
        return sign_in_page(request, to=to, refused="token", status=401)
    ways.attempts.give_back(address)
    return answer


@router.get("/sign-in/link/{secret}")
async def by_link(request: Request, secret: str) -> Response:
    """Sign in with a link that works once."""
    ways = ways_of(request)
    if ways.links is None:
        raise no_such_page()
    if "prefetch" in request.headers.get("sec-purpose", ""):
        return Response(status_code=503)  # a browser prefetches it; the person has not opened it
    address = ways.proxies.address(request)
    ways.attempts.take(address)
    token = ways.links.use(secret, ways.now())
    if token is None and known(request) is not None:
        ways.attempts.give_back(address)
        return hop(request, "/")  # the link was opened again where it has signed in
    if token is None:
        ways.note(request, "link", None, "UnknownLink")
        return sign_in_page(request, refused="link", status=403)
    answer = hop(request, "/")
    await begin(request, answer, way="link", name="", token=token)
    ways.attempts.give_back(address)
    return answer


@router.get("/sign-out")
async def leaving(request: Request) -> Response:
    """Show the form that signs out, which a link alone must not do."""
    return sign_in_page(request)


@router.post("/sign-out")
async def leave(request: Request) -> Response:
    """Sign out, also at the OpenID Connect provider if it supports that."""
    ways = ways_of(request)
    session, address = ways.sessions.of(request, ways.now()), None
    if ways.oidc is not None and session is not None and session.way == "oidc":
        address = await ways.oidc.sign_out(session.hint)
    # The content security policy forbids forms that lead to another site, also by a redirect; a page may redirect.
    answer = hop(request, address) if address else RedirectResponse(link("sign-in", done="signed-out"), 303)
    ways.sessions.end(request, answer)
    return answer
