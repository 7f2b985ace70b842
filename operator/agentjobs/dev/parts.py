"""The child programs of a development cluster, each with its log; the unexpected end of one ends all."""

import asyncio
import signal
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from devcluster.process import Child, Forks, spawn

_TAIL_LINES = 20
_STOP_SECONDS = 5.0


class PartEnded(Exception):
    """A part of the cluster ended unexpectedly. The message has its name and the end of its log."""

    def __init__(self, name: str, how: str, log: Path) -> None:
        super().__init__(f"{name} {how}; the end of {log}:\n{tail(log)}")
        self.name = name


class Part:
    """A program that can be started, ended and started again. Its output goes to `log`.

    Args:
        restarts: a status of 0 requests a new process; the operator does this after a change of its files.
        forks: starts the command if it takes it, instead of exec.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        folder: Path,
        restarts: bool = False,
        forks: Forks | None = None,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = list(command)
        self.env = dict(env)
        self._folder = folder
        self._restarts = restarts
        self._forks = forks
        self.child: Child | None = None
        self._wanted = asyncio.Event()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.child = spawn(self._command, env=self.env, folder=self._folder, output=log, forks=self._forks)
        self._wanted.set()

    async def watch(self) -> None:
        """Raise `PartEnded` when the program ends without a call of `end`; never return."""
        while True:
            await self._wanted.wait()
            child = self.child
            code = 0 if child is None else await child.wait()
            if child is not self.child or not self._wanted.is_set():
                continue
            if self._restarts and code == 0:
                self.start()
            else:
                raise PartEnded(self.name, _ending(code), self.log)

    def send(self, number: int) -> None:
        """Send a signal that does not end the program, such as SIGSTOP."""
        if self.child is not None:
            self.child.send(number)

    async def end(self, number: int = signal.SIGTERM, *, grace: float = _STOP_SECONDS) -> None:
        """End the program by signal `number`; SIGKILL simulates a crash."""
        self._wanted.clear()
        if self.child is not None:
            await self.child.stop(grace, number=number)


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """Return the last lines of a log, indented."""
    try:
        text = log.read_text(errors="replace")
    except OSError as error:
        return f"  (no log: {error.strerror})"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (empty)"


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with status {code}"


async def first_failure(watches: Sequence["asyncio.Task[None]"]) -> BaseException | None:
    """Return the first error of tasks; None when all of them ended without one."""
    left = set(watches)
    while left:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                return error
    return None


async def all_of(*waits: Coroutine[Any, Any, Any]) -> None:
    """Wait for all coroutines; the first failure cancels the others."""
    async with asyncio.TaskGroup() as group:
        for wait in waits:
            group.create_task(wait)


async def unless_broken(work: Coroutine[Any, Any, None], failure: "asyncio.Task[BaseException | None]") -> None:
    """Run `work`; raise immediately if the cluster fails meanwhile."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task, failure}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise failure.result() or RuntimeError("the cluster's parts ended while it was starting")
        task.result()
    finally:
        task.cancel()
