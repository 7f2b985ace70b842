"""Files that starts of a job keep for later ones, and how much of them there may be. Pure.

A file is what its writes made of it: each says where it begins, and cuts what was behind. So a file that grows is sent
once, the same write again changes nothing, and a process that dies between two writes leaves what it wrote until then.
"""

from dataclasses import dataclass
from typing import Any, Final

from agentjobs import errors
from agentjobs.contract import MAX_KEPT_BYTES, MAX_KEPT_FILES

MERGED_BYTES: Final = 16 * 1024
"""Writes that follow each other become one row up to this size: a file of a line a second does not become a row a line,
and a write never copies more than that of what was there."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a file."""

    name: str
    offset: int
    data: bytes
    number: int | None = None
    """Among the writes of its start, rising; None of a sender that does not count."""

    @property
    def end(self) -> int:
        """How many bytes the file has after it."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class Room:
    """What a run keeps, as a write finds it."""

    known: int | None
    """Bytes of the file; None where there is none."""
    files: int
    bytes: int
    """Of all files of the run, this one too."""


def is_late(number: int | None, start: int, last: Any) -> bool:
    """Whether a write was given up by its sender, which made another one since.

    Args:
        last: `start` and `write` of the file's last write; None where there is no file.
    """
    return number is not None and last is not None and number < last.write and start == last.start


def check_write(write: Write, room: Room) -> None:
    """Return if a write may be made.

    Raises:
        errors.Invalid: the file is shorter than the offset.
        errors.TooLarge: the run would keep more than it may.
    """
    known = room.known or 0
    if write.offset > known:
        raise errors.Invalid(f"kept file {write.name!r} has {known} bytes, and nothing can begin at {write.offset}")
    if room.known is None and room.files >= MAX_KEPT_FILES:
        raise errors.TooLarge(f"kept file {write.name!r}: {MAX_KEPT_FILES} files is the most that a run may keep")
    if write.end > known and room.bytes - known + write.end > MAX_KEPT_BYTES:
        raise errors.TooLarge(f"kept file {write.name!r}: {MAX_KEPT_BYTES} bytes is the most that a run may keep")
