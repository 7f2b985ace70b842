"""Which failures inside a tool a model may handle. See docs/decisions/0016.

ADK only reports to the caller of a `single_turn` agent that it failed, for any reason: no credit, a rate limit, the
user's Snooze. The caller's model would then invent an answer, and the job would succeed with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from google.adk.tools import _node_tool
from google.adk.tools.agent_tool import _SingleTurnAgentTool
from google.adk.tools.tool_context import ToolContext
from google.adk.workflow._errors import DynamicNodeFailError

from agentjobs.contract import ErrorClass
from agentjobs_runner.adk.classify import classify
from agentjobs_runner.endings import Ending
from agentjobs_runner.origins import Source, origin_of

# Models can handle these: a tool's own error, a wrong or blocked answer.
_FOR_THE_MODEL: Final = frozenset({ErrorClass.TOOL_ERROR, ErrorClass.RESULT_ERROR, ErrorClass.CONTENT_BLOCKED})
_ORDERED: Final = frozenset({ErrorClass.SNOOZED, ErrorClass.CANCELLED, ErrorClass.PERMANENT})
_ADKS_SINGLE_TURN: Final = _SingleTurnAgentTool.run_async
_ADKS_NODE: Final = _node_tool._run_node_in_tool_context


def ends_start(error: Exception, *, now: datetime) -> Ending | None:
    """Return the ending for `error` of a tool; None if the caller may handle it.

    A model cannot handle errors of a provider, the platform or a definition, nor the user's Snooze, Cancel or
    Permanent. Of a tool's own errors only those three end the start.
    """
    ending = classify(error, now=now)
    origin = origin_of(error)
    if origin is not None and origin.source is Source.TOOL:
        return ending if ending.reason in _ORDERED else None
    return None if caller_may_see(ending) else ending


def caller_may_see(ending: Ending) -> bool:
    """Whether the caller of an agent with this ending may continue."""
    return ending.reason in _FOR_THE_MODEL


def node_error(error: Exception) -> Exception:
    """The failed node's error, without ADK's uninformative wrapper."""
    while isinstance(error, DynamicNodeFailError):
        error = error.error
    return error


def guard() -> None:
    """Make ADK's agent and node tools pass on errors that no model may handle; may be called again."""
    _SingleTurnAgentTool.run_async = _single_turn  # type: ignore[method-assign, assignment]
    _node_tool._run_node_in_tool_context = _node


async def _single_turn(tool: _SingleTurnAgentTool, *, args: dict[str, Any], tool_context: ToolContext) -> Any:
    with _own_errors(tool_context) as met:
        result = await _ADKS_SINGLE_TURN(tool, args=args, tool_context=tool_context)
    for error in met:
        if ends_start(error, now=datetime.now(UTC)) is not None:
            raise error
    return result


async def _node(node: Any, *, tool_context: ToolContext, **more: Any) -> Any:
    # ADK raises a node's error wrapped in its own, which hides the cause.
    with _own_errors(tool_context):
        return await _ADKS_NODE(node, tool_context=tool_context, **more)


@contextmanager
def _own_errors(context: ToolContext) -> Iterator[list[Exception]]:
    """Let `context.run_node` raise a node's own error, and keep it."""
    met: list[Exception] = []
    run_node = context.run_node

    async def run(*args: Any, **more: Any) -> Any:
        try:
            return await run_node(*args, **more)
        except Exception as error:
            found = node_error(error)
        met.append(found)
        raise found  # raised outside of the handler, so that it keeps its context

    context.run_node = run  # type: ignore[method-assign]
    try:
        yield met
    finally:
        del context.run_node
