"""How the runner holds its connection to the gateway."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agentjobs import contract
from agentjobs_runner.environment import Environment
from agentjobs_runner.gateway import connect


@pytest.fixture
def server():
    """A server that answers 204 and notes in `clients` which connections it was asked by."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            made.clients.add(self.client_address)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            """Stay quiet."""

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads, made.clients = True, set()
    threading.Thread(target=lambda: made.serve_forever(poll_interval=0.02), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def test_heartbeats_reuse_a_connection(server, tmp_path, monkeypatch):
    url = f"http://127.0.0.1:{server.server_address[1]}"
    environment = Environment(url, tmp_path / "token", "default", "hello", 1, tmp_path / "termination", 30.0)
    gateway = connect(environment, lambda: "token")
    now = time.monotonic

    for beat in range(3):
        monkeypatch.setattr(time, "monotonic", lambda passed=beat * contract.HEARTBEAT_SECONDS: now() + passed)
        gateway.heartbeat()
    gateway._client.close()

    assert len(server.clients) == 1
