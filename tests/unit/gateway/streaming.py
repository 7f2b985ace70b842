"""An ASGI client that reads an answer while it is written, as a browser does."""

import asyncio
import json
from urllib.parse import urlencode


class Reader:
    """One request and what has come of its answer.

    Args:
        takes: whether the reader takes what it is sent; a slow one never does.
    """

    def __init__(self, app, path, *, headers=(), takes=True, **query):
        named = [(name.lower().encode(), value.encode()) for name, value in dict(headers).items()]
        self.scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": urlencode(query, doseq=True).encode(),
            "headers": named,
            "scheme": "http",
            "server": ("gateway", 80),
            "client": ("127.0.0.1", 1),
            "http_version": "1.1",
        }
        self.status, self.headers, self.body, self.is_complete = 0, {}, b"", False
        self._app, self._takes = app, takes
        self._left = asyncio.Event()
        self.task = asyncio.ensure_future(self._app(self.scope, self._receive, self._send))

    async def _receive(self):
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        if not self._takes and message.get("body"):
            await asyncio.Event().wait()
        self.body += message.get("body", b"")
        self.is_complete = not message.get("more_body", False)

    @property
    def events(self):
        """What has come, as (event, data, id)."""
        found = []
        for block in self.body.decode().split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "event" in fields:
                found.append((fields["event"], json.loads(fields["data"]), fields.get("id")))
        return found

    @property
    def last_id(self):
        """What a browser says when it comes back."""
        ids = [line[4:] for line in self.body.decode().splitlines() if line.startswith("id: ")]
        return ids[-1] if ids else None

    async def leave(self):
        """Hang up."""
        self._left.set()
        await self.task
