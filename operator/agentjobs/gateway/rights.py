"""What the caller may do, and where. Every route of users checks rights here and nowhere else.

The caller is the owner of the token, or the user they impersonate by `Impersonate-User` and `Impersonate-Group`. For a
namespace that the caller may not read, the response does not depend on whether it exists.
"""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Annotated, Final

from fastapi import Depends, Query, Request

from agentjobs.api_resource import Resource
from agentjobs.auth import User, canonical
from agentjobs.gateway.services import services_of
from agentjobs.kube.client import KubeClient
from agentjobs.kube.impersonation import Impersonation, impersonation_of
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.problem import Problem
from agentjobs.tokens import bearer

MAX_NAMESPACES: Final = 500
"""The number of namespaces that are checked for a caller who may not read all, and that a request may name."""

_READING: Final = ("GET", "HEAD")
# For a caller who may not read all namespaces each one is checked: this many at a time, new namespaces this late.
_CONCURRENT_REVIEWS: Final = 16
_NAMESPACES_SECONDS: Final = 5.0

Scope = tuple[str, ...] | None
"""The namespaces that a request is about; None for all."""


async def authenticate(request: Request) -> User:
    """Return the caller, whatever their rights.

    Raises:
        Problem: 400 for invalid headers of impersonation, 401, 403 for a user whom they may not impersonate.
        errors.Unavailable: the API server is unavailable.
    """
    authorization, impersonation = _identity(request)
    return await services_of(request).authenticator.identify_user(authorization, impersonation)


async def counted(request: Request) -> None:
    """Count a request for its caller, or for its address while the caller is unknown.

    A request without a token costs no review; its route refuses it.

    Raises:
        Problem: 429 with `Retry-After`, and as `authenticate`.
    """
    authorization, impersonation = _identity(request)
    if authorization is None:
        return
    services = services_of(request)
    address = request.client.host if request.client else ""
    if not services.authenticator.remembers(authorization) and not _is_own(address):
        services.user_limits.check_unauthenticated(address)
    try:
        user = await services.authenticator.identify_user(authorization, impersonation)
    except Problem:
        services.user_limits.count_refusal(address)
        raise
    services.user_limits.count(user.name, acts=request.method not in _READING)


async def authorize(
    request: Request, verb: str, *, namespace: str, name: str = "", resource: Resource = AGENTJOBS
) -> User:
    """Return the caller, if they may do this in a namespace or to one object; an empty namespace means all.

    Raises:
        Problem: as `authenticate`, and 403.
        errors.Unavailable: the API server is unavailable.
    """
    authorization, impersonation = _identity(request)
    return await services_of(request).authenticator.user(
        authorization, verb=verb, namespace=namespace, name=name, resource=resource, impersonation=impersonation
    )


async def acting(request: Request) -> KubeClient:
    """Return a client with the caller's token and impersonation only.

    The API server authorizes its requests. Call `authorize` first, so that a refusal comes before anything is read or
    done.

    Raises:
        Problem: 400, 401 and 403 as `authenticate`, as far as it needs no request to the API server.
    """
    authorization, impersonation = _identity(request)
    return services_of(request).callers.client(bearer(authorization), impersonation)


def _identity(request: Request) -> tuple[str | None, Impersonation | None]:
    return request.headers.get("authorization"), impersonation_of(request.headers.raw)


async def scope_of(
    request: Request,
    namespace: Annotated[
        list[str] | None,
        Query(
            max_length=MAX_NAMESPACES,
            description="Only these namespaces; by default all that the caller may read.",
        ),
    ] = None,
) -> Scope:
    """Return the namespaces that the request is about. The caller may read all of them.

    Raises:
        Problem: 403 for a namespace whose AgentJobs they may not list.
    """
    if namespace:
        named = tuple(sorted(set(namespace)))
        for name in named:
            await authorize(request, "list", namespace=name)
        return named
    if await _is_allowed(request, ""):
        return None
    services, user = services_of(request), await authenticate(request)
    found = await services.scopes.answer((user.key,), lambda: _readable(request))
    # Most reviews are refusals, and these may be cached; namespaces that are read are always checked again.
    return tuple([name for name in found if await _is_allowed(request, name)])


async def _readable(request: Request) -> tuple[str, ...]:
    services = services_of(request)

    async def read() -> Sequence[str]:
        async with services.reads.taken():
            return await (await services.history()).people.namespaces(limit=MAX_NAMESPACES)

    known: Sequence[str] = await services.shared.once("namespaces", None, read=read, seconds=_NAMESPACES_SECONDS)
    room = asyncio.Semaphore(_CONCURRENT_REVIEWS)

    async def allowed(namespace: str) -> bool:
        async with room:
            return await _is_allowed(request, namespace)

    results = await asyncio.gather(*(allowed(name) for name in known))
    return tuple(name for name, is_allowed in zip(known, results, strict=True) if is_allowed)


def _is_own(address: str) -> bool:
    """Whether a request comes from this machine, or through a proxy that replaces addresses."""
    return ip_address(canonical(address) or "0.0.0.0").is_loopback  # noqa: S104  not a real address


async def _is_allowed(request: Request, namespace: str) -> bool:
    try:
        await authorize(request, "list", namespace=namespace)
    except Problem as problem:
        if problem.status == 403:
            return False
        raise
    return True


Person = Annotated[User, Depends(authenticate)]
InScope = Annotated[Scope, Depends(scope_of)]
