"""How a server of ours listens: its socket, its certificate, and the certificate's renewal. Knows no framework.

Called by the processes that serve: gateway and model proxy.
"""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from agentjobs import errors

logger = logging.getLogger(__name__)

# cert-manager renews weeks before the end; a minute is early enough and costs two stats.
CERTIFICATE_SECONDS: Final = 60.0

OnDeath = Callable[[errors.AgentJobsError], None]
"""Is told that a part of a process has died, which cannot go on without it."""


async def until_signalled(serve: Callable[[OnDeath], AbstractAsyncContextManager[object]]) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        errors.AgentJobsError: a part has died.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    died: list[errors.AgentJobsError] = []

    def end(error: errors.AgentJobsError) -> None:
        died.append(error)
        stop.set()

    async with serve(end):
        await stop.wait()
    if died:
        raise died[0]


def open_listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; port 0 takes a free one.

    Raises:
        errors.Invalid: the address is taken, or is none of this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
        # Its connections inherit it; asyncio sets it for sockets that say which protocol they are for, this one does
        # not. Without it an answer's body waits up to 40 ms until the client has acknowledged the head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        cure = "choose another by AGENTJOBS_HOST and AGENTJOBS_PORT"
        raise errors.Invalid(f"cannot listen on {host} port {port}: {error.strerror}; {cure}") from error


def url_of(listener: socket.socket, *, secure: bool) -> str:
    """Return the URL at which a listener is reached from its own machine."""
    host, port = listener.getsockname()[:2]
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


class Certificate:
    """A server's certificate and key, as PEM files that may be renewed.

    Raises:
        errors.Invalid: one of the files cannot be read, or they do not belong together.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert, self._key = cert, key
        self._known = self._modified()
        self.context = self._loaded()
        """What new connections are made with."""

    async def renew(self) -> None:
        """Load certificate and key again whenever their files change; new connections get them. Never returns."""
        while True:
            await asyncio.sleep(CERTIFICATE_SECONDS)
            found = self._modified()
            if found == self._known:
                continue
            try:
                # First into a context of its own: the one in use would be left with what it had read before it failed,
                # when key and certificate are caught half way through their change.
                self._loaded()
                self.context.load_cert_chain(self._cert, self._key)
            except (errors.Invalid, OSError, ssl.SSLError) as error:
                logger.error("certificate.unusable", extra={"error": str(error)})
                continue
            logger.info("certificate.renewed")
            self._known = found

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._cert, self._key)
        except (OSError, ssl.SSLError) as error:
            raise errors.Invalid(f"TLS certificate {self._cert} or key {self._key}: {error}") from error
        return context

    def _modified(self) -> Sequence[float]:
        return [_modified_at(path) for path in (self._cert, self._key)]


def certificate_of(cert: Path | None, key: Path | None) -> Certificate | None:
    """Return the certificate of two files, None where they are not set: plain http. Raises as `Certificate`."""
    return Certificate(cert, key) if cert and key else None


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
