"""Stop signals: SIGTERM or SIGINT, from outside or from the process's own code.

The handlers belong to this process only. A forked child gets Python's defaults before any signal reaches it: pools end
their workers with SIGTERM, and a worker that only recorded it would run forever.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

STOPS: Final = (signal.SIGTERM, signal.SIGINT)


def block() -> None:
    """Block signals until `StopSignals` listens.

    Without a handler, PID 1 of a container ignores them, and any other process dies.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


class StopSignals:
    """Receives stop signals.

    Args:
        report: called in the main thread with the signal, and whether this process's own code sent it.
    """

    def __init__(self, report: Callable[[int, bool], None]) -> None:
        self._report = report
        self._own = False
        self._forking = threading.local()

    def listen(self) -> None:
        """Handle signals from now on, including those blocked by `block`. Called in the main thread."""
        for number in STOPS:
            signal.signal(number, self._on_signal)
        os.register_at_fork(before=self._hold, after_in_parent=self._release, after_in_child=self._forget)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)

    def watch_own(self) -> None:
        """Distinguish the process's own signals from now on."""
        sys.addaudithook(self._on_audit)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        own, self._own = self._own, False
        self._report(number, own)

    def _on_audit(self, event: str, args: tuple[object, ...]) -> None:
        # Python calls its hooks before it sends a signal. A signal from a child counts as the cluster's: systemd stops
        # the containers of a node at shutdown with the same signal, and leaves no trace in the pod.
        if is_own_stop(event, args):
            self._own = True

    def _hold(self) -> None:
        # A parent may end its child immediately, before `_forget` ran there; the signal waits for it.
        self._forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)

    def _release(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._forking.mask)

    def _forget(self) -> None:
        for number, default in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
            if (
                signal.getsignal(number) == self._on_signal
            ):  # otherwise it is the child's own, which its children inherit
                signal.signal(number, default)
        self._release()


def is_own_stop(event: str, args: tuple[object, ...]) -> bool:
    """Whether an audited call sends this process SIGTERM or SIGINT."""
    if event not in ("os.kill", "os.killpg", "signal.pthread_kill") or args[1] not in STOPS:
        return False
    if event == "signal.pthread_kill":
        return True
    groups = (0, os.getpgrp() if event == "os.killpg" else -os.getpgrp())
    return args[0] in groups or (event == "os.kill" and args[0] == os.getpid())
