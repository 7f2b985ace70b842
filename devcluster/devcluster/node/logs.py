"""The log of a container: its output, line by line with the time, in a file that can be read while it grows.

The file has the format of container runtimes (`<time> stdout F <text>`). It is rotated when it is large, and two files
are kept.
"""

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from devcluster.timestamps import micro_time

# The kubelet's default is five files of 10 MiB; two suffice on a developer's machine.
_MAX_BYTES = 10 * 1024 * 1024
# Longer lines are split, as container runtimes do, so that output without newlines cannot fill the memory.
_MAX_LINE = 16 * 1024
# FallbackToLogsOnError: the last 2,048 bytes or 80 lines, whichever is smaller (Kubernetes documentation).
_FALLBACK_BYTES = 2048
_FALLBACK_LINES = 80


@dataclass(frozen=True, slots=True)
class LogQuery:
    """The query of `kubectl logs`."""

    follow: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    timestamps: bool = False
    since: datetime.datetime | None = None


class ContainerLog(asyncio.Protocol):
    """Stores the output of a process and answers queries, also at the same time."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime.datetime]) -> None:
        self._path = path
        self._old = path.with_name(path.name + ".1")
        self._clock = clock
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = path.open("ab")
        self._rest = b""
        self._generation = 0
        self._changed = asyncio.Event()
        self.closed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Store a piece of output; called by the event loop's pipe transport."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > _MAX_LINE:
            lines.append(self._rest[:_MAX_LINE])
            self._rest = self._rest[_MAX_LINE:]
        if lines:
            self._append(lines)

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the output."""
        self.close()

    def close(self) -> None:
        """Close the log; readers that follow it end."""
        if self.closed.is_set():
            return
        if self._rest:
            self._append([self._rest])
            self._rest = b""
        self._file.close()
        self.closed.set()
        self._changed.set()

    def tail(self) -> str:
        """Return the end of the log as a termination message."""
        lines = [_text(line) for line in self._lines()[-_FALLBACK_LINES:]]
        return b"".join(lines)[-_FALLBACK_BYTES:].decode(errors="replace")

    async def read(self, query: LogQuery) -> AsyncIterator[bytes]:
        """Yield the parts of a response; with `follow`, until the log is closed."""
        generation, position = self._generation, self._path.stat().st_size if self._path.exists() else 0
        lines = self._lines()
        if query.since is not None:
            lines = [line for line in lines if _time(line) >= query.since]
        if query.tail_lines is not None:
            lines = lines[-query.tail_lines :] if query.tail_lines else []
        left = query.limit_bytes
        while True:
            piece = b"".join(line if query.timestamps else _text(line) for line in map(_plain(query), lines))
            if left is not None:
                piece = piece[:left]
                left -= len(piece)
            if piece:
                yield piece
            if not query.follow or left == 0:
                return
            closed, changed = self.closed.is_set(), self._changed
            lines, generation, position = self._since(generation, position)
            if not lines:
                if closed:
                    return
                await changed.wait()

    def _append(self, lines: list[bytes]) -> None:
        time = micro_time(self._clock()).encode()
        self._file.write(b"".join(b"%b stdout F %b\n" % (time, line) for line in lines))
        self._file.flush()
        if self._file.tell() > _MAX_BYTES:
            self._file.close()
            self._path.replace(self._old)
            self._generation += 1
            self._file = self._path.open("ab")
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _lines(self) -> list[bytes]:
        files = [path.read_bytes() for path in (self._old, self._path) if path.exists()]
        return _split(b"".join(files))

    def _since(self, generation: int, position: int) -> tuple[list[bytes], int, int]:
        """Return the lines after a position, and the new position. Lines lost by two rotations are skipped."""
        data = b""
        if generation < self._generation:
            if generation == self._generation - 1 and self._old.exists():
                data = self._old.read_bytes()[position:]
            position = 0
        with self._path.open("rb") as file:
            file.seek(position)
            data += (fresh := file.read())
        return _split(data), self._generation, position + len(fresh)


def _split(data: bytes) -> list[bytes]:
    """Split stored lines by newline only; `splitlines` would also split at the carriage returns of progress bars."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def _plain(query: LogQuery) -> Callable[[bytes], bytes]:
    """Return a stored line as `--timestamps` shows it: time, a space, the text."""
    if not query.timestamps:
        return lambda line: line
    return lambda line: line.split(b" ", 1)[0] + b" " + _text(line)


def _text(line: bytes) -> bytes:
    return line.split(b" ", 3)[3] if line.count(b" ") >= 3 else line


def _time(line: bytes) -> datetime.datetime:
    return datetime.datetime.fromisoformat(line.split(b" ", 1)[0].decode())
