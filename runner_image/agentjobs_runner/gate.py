"""The gate before every step: no model call or tool call begins while the runner stops or the gateway is unavailable.

`close` is called from the supervisor's thread, the rest from the agent's (`step_plugin`). Independent of ADK.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from agentjobs_runner.steps import StepKey

# Polling interval of a waiting step: short compared with a model call.
POLL_SECONDS: Final = 0.05
# Time for running steps, before a rejected step ends the start. One of them may wait for it.
RUN_OUT_SECONDS: Final = 600.0


class Flag(Protocol):
    """A flag like `threading.Event`."""

    def is_set(self) -> bool:
        """Whether it is set."""
        ...


class AllSet:
    """Set while all of its flags are set."""

    def __init__(self, *flags: Flag) -> None:
        self._flags = flags

    def is_set(self) -> bool:
        """Whether all are set."""
        return all(flag.is_set() for flag in self._flags)


class Gate:
    """Counts running steps, holds back new ones, and reports when nothing runs behind a closed gate.

    Args:
        recorded: set while steps may begin.
        at_boundary: called when the gate is closed and no step runs.
        progressed: called for each sign of progress, including agents inside tools, which cause no events.
    """

    def __init__(self, recorded: Flag, at_boundary: Callable[[], None], progressed: Callable[[], None]) -> None:
        self._recorded = recorded
        self._at_boundary = at_boundary
        self._progressed = progressed
        self._lock = threading.Lock()
        self._running: dict[StepKey | str, tuple[str, asyncio.Task[Any] | None]] = {}
        """Name and task of each: a step whose task was cancelled has ended without a notice."""
        self._held = 0
        self._closed = False
        self._until: float | None = None
        self._process = os.getpid()

    async def enter(self, step: StepKey | str, named: str = "a step", *, within: tuple[StepKey, ...] = ()) -> None:
        """Begin `step`, or wait: until the gateway is available, or, behind a closed gate, until the process ends.

        `named` is the name for people, `within` are steps that cannot end before it: they wait with it.
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
        """Wait for running steps, before a rejected step ends the start.

        They are paid for or have taken effect, so they must be recorded. `within` are steps that cannot end before.
        """
        with self._lock:
            for outer in within:
                self._running.pop(outer, None)
        with suppress(TimeoutError):
            async with asyncio.timeout(RUN_OUT_SECONDS):
                while self.running and not self._closed:  # noqa: ASYNC110  other threads end what it waits for
                    await asyncio.sleep(POLL_SECONDS)

    def note(self, step: StepKey | str, named: str) -> None:
        """Begin `step` without waiting, even behind a closed gate: for code that cannot await, or inside a step."""
        self.end_copies()
        with self._lock:
            self._running = {**self._alive(), step: (named, None)}

    def leave(self, step: StepKey | str) -> None:
        """End `step`; does nothing if it has not begun."""
        self.end_copies()
        self._progressed()
        with self._lock:
            self._running.pop(step, None)
        self._check_idle()

    def runs(self, step: StepKey) -> bool:
        """Whether `step` has begun and not ended."""
        with self._lock:
            return step in self._running

    def note_progress(self) -> None:
        """Record progress of a running step: a part of an answer has arrived."""
        self._progressed()

    @property
    def running(self) -> str:
        """The running steps as text; empty if there are none."""
        with self._lock:
            return " and ".join(named for named, _ in self._alive().values())

    @property
    def closed(self) -> bool:
        """Whether no further step may begin, because the runner was stopped."""
        return self._closed

    @property
    def until(self) -> float | None:
        """When a start that does not end by itself is ended (`time.monotonic`); None without a limit."""
        return self._until

    def close(self, until: float | None = None) -> None:
        """Allow no further step; `at_boundary` is called when running steps have ended and one was held back.

        `until` is when running steps are abandoned.
        """
        self._until = until
        self._closed = True
        self._check_idle()

    def _alive(self) -> dict[StepKey | str, tuple[str, asyncio.Task[Any] | None]]:
        return {step: (named, task) for step, (named, task) in self._running.items() if not (task and task.cancelled())}

    def end_copies(self) -> None:
        """End the process if it is a forked copy of the start's process."""
        # A forked child may continue with a copy of the agent; it must neither call models nor report, and locks that
        # other threads held at the fork stay locked in it.
        if os.getpid() != self._process:
            os._exit(70)

    def _check_idle(self) -> None:
        with self._lock:
            idle = self._closed and self._held > 0 and not self._alive()
        if idle:
            self._at_boundary()
