"""Asks history what has changed, once a second for all who listen, and never while nobody does. One a process."""

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
"""Between two questions."""


class ChangeFeed:
    """Tells listeners what changes, for as long as they are in its `with` block.

    Args:
        pause: seconds between two questions.
    """

    def __init__(self, *, pause: float = PAUSE_SECONDS) -> None:
        self.board = Board(uuid.uuid4().hex[:12])
        self.closed = False
        """Whether all who listen are to leave."""
        self._pause = pause
        self._mark: str | None = None
        # Told one question later: answers from before these changes, which whoever hears of them must not get, are too
        # old to be shared by then (shared_reads.py), in every process.
        self._held: Changes | None = None
        self._failed = False
        """Whether the last question was not answered."""
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def listening(self, listener: Listener, *, last: str | None, history: _History) -> Iterator[None]:
        """Have a listener hear of changes.

        Args:
            last: `Board.id_of` of when it listened before; None for the first time.
            history: returns what is asked; may raise errors of ours while that cannot be known yet.
        """
        self.board.join(listener, last=last, now=_now())
        if self._task is None or self._task.done():
            # It lives as long as somebody listens, and looks after itself.
            self._task = asyncio.get_running_loop().create_task(self._ask(history), name="changes")
        try:
            yield
        finally:
            self.board.leave(listener)

    def close(self) -> None:
        """Have all who listen leave: the process stops."""
        self.closed = True
        for each in self.board.listeners:
            each.wake()

    async def _ask(self, history: _History) -> None:
        while self.board.listeners:
            await self._ask_once(history)
            await asyncio.sleep(self._pause)

    async def _ask_once(self, history: _History) -> None:
        try:
            changes = await (await history()).changes(self._mark, watched=self.board.watched)
        except errors.AgentJobsError as error:
            self._note_away()
            logger.debug("changes.away", extra={"error": str(error)})
        except Exception:
            # Whatever it was, pages must not stand still for ever because of it.
            self._note_away()
            logger.exception("changes.failed")
        else:
            self._failed = False
            first, self._mark = self._mark is None, changes.mark
            if self._held is not None or first:
                self.board.tell(self._held or changes, now=_now(), first=first)
            self._held = None if first else changes

    def _note_away(self) -> None:
        # One question later, too: whoever asks at once would be answered what was shared before, and never hear more.
        if self._failed:
            self.board.tell_away()
        self._failed = True


def _now() -> float:
    return asyncio.get_running_loop().time()
