"""Files that starts of a job keep for later ones, and their limits. Pure.

Each write has an offset, at which it truncates the file before it appends. So a growing file is sent only once, a
repeated write changes nothing, and a process that dies between two writes leaves a valid prefix.
"""

from dataclasses import dataclass
from typing import Any, Final

from agentjobs import errors
from agentjobs.contract import MAX_KEPT_BYTES, MAX_KEPT_FILES

MERGED_BYTES: Final = 16 * 1024
"""Consecutive writes are merged into one row up to this size, so that a line per second is not a row per line, and a
write never copies more than this."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a file."""

    name: str
    offset: int
    data: bytes
    number: int | None = None
    """Ascending number among the writes of its start; None from senders without numbers."""

    @property
    def end(self) -> int:
        """Size of the file after the write."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class Room:
    """Current sizes of a run's kept files."""

    known: int | None
    """Bytes of the file, or None."""
    files: int
    bytes: int
    """Bytes of all files of the run, including this one."""


def is_late(number: int | None, start: int, last: Any) -> bool:
    """Whether a write is older than the file's last one, because its sender abandoned it.

    Args:
        last: `start` and `write` of the file's last write; None without a file.
    """
    return number is not None and last is not None and number < last.write and start == last.start


def check_write(write: Write, room: Room) -> None:
    """Return if a write is allowed.

    Raises:
        errors.Invalid: the file is shorter than the offset.
        errors.TooLarge: the run would exceed its limit.
    """
    known = room.known or 0
    if write.offset > known:
        raise errors.Invalid(f"kept file {write.name!r} has {known} bytes, so a write cannot begin at {write.offset}")
    if room.known is None and room.files >= MAX_KEPT_FILES:
        raise errors.TooLarge(f"kept file {write.name!r}: {MAX_KEPT_FILES} files is the limit for one run")
    if write.end > known and room.bytes - known + write.end > MAX_KEPT_BYTES:
        raise errors.TooLarge(f"kept file {write.name!r}: {MAX_KEPT_BYTES} bytes is the limit for one run")
