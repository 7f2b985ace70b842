"""Shared by the routes of signing in: the sign-in page, the page that redirects, and the start of a session."""

from collections.abc import Iterable
from datetime import timedelta

from fastapi import Request, Response

from agentjobs.dashboard.identity import Way, known
from agentjobs.dashboard.pages.dependencies import pages_of, rest_of
from agentjobs.dashboard.sessions import BrowserSession
from agentjobs.dashboard.sign_in.return_path import own_path
from agentjobs.dashboard.sign_in.ways import Ways
from agentjobs.problem import Problem
from agentjobs.tokens import seconds_left


def sign_in_page(request: Request, *, to: str = "", done: str = "", refused: str = "", status: int = 200) -> Response:
    """Return the page that offers the ways to sign in.

    Args:
        to: where to go afterwards.
        done, refused: keys of messages in the template.
    """
    shown = {"ways": ways_of(request), "to": own_path(to), "done": done, "refused": refused, "person": known(request)}
    return pages_of(request).render(request, "sign_in.html", status=status, identity=None, **shown)


def hop(request: Request, to: str) -> Response:
    """Return a page that redirects.

    Browsers send no strict cookies with a request that another site began, nor after its redirects. They send them with
    a request that begins on this page.
    """
    return pages_of(request).render(request, "hop.html", to=to, identity=None)


async def begin(
    request: Request,
    answer: Response,
    *,
    way: Way,
    name: str,
    groups: Iterable[str] = (),
    token: str | None,
    hint: str | None = None,
) -> None:
    """Start a session, if REST accepts the person.

    Args:
        name: of an impersonated person; for a token REST returns the name.
        token: for REST; None impersonates.
        hint: the ID token of a provider, for signing out there.

    Raises:
        Problem: as REST answers; 401 for a token that the API server does not accept, 413 for one that is too long.
    """
    ways = ways_of(request)
    now = ways.now()
    lasting = ways.sessions.length.total_seconds()
    if token is not None and (left := seconds_left(token, now.timestamp())) is not None:
        lasting = min(lasting, left)
    until = now + timedelta(seconds=lasting)
    session = BrowserSession(
        name=name, way=way, until=until, token=token, groups=tuple(groups) if token is None else ()
    )
    person = ways.identity(session)
    if person is None:
        raise no_such_page()
    seen = (await rest_of(request, person).me()).name
    session = BrowserSession(name=seen, way=way, until=until, token=token, groups=session.groups, hint=hint)
    ways.sessions.begin(request, answer, session, now=now)
    ways.note(request, way, seen)


def no_such_page() -> Problem:
    """Return the problem of a page that does not exist in this installation."""
    return Problem(404, "NotFound", "Page not found.")


def ways_of(request: Request) -> Ways:
    """Return the ways to sign in."""
    ways: Ways = request.app.state.ways
    return ways
