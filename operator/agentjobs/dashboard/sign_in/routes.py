"""The pages of signing in and out."""

import base64
import json
from datetime import UTC, datetime

import httpx
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from agentjobs.dashboard.forms import form_of
from agentjobs.dashboard.identity import Identity, Way, known, with_token
from agentjobs.dashboard.rendering import Pages, link
from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.sessions import Session
from agentjobs.dashboard.sign_in.returning import own_path
from agentjobs.dashboard.sign_in.ways import Ways
from agentjobs.problem import Problem
from agentjobs.tokens import bearer

router = APIRouter()


@router.get("/sign-in")
async def choose(request: Request, to: str = "", done: str = "") -> Response:
    """Offer the ways to sign in."""
    return _page(request, to=to, done=done)


@router.post("/sign-in/token")
async def by_token(request: Request) -> Response:
    """Sign in by a token of the API server."""
    ways = _ways(request)
    if not ways.token:
        raise _no_such_page()
    form = await form_of(request)
    token, to = form.get("token", "").strip(), form.get("to", "")
    address = ways.proxies.address(request)
    ways.attempts.take(address)
    try:
        bearer(f"Bearer {token}")
        name = (await _rest(request, token).me()).name
    except Problem as problem:
        ways.note(request, "token", None, problem.reason)
        if problem.status != 401:
            raise
        return _page(request, to=to, refused="token", status=401)
    ways.attempts.give_back(address)
    answer = RedirectResponse(own_path(to), 303)
    _begin(request, answer, name=name, way="token", token=token)
    return answer


@router.get("/sign-in/link/{secret}")
async def by_link(request: Request, secret: str) -> Response:
    """Sign in by a link that works once."""
    ways = _ways(request)
    if ways.links is None:
        raise _no_such_page()
    if "prefetch" in request.headers.get("sec-purpose", ""):
        return Response(status_code=503)  # nobody has opened it yet
    address = ways.proxies.address(request)
    ways.attempts.take(address)
    found = ways.links.use(secret, ways.now())
    if found is None:
        ways.note(request, "link", None, "UnknownLink")
        return _page(request, refused="link", status=403)
    ways.attempts.give_back(address)
    answer = hop(request, "/")
    _begin(request, answer, name=found["name"], way="link", token=found["token"])
    return answer


@router.get("/sign-out")
async def leaving(request: Request) -> Response:
    """Offer to sign out, which a link alone must not do."""
    return _page(request)


@router.post("/sign-out")
async def leave(request: Request) -> Response:
    """Sign out."""
    answer = RedirectResponse(link("sign-in", done="signed-out"), 303)
    _ways(request).sessions.end(request, answer)
    return answer


def hop(request: Request, to: str) -> Response:
    """Return a page that goes on by itself. Browsers do not send our cookies with a request that another site began,
    redirects of ours included; one that begins on this page is our own."""
    pages: Pages = request.app.state.pages
    return pages.render(request, "hop.html", to=to, identity=None)


def _page(request: Request, *, to: str = "", done: str = "", refused: str = "", status: int = 200) -> Response:
    pages: Pages = request.app.state.pages
    shown = {"ways": _ways(request), "to": own_path(to), "done": done, "refused": refused, "person": known(request)}
    return pages.render(request, "sign_in.html", status=status, identity=None, **shown)


def _begin(request: Request, answer: Response, *, name: str, way: Way, token: str) -> None:
    ways = _ways(request)
    until = ways.now() + ways.sessions.length
    if (ends := end_of(token)) is not None:
        until = min(until, ends)
    ways.sessions.begin(request, answer, Session(name=name, way=way, until=until, token=token), now=ways.now())
    ways.note(request, way, name)


def end_of(token: str) -> datetime | None:
    """Return when a token ends by what it says of itself; None where it says nothing that we can read."""
    try:
        claims = token.split(".")[1]
        ends = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
        return datetime.fromtimestamp(float(ends), UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError, RecursionError):
        return None


def _no_such_page() -> Problem:
    return Problem(404, "NotFound", "There is no such page.")


def _ways(request: Request) -> Ways:
    ways: Ways = request.app.state.ways
    return ways


def _rest(request: Request, token: str) -> Rest:
    http: httpx.AsyncClient = request.app.state.http
    return Rest(http, Identity("", "token", with_token(token)))
