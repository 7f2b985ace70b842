"""Starts a Python program by a fork of a process that has already imported its modules, instead of by `exec`.

An import of a large framework takes a second of CPU; a fork takes milliseconds. `process.spawn` checks for each command
whether a `ForkServer` accepts it. Linux only, and for tests: a forked program does not notice modules that were
replaced since, modules of the same name on its PYTHONPATH, or variables that modules read while they are imported.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from devcluster import zygote
from devcluster.guard import MARK
from devcluster.process import tie_to

SUPPORTED: Final = sys.platform == "linux"

_READY_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 30.0
_UNDERSTOOD: Final = {"PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}


class Forked:
    """A forked process, with the attributes of `subprocess.Popen`. Created by `ForkServer.start`."""

    def __init__(self, server: "ForkServer", pid: int, stdout: IO[bytes] | None) -> None:
        self._server = server
        self.pid = pid
        self.stdout = stdout

    def wait(self) -> int:
        """Return the exit code of the process. It must have ended."""
        return self._server.reap(self.pid)


class ForkServer:
    """Starts `python -m MODULE` with modules imported before.

    Args:
        module: the module to run.
        preload: modules to import, in this order.
        without: modules that are not found while the others are imported.
    """

    def __init__(self, module: str, *, preload: Sequence[str], without: Sequence[str] = ()) -> None:
        self.module = module
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and our own file
                [sys.executable, zygote.__file__, str(theirs.fileno()), MARK, ",".join(without), module, *preload],
                env={"LANG": "C.UTF-8", "PATH": os.environ.get("PATH", os.defpath), MARK: "x" * 64},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                preexec_fn=tie_to(os.getpid()),
            )
        self._socket.settimeout(_READY_SECONDS)
        if not self._answer():
            self.close()
            raise RuntimeError(f"the process that imports {', '.join(preload)} has ended")
        self._socket.settimeout(_ANSWER_SECONDS)

    @property
    def pid(self) -> int:
        return self._process.pid

    def takes(self, command: Sequence[str], env: Mapping[str, str]) -> bool:
        """Whether a fork can replace `exec` for this command: not for other modules or other settings of Python."""
        if self._process.poll() is not None:
            return False  # it was killed
        settings = {name for name, value in env.items() if name.startswith("PYTHON") and value}
        python = Path(shutil.which(command[0], path=env.get("PATH")) or "")
        ours = python.parent == Path(sys.executable).parent and python.name.startswith("python")
        return ours and _module(command) == self.module and settings <= _UNDERSTOOD

    def start(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        folder: Path | None,
        output: IO[bytes] | int,
        errors: IO[bytes] | int | None = None,
    ) -> Forked:
        """Fork a child, which leads its own session.

        Args:
            output: where stdout and stderr go: a file, a descriptor, or `subprocess.PIPE`.
            errors: where stderr goes instead.

        Raises:
            OSError: there is no such folder, or the server has ended.
        """
        order = {"command": list(command), "env": dict(env), "folder": str(folder or Path.cwd())}
        reading, writing = os.pipe() if output == subprocess.PIPE else (None, None)
        target = writing if writing is not None else _descriptor(output)
        try:
            with _memory(json.dumps(order).encode()) as text, self._lock:
                to = [text.fileno(), target, target if errors is None else _descriptor(errors)]
                socket.send_fds(self._socket, [b"fork"], to)
                pid, problem = map(int, self._answer().split() or (0, 0))
            if problem:
                self.reap(pid)
                raise OSError(problem, os.strerror(problem))
            if not pid:
                raise ConnectionError("the fork server has ended")
        except BaseException:
            if reading is not None:
                os.close(reading)
            raise
        finally:
            if writing is not None:
                os.close(writing)
        return Forked(self, pid, None if reading is None else os.fdopen(reading, "rb", 0))

    def reap(self, pid: int) -> int:
        """Return the exit code of a child that has ended; it is a zombie until then."""
        with contextlib.suppress(OSError), self._lock:
            self._socket.send(b"%d" % pid)
            if answer := self._answer():
                return int(answer)
        return -signal.SIGKILL  # it was killed with the server

    def close(self) -> None:
        """End the server and all its children."""
        self._socket.close()
        self._process.wait()

    def _answer(self) -> bytes:
        with contextlib.suppress(ConnectionError):
            return self._socket.recv(zygote.MESSAGE)
        return b""


class ForkServers:
    """Fork servers of several modules, used as one."""

    def __init__(self, *servers: ForkServer) -> None:
        self._servers = servers

    def takes(self, command: Sequence[str], env: Mapping[str, str]) -> bool:
        """Whether one of the servers accepts this command."""
        return any(server.takes(command, env) for server in self._servers)

    def start(
        self, command: Sequence[str], *, env: Mapping[str, str], folder: Path | None, output: IO[bytes] | int
    ) -> Forked:
        """Fork from the server that accepts this command.

        Raises:
            OSError: there is no such folder, or the server has ended.
        """
        server = next((server for server in self._servers if server.takes(command, env)), None)
        if server is None:
            raise ConnectionError("the fork server has ended")
        return server.start(command, env=env, folder=folder, output=output)

    def close(self) -> None:
        """End the servers and all their children."""
        for server in self._servers:
            server.close()


def _module(command: Sequence[str]) -> str | None:
    """Return the module of `python -m MODULE` or `python -P -m MODULE`."""
    arguments = list(command[1:])
    if arguments[:1] == ["-P"]:
        arguments.pop(0)
    return arguments[1] if len(arguments) > 1 and arguments[0] == "-m" else None


def _descriptor(target: IO[bytes] | int) -> int:
    return target if isinstance(target, int) else target.fileno()


def _memory(data: bytes) -> IO[bytes]:
    """Return an unnamed file: an environment may be larger than a message."""
    file = os.fdopen(os.memfd_create("order"), "w+b", 0)
    file.write(data)
    file.seek(0)
    return file
