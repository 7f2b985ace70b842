"""Binds PersistentVolumeClaims immediately, and removes deleted ones when no pod uses them.

There are no PersistentVolume objects: a claim is bound to a name only, and the node creates the folder.
"""

import asyncio
from typing import Final

from devcluster.client import CLAIMS, PODS, ApiError, Client, Object
from devcluster.controllers.keyed import KeyedQueue

PROTECTION: Final = "kubernetes.io/pvc-protection"
_BOUND: Final = {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
_RECHECK_SECONDS = 0.3
_Key = tuple[str, str]


class ClaimBinder:
    """Run it as a task; it ends by cancellation."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._queue: KeyedQueue[_Key] = KeyedQueue(self._advance, workers=2)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            group.create_task(self._watch())

    async def _watch(self) -> None:
        async for event in self._client.follow(CLAIMS):
            for claim in event.items:
                self._queue.add((claim["metadata"]["namespace"], claim["metadata"]["name"]))

    async def _advance(self, key: _Key) -> float | None:
        namespace, name = key
        try:
            claim = await self._client.get(CLAIMS, namespace, name)
            if claim["metadata"].get("deletionTimestamp"):
                return await self._release(claim)
            if (claim.get("status") or {}).get("phase") != "Bound":
                await self._bind(claim)
        except ApiError as error:
            if error.code != 404:
                raise
        return None

    async def _bind(self, claim: Object) -> None:
        meta, spec = claim["metadata"], claim["spec"]
        where = meta["namespace"], meta["name"]
        volume = spec.get("volumeName") or f"pvc-{meta['uid']}"
        of_this = {"uid": meta["uid"]}  # a precondition: there may be a newer claim of that name
        body = {"metadata": of_this | {"annotations": _BOUND}, "spec": {"volumeName": volume}}
        await self._client.patch(CLAIMS, *where, body)
        status = {
            "phase": "Bound",
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
        }
        await self._client.patch(CLAIMS, *where, {"metadata": of_this, "status": status}, subresource="status")

    async def _release(self, claim: Object) -> float | None:
        """Remove the finalizer of a deleted claim if no pod uses it; otherwise return when to check again."""
        meta = claim["metadata"]
        finalizers = meta.get("finalizers") or []
        if PROTECTION not in finalizers:
            return None
        pods, _ = await self._client.list(PODS, meta["namespace"])
        if any(meta["name"] in claims_of(pod) and _runs(pod) for pod in pods):
            return _RECHECK_SECONDS
        left = [each for each in finalizers if each != PROTECTION]
        body = {"metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"], "finalizers": left}}
        await self._client.patch(CLAIMS, meta["namespace"], meta["name"], body)
        return None


def claims_of(pod: Object) -> list[str]:
    """Return the names of the claims that a pod mounts."""
    volumes = pod["spec"].get("volumes") or []
    return [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if volume.get("persistentVolumeClaim")]


def _runs(pod: Object) -> bool:
    """Whether a pod may be using the volume: not without a node, and no pod starts with a deleted claim."""
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return bool(pod["spec"].get("nodeName")) and not ended
