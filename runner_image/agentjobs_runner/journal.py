"""The journal of a job's steps: later starts replay recorded steps, new ones are recorded first.

The engines' interface. A step's result is recorded before anything acts on it, so that a killed start loses at most the
running steps. A recording method returns when the gateway has stored the step; while the gateway is unavailable it does
not return, and the supervisor ends the start after all retries. See docs/decisions/0031.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from agentjobs.contract import RecordedStep, StepKind


@dataclass(frozen=True, slots=True)
class NewStep:
    """A step to record."""

    key: str
    kind: StepKind
    agent: str
    name: str
    began: datetime
    request: dict[str, Any] = field(default_factory=dict)
    """Digests and numbers by which a later start compares its request."""
    usage: dict[str, int] = field(default_factory=dict)
    """Its usage, by `contract.USAGE`. Recording counts it, once for a call's begin and end; nothing else does."""


class Journal(Protocol):
    """The steps of this start's run. Thread-safe, for any event loop."""

    def open(self, *, adk: str, scheme: str, agent: str) -> None:
        """Compare versions with this image's, before the first step; blocks until the recorded steps have been read.

        Args:
            adk: the version of ADK.
            scheme: of the keys; steps recorded with another scheme cannot be found.
            agent: digest of the agent's definition and code.

        Raises:
            StartEnded: VersionMismatch if the recorded steps have other versions and the job's `retry.onVersionChange`
                or the scheme forbids continuing; StepUnreadable.
        """
        ...

    @property
    def resumes(self) -> bool:
        """Whether earlier starts of the run recorded steps; call it after `open`, which may begin another run."""
        ...

    @property
    def has_more(self) -> bool:
        """Whether recorded steps remain that this start has not reached."""
        ...

    def earlier(self) -> list[RecordedStep]:
        """Return the steps of earlier starts of the run, in order and without bodies; call it after `open`."""
        ...

    def ended(self, key: str) -> RecordedStep | None:
        """Return the recorded step with this key; None if it does not exist.

        After None the step runs for real. Blocks while the step is being recorded.

        Raises:
            StartEnded: StepUnreadable if the recorded step is invalid.
        """
        ...

    def interrupted(self, key: str) -> RecordedStep | None:
        """Return the call with this key that an earlier start began but did not end."""
        ...

    async def begin(self, step: NewStep) -> None:
        """Record that a call is about to begin."""
        ...

    async def record(self, step: NewStep, body: Any, *, void: bool = False) -> None:
        """Record a step's result.

        Args:
            body: JSON.
            void: for a rejected answer: it counts, but no later start uses it.

        Raises:
            StartEnded: StepTooLarge if the body exceeds `contract.MAX_STEP_BYTES`, JournalFull if the job's journal is
            full. ValueError: the body is not JSON.
        """
        ...

    def record_now(self, step: NewStep, body: Any) -> None:
        """Record a step's result from code that cannot await: blocks until it is stored.

        In an event loop's own thread it blocks the loop.
        """
        ...

    async def void(self, keys: Sequence[str]) -> None:
        """Make the steps with these keys void for later starts: their results made the run fail."""
        ...
