"""Free ports of the loopback interface."""

import os
import secrets
import socket
from typing import Final

# The kernel assigns higher ports to connections, and to listeners that request any port.
_PORTS: Final = range(20_000, 30_000)
# Each process begins in a range of its own, so that two that ask at the same time, before either binds, do not get the
# same port. 37 of the 100 ranges lie between those of a process and the one that starts next.
_RANGE: Final = 100
_RANGES_BETWEEN: Final = 37
# Ports that were returned and may not be in use yet.
_given: set[int] = set()


def free_port() -> int:
    """Return a free port that is not assigned to connections. Another program may still bind it before the caller.

    Raises:
        OSError: all are taken.
    """
    start = os.getpid() * _RANGES_BETWEEN * _RANGE + secrets.randbelow(_RANGE)
    for offset in range(len(_PORTS)):
        port = _PORTS[(start + offset) % len(_PORTS)]
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise OSError(f"no port from {_PORTS.start} to {_PORTS[-1]} is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
