"""Takes notifications of AgentJobs and prints one line for each: `python receiver.py PORT`.

It checks the signature of Standard Webhooks with the key in $RECEIVER_KEY, and ignores what it has seen: a notification
may come twice, with the same id.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

KEY = base64.b64decode(os.environ["RECEIVER_KEY"].removeprefix("whsec_"))
TOLERANCE_SECONDS = 300
MAX_BYTES = 64 * 1024
seen: set[str] = set()  # a service keeps them in its database


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what it took, 401 to what was not signed with the key."""

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length", "0")), MAX_BYTES))
        if not self._is_signed(body):
            self._answer(401)
            return
        event = json.loads(body)
        if event["id"] not in seen:
            seen.add(event["id"])
            print(event["type"].rpartition(".")[2], event["subject"], event["data"].get("reason", ""), flush=True)
        self._answer(204)

    def _is_signed(self, body: bytes) -> bool:
        id_, sent = self.headers.get("webhook-id", ""), self.headers.get("webhook-timestamp", "")
        if not sent.isdigit() or abs(time.time() - int(sent)) > TOLERANCE_SECONDS:
            return False
        digest = hmac.new(KEY, f"{id_}.{sent}.".encode() + body, hashlib.sha256).digest()
        wanted = f"v1,{base64.b64encode(digest).decode()}"
        given = self.headers.get("webhook-signature", "").split(" ")
        return any(hmac.compare_digest(wanted, one) for one in given)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing else."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
