"""Providers' keys, read again when their files change.

A key is looked up before a request is sent, so a changed Secret is used within `POLL_SECONDS`, without a restart. Keys
are only in memory and in requests; never in logs, errors or printed values.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agentjobs.errors import Misconfigured
from agentjobs.models.config import KeySource

logger = logging.getLogger(__name__)

# A kubelet updates the volume of a changed Secret within about a minute.
POLL_SECONDS: Final = 5.0

_Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class _Known:
    stamp: _Stamp
    key: str = field(repr=False)
    problem: str
    """What is wrong with it; empty if it is valid."""
    until: float


class Keys:
    """Reads keys and caches them briefly.

    Args:
        clock: in seconds, monotonic.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[Path, _Known] = {}

    def read(self, source: KeySource) -> str:
        """Return a key.

        Raises:
            errors.Misconfigured: it is missing; the message has its place, never its content.
        """
        if source.file is None:
            return source.read()
        known, now = self._known.get(source.file), self._clock()
        if known is None or now >= known.until:
            known = self._checked(source, source.file, known, now)
            self._known[source.file] = known
        if known.problem:
            raise Misconfigured(known.problem)
        return known.key

    def _checked(self, source: KeySource, file: Path, before: _Known | None, now: float) -> _Known:
        stamp, until = _stamp(file), now + POLL_SECONDS
        if before is not None and stamp is not None and before.stamp == stamp:
            return _Known(stamp, before.key, before.problem, until)
        try:
            key = source.read()
        except Misconfigured as error:
            return _Known(stamp, "", str(error), until)
        if before is not None:
            logger.info("key.changed", extra={"place": source.place})
        return _Known(stamp, key, "", until)


def _stamp(file: Path) -> _Stamp:
    try:
        state = file.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_ino, state.st_size
