"""The parent of the runner of `run --local`: it ensures that no process outlives the runner or the command line.

Run as `python -c <this source> MODULE PARENT FOLDER`, so that it imports only what it needs. It forks: the child runs
MODULE and dies with its parent; the parent waits for it, adopts its orphaned descendants and ends them. SIGTERM is
passed to the child. SIGUSR1 ends all; it is sent when PARENT, the command line, dies; then FOLDER is also removed.
Without adoption, which only Linux has, the process runs MODULE itself.
"""

import ctypes
import importlib
import os
import runpy
import shutil
import signal
import sys

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_KILL_SECONDS = 2.0
_OURS = {signal.SIGTERM, signal.SIGUSR1}


def main() -> None:
    """Run the module, and end all its descendants."""
    module, parent, folder = sys.argv[1:]
    del sys.argv[1:]
    if sys.platform != "linux":
        _run(module)
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)  # until they are handled
    _die_with(int(parent), signal.SIGUSR1)
    _prctl(_SUBREAPER, 1)
    guard = os.getpid()
    runner = os.fork()
    if runner == 0:
        _die_with(guard, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
        _run(module)
    else:
        _guard(runner, module, int(parent), folder)


def _run(module: str) -> None:
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _guard(runner: int, module: str, parent: int, folder: str) -> None:
    # Ctrl-C reaches the runner directly; without a terminal PARENT ends, and so does this process.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(runner, signal.SIGTERM))
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(runner, signal.SIGKILL))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
    os.waitid(os.P_PID, runner, os.WEXITED | os.WNOWAIT)  # keeps its pid reserved while it may be signalled
    signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
    code = os.waitstatus_to_exitcode(os.waitpid(runner, 0)[1])
    importlib.import_module(f"{module}.descendants").kill_all(seconds=_KILL_SECONDS)
    if os.getppid() != parent:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(code if code >= 0 else 128 - code)


def _die_with(parent: int, number: int) -> None:
    """Request a signal when the thread of `parent` that created this process ends."""
    _prctl(_DEATH_SIGNAL, number)
    if os.getppid() != parent:  # it has already ended
        os._exit(1)


def _prctl(option: int, argument: int) -> None:
    ctypes.CDLL(None).prctl(option, argument, 0, 0, 0)


if __name__ == "__main__":
    main()
