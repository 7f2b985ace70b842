"""Agents do not run without their tools: a toolset that cannot be listed ends the attempt.

ADK logs the error and continues without the tools, and the model answers as if it never had them. `guard` is called by
`engine` before an agent is loaded, and covers all toolsets of all agents, in any team, graph or tool.
"""

from functools import partial
from typing import Any, Final

from google.adk.agents import llm_agent
from google.adk.tools.base_toolset import BaseToolset

from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.control import Cancel, Permanent, Snooze
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.redaction import safe_str

_ADKS: Final = llm_agent._convert_tool_union_to_tools  # the only place where ADK ignores a failed toolset
# Errors with their own ending.
_DECIDED: Final = (StartEnded, Snooze, Cancel, Permanent)


class ToolsLost(BaseException):
    """Carries `error` through ADK, which ignores an Exception of a toolset."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def toolset_failed(message: str, met: Exception) -> StartEnded:
    """A toolset could not be listed, for the reason `met`: a server may be available at the next attempt."""
    ended = StartEnded(Ending(Verdict.RETRY, ErrorClass.TOOL_ERROR, message))
    ended.__cause__ = met
    return ended


def unwrapped(error: BaseException) -> BaseException:
    """Return the error in a ToolsLost, even if ADK removed its cause, as ParallelAgent does; else `error`."""
    return error.error if isinstance(error, ToolsLost) else error


def guard() -> None:
    """Make ADK list toolsets through this module."""
    llm_agent._convert_tool_union_to_tools = _listed


async def _listed(tool_union: Any, ctx: Any, *rest: Any, **more: Any) -> Any:
    if not isinstance(tool_union, BaseToolset) or callable(tool_union):
        return await _ADKS(tool_union, ctx, *rest, **more)
    for extra in getattr(tool_union, "_provided_toolsets", ()):
        # A SkillToolset's own toolsets, which it lists itself when a skill is loaded, ignoring failures with a warning.
        vars(extra)["get_tools_with_prefix"] = partial(_tools, extra)
    return await _tools(tool_union, ctx)


async def _tools(toolset: BaseToolset, ctx: Any) -> Any:
    try:
        return await type(toolset).get_tools_with_prefix(toolset, ctx)
    except _DECIDED as error:
        raise ToolsLost(error) from error
    except Exception as error:
        agent = getattr(ctx, "agent_name", "?")
        message = f"agent {agent}: the tools of {_named(toolset)} cannot be listed: {_why(error)}"
        ended = toolset_failed(message, error)
        raise ToolsLost(ended) from ended


def _named(toolset: BaseToolset) -> str:
    """A toolset's name for its author: its class and, for MCP, its server."""
    kind = type(toolset).__name__
    server = getattr(toolset, "_connection_params", None)
    server = getattr(server, "server_params", server)
    place = getattr(server, "url", None) or getattr(server, "command", None)
    prefix = f" (prefix {toolset.tool_name_prefix!r})" if toolset.tool_name_prefix else ""
    return f"{kind} at {place}{prefix}" if place else f"{kind}{prefix}"


def _why(error: BaseException) -> str:
    """Return an error's text; for a group, or an error without a text, that of the error below it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = safe_str(error)
    if not text and error.__cause__ is not None:
        return _why(error.__cause__)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
