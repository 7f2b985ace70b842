"""The gateway of `run --local`: it answers the runner of one start on this machine, from its journal's file.

The answers are those of the cluster's gateway. Data of other jobs is empty: there is no earlier session and no memory.
"""

import json
import secrets
import sqlite3
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from agentjobs import contract, errors
from agentjobs.cli import local_artifacts, local_kept
from agentjobs.cli.local_journal import Journal, Refused
from agentjobs.contract import (
    ArtifactNames,
    ArtifactSaved,
    ArtifactVersions,
    Attempt,
    KeptFiles,
    MemoryHits,
    StepsAnswer,
)
from agentjobs.history.kept import Write


class Server(ThreadingHTTPServer):
    """Listens on a free port of this machine, for clients with the token."""

    daemon_threads = True

    def __init__(self, given: Attempt, journal: Journal, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.given = given
        self.journal = journal
        self.token = token
        self.document: dict[str, Any] | None = None
        """The start's ending, as reported by the runner."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore broken connections: they mean that the runner was killed, which is reported elsewhere."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    """The gateway's answers to a runner; its timeline is already logged and is not stored."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is the base class's
        """Do nothing: the log belongs to the runner."""

    def _answer(self) -> None:
        length = self.headers.get("Content-Length") or "0"
        body = self.rfile.read(int(length) if length.isdigit() else 0)
        if not secrets.compare_digest(self.headers.get("Authorization") or "", f"Bearer {self.server.token}"):
            self._send(401, {"reason": "Unauthorized", "message": "Another token is needed."})
            return
        try:
            self._reply(body)
        except sqlite3.Error as error:
            # Like a gateway without its database: the runner retries for a limited time.
            self._send(503, {"reason": "Unavailable", "message": f"The journal cannot be used: {error}."})

    def _reply(self, body: bytes) -> None:
        place = urlsplit(self.path)
        match self.command, place.path:
            case "GET", contract.PATH_ATTEMPT:
                self._send(200, self.server.given)
            case "POST", contract.PATH_EVENTS | contract.PATH_HEARTBEAT:
                self._send(204, None)
            case "PUT", contract.PATH_RESULT:
                document = json.loads(body)
                self.server.document = document
                result = document["result"]
                self._send(200, {"final": result and self.server.journal.keep(result)})
            case "GET", contract.PATH_STEPS:
                after = parse_qs(place.query).get("after", ["0"])[0]
                self._send(200, self.server.journal.page(int(after) if after.isdecimal() else 0))
            case "POST", contract.PATH_STEPS:
                self._append(body)
            case "PUT", contract.PATH_SESSION:
                self._send(204, None)  # local sessions are not continued
            case "POST", contract.PATH_MEMORY:
                self._send(200, MemoryHits(memories=[]))
            case _, path if path.startswith(contract.PATH_ARTIFACTS):
                self._artifacts(path, {name: values[0] for name, values in parse_qs(place.query).items()}, body)
            case _, contract.PATH_KEPT | contract.PATH_KEPT_CONTENT as path:
                self._kept(path, {name: values[0] for name, values in parse_qs(place.query).items()}, body)
            case _:
                self._send(404, {"reason": "NotFound", "message": f"{self.path} does not exist with --local."})

    def _artifacts(self, path: str, parameters: Mapping[str, str], body: bytes) -> None:
        name, version = parameters.get("name", ""), parameters.get("version")
        # Responses are sent after the transaction, so what the runner receives is stored.
        match self.command, path:
            case "POST", contract.PATH_ARTIFACT:
                given, now = json.loads(self.headers[contract.HEADER_ARTIFACT]), datetime.now(UTC).isoformat()
                with self.server.journal.file() as file:
                    number = local_artifacts.save(file, given, body, run=self.server.journal.run, time=now)
                self._send(200, ArtifactSaved(version=number))
            case "GET", contract.PATH_ARTIFACT:
                with self.server.journal.file() as file:
                    found = local_artifacts.content(file, name, None if version is None else int(version))
                self._send_artifact(found)
            case "DELETE", contract.PATH_ARTIFACT:
                with self.server.journal.file() as file:
                    local_artifacts.delete(file, name)
                self._send(204, None)
            case "GET", contract.PATH_ARTIFACTS:
                with self.server.journal.file() as file:
                    names = local_artifacts.names(file)
                self._send(200, ArtifactNames(names=names, next=None))
            case "GET", contract.PATH_ARTIFACT_VERSIONS:
                with self.server.journal.file() as file:
                    versions = local_artifacts.versions(file, name)
                self._send(200, ArtifactVersions(versions=versions))
            case _:
                self._send(404, {"reason": "NotFound", "message": f"{path} does not exist with --local."})

    def _kept(self, path: str, parameters: Mapping[str, str], body: bytes) -> None:
        journal, name, offset = self.server.journal, parameters.get("name", ""), int(parameters.get("offset", "0"))
        number = int(parameters["write"]) if "write" in parameters else None
        match self.command, path:
            case "GET", contract.PATH_KEPT:
                with journal.file() as file:
                    found = local_kept.files(file, journal.run)
                self._send(200, KeptFiles(files=found))
            case "GET", contract.PATH_KEPT_CONTENT:
                with journal.file() as file:
                    part = local_kept.part(file, journal.run, name, offset)
                self._send_part(part)
            case "PUT", contract.PATH_KEPT_CONTENT:
                self._write(Write(name, offset, body, number))
            case "DELETE", contract.PATH_KEPT_CONTENT:
                with journal.file() as file:
                    local_kept.delete(file, journal.run, journal.start, name, number)
                self._send(204, None)
            case _:
                self._send(404, {"reason": "NotFound", "message": f"{path} does not exist with --local."})

    def _write(self, given: Write) -> None:
        journal = self.server.journal
        try:
            with journal.file() as file:
                local_kept.write(file, journal.run, journal.start, given)
        except (errors.Invalid, errors.TooLarge) as error:
            status = 413 if isinstance(error, errors.TooLarge) else 422
            self._send(status, {"reason": type(error).__name__, "message": str(error)})
            return
        self._send(204, None)

    def _send_part(self, part: bytes | None) -> None:
        if part is None:
            self._send(404, {"reason": "NotFound", "message": "There is no such kept file."})
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def _send_artifact(self, found: tuple[str, bytes] | None) -> None:
        if found is None:
            self._send(404, {"reason": "NotFound", "message": "There is no such artifact, or no such version of it."})
            return
        described, content = found
        self.send_response(200)
        self.send_header(contract.HEADER_ARTIFACT, described)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _append(self, body: bytes) -> None:
        if len(body) > contract.MAX_STEPS_BODY_BYTES:
            self._send(413, {"reason": "BodyTooLarge", "message": "The body of a request is too large."})
            return
        try:
            self._send(200, StepsAnswer(last=self.server.journal.append(json.loads(body))))
        except Refused as refused:
            self._send(refused.status, {"reason": refused.reason, "message": str(refused)})

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815  the names are the base class's

    def _send(self, status: int, answer: Mapping[str, Any] | None) -> None:
        content = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(given: Attempt, journal: Journal, token: str) -> Iterator[Server]:
    """Answer the runner of one start while the context is open."""
    with Server(given, journal, token) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.05), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
