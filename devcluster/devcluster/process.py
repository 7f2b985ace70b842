"""Child processes that end with their parent, even when the parent is killed with SIGKILL.

Every child has its own session and process group. Two mechanisms end it: on Linux the kernel kills it when the parent
ends (PR_SET_PDEATHSIG), and on every system a guard, a small process at the other end of a pipe, kills whole groups
when that pipe closes, including grandchildren. On Linux, containers have a mark, by which processes are found that have
left the group, such as daemons. Children must be started from the event loop's thread, because the kernel sends the
signal when the *thread* that forked ends.
"""

import asyncio
import atexit
import contextlib
import ctypes
import itertools
import os
import secrets
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from devcluster import guard as guard_program
from devcluster.guard import MARK, kill_marked

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class _Guard:
    """The guard of this process: kills the groups of its children when it ends. Started with the first child."""

    def __init__(self) -> None:
        read_end, self._write_end = os.pipe()
        self.owner = os.getpid()
        self._cluster = secrets.token_hex(8)
        self._marks = itertools.count(1)
        self._process = subprocess.Popen(  # noqa: S603  this interpreter and a file of this package
            [sys.executable, "-I", "-S", guard_program.__file__, f"{self._cluster}/"],
            stdin=read_end,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read_end)
        atexit.register(self._close)

    def new_mark(self) -> str:
        """Return a new mark for a container."""
        return f"{self._cluster}/{next(self._marks)}/"

    def adopt(self, group: int) -> None:
        """Add a group. It must exist: otherwise its number may later belong to another program."""
        self._send(b"+%d\n" % group)

    def release(self, group: int) -> None:
        """Remove a group that has ended."""
        self._send(b"-%d\n" % group)

    def _send(self, line: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # the guard was killed; the kernel's signal remains
            os.write(self._write_end, line)

    def _close(self) -> None:
        if os.getpid() != self.owner:
            return
        os.close(self._write_end)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)


_guard: _Guard | None = None


def _the_guard() -> _Guard:
    global _guard
    if _guard is None or _guard.owner != os.getpid():
        _guard = _Guard()
    return _guard


def _load_prctl() -> Callable[..., int] | None:
    """Return `prctl`. It is loaded before any fork, because a child must not load anything between fork and exec."""
    if sys.platform != "linux":
        return None
    function: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
    return function


_prctl = _load_prctl()


def tie_to(parent: int) -> Callable[[], None]:
    """Return the function that the child calls before exec.

    CPython calls it after it has changed the uid, which would clear the death signal.
    """

    def tie() -> None:
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the signal was armed
            os._exit(1)

    return tie


class Process(Protocol):
    """The common interface of `subprocess.Popen` and `forkserver.Forked`."""

    @property
    def pid(self) -> int: ...

    @property
    def stdout(self) -> IO[bytes] | None: ...

    def wait(self) -> int: ...


class Forks(Protocol):
    """Starts the commands that it takes, instead of exec: a `forkserver.ForkServer`, or several of them."""

    def takes(self, command: Sequence[str], env: Mapping[str, str]) -> bool: ...

    def start(
        self, command: Sequence[str], *, env: Mapping[str, str], folder: Path | None, output: IO[bytes] | int
    ) -> Process: ...


class Child:
    """A running child and its group. Created by `spawn`."""

    def __init__(self, process: Process, guard: _Guard | None, mark: str | None = None) -> None:
        """Without `guard` the child is in the group of its parent, and only the child receives signals."""
        self._process = process
        self._guard = guard
        self._mark = mark
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._watch()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stdout(self) -> IO[bytes] | None:
        return self._process.stdout

    @property
    def returncode(self) -> int | None:
        """The exit code; the negative signal number if a signal ended it; None while it runs."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Wait for the end and return `returncode`; cancelling the wait does not end the child."""
        return await asyncio.shield(self._ended)

    def send(self, number: int) -> None:
        """Send a signal to the whole group, unless the child has ended."""
        if not self._ended.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                (os.kill if self._guard is None else os.killpg)(self.pid, number)

    async def stop(self, grace: float, *, number: int = signal.SIGTERM) -> int:
        """Send the group signal `number`, and SIGKILL after `grace` seconds; return the exit code."""
        self.send(number)
        try:
            return await asyncio.wait_for(self.wait(), grace)
        except TimeoutError:
            self.send(signal.SIGKILL)
            return await self.wait()

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        if not hasattr(os, "pidfd_open"):
            threading.Thread(target=self._wait_in_thread, args=(loop,), daemon=True, name=f"wait-{self.pid}").start()
            return
        descriptor = os.pidfd_open(self.pid)

        def ended() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            self._reap()

        loop.add_reader(descriptor, ended)

    def _wait_in_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed, nothing waits for the end
            loop.call_soon_threadsafe(self._reap)

    def _reap(self) -> None:
        if self._guard is not None:
            # While the leader is a zombie its number cannot be reused, so this is still the child's group.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        if self._mark is not None:
            kill_marked(self._mark)
        code = self._process.wait()
        if self._guard is not None:
            self._guard.release(self.pid)
        if not self._ended.done():
            self._ended.set_result(code)


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    output: IO[bytes] | int | None = subprocess.DEVNULL,
    user: int | None = None,
    group: int | None = None,
    foreground: bool = False,
    contained: bool = False,
    forks: Forks | None = None,
) -> Child:
    """Start `command` as a child that ends with this process; call it from a running event loop.

    Args:
        env: the whole environment; None inherits it.
        folder: the working folder; None inherits it.
        output: for stdout and stderr: a file, a descriptor, `subprocess.PIPE`, or None to inherit both.
        user, group: ids to run with, without supplementary groups.
        foreground: share the terminal, its input and its Ctrl-C. Such a child has no group of its own, so processes
            that it leaves behind are not ended.
        contained: mark the child, so that on Linux all its descendants end with it, also those in other sessions.
        forks: starts the commands that it accepts, instead of exec, unless they are in the foreground.

    Raises:
        OSError: the command cannot be started (not found, no permission, no such folder).
    """
    guard = None if foreground else _the_guard()
    mark = guard.new_mark() if guard is not None and contained else None
    if mark is not None:
        env = {**(os.environ if env is None else env), MARK: mark}
    if forks is not None and not foreground and env is not None and output is not None and forks.takes(command, env):
        process: Process = forks.start(command, env=env, folder=folder, output=output)
    else:
        process = _execute(
            command, env=env, folder=folder, output=output, user=user, group=group, foreground=foreground
        )
    if guard is not None:
        guard.adopt(process.pid)
    return Child(process, guard, mark)


def _execute(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None,
    folder: Path | None,
    output: IO[bytes] | int | None,
    user: int | None,
    group: int | None,
    foreground: bool,
) -> "subprocess.Popen[bytes]":
    with warnings.catch_warnings():
        # Python 3.12 warns of fork in a process with threads; `tie` only makes system calls that are safe there.
        warnings.simplefilter("ignore", DeprecationWarning)
        return subprocess.Popen(  # noqa: S603  the module runs commands
            list(command),
            env=None if env is None else dict(env),
            cwd=folder,
            stdin=None if foreground else subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            start_new_session=not foreground,
            user=user,
            group=group,
            extra_groups=None if user is None else [],
            preexec_fn=tie_to(os.getpid()),
        )
