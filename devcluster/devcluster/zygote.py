"""The process that a `ForkServer` forks: it imports modules once, for all processes that are forked from it.

It runs as a separate file with the standard library only, so that a forked program has no modules of this package. It
has one thread and handles one request at a time: to fork, or to reap a child that has ended. Linux only.
"""

import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
MESSAGE = 64

Order = dict[str, Any]


def main(number: int, mark: str, without: str, module: str, preload: Sequence[str]) -> None:
    """Import, serve, and in each child run `module` as `python -m` does."""
    sys.path.pop(0)  # the folder of this file
    requests = socket.socket(fileno=number)
    place = _Mark(mark)
    _load(preload, [name for name in without.split(",") if name])
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise SystemExit(f"importing {', '.join(preload)} started threads, which a fork does not take along")
    # Imported modules are never freed: the collector must not touch, and thereby copy, the pages shared with children.
    gc.freeze()
    requests.send(b"ready")
    order = _serve(requests, place)
    if order is not None:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def _load(preload: Sequence[str], without: Sequence[str]) -> None:
    hidden = [name for name in without if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # None makes an import fail
    for name in preload:
        importlib.import_module(name)
    for name in hidden:
        sys.modules.pop(name, None)


class _Mark:
    """A variable in this process's initial environment, which /proc shows even after `os.environ` has changed."""

    def __init__(self, name: str) -> None:
        find = ctypes.CDLL(None).getenv
        find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
        self._name = name
        self._address: int = find(name.encode())
        self._room = len(os.environ[name])

    def write(self, environ: dict[str, str]) -> None:
        """Write the value from `environ`, cut to the available size."""
        value = environ.get(self._name, "").encode()[: self._room]
        ctypes.memmove(self._address, value.ljust(self._room, b"\0"), self._room)


def _serve(requests: socket.socket, mark: _Mark) -> Order | None:
    """Handle requests until the connection is closed; in a child, return its request."""
    tie = ctypes.CDLL(None).prctl
    parent = os.getpid()
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(requests, MESSAGE, 3)
        except ConnectionError:
            return None
        if not message:
            return None
        if not descriptors:
            _, status = os.waitpid(int(message), 0)
            requests.send(b"%d" % os.waitstatus_to_exitcode(status))
            continue
        if os.fork():
            for descriptor in descriptors:
                os.close(descriptor)
            continue
        try:
            os.setsid()
            tie(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died before the signal was armed
                os._exit(1)
            order = _become(descriptors, mark)
        except OSError as error:
            requests.send(b"%d %d" % (os.getpid(), error.errno or 0))
            os._exit(1)
        requests.send(b"%d 0" % os.getpid())
        requests.close()
        return order


def _become(descriptors: Sequence[int], mark: _Mark) -> Order:
    """Set up this process as `exec` would have done."""
    order, output, errors = descriptors
    with os.fdopen(order, "rb") as file:
        request: Order = json.load(file)
    environ: dict[str, str] = request["env"]
    os.chdir(request["folder"])
    os.dup2(output, 1)
    os.dup2(errors, 2)
    for descriptor in {output, errors} - {1, 2}:
        os.close(descriptor)
    mark.write(environ)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    sys.dont_write_bytecode = bool(environ.get("PYTHONDONTWRITEBYTECODE"))
    sys.orig_argv = request["command"]
    safe_path = sys.orig_argv[1] == "-P"
    sys.argv = ["-m", *sys.orig_argv[4 if safe_path else 3 :]]
    sys.path[:0] = _first_on_path(environ, safe=safe_path)
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    sys.stdout = sys.__stdout__ = _stream(sys.stdout, 1, environ)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(sys.stderr, 2, environ)  # type: ignore[misc]
    return request


def _first_on_path(environ: dict[str, str], *, safe: bool) -> list[str]:
    named = [str(Path(part).absolute()) for part in environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return [*([] if safe else [str(Path.cwd())]), *dict.fromkeys(named)]


def _stream(old: Any, number: int, environ: dict[str, str]) -> io.TextIOWrapper:
    """Return a standard stream as the interpreter creates it, with the encoding of `old`."""
    unbuffered = bool(environ.get("PYTHONUNBUFFERED"))
    raw: Any = os.fdopen(number, "wb", 0 if unbuffered else -1, closefd=False)
    settings: Any = {"encoding": old.encoding, "errors": old.errors, "newline": "\n", "write_through": unbuffered}
    return io.TextIOWrapper(raw, line_buffering=number == 2 and not unbuffered, **settings)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
