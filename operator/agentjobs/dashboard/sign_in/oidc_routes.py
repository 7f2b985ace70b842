"""The way to a provider of OpenID Connect and back."""

import base64
import binascii
import hmac
from datetime import timedelta
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from agentjobs.dashboard.sign_in.oidc import Answered, Pending, Provider, Refused
from agentjobs.dashboard.sign_in.pages import begin, hop, no_such_page, sign_in_page, ways_of
from agentjobs.dashboard.sign_in.returning import own_path

router = APIRouter()

_PURPOSE: Final = "state"
_SAID: Final = frozenset(
    {"access_denied", "login_required", "consent_required", "temporarily_unavailable", "server_error"}
)


@router.get("/sign-in/oidc")
async def leave(request: Request, to: str = "") -> Response:
    """Send somebody to the provider."""
    provider, ways = _provider(request), ways_of(request)
    address, pending = await provider.begin(own_path(to), ways.now())
    answer = RedirectResponse(address, 303)
    sealed = base64.urlsafe_b64encode(ways.sessions.seal.seal(_PURPOSE, msgspec.json.encode(pending))).decode()
    name = ways.sessions.cookie_name(request, "state")
    # Lax: the provider's redirect brings it, which a strict one would miss. It is worth nothing without the code.
    ways.sessions.set_cookie(answer, name, sealed, lasting=pending.until - ways.now(), same_site="lax")
    return answer


@router.get("/sign-in/oidc/callback")
async def come_back(request: Request, code: str = "", state: str = "", error: str = "", iss: str = "") -> Response:
    """Take back who has been at the provider."""
    provider, ways = _provider(request), ways_of(request)
    address = ways.proxies.address(request)
    ways.attempts.take(address)
    pending = _pending(request)
    try:
        answered = await _answered(provider, request, pending, code=code, state=state, error=error, iss=iss)
    except Refused as refused:
        ways.note(request, "oidc", None, refused.reason)
        kind = "cancelled" if refused.reason == "access_denied" else "oidc"
        answer = sign_in_page(request, to=pending.to if pending else "", refused=kind, status=403)
        _forget(request, answer)
        return answer
    answer = hop(request, own_path(pending.to if pending else ""))
    token = answered.token if provider.client.keeps_token else None
    await begin(request, answer, way="oidc", name=answered.person.name, groups=answered.person.groups, token=token)
    ways.attempts.give_back(address)
    _forget(request, answer)
    return answer


async def _answered(
    provider: Provider, request: Request, pending: Pending | None, *, code: str, state: str, error: str, iss: str
) -> Answered:
    if pending is None:
        raise Refused("NotPending")
    if not hmac.compare_digest(state.encode(), pending.state.encode()):
        raise Refused("OtherState")
    if iss and iss != provider.client.issuer:
        raise Refused("OtherIssuer")
    if error or not code:
        raise Refused(error if error in _SAID else "Refused")
    return await provider.finish(code, pending, ways_of(request).now())


def _pending(request: Request) -> Pending | None:
    sessions = ways_of(request).sessions
    value = request.cookies.get(sessions.cookie_name(request, "state"), "")
    try:
        opened = sessions.seal.open(_PURPOSE, base64.b64decode(value.encode(), altchars=b"-_", validate=True))
        pending = msgspec.json.decode(opened or b"", type=Pending)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None
    return pending if pending.until > ways_of(request).now() else None


def _forget(request: Request, answer: Response) -> None:
    sessions = ways_of(request).sessions
    sessions.set_cookie(answer, sessions.cookie_name(request, "state"), "", lasting=timedelta(0), same_site="lax")


def _provider(request: Request) -> Provider:
    provider = ways_of(request).oidc
    if provider is None:
        raise no_such_page()
    return provider
