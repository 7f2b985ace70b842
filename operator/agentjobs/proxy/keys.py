"""The keys of providers, read again when their files change.

A key is looked up when a request is about to be sent, so a changed Secret counts within `LOOK_SECONDS` and no process
needs to start again. Keys are in memory and in requests; never in a log, an error or a value that is shown.
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

# A kubelet brings a changed Secret to its volume within a minute or so.
LOOK_SECONDS: Final = 5.0

_Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class _Known:
    stamp: _Stamp
    key: str = field(repr=False)
    problem: str
    """What is wrong with it; empty when nothing is."""
    until: float


class Keys:
    """Reads keys and remembers them for a moment.

    Args:
        clock: in seconds, monotonic.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[Path, _Known] = {}

    def read(self, source: KeySource) -> str:
        """Return a key.

        Raises:
            errors.Misconfigured: there is none; the message names the place and never what is there.
        """
        if source.file is None:
            return source.read()
        known, now = self._known.get(source.file), self._clock()
        if known is None or now >= known.until:
            known = self._looked(source, source.file, known, now)
            self._known[source.file] = known
        if known.problem:
            raise Misconfigured(known.problem)
        return known.key

    def _looked(self, source: KeySource, file: Path, before: _Known | None, now: float) -> _Known:
        stamp, until = _stamp(file), now + LOOK_SECONDS
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
