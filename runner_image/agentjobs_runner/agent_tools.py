"""Leads agents inside of tools through `steps`, also where `AgentTool(include_plugins=False)` keeps all plugins out.

Else an answer that was cut in there would become part of a success, and nothing would hold its steps at the gate.
"""

import copy
from typing import Any

from google.adk.plugins.base_plugin import BasePlugin
from google.adk.plugins.plugin_manager import PluginManager
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext


def lead(tool: BaseTool, plugin: BasePlugin) -> None:
    """Have the agent inside of `tool` run with `plugin`, and with no other if the tool wants none."""
    if getattr(tool, "include_plugins", True) or "run_async" in vars(tool):
        return
    inner: Any = copy.copy(tool)
    inner.include_plugins = True

    async def run_async(*, args: dict[str, Any], tool_context: ToolContext) -> Any:
        context, invocation = copy.copy(tool_context), tool_context._invocation_context
        context._invocation_context = invocation.model_copy(update={"plugin_manager": PluginManager(plugins=[plugin])})
        return await inner.run_async(args=args, tool_context=context)

    vars(tool)["run_async"] = run_async
