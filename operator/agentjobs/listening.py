"""Listening sockets of our servers, their certificates, and the renewal of certificates. Independent of frameworks.

Called by gateway, model proxy and dashboard.
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

# cert-manager renews weeks before expiry; checking each minute is enough and costs two stats.
CERTIFICATE_SECONDS: Final = 60.0

OnDeath = Callable[[errors.AgentJobsError], None]
"""Called when an essential part of a process has died."""


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
        errors.Misconfigured: the address is in use, or not of this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
        # Inherited by its connections; asyncio sets it only for sockets with an explicit protocol. Without it the body
        # of a response waits up to 40 ms until the client has acknowledged the head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        cure = "choose another with AGENTJOBS_HOST and AGENTJOBS_PORT"
        raise errors.Misconfigured(f"cannot listen on {host} port {port}: {error.strerror}; {cure}") from error


def url_of(listener: socket.socket, *, secure: bool) -> str:
    """Return the URL of a listener on its own machine."""
    host, port = listener.getsockname()[:2]
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


class Certificate:
    """A server's certificate and key, as PEM files that may be renewed.

    Raises:
        errors.Misconfigured: one of the files cannot be read, or they do not belong together.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert, self._key = cert, key
        self._known = self._modified()
        self.context = self._loaded()
        """The context of new connections."""

    async def renew(self) -> None:
        """Reload certificate and key when their files change; new connections use them. Never returns."""
        while True:
            await asyncio.sleep(CERTIFICATE_SECONDS)
            found = self._modified()
            if found == self._known:
                continue
            try:
                # First into a new context: if only one of the files has changed yet, loading fails, and would leave
                # the current context half loaded.
                self._loaded()
                self.context.load_cert_chain(self._cert, self._key)
            except (errors.Misconfigured, OSError, ssl.SSLError) as error:
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
            raise errors.Misconfigured(f"TLS certificate {self._cert} or key {self._key}: {error}") from error
        return context

    def _modified(self) -> Sequence[float]:
        return [_modified_at(path) for path in (self._cert, self._key)]


def certificate_of(cert: Path | None, key: Path | None) -> Certificate | None:
    """Return the certificate of two files; None if they are not set, for plain http. Raises like `Certificate`."""
    return Certificate(cert, key) if cert and key else None


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
