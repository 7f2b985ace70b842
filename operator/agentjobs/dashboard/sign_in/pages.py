"""What the routes of signing in share: the page with the ways, the page that goes on by itself, and the session that
begins when somebody is known.
"""

from collections.abc import Iterable
from datetime import timedelta

from fastapi import Request, Response

from agentjobs.dashboard.identity import Way, known
from agentjobs.dashboard.pages.asking import pages_of, rest_of
from agentjobs.dashboard.sessions import Session
from agentjobs.dashboard.sign_in.returning import own_path
from agentjobs.dashboard.sign_in.ways import Ways
from agentjobs.problem import Problem
from agentjobs.tokens import seconds_left


def sign_in_page(request: Request, *, to: str = "", done: str = "", refused: str = "", status: int = 200) -> Response:
    """Return the page that offers the ways to sign in.

    Args:
        to: where to go afterwards.
        done, refused: words of ours for what has happened.
    """
    shown = {"ways": ways_of(request), "to": own_path(to), "done": done, "refused": refused, "person": known(request)}
    return pages_of(request).render(request, "sign_in.html", status=status, identity=None, **shown)


def hop(request: Request, to: str) -> Response:
    """Return a page that goes on by itself. Browsers do not send our cookies with a request that another site began,
    redirects of ours included; one that begins on this page is our own."""
    return pages_of(request).render(request, "hop.html", to=to, identity=None)


async def begin(
    request: Request, answer: Response, *, way: Way, name: str, groups: Iterable[str] = (), token: str | None
) -> None:
    """Let a session begin, once REST knows the person.

    Args:
        name: of who is impersonated; for a token REST says whose it is.
        token: with which REST is asked; None impersonates.

    Raises:
        Problem: as REST answers, 401 for a token that the API server does not accept; 413 for one that is too long.
    """
    ways = ways_of(request)
    now = ways.now()
    lasting = ways.sessions.length.total_seconds()
    if token is not None and (left := seconds_left(token, now.timestamp())) is not None:
        lasting = min(lasting, left)
    until = now + timedelta(seconds=lasting)
    session = Session(name=name, way=way, until=until, token=token, groups=tuple(groups))
    person = ways.identity(session)
    if person is None:
        raise no_such_page()
    seen = (await rest_of(request, person).me()).name
    session = Session(name=seen, way=way, until=until, token=token, groups=session.groups)
    ways.sessions.begin(request, answer, session, now=now)
    ways.note(request, way, seen)


def no_such_page() -> Problem:
    """Return the refusal of a page that there is not, or not in this installation."""
    return Problem(404, "NotFound", "There is no such page.")


def ways_of(request: Request) -> Ways:
    """Return how people sign in."""
    ways: Ways = request.app.state.ways
    return ways
