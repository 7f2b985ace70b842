"""Reads changes from history once a second for all streams of a process, and only while there are streams."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from agentjobs import errors
from agentjobs.gateway.changes import Board, Listener
from agentjobs.gateway.shared_reads import FRESH_SECONDS
from agentjobs.history.change_records import Changes
from agentjobs.history.overview_protocols import ChangeReads

logger = logging.getLogger(__name__)

_History = Callable[[], Awaitable[ChangeReads]]
PAUSE_SECONDS: Final = FRESH_SECONDS
"""The pause between two queries."""


class ChangeFeed:
    """Sends changes to listeners, as long as they are in its `with` block.

    Args:
        pause: seconds between two queries.
    """

    def __init__(self, *, pause: float = PAUSE_SECONDS) -> None:
        self.board = Board(uuid.uuid4().hex[:12])
        self.closed = False
        """Whether all streams should end."""
        self._pause = pause
        self._mark: str | None = None
        # Changes are reported one query later. By then shared answers from before these changes have expired in every
        # process (shared_reads.py), so a page that reloads gets new results.
        self._held: Changes | None = None
        self._failed = False
        """Whether the last query failed."""
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def listening(self, listener: Listener, *, last: str | None, history: _History) -> Iterator[None]:
        """Send changes to a listener.

        Args:
            last: `Board.id_of` at the end of its previous stream; None for the first stream.
            history: returns the source of changes; may raise an AgentJobsError while it is unavailable.
        """
        self.board.join(listener, last=last, now=_now())
        if self._task is None or self._task.done():
            # It runs as long as there are listeners, and ends by itself.
            self._task = asyncio.get_running_loop().create_task(self._poll(history), name="changes")
        try:
            yield
        finally:
            self.board.leave(listener)

    def close(self) -> None:
        """End all streams, because the process stops."""
        self.closed = True
        for each in self.board.listeners:
            each.wake()

    async def _poll(self, history: _History) -> None:
        while self.board.listeners:
            await self._poll_once(history)
            await asyncio.sleep(self._pause)

    async def _poll_once(self, history: _History) -> None:
        try:
            changes = await (await history()).changes(self._mark, watched=self.board.watched)
        except errors.AgentJobsError as error:
            self._note_away()
            logger.debug("changes.unavailable", extra={"error": str(error)})
        except Exception:
            # The loop must survive any error, or pages would never be updated again.
            self._note_away()
            logger.exception("changes.failed")
        else:
            self._failed = False
            first, self._mark = self._mark is None, changes.mark
            if self._held is not None or first:
                self.board.publish(self._held or changes, now=_now(), first=first)
            self._held = None if first else changes

    def _note_away(self) -> None:
        # One query later, too: until then, a page that reloads would get a shared answer from before.
        if self._failed:
            self.board.publish_away()
        self._failed = True


def _now() -> float:
    return asyncio.get_running_loop().time()
