"""Headers of all answers, and checks of all requests before a route handles them.

A page loads nothing from other hosts, runs no inline script, is not shown in frames and is not cached. A request that
changes something must come from a page of the dashboard and carry the CSRF token of its session.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentjobs.dashboard import csrf
from agentjobs.dashboard.forms import MAX_FORM_BYTES, fields_of, too_large
from agentjobs.dashboard.identity import STATE, Identity
from agentjobs.problem import Problem, forbidden

CONTENT_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: browsers would then send `Origin: null` with forms of the dashboard.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
STRICT_TRANSPORT: Final = "max-age=31536000"
FOREVER: Final = "public, max-age=31536000, immutable"
STATIC: Final = "/static/"
SIGN_IN: Final = "/sign-in/"
SAFE: Final = frozenset({"GET", "HEAD"})
MAX_QUERY_BYTES: Final = 16 * 1024
"""Pages repeat their own query in many links, so a long one would make them large."""

Recognise = Callable[[Request], Identity | None]
Refuse = Callable[[Request, Problem], Response]


class Guard:
    """Checks requests, and adds headers to answers.

    Args:
        recognise: returns the person who is signed in.
        refuse: renders the page of a problem.
        secure: whether browsers use TLS.
    """

    def __init__(self, pages: ASGIApp, *, recognise: Recognise, refuse: Refuse, secure: bool) -> None:
        self.pages = pages
        self._recognise = recognise
        self._refuse = refuse
        self.secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self.pages(scope, receive, send)
            return
        answering = _with_headers(scope, send, secure=self.secure)
        try:
            receive = await self._checked(scope, receive)
        except Problem as problem:
            await self._refuse(Request(scope), problem)(scope, receive, answering)
            return
        await self.pages(scope, receive, answering)

    async def _checked(self, scope: Scope, receive: Receive) -> Receive:
        if scope["path"].startswith(STATIC):
            return receive
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            raise Problem(
                414,
                "AddressTooLong",
                f"The query of the address has more than {MAX_QUERY_BYTES} bytes: use fewer parameters.",
            )
        request = Request(scope, receive)
        person = self._recognise(request)
        scope.setdefault("state", {})[STATE] = person
        if request.method in SAFE:
            return receive
        if not is_from_here(request.headers):
            raise forbidden("This request was not sent by a page of this dashboard.")
        body = await _body(receive)
        # A form that signs in has no session yet, or an older one. Its origin was checked above.
        if (
            person is not None
            and not scope["path"].startswith(SIGN_IN)
            and not csrf.is_same(_sent(request, body), person.csrf)
        ):
            raise forbidden("This form belongs to another session. Go back, reload the page, and send it again.")
        return _again(body, receive)


def is_from_here(headers: Mapping[str, str]) -> bool:
    """Return whether a page of the dashboard sent the request, by the browser's headers; True without them."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if site is None and origin is not None:
        return urlsplit(origin).netloc == headers.get("host")
    return True


def is_served_host(host: str, allowed: Collection[str]) -> bool:
    """Return whether this Host is served. Ports are ignored; an empty collection allows any."""
    return not allowed or name_of(host) in allowed


def name_of(host: str) -> str:
    """Return the host of `host:port`, in lower case."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


def allowed_names(public_url: str | None, more: Collection[str]) -> frozenset[str]:
    """Return the hosts that are served; empty means any."""
    named = {name_of(urlsplit(public_url).netloc)} if public_url else set()
    return frozenset(named | {name.lower() for name in more})


def _with_headers(scope: Scope, send: Send, *, secure: bool) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            headers.update(HEADERS)
            if secure:
                headers["Strict-Transport-Security"] = STRICT_TRANSPORT
            headers["Cache-Control"] = _caching(scope, message["status"])
        await send(message)

    return sending


def _caching(scope: Scope, status: int) -> str:
    if not scope["path"].startswith(STATIC) or status >= 400:
        return "no-store"
    # The address of a static file contains its digest or version, so its content never changes.
    lasting = scope["query_string"] or scope["path"].startswith(f"{STATIC}vendor/")
    return FOREVER if lasting else "no-cache"


async def _body(receive: Receive) -> bytes:
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        if len(body) > MAX_FORM_BYTES:
            raise too_large()
        more = message.get("more_body", False)
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving


def _sent(request: Request, body: bytes) -> str:
    if header := request.headers.get(csrf.HEADER):
        return header
    return next((value for name, value in fields_of(body) if name == csrf.FIELD), "")
