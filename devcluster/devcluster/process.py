"""Child processes that end with us, even when we are killed with SIGKILL.

Every child leads a session, and thereby a process group, of its own. Two belts hold it: on Linux the kernel kills it
when we vanish (PR_SET_PDEATHSIG), and everywhere a guard, one tiny process at the other end of a pipe, kills whole
groups once that pipe closes, so grandchildren go too. Containers carry a mark, by which those are found that have left
the group, as daemons do (Linux). Called by the process node, `EnvTest`, the embedded PostgreSQL
and `up`; it knows nothing of what it starts. Children are started from the event loop's thread: the kernel takes the
end of the *thread* that forked for the end of the parent.
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
from typing import IO, TYPE_CHECKING, Protocol

from devcluster import guard as guard_program
from devcluster.guard import MARK, kill_marked

if TYPE_CHECKING:
    from devcluster.forkserver import ForkServer

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class _Guard:
    """Kills the groups it was told of when we are gone. One for this process, started with the first child."""

    def __init__(self) -> None:
        read_end, self._write_end = os.pipe()
        self.owner = os.getpid()
        self._cluster = secrets.token_hex(8)
        self._marks = itertools.count(1)
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter and our own file
            [sys.executable, "-I", "-S", guard_program.__file__, f"{self._cluster}/"],
            stdin=read_end,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read_end)
        atexit.register(self._close)

    def new_mark(self) -> str:
        """Return what no other container of ours is marked with."""
        return f"{self._cluster}/{next(self._marks)}/"

    def adopt(self, group: int) -> None:
        """Tell the guard of a group that exists; one that never came to be might be another program's later."""
        self._tell(b"+%d\n" % group)

    def release(self, group: int) -> None:
        """Tell the guard that a group has ended."""
        self._tell(b"-%d\n" % group)

    def _tell(self, line: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # somebody killed the guard; the kernel's signal remains
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
    """Look the function up before any fork: between fork and exec nothing may be loaded."""
    if sys.platform != "linux":
        return None
    function: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
    return function


_prctl = _load_prctl()


def tie_to(parent: int) -> Callable[[], None]:
    """Return what a child runs before exec, to end with its parent.

    CPython calls it after the uid switch, which would clear the death signal.
    """

    def tie() -> None:
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the signal was armed
            os._exit(1)

    return tie


class Process(Protocol):
    """What `subprocess.Popen` and `forkserver.Forked` have in common."""

    @property
    def pid(self) -> int: ...

    @property
    def stdout(self) -> IO[bytes] | None: ...

    def wait(self) -> int: ...


class Child:
    """A running child and its group. Made by `spawn`."""

    def __init__(self, process: Process, guard: _Guard | None, mark: str | None = None) -> None:
        """Without `guard` the child belongs to our own group and is signalled alone."""
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
        """The exit code, minus the signal's number when one ended it, or None while it runs."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Return the exit code as `returncode` gives it; cancelling the wait leaves the child alone."""
        return await asyncio.shield(self._ended)

    def send(self, number: int) -> None:
        """Signal the whole group; nothing happens once the child has ended."""
        if not self._ended.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                (os.kill if self._guard is None else os.killpg)(self.pid, number)

    async def stop(self, grace: float, *, number: int = signal.SIGTERM) -> int:
        """Ask the group to end by signal `number` and kill it after `grace` seconds; return the exit code."""
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
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._reap)

    def _reap(self) -> None:
        if self._guard is not None:
            # While the leader is a zombie its number cannot be reused, so the group is still the one we mean.
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
    forks: "ForkServer | None" = None,
) -> Child:
    """Start `command` as a child that ends with us; call it from a running event loop.

    Args:
        env: the whole environment; None hands ours down.
        folder: the working folder; None keeps ours.
        output: where stdout and stderr go together: a file, a descriptor, `subprocess.PIPE`, or None for ours.
        user, group: numbers to become before exec; supplementary groups are dropped with them.
        foreground: share our terminal: its input, its Ctrl-C. Such a child has no group of its own, so what it leaves
            behind is its own affair.
        contained: mark the child, so that whatever it starts ends with it, also what leaves its session (Linux).
        forks: starts the contained commands that it takes, in place of exec.

    Raises:
        OSError: the command cannot be started (not found, no permission, no such folder).
    """
    guard = None if foreground else _the_guard()
    mark = guard.new_mark() if guard is not None and contained else None
    if mark is not None:
        env = {**(os.environ if env is None else env), MARK: mark}
    if forks is not None and contained and env is not None and output is not None and forks.takes(command, env):
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
        return subprocess.Popen(  # noqa: S603  running commands is what this module is for
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
