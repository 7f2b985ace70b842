"""Removes our finalizer from runner pods after the operator is gone.

Each runner pod has our finalizer until its end is recorded. Without an operator, such a pod and its namespace cannot be
deleted. Called by `agentjobs release-pods`, which the chart runs after everything else is gone. It holds the Lease
meanwhile, so that no operator of the installation creates new pods. It never deletes a pod or a job.
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

# A write by another client between our list and our patch is a Conflict; the next round has the newer state.
_ROUNDS: Final = 10
_AT_ONCE: Final = 16


async def release_pods(
    client: KubeClient,
    *,
    namespaces: Sequence[str],
    lease_namespace: str,
    lease_name: str,
    identity: str,
    timeout: float | None,
) -> int:
    """Remove our finalizer from all runner pods, then delete the Lease. Return the number of pods.

    Args:
        namespaces: those that the operator served; empty for all.
        timeout: seconds to wait for an operator that still leads; None: forever.

    Raises:
        errors.Denied: the Lease did not become free in time, because an operator is running.
        errors.Unavailable: the API server is unreachable.
    """
    elector = Elector(client, namespace=lease_namespace, name=lease_name, identity=identity)
    try:
        async with asyncio.timeout(timeout):
            await elector.acquire()
    except TimeoutError:
        held = f"Lease {lease_namespace}/{lease_name} is still held after {timeout:.0f} s"
        raise Denied(f"{held}: an operator is running; stop it first") from None
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
            done = await asyncio.gather(*(_remove_finalizer(client, pod) for pod in held[begin : begin + _AT_ONCE]))
            released += sum(done)
    where = namespace or "all namespaces"
    raise Conflict(f"pods of {where} change faster than their finalizers can be removed; retry")


async def _remove_finalizer(client: KubeClient, pod: Pod) -> bool:
    try:
        await client.patch(PODS, pod.namespace, pod.name, pod.finalizer_removal)
    except (NotFound, Conflict):
        return False
    logger.info("pod.released", extra={"namespace": pod.namespace, "pod": pod.name})
    return True
