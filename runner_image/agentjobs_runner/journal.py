"""The journal of a job's steps: what was recorded answers at once in later starts, what is new is recorded first.

Engines use it. Whatever a step gave is recorded before anything acts on it, so that a start that is killed costs at
most the steps in flight. A method that records returns when the gateway has stored the step; while the gateway is away
it does not return, and the supervisor ends the start when patience has run out. The rule is docs/decisions/0031.
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
    """Digests and numbers by which a later start sees whether it asks the same."""
    usage: dict[str, int] = field(default_factory=dict)
    """What it used, by the names of `contract.USAGE`. Recording it counts it, once with a call's begin and end, and
    nothing else does."""


class Journal(Protocol):
    """The steps of the run that this start belongs to. Safe to use from any thread and any event loop."""

    def open(self, *, adk: str, scheme: str, agent: str) -> None:
        """Say what this image would run, before the first step; blocks until the recorded steps have been read.

        Args:
            adk: the version of ADK.
            scheme: of the keys; steps recorded under another scheme cannot be found again.
            agent: digest of the agent's definition and code.

        Raises:
            StartEnded: VersionMismatch when the recorded steps were made by other versions, and the job's
                `retry.onVersionChange` or the scheme forbids to go on; StepUnreadable.
        """
        ...

    @property
    def resumes(self) -> bool:
        """Whether earlier starts of the run recorded steps; after `open`, which may begin another run."""
        ...

    @property
    def has_more(self) -> bool:
        """Whether earlier starts recorded steps that this start has not come to."""
        ...

    def earlier(self) -> list[RecordedStep]:
        """Return the steps that earlier starts of the run recorded, in their order and without bodies; after `open`."""
        ...

    def ended(self, key: str) -> RecordedStep | None:
        """Return the step of that key that an earlier start recorded, or this one; None when there is none.

        None also says that the step of that key now runs for real.

        Raises:
            StartEnded: StepUnreadable when what was recorded cannot be read.
        """
        ...

    def interrupted(self, key: str) -> RecordedStep | None:
        """Return the call of that key that an earlier start began without an end."""
        ...

    async def begin(self, step: NewStep) -> None:
        """Record that a call is about to begin."""
        ...

    async def record(self, step: NewStep, body: Any, *, void: bool = False) -> None:
        """Record what a step gave.

        Args:
            body: JSON.
            void: for an answer that was refused: it counts, but no later start uses it.

        Raises:
            StartEnded: StepTooLarge when the body has more than `contract.MAX_STEP_BYTES`, JournalFull when the job has
                recorded as much as it may.
            ValueError: the body is not JSON.
        """
        ...

    def record_now(self, step: NewStep, body: Any) -> None:
        """Record what a step gave, from code that cannot await: blocks until it is stored.

        In an event loop's own thread, it holds up all that runs in that loop.
        """
        ...

    async def void(self, keys: Sequence[str]) -> None:
        """Let no later start use the steps of these keys: what they gave made the run fail."""
        ...
