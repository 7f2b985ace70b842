"""The process node of a development cluster, which can be restarted while the cluster runs."""

import asyncio
from collections.abc import Callable
from typing import Final

from devcluster.node import ProcessNode

_POLL_SECONDS: Final = 0.02


class Nodes:
    """The process node, which is replaced by a new one at each restart."""

    def __init__(self, make: Callable[[], ProcessNode]) -> None:
        self._make = make
        self.current = make()
        self._running: asyncio.Task[None] | None = None
        self._restarting = False

    async def run(self) -> None:
        """Run the current node, and a new one after `restart`; raise any other end."""
        while True:
            self._running = asyncio.create_task(self.current.run(), name=f"node {self.current.name}")
            try:
                await asyncio.wait({self._running})
            finally:
                self._running.cancel()
                await asyncio.gather(self._running, return_exceptions=True)
            if not self._restarting:
                self._running.result()
            self._restarting = False
            self.current = self._make()

    async def restart(self) -> None:
        """Replace the node; return when the new one has registered and read its pods."""
        last = self.current
        if self._running is not None:
            self._restarting = True
            self._running.cancel()
        while self.current is last:  # noqa: ASYNC110  the processes of the old node end first
            await asyncio.sleep(_POLL_SECONDS)
        await self.current.ready.wait()
