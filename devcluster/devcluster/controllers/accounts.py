"""Creates the service account `default` and the ConfigMap with the server's CA in every namespace."""

import asyncio

from devcluster.client import (
    CONFIG_MAPS,
    NAMESPACES,
    SERVICE_ACCOUNTS,
    ApiError,
    Client,
    Object,
    Resource,
)
from devcluster.controllers.keyed import KeyedQueue


class DefaultAccounts:
    """Run it as a task; it ends by cancellation. `ca` is the PEM text for `kube-root-ca.crt`, empty for none."""

    def __init__(self, client: Client, *, ca: str = "") -> None:
        self._client = client
        self._ca = ca
        self._queue: KeyedQueue[str] = KeyedQueue(self._provide, workers=2)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            group.create_task(self._watch())

    async def _watch(self) -> None:
        async for event in self._client.follow(NAMESPACES):
            for namespace in event.items:
                if not namespace["metadata"].get("deletionTimestamp"):
                    self._queue.add(namespace["metadata"]["name"])

    async def _provide(self, namespace: str) -> None:
        account: Object = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await self._unless_there(SERVICE_ACCOUNTS, namespace, account)
        if self._ca:
            root = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt"}}
            await self._unless_there(CONFIG_MAPS, namespace, root | {"data": {"ca.crt": self._ca}})

    async def _unless_there(self, resource: Resource, namespace: str, body: Object) -> None:
        try:
            await self._client.create(resource, namespace, body)
        except ApiError as error:
            # 409: it exists. 403 and 404: the namespace is being deleted or gone.
            if error.code not in (403, 404, 409):
                raise
