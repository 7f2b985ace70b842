"""From a job's `mcpServers` to ADK's toolsets. Called by `agents`; loads ADK's part only if needed.

Secret headers are variables of the pod. They are removed from the environment when read, so that tools and their
subprocesses do not inherit them.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from agentjobs.contract import mcp_header_variable
from agentjobs_runner.endings import config_invalid

if TYPE_CHECKING:
    from google.adk.tools.base_toolset import BaseToolset  # heavy; see above


def toolsets(servers: Sequence[Mapping[str, Any]], agent: int, field: str) -> "Iterator[BaseToolset]":
    """Yield a toolset for each server of an agent.

    Args:
        servers: `mcpServers` of the agent.
        agent: its index in the job: 0 for the root, 1 for the first of `inline.agents`.
        field: the agent's path in the job.

    Raises:
        StartEnded: ConfigInvalid if the image lacks the client or the pod a header.
    """
    for index, server in enumerate(servers):
        here = f"{field}.mcpServers[{index}]"
        if find_spec("mcp") is None:
            raise config_invalid(
                f"{here}: this image lacks the package mcp; install agentjobs[mcp] in it and name it in runtime.image"
            )
        yield _toolset(server, _headers(server, agent, index, here), here)


def _headers(server: Mapping[str, Any], agent: int, index: int, field: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for place, source in enumerate(server.get("headersFrom") or ()):
        # A Secret created from a file often ends in a newline, which a header must not.
        value = os.environ.pop(mcp_header_variable(agent, index, place), "").strip()
        if not value or not value.isprintable():
            secret = source["secretKeyRef"]
            what = "is empty" if not value else "has characters that no header may have"
            raise config_invalid(
                f"{field}.headersFrom[{place}]: key {secret['key']!r} of Secret {secret['name']!r} {what}; "
                f"write the value of header {source['header']} there"
            )
        found[source["header"]] = value
    return found


def _toolset(server: Mapping[str, Any], headers: dict[str, str], field: str) -> "BaseToolset":
    from google.adk.agents.readonly_context import ReadonlyContext  # see above
    from google.adk.tools.base_tool import BaseTool
    from google.adk.tools.mcp_tool.mcp_session_manager import SseConnectionParams, StreamableHTTPConnectionParams
    from google.adk.tools.mcp_tool.mcp_toolset import McpToolset

    from agentjobs_runner.adk.toolsets import ToolsLost, toolset_failed

    kind = SseConnectionParams if server.get("transport") == "SSE" else StreamableHTTPConnectionParams
    wanted = frozenset(server.get("toolFilter") or ())

    class Toolset(McpToolset):
        """ADK's toolset, with errors for failed listings and for missing tools that the job names."""

        async def get_tools(self, readonly_context: ReadonlyContext | None = None) -> list[BaseTool]:
            try:
                tools = await super().get_tools(readonly_context)
            except Exception as error:
                message = f"{field}: the tools of {server['name']!r} at {server['url']} cannot be listed: {error}"
                ended = toolset_failed(message, error)
                raise ToolsLost(ended) from ended
            missing = wanted - {tool.name for tool in tools}
            if missing:
                there = ", ".join(sorted(tool.name for tool in tools)) or "none"
                message = f"{field}.toolFilter: {server['name']!r} has no tool {', '.join(sorted(missing))}"
                raise ToolsLost(config_invalid(f"{message} (it has: {there})"))
            return [tool for tool in tools if not wanted or tool.name in wanted]

    return Toolset(connection_params=kind(url=server["url"], headers=headers or None))
