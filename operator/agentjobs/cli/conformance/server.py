"""Gateway and model proxy of a situation, over HTTP on the loopback interface, with or without TLS."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from agentjobs.cli.conformance.observations import Call
from agentjobs.cli.conformance.stage import CUT, LOST, Reply, Stage

# More than the limit of any body; a larger one is not read to its end.
_MOST_BYTES: Final = 24 * 1024 * 1024
_KEY_HEADERS: Final = ("x-api-key", "x-goog-api-key", "api-key")


class Server(ThreadingHTTPServer):
    """Answers requests for a stage. Connections are refused until it is opened.

    Args:
        certificate: PEM files of the server's certificate and its key; None for plain HTTP.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, stage: Stage, certificate: tuple[Path, Path] | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self.stage = stage
        self._secure = certificate is not None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.server_bind()

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'https' if self._secure else 'http'}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore broken connections, and clients that rejected the certificate; that is judged elsewhere."""
        with suppress(OSError):
            request.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 150.0
    server: Server

    def setup(self) -> None:
        """Do the TLS handshake in the connection's own thread."""
        if isinstance(self.request, ssl.SSLSocket):
            self.request.settimeout(self.timeout)
            try:
                self.request.do_handshake()
            except OSError:
                self.server.stage.shaken_off = self.server.stage.shaken_off or time.monotonic()
                raise
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is the base class's
        """Do nothing: requests are recorded."""

    def _answer(self) -> None:
        arrived = time.monotonic()
        body = self._body()
        stage = self.server.stage
        call = Call(arrived, self.command, self.path, stage.token_of(self._key()), body)
        call.leaks = stage.leaks(body) or stage.leaks(self.path.encode())
        stage.note(call)
        self._send(stage.answer(call))

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _answer  # noqa: N815  the names are the base class's

    def _key(self) -> str:
        given = self.headers.get("Authorization") or ""
        kind, _, token = given.partition(" ")
        if kind.lower() == "bearer":
            return token.strip()
        return next((self.headers[name] for name in _KEY_HEADERS if name in self.headers), given)

    def _body(self) -> bytes:
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            return b"".join(self._chunks())
        length = self.headers.get("Content-Length") or "0"
        return self.rfile.read(min(int(length), _MOST_BYTES)) if length.isdecimal() else b""

    def _chunks(self) -> Iterator[bytes]:
        size, left = 1, _MOST_BYTES
        while size and left > 0:
            try:
                size = int(self.rfile.readline(1024).partition(b";")[0] or b"0", 16)
            except ValueError:
                self.close_connection = True
                return
            yield self.rfile.read(min(size, left))
            left -= size
            self.rfile.readline(1024)

    def _send(self, reply: Reply) -> None:
        if reply is CUT or reply is LOST:
            self.close_connection = True
            with suppress(OSError):
                self.request.shutdown(socket.SHUT_RDWR)
            return
        content = reply.content()
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(server: Server, *, after: float) -> Iterator[None]:
    """Answer while the context is open, after `after` seconds; before that, connections are refused."""
    over = threading.Event()

    def serve() -> None:
        if not over.wait(after):
            server.server_activate()
            server.serve_forever(poll_interval=0.05)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        server.stage.over.set()
        thread.join(0.1)
        if thread.is_alive():  # it serves, or is about to
            server.shutdown()
            thread.join()
        server.server_close()
