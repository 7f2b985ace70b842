"""A journal that keeps the agent's files before it records a step's end.

So for a recorded step its files are kept, too, and a later start that replays it has them.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import Any, Final, Protocol

from agentjobs.contract import RecordedStep, StepKind
from agentjobs_runner.journal import Journal, NewStep
from agentjobs_runner.threads import in_thread

# A model's answer changes no file. A user's `step()` may have.
_CHANGE_FILES: Final = frozenset({StepKind.TOOL, StepKind.NODE, StepKind.VALUE})


class Files(Protocol):
    """The journal's operations on the agent's files. They block, and do not raise if files cannot be kept."""

    def keep(self) -> None:
        """Keep changes."""
        ...

    def secure(self) -> None:
        """Keep the run's base."""
        ...

    def undo(self) -> None:
        """Reset the files to the run's base, because another run begins."""
        ...


class SavingJournal:
    """Implements `journal.Journal`.

    Args:
        journal: records the steps.
        files: the agent's.
    """

    def __init__(self, journal: Journal, files: Files) -> None:
        self._journal = journal
        self._files = files
        self._secured = False
        self._lock = threading.Lock()
        self._recording: dict[Future[None], str] = {}
        """Steps whose files are being kept, until they are recorded, and their keys."""

    def open(self, *, adk: str, scheme: str, agent: str) -> None:
        """Compare versions with this image's; if the run begins again, so do its files."""
        self._journal.open(adk=adk, scheme=scheme, agent=agent)
        if not self._journal.resumes:
            self._files.undo()

    @property
    def resumes(self) -> bool:
        """Whether earlier starts of the run recorded steps."""
        return self._journal.resumes

    @property
    def has_more(self) -> bool:
        """Whether recorded steps remain that this start has not reached."""
        return self._journal.has_more

    def earlier(self) -> list[RecordedStep]:
        """Return the recorded steps of earlier starts of the run."""
        return self._journal.earlier()

    def ended(self, key: str) -> RecordedStep | None:
        """Return the step with this key; blocks while its files are being kept."""
        wait([recording for recording, other in list(self._recording.items()) if other == key])
        return self._journal.ended(key)

    def interrupted(self, key: str) -> RecordedStep | None:
        """Return the unfinished call with this key."""
        return self._journal.interrupted(key)

    async def begin(self, step: NewStep) -> None:
        """Record that a call is about to begin."""
        await self._journal.begin(step)
        await self._secured_in_thread()

    async def record(self, step: NewStep, body: Any, *, void: bool = False) -> None:
        """Keep the files, then record a step's result, even if the caller is cancelled meanwhile: the step happened."""
        if step.kind in _CHANGE_FILES and not void:
            await in_thread(self._keep_and_record, step, body, self._track(step))
        else:
            await self._journal.record(step, body, void=void)
            await self._secured_in_thread()

    def record_now(self, step: NewStep, body: Any) -> None:
        """Keep the files, then record a step's result; blocks."""
        if step.kind in _CHANGE_FILES:
            self._keep_and_record(step, body, self._track(step))
        else:
            self._journal.record_now(step, body)
            self._secure()

    def is_recording(self) -> bool:
        """Whether files of a step are being kept that the journal does not have yet."""
        return bool(self._recording)

    async def void(self, keys: Sequence[str]) -> None:
        """Make the steps with these keys void for later starts."""
        await self._journal.void(keys)

    def _track(self, step: NewStep) -> "Future[None]":
        """Return a future for a step, before the work begins; done when the step is recorded or refused."""
        recording: Future[None] = Future()
        self._recording[recording] = step.key
        return recording

    def _keep_and_record(self, step: NewStep, body: Any, recording: "Future[None]") -> None:
        try:
            self._files.keep()
            self._journal.record_now(step, body)
            self._secure()
        finally:
            del self._recording[recording]
            recording.set_result(None)

    async def _secured_in_thread(self) -> None:
        if not self._secured:
            await in_thread(self._secure)

    def _secure(self) -> None:
        """After the first recorded step the run is this start's: earlier kept files may belong to another."""
        with self._lock:
            if not self._secured:
                self._files.secure()
                self._secured = True
