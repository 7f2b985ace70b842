"""A journal that keeps the agent's files before it records that a step is done.

So a recorded step means that the files which it left are kept, and a later start that passes over it finds them.
"""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, Final, Protocol

from agentjobs.contract import RecordedStep, StepKind
from agentjobs_runner.journal import Journal, NewStep

# A model's answer changes no file. What a user's code gives to `step()` may have.
_CHANGE_FILES: Final = frozenset({StepKind.TOOL, StepKind.NODE, StepKind.VALUE})


class Files(Protocol):
    """What the journal does with the agent's files. Each blocks; none raises where files cannot be kept."""

    def keep(self) -> None:
        """Keep what has changed."""
        ...

    def secure(self) -> None:
        """Keep what the run begins from."""
        ...

    def undo(self) -> None:
        """Set the files as the run began, because another one begins."""
        ...


class SavingJournal:
    """Means what `journal.Journal` says.

    Args:
        journal: records the steps.
        files: the agent's.
    """

    def __init__(self, journal: Journal, files: Files) -> None:
        self._journal = journal
        self._files = files
        self._secured = False
        self._lock = threading.Lock()

    def open(self, *, adk: str, scheme: str, agent: str) -> None:
        """Take in what this image would run; the run may begin anew by that, and then its files do."""
        self._journal.open(adk=adk, scheme=scheme, agent=agent)
        if not self._journal.resumes:
            self._files.undo()

    @property
    def resumes(self) -> bool:
        """Whether earlier starts of the run recorded steps."""
        return self._journal.resumes

    @property
    def has_more(self) -> bool:
        """Whether earlier starts recorded steps that this start has not come to."""
        return self._journal.has_more

    def earlier(self) -> list[RecordedStep]:
        """Return the steps that earlier starts of the run recorded."""
        return self._journal.earlier()

    def ended(self, key: str) -> RecordedStep | None:
        """Return the step of that key."""
        return self._journal.ended(key)

    def interrupted(self, key: str) -> RecordedStep | None:
        """Return the call of that key that did not end."""
        return self._journal.interrupted(key)

    async def begin(self, step: NewStep) -> None:
        """Record that a call is about to begin."""
        await self._journal.begin(step)
        await asyncio.to_thread(self._secure)

    async def record(self, step: NewStep, body: Any, *, void: bool = False) -> None:
        """Keep the files, and then record what a step gave."""
        if step.kind in _CHANGE_FILES and not void:
            await asyncio.to_thread(self._files.keep)
        await self._journal.record(step, body, void=void)
        await asyncio.to_thread(self._secure)

    def record_now(self, step: NewStep, body: Any) -> None:
        """Keep the files, and then record what a step gave; blocks."""
        if step.kind in _CHANGE_FILES:
            self._files.keep()
        self._journal.record_now(step, body)
        self._secure()

    async def void(self, keys: Sequence[str]) -> None:
        """Let no later start use the steps of these keys."""
        await self._journal.void(keys)

    def _secure(self) -> None:
        """Once the first step is recorded, the run is this start's: what was kept before may be another's."""
        with self._lock:
            if not self._secured:
                self._files.secure()
                self._secured = True
