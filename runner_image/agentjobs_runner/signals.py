"""How the process is told to stop: by SIGTERM or SIGINT, from outside or by its own code.

What is set up here is this process's alone. A forked child gets Python's defaults back before any signal reaches it:
pools end their workers by SIGTERM, and a worker that only took note of it would run forever.
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
    """Let signals wait until `StopSignals` listens.

    Without a handler the first process of a container misses them, and any other dies of them.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


class StopSignals:
    """Hears orders to stop.

    Args:
        told: called in the main thread with the signal, and whether this process's own code sent it.
    """

    def __init__(self, told: Callable[[int, bool], None]) -> None:
        self._told = told
        self._own = False
        self._forking = threading.local()

    def listen(self) -> None:
        """Hear signals from now on, also those that `block` let wait. Called in the main thread."""
        for number in STOPS:
            signal.signal(number, self._on_signal)
        os.register_at_fork(before=self._hold, after_in_parent=self._release, after_in_child=self._forget)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)

    def watch_own(self) -> None:
        """Tell own signals from others from now on."""
        sys.addaudithook(self._on_audit)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        own, self._own = self._own, False
        self._told(number, own)

    def _on_audit(self, event: str, args: tuple[object, ...]) -> None:
        # Python tells its hooks of a signal before it sends it. One that a child sends stays the cluster's doing:
        # systemd stops the containers of a node that shuts down by the same signal, with no trace in the pod.
        if is_own_stop(event, args):
            self._own = True

    def _hold(self) -> None:
        # A parent may end its child at once, before `_forget` ran there; the signal waits for it.
        self._forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)

    def _release(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._forking.mask)

    def _forget(self) -> None:
        for number, default in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
            if signal.getsignal(number) == self._on_signal:  # else the child's own, which its children inherit
                signal.signal(number, default)
        self._release()


def is_own_stop(event: str, args: tuple[object, ...]) -> bool:
    """Whether an audited call sends this very process SIGTERM or SIGINT."""
    if event not in ("os.kill", "os.killpg", "signal.pthread_kill") or args[1] not in STOPS:
        return False
    if event == "signal.pthread_kill":
        return True
    groups = (0, os.getpgrp() if event == "os.killpg" else -os.getpgrp())
    return args[0] in groups or (event == "os.kill" and args[0] == os.getpid())
