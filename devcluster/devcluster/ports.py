"""Ports of the loopback interface."""

import socket

# Given away and not yet listened on; the kernel would hand them out again.
_given: set[int] = set()


def free_port() -> int:
    """Return a port nobody listens on now. Another program may take it before we do; the one who listens then says
    so."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port
