"""The first requests of a process to the API server, retried until it answers.

An API server that has just started denies everything for some seconds, until it has loaded its roles.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from agentjobs.api_resource import Resource
from agentjobs.errors import AgentJobsError, Denied, Invalid, NotFound, Unavailable
from agentjobs.kube.client import KubeClient
from agentjobs.kube.resources import CRDS, NAMESPACES

logger = logging.getLogger(__name__)

T = TypeVar("T")

WAIT_SECONDS: Final = 1.0
# A kube-apiserver on a busy machine took eight seconds; a missing role is reported after a minute.
DENIED_SECONDS: Final = 60.0


class StartupRetry:
    """Tolerates temporary errors, and denials for a minute. Never waits itself."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` returns monotonic seconds."""
        self._clock = clock
        self._denied_since: float | None = None

    def tolerate(self, error: AgentJobsError | TimeoutError) -> None:
        """Return if a retry may help; raise `error` after a minute of only denials."""
        if not isinstance(error, Denied):
            self._denied_since = None
            return
        now = self._clock()
        if self._denied_since is None:
            self._denied_since = now
        if now - self._denied_since >= DENIED_SECONDS:
            raise error


async def check_crd(client: KubeClient, kind: Resource, namespaces: Sequence[str]) -> None:
    """Return if `kind` is served. kopf would silently wait for a kind that is not served.

    Raises:
        Invalid: it is not served; the message names the cure.
    """
    name = f"{kind.plural}.{kind.group}"
    try:
        # The selector matches nothing: only whether the kind is served matters.
        await answered(
            lambda: client.list(kind, next(iter(namespaces), None), field_selector="metadata.name=none"),
        )
    except NotFound:
        raise Invalid(f"the API server has no {CRDS.plural} {name}; apply crds/{kind.plural}.yaml first") from None


async def cluster_uid(client: KubeClient) -> str:
    """Return the cluster's identity: the uid of kube-system, by convention."""
    return str((await answered(lambda: client.get(NAMESPACES, None, "kube-system")))["metadata"]["uid"])


async def answered(request: Callable[[], Awaitable[T]]) -> T:
    """Call `request` until the API server answers; raises permanent errors."""
    retry = StartupRetry(time.monotonic)
    while True:
        try:
            return await request()
        except (Unavailable, Denied) as error:
            retry.tolerate(error)
            logger.warning("operator.waiting", extra={"error": str(error)})
        await asyncio.sleep(WAIT_SECONDS)
