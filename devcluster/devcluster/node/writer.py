"""Writes the newest status of one pod to the API, so that a pod that ends immediately needs one write."""

import asyncio

from devcluster.client import PODS, ApiError, Client, Object

_RETRY_SECONDS = 0.1
_RETRY_MAX_SECONDS = 5.0


class StatusWriter:
    """Writes the newest status, in order; retries while the server is unavailable, stops when the pod is deleted."""

    def __init__(self, client: Client, pod: Object) -> None:
        metadata = pod["metadata"]
        self._client = client
        self._namespace, self._name, self._uid = metadata["namespace"], metadata["name"], metadata["uid"]
        self._pending: Object | None = None
        self._task: asyncio.Task[None] | None = None
        self.deleted = False

    def push(self, status: Object) -> None:
        """Write `status` in the background, instead of an older one that is still pending."""
        self._pending = status
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def flush(self) -> None:
        """Wait until every status is written or the pod is deleted."""
        while self._task is not None and not self._task.done():
            await asyncio.shield(self._task)

    def close(self) -> None:
        """Cancel a write in progress."""
        if self._task is not None:
            self._task.cancel()

    async def _write(self) -> None:
        pause = _RETRY_SECONDS
        while (status := self._pending) is not None and not self.deleted:
            self._pending = None
            body: Object = {"metadata": {"uid": self._uid}, "status": status}
            try:
                await self._client.patch(PODS, self._namespace, self._name, body, subresource="status")
                pause = _RETRY_SECONDS
            except ApiError as error:
                self.deleted = await self._is_deleted(error)
                self._pending = self._pending or status
                await asyncio.sleep(pause)
                pause = min(pause * 2, _RETRY_MAX_SECONDS)

    async def _is_deleted(self, error: ApiError) -> bool:
        """Return whether the pod is deleted. If another pod has its name, the refusal of the uid has various codes."""
        if error.code == 404:
            return True
        if error.code not in (409, 422):
            return False
        try:
            pod = await self._client.get(PODS, self._namespace, self._name)
        except ApiError as again:
            return again.code == 404
        return bool(pod["metadata"]["uid"] != self._uid)
