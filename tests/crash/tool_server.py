"""An MCP server whose tool has an effect. It runs beside the gateway; the caller's headers say whose effect it is."""

from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from tests.crash.effects import mark, marks, note, unmarked


def app() -> Any:
    """Return the server as an ASGI application."""
    server = MCPServer("papers")

    @server.tool()
    def search(item: str, ctx: Context) -> str:
        """Search papers."""
        headers = ctx.headers
        about: dict[str, Any] = {
            "file": headers["x-file"],
            "kill_at": int(headers["x-kill-at"]),
            "pid": int(headers["x-pid"]),
        }
        what = f"tool search({unmarked(item)})"
        note("begin", what, marks(item), **about)
        note("end", what, **about)
        return mark(what)

    return server.streamable_http_app(stateless_http=True)
