"""The CLI as a child process: its output line by line, its signals, and the end of its descendants.

It has its own session, so it is in none of our process groups. It dies with this process. Its buffers here are bounded.
"""

import io
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Final

from agentjobs_runner import descendants
from agentjobs_runner.claude_code.stream import MAX_LINE_BYTES

MAX_STDERR_BYTES: Final = 2048
_CHUNK: Final = 256 * 1024
_POLL_SECONDS: Final = 0.1
_REAP_SECONDS: Final = 5.0
_KILL_SECONDS: Final = 5.0
_MEMORY_EVENTS: Final = Path("/sys/fs/cgroup/memory.events")


def out_of_memory_kills() -> int:
    """Return how many processes of this container the kernel has killed for lack of memory."""
    try:
        events = _MEMORY_EVENTS.read_text().splitlines()
        return next((int(line.split()[1]) for line in events if line.startswith("oom_kill ")), 0)
    except (OSError, ValueError, IndexError):
        return 0


class Lines:
    """Splits pieces into lines, without line ends. Keeps at most the first `most` bytes of a line."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._begun = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that end in this piece."""
        *ended, rest = piece.split(b"\n")
        lines = []
        for part in ended:
            self._take(part)
            lines += self.rest()
        self._take(rest)
        return lines

    def rest(self) -> list[bytes]:
        """Return the incomplete line, if any."""
        line = bytes(self._begun)
        self._begun.clear()
        return [line] if line else []

    def _take(self, part: bytes) -> None:
        self._begun += part[: self._most - len(self._begun)]


class Process:
    """The running CLI. Used from one thread; finish it with `end`.

    Args:
        argv: the first is the path of the program.
        variables: its whole environment.
        folder: its working directory.
        prompt: its standard input.
        tmp: a folder for the prompt, as an unnamed file.

    Raises:
        OSError: it cannot be run.
    """

    def __init__(
        self, argv: Sequence[str], variables: Mapping[str, str], folder: Path, prompt: bytes, tmp: Path
    ) -> None:
        descendants.adopt()
        self._others = descendants.children()  # other children of this process
        with _file_of(prompt, tmp) as given:
            # A file instead of a pipe: the runner can continue before the CLI reads it, and it has an end.
            self._popen = subprocess.Popen(  # noqa: S603  the job's image determines it
                argv,
                env=dict(variables),
                cwd=folder,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                preexec_fn=partial(descendants.die_with, os.getpid()),  # only system calls in it
            )
        self._lines = Lines(MAX_LINE_BYTES + 1)  # so that the reader sees that it was longer
        self._stderr = bytearray()
        self._reaped = time.monotonic()
        self._ended = False
        self._selector = selectors.DefaultSelector()
        for stream in self._streams:
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        """Its pid, which is also that of its process group and session."""
        return self._popen.pid

    @property
    def ended(self) -> bool:
        """Whether it has ended, and all its output was read."""
        return self._ended

    @property
    def code(self) -> int | None:
        """Its exit code, the negative number of the signal that ended it, or None while it runs."""
        return self._popen.returncode

    @property
    def stderr(self) -> str:
        """The end of its standard error."""
        return self._stderr.decode("utf-8", "replace")

    def read(self, seconds: float) -> list[bytes]:
        """Return new lines, waiting up to `seconds` for some."""
        if self._ended:
            return []
        lines, got, ended = list[bytes](), False, self._has_ended()
        if self._selector.get_map():
            for key, _ in self._selector.select(0 if ended else seconds):
                piece = self._piece(key.fileobj)
                got = got or bool(piece)
                lines += self._lines.feed(piece) if key.fileobj is self._popen.stdout else []
        elif not ended:
            time.sleep(min(seconds, _POLL_SECONDS))
        if ended and not got:
            self._ended = True
            lines += self._lines.rest()
        self._reap()
        return lines

    def stop(self) -> None:
        """Request its end: it then kills its tools, and saves its session."""
        self._signal(signal.SIGTERM)

    def hold(self) -> None:
        """Pause it until `go_on`. Its tools continue."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Continue it after `hold`."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it. Its earlier output can still be read."""
        with suppress(OSError):
            self._popen.kill()

    def end(self) -> int:
        """End it and its descendants; return how many could not be ended."""
        if self._popen.returncode is None:
            self.kill()
            self._kill_group()
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(_KILL_SECONDS)
        left = self._kill_left()
        self._ended = True
        self._selector.close()
        for stream in self._streams:
            stream.close()
        return left

    def _signal(self, number: signal.Signals) -> None:
        with suppress(OSError):
            self._popen.send_signal(number)

    @property
    def _streams(self) -> list[IO[bytes]]:
        return [stream for stream in (self._popen.stdout, self._popen.stderr) if stream is not None]

    def _has_ended(self) -> bool:
        """Whether it has ended; then no descendants remain, and all output is in the pipes."""
        if self._popen.returncode is not None:
            return True
        # Before its pid is reused: its group is killed by that number.
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        self._kill_group()
        self._popen.wait()
        self._kill_left()
        return True

    def _kill_left(self) -> int:
        return descendants.kill_all(seconds=_KILL_SECONDS, spare_group=os.getpgrp(), spare=self._others)

    def _kill_group(self) -> None:
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def _piece(self, stream: object) -> bytes:
        """Read from one of our streams."""
        descriptor = stream.fileno() if isinstance(stream, io.IOBase) else -1
        try:
            piece = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return b""
        if not piece:
            self._selector.unregister(descriptor)
        elif stream is self._popen.stderr:
            self._stderr += piece
            del self._stderr[:-MAX_STDERR_BYTES]
        return piece

    def _reap(self) -> None:
        if time.monotonic() - self._reaped >= _REAP_SECONDS:
            self._reaped = time.monotonic()
            descendants.reap(os.getpgrp(), spare=(self.pid, *self._others))


def _file_of(content: bytes, folder: Path) -> IO[bytes]:
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  its user closes it
    file.write(content)
    file.seek(0)
    return file
