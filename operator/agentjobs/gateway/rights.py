"""What the person who asks may do, and where: every route of users asks here, and nowhere else.

Who asks is the owner of the token, or whom they impersonate by `Impersonate-User` and `Impersonate-Group`. A namespace
that somebody may not read does not exist for them: what they are told does not depend on whether it does.
"""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import Depends, Query, Request

from agentjobs.api_resource import Resource
from agentjobs.auth import User
from agentjobs.gateway.services import services_of
from agentjobs.kube.client import KubeClient
from agentjobs.kube.impersonation import Impersonation, impersonation_of
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.problem import Problem
from agentjobs.tokens import bearer

MAX_NAMESPACES: Final = 500
"""That are asked about for somebody who may not read all of them, and that one request may name."""

Scope = tuple[str, ...] | None
"""The namespaces that a request is about; None for all there are."""


async def who(request: Request) -> User:
    """Return who asks, whatever they may do.

    Raises:
        Problem: 400 for headers of impersonation that cannot be meant, 401, 403 for whom they may not impersonate.
        errors.Unavailable: the API server cannot be asked.
    """
    authorization, impersonation = _identity(request)
    return await services_of(request).authenticator.person(authorization, impersonation)


async def may(request: Request, verb: str, *, namespace: str, name: str = "", resource: Resource = AGENTJOBS) -> User:
    """Return who asks, if they may do this in a namespace, or with one object; an empty namespace means all.

    Raises:
        Problem: as `who`, and 403. errors.Unavailable: the API server cannot be asked.
    """
    authorization, impersonation = _identity(request)
    return await services_of(request).authenticator.user(
        authorization, verb=verb, namespace=namespace, name=name, resource=resource, impersonation=impersonation
    )


async def acting(request: Request) -> KubeClient:
    """Return the API server as who asks has it: with their token and whom they impersonate, and nothing of ours.

    The API server decides what they may; `may` beforehand says so before anything is read or done.

    Raises:
        Problem: 400, 401 and 403 as `who`, for what needs no question to the API server.
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
            description="Of these namespaces; of all that the caller may read without one.",
        ),
    ] = None,
) -> Scope:
    """Return the namespaces that the request is about, all of which the caller may read.

    Raises:
        Problem: 403 for one that they may not list the AgentJobs of.
    """
    if namespace:
        named = tuple(sorted(set(namespace)))
        for one in named:
            await may(request, "list", namespace=one)
        return named
    if await _is_allowed(request, ""):
        return None
    history = (await services_of(request).history()).people
    known: Sequence[str] = await history.namespaces(limit=MAX_NAMESPACES)
    return tuple([one for one in known if await _is_allowed(request, one)])


async def _is_allowed(request: Request, namespace: str) -> bool:
    try:
        await may(request, "list", namespace=namespace)
    except Problem as problem:
        if problem.status == 403:
            return False
        raise
    return True


Person = Annotated[User, Depends(who)]
InScope = Annotated[Scope, Depends(scope_of)]
