"""Free ports of the loopback interface."""

import secrets
import socket
from typing import Final

# The kernel assigns higher ports to connections, and to listeners that request any port.
_PORTS: Final = range(20_000, 30_000)
# Ports that were returned and may not be in use yet.
_given: set[int] = set()


def free_port() -> int:
    """Return a free port that is not assigned to connections. Another program may still bind it before the caller.

    Raises:
        OSError: all are taken.
    """
    start = secrets.randbelow(len(_PORTS))
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
