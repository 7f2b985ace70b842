"""Redirects to an OpenID Connect provider and back."""

import base64
import binascii
import hmac
from datetime import timedelta
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from agentjobs.dashboard.sign_in.oidc import HINT_CHARS, SIGNED_OUT, Answered, Pending, Provider, Refused
from agentjobs.dashboard.sign_in.pages import begin, hop, no_such_page, sign_in_page, ways_of
from agentjobs.dashboard.sign_in.return_path import own_path
from agentjobs.dashboard.texts import link

router = APIRouter()

_PURPOSE: Final = "state"
_TABS: Final = 4
"""Tabs that may sign in at the same time. Each has a cookie, and servers limit the size of headers."""
_SHOWN_ERRORS: Final = frozenset(
    {"access_denied", "login_required", "consent_required", "temporarily_unavailable", "server_error"}
)


@router.get("/sign-in/oidc")
async def leave(request: Request, to: str = "") -> Response:
    """Redirect to the provider."""
    provider, ways = _provider(request), ways_of(request)
    address, pending = await provider.begin(own_path(to), ways.now())
    answer = RedirectResponse(address, 303)
    sealed = base64.urlsafe_b64encode(ways.sessions.seal.seal(_PURPOSE, msgspec.json.encode(pending))).decode()
    names = _names(request)
    name = next((unused for unused in names if unused not in request.cookies), names[0])
    # Lax, because the provider's redirect must send it. It is useless without the code.
    ways.sessions.set_cookie(answer, name, sealed, lasting=pending.until - ways.now(), same_site="lax")
    return answer


@router.get("/sign-in/oidc/callback")
async def come_back(request: Request, code: str = "", state: str = "", error: str = "", iss: str = "") -> Response:
    """Sign in a person who returns from the provider."""
    provider, ways = _provider(request), ways_of(request)
    address = ways.proxies.address(request)
    ways.attempts.take(address)
    name, pending = _pending(request, state)
    try:
        answered = await _answered(provider, request, pending, code=code, error=error, iss=iss)
    except Refused as refused:
        ways.note(request, "oidc", None, refused.reason)
        kind = "cancelled" if refused.reason == "access_denied" else "oidc"
        answer = sign_in_page(request, to=pending.to if pending else "", refused=kind, status=403)
        _forget(request, answer, name)
        return answer
    answer = hop(request, own_path(pending.to if pending else ""))
    token = answered.token if provider.client.keeps_token else None
    person = answered.person
    # Signing out puts it into an address, which browser histories and logs keep: never a token that the API server
    # accepts.
    hint = answered.token if token is None and len(answered.token) <= HINT_CHARS else None
    await begin(request, answer, way="oidc", name=person.name, groups=person.groups, token=token, hint=hint)
    ways.attempts.give_back(address)
    _forget(request, answer, name)
    return answer


@router.get(SIGNED_OUT)
async def signed_out(request: Request) -> Response:
    """Confirm the sign-out of a person who returns from the provider."""
    _provider(request)
    return RedirectResponse(link("sign-in", done="signed-out"), 303)


async def _answered(
    provider: Provider, request: Request, pending: Pending | None, *, code: str, error: str, iss: str
) -> Answered:
    if pending is None:
        raise Refused("NotPending")
    if iss and iss != provider.client.issuer:
        raise Refused("OtherIssuer")
    if error or not code:
        raise Refused(error if error in _SHOWN_ERRORS else "Refused")
    return await provider.finish(code, pending, ways_of(request).now())


def _names(request: Request) -> list[str]:
    """Return the names of the cookies of sign-ins in progress: people use several tabs."""
    return [ways_of(request).sessions.cookie_name(request, f"state-{number}") for number in range(_TABS)]


def _pending(request: Request, state: str) -> tuple[str, Pending | None]:
    """Return the cookie and the sign-in with this state; None without one, or if it has expired."""
    for name in _names(request):
        found = _opened(request, name)
        if found is not None and hmac.compare_digest(state.encode(), found.state.encode()):
            return name, found
    return "", None


def _opened(request: Request, name: str) -> Pending | None:
    seal = ways_of(request).sessions.seal
    value = request.cookies.get(name, "")
    try:
        opened = seal.open(_PURPOSE, base64.b64decode(value.encode(), altchars=b"-_", validate=True))
        pending = msgspec.json.decode(opened or b"", type=Pending)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None
    return pending if pending.until > ways_of(request).now() else None


def _forget(request: Request, answer: Response, name: str) -> None:
    if name:
        ways_of(request).sessions.set_cookie(answer, name, "", lasting=timedelta(0), same_site="lax")


def _provider(request: Request) -> Provider:
    provider = ways_of(request).oidc
    if provider is None:
        raise no_such_page()
    return provider
