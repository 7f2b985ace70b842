"""Authentication and authorization by the API server, cached for a short time.

A runner is identified by its pod: TokenReview for our audience returns the pod to which the token is bound, the pod's
controller is the job, and its name contains the start; the request must come from that pod's address. A user is
identified by TokenReview, or by impersonation, and may read the AgentJobs that they may `get` or `list`. The process's
own permissions are never used for a caller. Tokens are not stored: the cache uses their SHA-256.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, Generic, Protocol, TypeVar

from agentjobs import contract, errors
from agentjobs.api_resource import Resource
from agentjobs.bounded import Bounded
from agentjobs.kube.impersonation import EVERYBODY, Impersonation
from agentjobs.kube.resources import AGENTJOBS, GROUPS, NAMESPACES, PODS, SUBJECTACCESSREVIEWS, TOKENREVIEWS, USERS
from agentjobs.models.budget import DEFAULT_LLM_CALLS, Limits
from agentjobs.problem import Problem, forbidden, unauthorized
from agentjobs.tokens import audiences_of, bearer, digest, seconds_left

logger = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0
"""The cluster's uid until the API server returns it."""

# A revoked permission remains effective for at most this long.
CACHE_SECONDS: Final = 60.0
# How long a runner is cached, but not longer than its token is valid. The token of a deleted pod remains usable for
# this long from the pod's address, but every request of a runner is fenced in the database.
RUNNER_CACHE_SECONDS: Final = 600.0
# A refusal may soon be outdated (a new role binding, a new label), but a caller in a tight loop must not overload the
# API server.
REFUSED_SECONDS: Final = 2.0
# Twice the running pods of a large installation; an entry has about 500 bytes.
CACHE_SIZE: Final = 8192
# Its uid identifies a cluster, because this namespace always exists and is never deleted.
CLUSTER_NAMESPACE: Final = "kube-system"
# The default budget, for pods of older versions without one and for unreadable ones, which must not count as "no
# limit". The pod of a job without limits has an empty budget.
DEFAULT_BUDGET: Final = Limits(llm_calls=DEFAULT_LLM_CALLS)
_EXTRA_POD_NAME: Final = "authentication.kubernetes.io/pod-name"
_EXTRA_POD_UID: Final = "authentication.kubernetes.io/pod-uid"
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
# Reviewed for readiness: only whether the API server answers matters.
_UNKNOWN_TOKEN: Final = "agentjobs-readiness"  # noqa: S105  no one's token

T = TypeVar("T")


class Reviewer(Protocol):
    """The part of KubeClient that authentication needs."""

    async def create(self, resource: Resource, namespace: str | None, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object and return it as stored."""
        ...

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any]:
        """Return one object."""
        ...


@dataclass(frozen=True, slots=True)
class RunnerIdentity:
    """A runner pod and its start."""

    namespace: str
    job: str
    uid: str
    """The job's uid, from the pod's owner reference."""
    start: int
    pod: str
    pod_uid: str
    cache_seconds: float = CACHE_SECONDS
    """How long this may be cached."""
    queue: str = ""
    """The job's queue, from the pod's label."""
    budget: Limits = DEFAULT_BUDGET
    """The job's budget when the pod was created."""
    addresses: frozenset[str] = frozenset()
    """The pod's addresses; empty until the kubelet reports them, possibly after the runner's first request."""

    @property
    def job_key(self) -> str:
        """The key for limits per job. A pod can contain any job's uid, but cannot choose its namespace."""
        return f"{self.namespace}/{self.uid}"


@dataclass(frozen=True, slots=True)
class User:
    """A caller as identified by the API server; the subject of a SubjectAccessReview."""

    name: str
    uid: str
    groups: tuple[str, ...]
    extra: Mapping[str, Any]
    impersonated_by: str | None = None
    """The user who impersonates them, or None."""
    cache_seconds: float = CACHE_SECONDS
    """How long this may be cached."""

    @property
    def key(self) -> str:
        """The cache key of their permissions: all attributes of a review."""
        about = [self.name, self.uid, self.groups, sorted(self.extra.items())]
        return digest(json.dumps(about, default=str))


class AnswerCache(Generic[T]):
    """Caches answers and refusals, with expiry; evicts the least recently used.

    `clock` returns monotonic seconds. `known` returns how long an answer is cached.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        size: int = CACHE_SIZE,
        known: Callable[[T], float] = lambda _: CACHE_SECONDS,
    ) -> None:
        self._clock = clock
        self._known = known
        self._entries: Bounded[tuple[str, ...], tuple[float, T | Problem]] = Bounded(size)
        self._in_progress: dict[tuple[str, ...], asyncio.Task[tuple[float, T | Problem]]] = {}

    async def answer(self, key: tuple[str, ...], fetch: Callable[[], Awaitable[T]]) -> T:
        """Return the cached answer for `key`, or fetch it. Refusals (`Problem`) are cached too, outages are not."""
        entry = self._entries.get(key)
        if entry is None or self._clock() >= entry[0]:
            entry = await self._fetch_once(key, fetch)
        if isinstance(entry[1], Problem):
            # A copy, because an exception that is raised twice accumulates both tracebacks.
            raise Problem(entry[1].status, entry[1].reason, entry[1].message, headers=entry[1].headers)
        return entry[1]

    def has(self, key: tuple[str, ...]) -> bool:
        """Return whether a positive answer is cached."""
        entry = self._entries.get(key)
        return entry is not None and self._clock() < entry[0] and not isinstance(entry[1], Problem)

    def __len__(self) -> int:
        return len(self._entries)

    async def _fetch_once(self, key: tuple[str, ...], fetch: Callable[[], Awaitable[T]]) -> tuple[float, T | Problem]:
        """Fetch an answer, or wait for the same fetch in progress: a page sends five requests at the same time."""
        pending = self._in_progress.get(key)
        if pending is None:
            pending = self._in_progress[key] = asyncio.ensure_future(self._fetched(fetch))

            def done(task: asyncio.Task[tuple[float, T | Problem]]) -> None:
                del self._in_progress[key]
                if not task.cancelled() and task.exception() is None:
                    self._entries.put(key, task.result())

            pending.add_done_callback(done)
        return await asyncio.shield(pending)

    async def _fetched(self, fetch: Callable[[], Awaitable[T]]) -> tuple[float, T | Problem]:
        try:
            value = await fetch()
        except Problem as problem:
            return self._clock() + REFUSED_SECONDS, problem
        return self._clock() + self._known(value), value


class Authenticator:
    """Authenticates bearer tokens. One per process.

    With `check_addresses` a runner's token is only valid from its pod's address, so that a stolen token cannot be used
    from another pod.
    """

    def __init__(
        self,
        kube: Reviewer,
        *,
        clock: Callable[[], float],
        now: Callable[[], float] = time.time,
        check_addresses: bool = True,
    ) -> None:
        self._kube = kube
        self._now = now
        self._check_addresses = check_addresses
        # A pod without a known address is looked up again as soon as a refusal would be.
        self._runners: AnswerCache[RunnerIdentity] = AnswerCache(
            clock=clock, known=lambda identity: identity.cache_seconds if identity.addresses else REFUSED_SECONDS
        )
        self._users: AnswerCache[User] = AnswerCache(clock=clock, known=lambda user: user.cache_seconds)
        self._rights: AnswerCache[None] = AnswerCache(clock=clock)

    async def runner_of_token(self, token: str, address: str | None = None) -> RunnerIdentity:
        """Return the runner with this pod-bound token; see `runner`."""
        identity = await self._runners.answer((digest(token),), lambda: self._review_runner(token))
        if self._check_addresses and identity.addresses and canonical(address) not in identity.addresses:
            logger.warning(
                "runner.wrong_address",
                extra={"namespace": identity.namespace, "pod": identity.pod, "address": address},
            )
            raise forbidden(
                "This token is only valid from its own pod's address. If something between pods and gateway or proxy "
                "changes addresses, set AGENTJOBS_CHECK_ADDRESSES=false for both (checkAddresses of the chart)."
            )
        return identity

    async def runner(self, authorization: str | None, address: str | None = None) -> RunnerIdentity:
        """Return the runner whose pod-bound token is in this Authorization header; `address` is the request's.

        Raises:
            Problem: 401 for a token that is unknown or for another audience, 403 for one that is not of an AgentJob's
                pod, or not sent from there.
            errors.Unavailable: the API server is unreachable.
        """
        return await self.runner_of_token(bearer(authorization), address)

    async def user(
        self,
        authorization: str | None,
        *,
        verb: str,
        namespace: str,
        name: str = "",
        resource: Resource = AGENTJOBS,
        impersonation: Impersonation | None = None,
    ) -> User:
        """Return the user of this header, who may `verb` AgentJobs of `namespace` (the one called `name`, if given).

        An empty namespace means all namespaces. `resource` selects another kind.

        Raises:
            Problem: as `identify_user`; 403 if the user may not.
            errors.Unavailable: the API server is unreachable.
        """
        user = await self.identify_user(authorization, impersonation)
        await self._check_right(user, resource, verb=verb, namespace=namespace, name=name)
        return user

    async def identify_user(self, authorization: str | None, impersonation: Impersonation | None = None) -> User:
        """Return the user of this header, or the impersonated one, without checking permissions.

        Raises:
            Problem: 401 for an unknown token and for a runner's, 403 if its user may not impersonate.
            errors.Unavailable: the API server is unreachable.
        """
        token = bearer(authorization)
        caller = await self._users.answer((digest(token),), lambda: self._review_user(token))
        if impersonation is None:
            return caller
        await self._check_right(caller, USERS, verb="impersonate", name=impersonation.user)
        await self._check_groups(caller, impersonation.groups)
        groups = (*impersonation.groups, EVERYBODY)
        return User(impersonation.user, "", groups, {}, caller.name, caller.cache_seconds)

    def remembers(self, authorization: str | None) -> bool:
        """Return whether the token's owner is cached. Raises Problem (401) without a token."""
        return self._users.has((digest(bearer(authorization)),))

    async def _check_groups(self, caller: User, groups: Sequence[str]) -> None:
        if not groups:
            return
        try:
            # A user who may impersonate every group is checked once, not for each group.
            await self._check_right(caller, GROUPS, verb="impersonate")
        except Problem as problem:
            if problem.status != 403:
                raise
            for group in groups:
                await self._check_right(caller, GROUPS, verb="impersonate", name=group)

    async def _check_right(
        self, user: User, resource: Resource, *, verb: str, namespace: str = "", name: str = ""
    ) -> None:
        attributes = {"group": resource.group, "resource": resource.plural, "verb": verb, "namespace": namespace}
        attributes |= {"name": name} if name else {}
        await self._rights.answer((user.key, *attributes.values()), lambda: self._review_access(user, attributes))

    async def check(self) -> None:
        """Return if the API server answers reviews.

        Raises:
            errors.Unavailable, errors.Denied: it does not, or denies it to us.
        """
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": _UNKNOWN_TOKEN}}
        await self._kube.create(TOKENREVIEWS, None, body)

    async def _review_runner(self, token: str) -> RunnerIdentity:
        review = await self._review(token, audience=contract.TOKEN_AUDIENCE)
        account, extra = str(review.get("username", "")), review.get("extra") or {}
        pod, pod_uid = _first(extra, _EXTRA_POD_NAME), _first(extra, _EXTRA_POD_UID)
        namespace, _, _ = account.removeprefix(_SERVICE_ACCOUNT).partition(":")
        if not account.startswith(_SERVICE_ACCOUNT) or not pod or not pod_uid:
            raise forbidden("This token is not bound to a pod; use the projected token of the runner's pod.")
        try:
            found = await self._kube.get(PODS, namespace, pod)
        except errors.NotFound:
            raise forbidden(f"Pod {namespace}/{pod} of this token is gone.") from None
        identity = _identity(found, namespace=namespace, pod=pod, pod_uid=pod_uid)
        return replace(identity, cache_seconds=self._cache_seconds(token, RUNNER_CACHE_SECONDS))

    async def _review_user(self, token: str) -> User:
        review = await self._review(token, audience=None)
        # The API server's own audiences may include ours; actions of a runner's model are not actions of a user.
        if contract.TOKEN_AUDIENCE in audiences_of(token):
            raise unauthorized("This is a runner's token, not a user's; send a token for the API server.")
        return User(
            name=str(review.get("username", "")),
            uid=str(review.get("uid", "")),
            groups=tuple(review.get("groups") or ()),
            extra=review.get("extra") or {},
            cache_seconds=self._cache_seconds(token, CACHE_SECONDS),
        )

    def _cache_seconds(self, token: str, longest: float) -> float:
        """Return how long to cache the owner of an accepted token."""
        left = seconds_left(token, self._now())
        return CACHE_SECONDS if left is None else min(longest, left)

    async def _review(self, token: str, *, audience: str | None) -> Mapping[str, Any]:
        spec: dict[str, Any] = {"token": token} | ({"audiences": [audience]} if audience else {})
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        status = (await self._kube.create(TOKENREVIEWS, None, body)).get("status") or {}
        # An authenticator without audiences answers for the API server's own; then the list lacks the requested one.
        has_audience = audience is None or audience in (status.get("audiences") or ())
        if status.get("authenticated") is not True or not has_audience:
            wanted = f" for audience {audience!r}" if audience else ""
            raise unauthorized(
                f"The API server does not accept this token{wanted}; it is unknown, expired or for another."
            )
        user = status.get("user") or {}
        return user if isinstance(user, Mapping) else {}

    async def _review_access(self, user: User, attributes: Mapping[str, str]) -> None:
        spec = {"user": user.name, "uid": user.uid, "groups": list(user.groups), "extra": dict(user.extra)}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": spec | {"resourceAttributes": dict(attributes)},
        }
        status = (await self._kube.create(SUBJECTACCESSREVIEWS, None, body)).get("status") or {}
        if status.get("allowed") is not True:
            raise forbidden(f"User {user.name!r} may not {_attempted(attributes)}; ask for that role.")


def _attempted(attributes: Mapping[str, str]) -> str:
    done = f"{attributes['verb']} {attributes['resource']}"
    if attributes["resource"] in (USERS.plural, GROUPS.plural):
        return f"{done}, {attributes['name']!r} among them" if "name" in attributes else done
    return f"{done} in " + (f"namespace {attributes['namespace']!r}" if attributes["namespace"] else "all namespaces")


async def cluster_uid(kube: Reviewer) -> str:
    """Return the uid of the cluster that authenticates tokens.

    Raises:
        errors.Unavailable, errors.Denied: it is unreachable, or denies it to us.
    """
    return str((await kube.get(NAMESPACES, None, CLUSTER_NAMESPACE))["metadata"]["uid"])


async def wait_for_cluster_uid(kube: Reviewer, logger: logging.Logger, event: str) -> str:
    """Wait until the API server returns `cluster_uid`; each failure is logged as `event`."""
    while True:
        try:
            return await cluster_uid(kube)
        except (errors.Unavailable, errors.Denied) as error:
            logger.warning(event, extra={"error": str(error)})
            await asyncio.sleep(RETRY_SECONDS)


def canonical(address: object) -> str:
    """Return an IP address in canonical form, `""` if invalid: an IPv4 caller of an IPv6 socket is `::ffff:…`."""
    try:
        parsed = ip_address(str(address))
    except ValueError:
        return ""
    return str((parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None) or parsed)


def _addresses(status: object) -> frozenset[str]:
    status = status if isinstance(status, Mapping) else {}
    entries = [
        status.get("podIP"),
        *(entry.get("ip") for entry in status.get("podIPs") or () if isinstance(entry, Mapping)),
    ]
    return frozenset(filter(None, map(canonical, entries)))


def _label(meta: Mapping[str, Any], name: str = contract.LABEL_JOB) -> object:
    return (meta.get("labels") or {}).get(name)


def _budget(meta: Mapping[str, Any]) -> Limits:
    annotation = (meta.get("annotations") or {}).get(contract.ANNOTATION_BUDGET)
    if annotation is None:
        return DEFAULT_BUDGET
    try:
        found = json.loads(annotation)
        if isinstance(found, dict):
            return Limits.read(found)
    except (ValueError, TypeError, RecursionError):
        pass
    logger.warning("budget.unreadable", extra={"pod": meta.get("name"), "namespace": meta.get("namespace")})
    return DEFAULT_BUDGET


def _identity(found: Mapping[str, Any], *, namespace: str, pod: str, pod_uid: str) -> RunnerIdentity:
    meta = found.get("metadata") or {}
    if meta.get("uid") != pod_uid:
        raise forbidden(f"Pod {namespace}/{pod} of this token is gone; another pod has its name.")
    owner = contract.controller_of(meta, "AgentJob")
    start = contract.start_of(pod, owner.name) if owner is not None else None
    if owner is None or not owner.uid or start is None or _label(meta) != owner.name:
        raise forbidden(f"Pod {namespace}/{pod} is not a runner of an AgentJob.")
    return RunnerIdentity(
        namespace=namespace,
        job=owner.name,
        uid=owner.uid,
        start=start,
        pod=pod,
        pod_uid=pod_uid,
        queue=str(_label(meta, contract.LABEL_QUEUE) or ""),
        budget=_budget(meta),
        addresses=_addresses(found.get("status")),
    )


def _first(extra: Mapping[str, Any], key: str) -> str:
    values = extra.get(key)
    return values[0] if isinstance(values, list) and values and isinstance(values[0], str) else ""
