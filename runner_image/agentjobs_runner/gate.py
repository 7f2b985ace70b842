"""The gate before every step: no model call and no tool starts while the runner is stopping or the gateway is away.

`close` is called from the supervisor's thread, the rest from the agent's (`step_plugin`). Knows nothing of ADK.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from agentjobs_runner.steps import StepKey

# How soon a waiting step sees that the gateway is back: short beside a model call.
POLL_SECONDS: Final = 0.05
# For steps under way, before one that may not begin ends the start. One of them may wait for that one.
RUN_OUT_SECONDS: Final = 600.0


class Flag(Protocol):
    """What is set or not, as a `threading.Event` is."""

    def is_set(self) -> bool:
        """Whether it is set."""
        ...


class AllSet:
    """Set while all of its flags are."""

    def __init__(self, *flags: Flag) -> None:
        self._flags = flags

    def is_set(self) -> bool:
        """Whether all are set."""
        return all(flag.is_set() for flag in self._flags)


class Gate:
    """Counts the steps that run, holds those that may not start, and says when nothing is left behind a closed gate.

    Args:
        recorded: set while steps may begin.
        at_boundary: called when the gate is closed and nothing runs.
        progressed: called at each sign that steps go on, also those of agents inside tools, which no event tells.
    """

    def __init__(self, recorded: Flag, at_boundary: Callable[[], None], progressed: Callable[[], None]) -> None:
        self._recorded = recorded
        self._at_boundary = at_boundary
        self._progressed = progressed
        self._lock = threading.Lock()
        self._running: dict[StepKey | str, tuple[str, asyncio.Task[Any] | None]] = {}
        """With the name and the task of each: a step whose task was cancelled has ended, though nothing says so."""
        self._held = 0
        self._closed = False
        self._until: float | None = None
        self._process = os.getpid()

    async def enter(self, step: StepKey | str, named: str = "a step", *, within: tuple[StepKey, ...] = ()) -> None:
        """Begin `step`, or wait: until the gateway is back, or, when the gate is closed, until the process ends.

        `named` is what people know the step by, `within` are the steps that cannot end before it: they wait with it.
        """
        self.end_copies()
        while not (self._recorded.is_set() or self._closed):  # noqa: ASYNC110  both are set by other threads
            await asyncio.sleep(POLL_SECONDS)
        if self._closed:
            with self._lock:
                self._held += 1
                for outer in within:
                    self._running.pop(outer, None)
            self._check_idle()
            await asyncio.Event().wait()
        with self._lock:
            self._running = {**self._alive(), step: (named, asyncio.current_task())}

    async def run_out(self, *, within: tuple[StepKey, ...] = ()) -> None:
        """Wait until the steps that run have ended, for one that may not begin and ends all.

        What they do is paid for, or has happened: it must be recorded. `within` are the steps that cannot end before.
        """
        with self._lock:
            for outer in within:
                self._running.pop(outer, None)
        with suppress(TimeoutError):
            async with asyncio.timeout(RUN_OUT_SECONDS):
                while self.running and not self._closed:  # noqa: ASYNC110  other threads end what it waits for
                    await asyncio.sleep(POLL_SECONDS)

    def note(self, step: StepKey | str, named: str) -> None:
        """Begin `step` without waiting, also behind a closed gate: of code that cannot await, or inside of a step."""
        self.end_copies()
        with self._lock:
            self._running = {**self._alive(), step: (named, None)}

    def leave(self, step: StepKey | str) -> None:
        """End `step`; harmless when it was never begun."""
        self.end_copies()
        self._progressed()
        with self._lock:
            self._running.pop(step, None)
        self._check_idle()

    def runs(self, step: StepKey) -> bool:
        """Whether `step` was begun and not ended."""
        with self._lock:
            return step in self._running

    def note_progress(self) -> None:
        """Note that a step has not ended but shows life: a part of an answer came."""
        self._progressed()

    @property
    def running(self) -> str:
        """Which steps run, in words; empty when none does."""
        with self._lock:
            return " and ".join(named for named, _ in self._alive().values())

    @property
    def closed(self) -> bool:
        """Whether no further step may begin, because the runner was told to stop."""
        return self._closed

    @property
    def until(self) -> float | None:
        """The instant, by `time.monotonic`, when a start that does not end by itself is ended; None for none."""
        return self._until

    def close(self, until: float | None = None) -> None:
        """Let no further step begin; `at_boundary` is called once those that run have ended and one was held.

        `until` is when those that run are left.
        """
        self._until = until
        self._closed = True
        self._check_idle()

    def _alive(self) -> dict[StepKey | str, tuple[str, asyncio.Task[Any] | None]]:
        return {step: (named, task) for step, (named, task) in self._running.items() if not (task and task.cancelled())}

    def end_copies(self) -> None:
        """End the process if it is a copy of the start's, which a step forked."""
        # A forked child may go on with a copy of the agent; it must neither call models nor report, and locks that
        # other threads held when it was made stay locked in it.
        if os.getpid() != self._process:
            os._exit(70)

    def _check_idle(self) -> None:
        with self._lock:
            idle = self._closed and self._held > 0 and not self._alive()
        if idle:
            self._at_boundary()
