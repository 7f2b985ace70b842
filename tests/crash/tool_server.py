"""An MCP server whose tool has an effect: a server for all runs, or a child process of the runner over stdio.

Whose effect it is, is said by the caller's headers, or by the environment of the process.
"""

import os
from collections.abc import Mapping
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from tests.crash.effects import FILE, KILL_AT, mark, marks, note, unmarked


def _server() -> MCPServer:
    server = MCPServer("papers")

    @server.tool()
    def search(item: str, ctx: Context) -> str:
        """Search papers."""
        about = _of_process() if ctx.headers is None else _of_caller(ctx.headers)
        what = f"tool search({unmarked(item)})"
        note("begin", what, marks(item), **about)
        note("end", what, **about)
        return mark(what)

    return server


def _of_caller(headers: Mapping[str, str]) -> dict[str, Any]:
    return {"file": headers["x-file"], "kill_at": int(headers["x-kill-at"]), "pid": int(headers["x-pid"])}


def _of_process() -> dict[str, Any]:
    return {"file": os.environ[FILE], "kill_at": int(os.environ[KILL_AT]), "pid": os.getppid()}


def app() -> Any:
    """Return the server as an ASGI application."""
    return _server().streamable_http_app(stateless_http=True)


if __name__ == "__main__":
    _server().run("stdio")
