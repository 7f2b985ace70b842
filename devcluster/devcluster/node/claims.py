"""The folders of PersistentVolumeClaims on the node: they outlive pods, and are deleted with their claim."""

import asyncio
import shutil
from pathlib import Path

from devcluster.client import CLAIMS, Client, Listing


class ClaimFolders:
    """Deletes the folders of deleted claims. Run it as a task; it ends by cancellation."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._client = client
        self._folder = folder

    async def run(self) -> None:
        async for event in self._client.follow(CLAIMS):
            if isinstance(event, Listing):
                await self._sweep({claim["metadata"]["uid"] for claim in event.items})
            elif event.type == "DELETED":
                await self._delete(event.object["metadata"]["uid"])

    async def _sweep(self, listed: set[str]) -> None:
        """Delete folders without a claim, which may exist because this node was not running for some time."""
        folders = {entry.name for entry in self._folder.iterdir()} if self._folder.is_dir() else set()
        if not (unknown := folders - listed):
            return
        # A pod may have created a folder since the list: its claim exists, so a new list contains it.
        claims, _ = await self._client.list(CLAIMS)
        for uid in unknown - {claim["metadata"]["uid"] for claim in claims}:
            await self._delete(uid)

    async def _delete(self, uid: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._folder / uid, ignore_errors=True)
