"""Lets runner pods go that an operator held and that no operator will ever let go: for the end of an installation.

Each runner pod carries our finalizer until its end is recorded. Without an operator such a pod cannot be deleted, and
neither can its namespace. Called by `agentjobs release-pods`, which the chart runs after everything else is gone.
Leads while it works, so that no operator of the installation makes new pods meanwhile. Never deletes a pod or a job.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from agentjobs.contract import LABEL_JOB
from agentjobs.core.pods.pod import Pod, parse_pod
from agentjobs.errors import Conflict, Denied, NotFound
from agentjobs.kube.client import KubeClient
from agentjobs.kube.elector import Elector
from agentjobs.kube.resources import LEASES, PODS

logger = logging.getLogger(__name__)

# Somebody else's write between our list and our patch makes a Conflict; the next round has the newer state.
_ROUNDS: Final = 10
_AT_ONCE: Final = 16


async def release_pods(
    client: KubeClient,
    *,
    namespaces: Sequence[str],
    lease_namespace: str,
    lease_name: str,
    identity: str,
    patience: float | None,
) -> int:
    """Take our finalizer off all runner pods and return from how many; then remove the Lease.

    Args:
        namespaces: those the operator served; none: all.
        patience: seconds to wait for an operator that still leads; None for ever.

    Raises:
        errors.Denied: the Lease did not become free in time: an operator is still there.
        errors.Unavailable: the API server is away.
    """
    elector = Elector(client, namespace=lease_namespace, name=lease_name, identity=identity)
    try:
        async with asyncio.timeout(patience):
            await elector.acquire()
    except TimeoutError:
        held = f"Lease {lease_namespace}/{lease_name} is still held after {patience:.0f} s"
        raise Denied(f"{held}: an operator runs; end it first") from None
    renewing = asyncio.create_task(elector.run())
    try:
        fenced = client.with_check(elector.held)
        released = sum([await _release_in(fenced, namespace) for namespace in namespaces or (None,)])
    finally:
        renewing.cancel()
        await elector.release()
    with suppress(NotFound):
        await client.delete(LEASES, lease_namespace, lease_name)
    return released


async def _release_in(client: KubeClient, namespace: str | None) -> int:
    released = 0
    for _ in range(_ROUNDS):
        pods, _version = await client.list_as(parse_pod, PODS, namespace, label_selector=LABEL_JOB)
        held = [pod for pod in pods if pod.has_finalizer]
        if not held:
            return released
        for begin in range(0, len(held), _AT_ONCE):
            done = await asyncio.gather(*(_let_go(client, pod) for pod in held[begin : begin + _AT_ONCE]))
            released += sum(done)
    raise Conflict(f"pods of {namespace or 'all namespaces'} are written faster than they can be let go; try again")


async def _let_go(client: KubeClient, pod: Pod) -> bool:
    try:
        await client.patch(PODS, pod.namespace, pod.name, pod.finalizer_removal)
    except (NotFound, Conflict):
        return False
    logger.info("pod.released", extra={"namespace": pod.namespace, "pod": pod.name})
    return True
