"""ADK's steps: led through the gate, counted, and where their errors came from.

`StepPlugin` stands before all other plugins of an app. `classify` asks it which errors a model raised and which a tool,
because an exception alone does not say.
"""

from enum import Enum
from typing import Any, Final

from google.adk.agents.callback_context import CallbackContext
from google.adk.agents.invocation_context import InvocationContext
from google.adk.events.event import Event
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext

from agentjobs_runner.gate import Gate
from agentjobs_runner.meter import Meter

# Tools that only contain other steps: while those are held at the gate, nothing runs inside of them.
_CONTAINERS: Final = frozenset({"AgentTool", "NodeTool"})


class Origin(Enum):
    """Where an error was raised."""

    MODEL = "model"
    TOOL = "tool"
    AGENT = "agent"


class StepPlugin(BasePlugin):
    """Leads steps through the gate, counts them and remembers where errors came from.

    It sees what no event tells: what agents inside of tools do, and answers that a callback replaces.
    """

    def __init__(self, gate: Gate, meter: Meter) -> None:
        super().__init__(name="agentjobs")
        self._gate = gate
        self._meter = meter
        self._origins: list[tuple[BaseException, Origin]] = []

    def origin(self, error: BaseException) -> Origin | None:
        """Where `error` was first seen; None when neither model nor tool raised it."""
        return next((origin for seen, origin in self._origins if seen is error), None)

    async def before_model_callback(
        self, *, callback_context: CallbackContext, llm_request: LlmRequest
    ) -> LlmResponse | None:
        """Hold the model call at the gate."""
        await self._gate.enter(_model_step(callback_context), f"a model call of {callback_context.agent_name}")
        return None

    async def after_model_callback(
        self, *, callback_context: CallbackContext, llm_response: LlmResponse
    ) -> LlmResponse | None:
        """Note the end of a model call; partial answers are not its end, and the whole one repeats their tokens."""
        if llm_response.partial:
            self._gate.goes_on()
        else:
            self._meter.count(_used(llm_response))
            self._gate.leave(_model_step(callback_context))
        return None

    async def on_model_error_callback(
        self, *, callback_context: CallbackContext, llm_request: LlmRequest, error: Exception
    ) -> LlmResponse | None:
        """Remember that `error` came from a model."""
        self._origins.append((error, Origin.MODEL))
        self._gate.leave(_model_step(callback_context))
        return None

    async def on_event_callback(self, *, invocation_context: InvocationContext, event: Event) -> Event | None:
        """Count a model call as ended when another callback answered in the model's place."""
        if not event.partial:
            self._gate.leave(f"model:{event.branch or ''}:{event.author}")
        return None

    async def before_tool_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext
    ) -> dict[str, Any] | None:
        """Hold the tool call at the gate."""
        await self._gate.enter(_tool_step(tool_context), f"tool {tool.name}")
        self._meter.count({"toolCalls": 1})
        if _contains_steps(tool):
            self._gate.leave(_tool_step(tool_context))
        return None

    async def after_tool_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext, result: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Note the end of a tool call."""
        self._gate.leave(_tool_step(tool_context))
        return None

    async def on_tool_error_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext, error: BaseException
    ) -> dict[str, Any] | None:
        """Remember that `error` came from a tool; what an agent inside of it met keeps its own origin."""
        self._origins.append((error, Origin.TOOL))
        self._gate.leave(_tool_step(tool_context))
        return None


def _used(answer: LlmResponse) -> dict[str, int]:
    usage = answer.usage_metadata
    if usage is None:
        return {"llmCalls": 1}
    return {
        "llmCalls": 1,
        "inputTokens": usage.prompt_token_count or 0,
        # Thoughts are billed as output.
        "outputTokens": (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
    }


def _contains_steps(tool: BaseTool) -> bool:
    return any(kind.__name__ in _CONTAINERS for kind in type(tool).__mro__)


def _model_step(context: CallbackContext) -> str:
    return f"model:{context.get_invocation_context().branch or ''}:{context.agent_name}"


def _tool_step(context: ToolContext) -> str:
    return f"tool:{context.get_invocation_context().branch or ''}:{context.function_call_id}"
