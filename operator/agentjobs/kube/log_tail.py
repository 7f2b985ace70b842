"""The end of a container's log, and whether that is all of it. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Log:
    """The last lines of a container's log."""

    content: bytes
    is_truncated: bool
    """Whether the log has earlier lines, or an earlier part of the first line."""


def newest_lines(read: bytes, lines: int, most: int) -> Log:
    """Return the last lines, of at most so many bytes, of what was read: it must have more if the log has more."""
    kept = _newest_bytes(read, most)
    place = len(kept) - kept.endswith(b"\n")
    for _ in range(lines):
        place = kept.rfind(b"\n", 0, max(0, place))
    kept = kept[place + 1 :]
    return Log(kept, is_truncated=len(kept) < len(read))


def _newest_bytes(read: bytes, most: int) -> bytes:
    if len(read) <= most:
        return read
    begin = read.find(b"\n", len(read) - most - 1) + 1
    return read[begin:] if 0 < begin < len(read) else read[-most:]
