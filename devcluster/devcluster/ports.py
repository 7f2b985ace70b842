"""Free ports of the loopback interface."""

import socket

# Ports that were returned and may not be in use yet; the kernel could return them again.
_given: set[int] = set()


def free_port() -> int:
    """Return a free port. Another program may take it before the caller listens on it; listening fails then."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port
