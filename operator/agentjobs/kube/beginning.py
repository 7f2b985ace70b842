"""What a process asks of the API server before it begins its work, until it answers."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from agentjobs.api_resource import Resource
from agentjobs.errors import Denied, Invalid, NotFound, Unavailable
from agentjobs.kube.client import KubeClient
from agentjobs.kube.patience import Patience
from agentjobs.kube.resources import CRDS, NAMESPACES

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

WAIT_SECONDS: Final = 1.0


async def check_crd(client: KubeClient, kind: Resource, namespaces: Sequence[str]) -> None:
    """Return if `kind` is served. kopf would wait in silence for one that is not.

    Raises:
        Invalid: it is not; the message has the cure.
    """
    name = f"{kind.plural}.{kind.group}"
    try:
        # Whether the kind is served, not what there is of it.
        await answered(
            lambda: client.list(kind, next(iter(namespaces), None), field_selector="metadata.name=none"),
        )
    except NotFound:
        raise Invalid(f"the API server has no {CRDS.plural} {name}; apply crds/{kind.plural}.yaml first") from None


async def cluster_uid(client: KubeClient) -> str:
    """The cluster's identity: the uid of kube-system, by convention."""
    return str((await answered(lambda: client.get(NAMESPACES, None, "kube-system")))["metadata"]["uid"])


async def answered(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask the API server until it answers; raises what waiting cannot heal."""
    patience = Patience(time.monotonic)
    while True:
        try:
            return await ask()
        except (Unavailable, Denied) as error:
            patience.bear(error)
            logger.warning("operator.waiting", extra={"error": str(error)})
        await asyncio.sleep(WAIT_SECONDS)
