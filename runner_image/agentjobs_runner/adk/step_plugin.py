"""ADK's steps: led through the gate, counted, looked at, and where their errors came from.

`StepPlugin` stands before all other plugins of every Runner. It notes which errors a model raised and which a tool,
because an exception alone does not say, and lets no answer pass that the model did not finish.
"""

from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.callback_context import CallbackContext
from google.adk.agents.invocation_context import InvocationContext
from google.adk.events.event import Event
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.plugins.plugin_manager import PluginManager
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext
from google.adk.workflow._errors import DynamicNodeFailError

from agentjobs_runner.adk.agent_tree import is_a
from agentjobs_runner.adk.answer_checks import mark_nothing, without_open_thoughts, written_call
from agentjobs_runner.adk.finish_reasons import cut, cut_call, is_blocked, is_cut, is_whole, soft, word
from agentjobs_runner.adk.nested_failures import inner, may_tell, untold
from agentjobs_runner.adk.readers import make_strict
from agentjobs_runner.adk.tool_results import made_plain
from agentjobs_runner.endings import StartEnded, cut_off
from agentjobs_runner.frames import places
from agentjobs_runner.gate import Gate
from agentjobs_runner.origins import Origin, Source, note
from agentjobs_runner.usage import Meter

# Models whose streams end with a finish reason, also those that user code builds; without one they were cut.
_SAY_WHY: Final = ("Gemini", "OpenAILlm", "AnthropicLlm")

# Tools that only contain other steps: while those are held at the gate, nothing runs inside of them.
_CONTAINERS: Final = frozenset({"AgentTool", "NodeTool"})
# What runs in between when those call an agent or a node, and what judges its answer by its output_schema.
_INSIDE: Final = frozenset({"google.adk.runners", "google.adk.utils._schema_utils", "google.adk.workflow._node_runner"})
# The steps that the current code runs in: tools that run agents of their own.
_within: ContextVar[tuple[str, ...]] = ContextVar("within", default=())
_ADKS_PLUGINS: Final = PluginManager.__init__


def everywhere(plugin: "StepPlugin") -> None:
    """Put `plugin` before the plugins of every Runner.

    Also of those that tools build themselves, or that an AgentTool runs without its caller's plugins.
    """

    def init(manager: PluginManager, plugins: list[BasePlugin] | None = None, *rest: Any, **more: Any) -> None:
        others = [other for other in plugins or [] if not isinstance(other, StepPlugin)]
        _ADKS_PLUGINS(manager, [plugin, *others], *rest, **more)

    PluginManager.__init__ = init  # type: ignore[method-assign, assignment]


class StepPlugin(BasePlugin):
    """Leads steps through the gate, counts them and notes where errors came from.

    It sees what no event tells: what agents inside of tools do, and answers that a callback replaces.

    Args:
        record: takes what came of an answer that does not pass, as (kind, author, data) of the timeline.
    """

    def __init__(self, gate: Gate, meter: Meter, record: Callable[[str, str, dict[str, Any]], None]) -> None:
        super().__init__(name="agentjobs")
        self._gate = gate
        self._meter = meter
        self._record = record
        self._tools: dict[str, frozenset[str]] = {}
        """The tools that each model was offered last, by its step."""

    async def before_model_callback(
        self, *, callback_context: CallbackContext, llm_request: LlmRequest
    ) -> LlmResponse | None:
        """Hold the model call at the gate, and give the model tools' results as every provider gets them."""
        make_strict()
        llm_request.contents = made_plain(llm_request.contents)
        step, named = _model_step(callback_context), f"a model call of {callback_context.agent_name}"
        self._tools[step] = frozenset(llm_request.tools_dict)
        await self._gate.enter(step, named, within=_within.get())
        return None

    async def after_model_callback(
        self, *, callback_context: CallbackContext, llm_response: LlmResponse
    ) -> LlmResponse | None:
        """Note the end of a model call; partial answers are not its end, and the whole one repeats their tokens.

        An answer that the model did not finish ends here, in whichever agent: what a sequence, a loop or a tool would
        pass on of it would become part of a success, and a call in it would run on half of its arguments.
        """
        if llm_response.partial:
            self._gate.goes_on()
        else:
            self._meter.count(_used(llm_response))
            self._gate.leave(_model_step(callback_context))
            if (stopped := self._refused(callback_context, llm_response)) is not None:
                self._tell(callback_context.agent_name, llm_response, stopped)
                raise stopped
        return None

    def _refused(self, context: CallbackContext, answer: LlmResponse) -> StartEnded | None:
        """What ends the start for an answer that ADK would go on with; brings the others into the form it knows."""
        if (stopped := _stopped(answer, _limit(context))) is not None:
            return stopped
        if answer.finish_reason is None and answer.error_code is None and _streams_from(context, *_SAY_WHY):
            return cut_off()
        if _came_to_nothing(answer) and _streams_from(context, "LiteLlm"):
            return cut_off()
        without_open_thoughts(answer)
        if _streams(context):
            mark_nothing(answer)
        return written_call(answer, self._tools.get(_model_step(context), frozenset()))

    async def after_agent_callback(self, *, agent: BaseAgent, callback_context: CallbackContext) -> None:
        """Refuse the end of an agent whose model was asked and gave no answer at all, not even an empty one.

        With others than Gemini a callback may have answered in the model's place, with nothing.
        """
        step = _model_step(callback_context)
        self._tools.pop(step, None)
        open_still = self._gate.runs(step)
        self._gate.leave(step)
        if open_still and _streams_from(callback_context, "Gemini"):
            raise cut_off()

    def _tell(self, agent: str, answer: LlmResponse, stopped: StartEnded) -> None:
        """Record an answer that no event will tell of, and why it did not pass."""
        if text := _text(answer):
            self._record("text", agent, {"text": text, "final": False})
        self._record("error", agent, {"code": word(answer.finish_reason), "message": stopped.ending.message})

    async def on_model_error_callback(
        self, *, callback_context: CallbackContext, llm_request: LlmRequest, error: Exception
    ) -> LlmResponse | None:
        """Note that `error` came from a model."""
        note(error, Origin(Source.MODEL, callback_context.agent_name))
        self._gate.leave(_model_step(callback_context))
        return None

    async def on_event_callback(self, *, invocation_context: InvocationContext, event: Event) -> Event | None:
        """Count a model call as ended when another callback answered in the model's place."""
        if not event.partial:
            self._gate.leave(_step("model", invocation_context.invocation_id, event.branch, event.author))
        return None

    async def before_tool_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext
    ) -> dict[str, Any] | None:
        """Hold the tool call at the gate."""
        step = _tool_step(tool_context)
        await self._gate.enter(step, f"tool {tool.name}", within=_within.get())
        _within.set((*_within.get(), step))
        self._meter.count({"toolCalls": 1})
        if _contains_steps(tool):
            self._gate.leave(step)
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
        """Note that `error` came from a tool; what an agent inside of it met keeps its own origin.

        What nobody may be told of ends the start here, before callbacks are asked that let models deal with errors.
        """
        self._gate.leave(_tool_step(tool_context))
        if not _ran_an_agent(error):
            note(error, Origin(Source.TOOL, tool.name))
        if isinstance(error, Exception) and (ending := untold(inner(error), now=datetime.now(UTC))) is not None:
            raise StartEnded(ending) from error
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


def _stopped(answer: LlmResponse, limit: int | None) -> StartEnded | None:
    """What ends the start for an answer that the model did not finish.

    One that is blocked, or that is nothing but an error, passes if a caller may be told of it: it cannot be taken for
    an answer, and who called the agent may ask again.
    """
    reason = answer.finish_reason or answer.error_code
    if is_whole(reason) or is_blocked(reason):
        return None
    parts = (answer.content.parts if answer.content else None) or []
    calls = [part.function_call.name or "?" for part in parts if part.function_call]
    if is_cut(reason):
        after = _used(answer).get("outputTokens")
        if calls:
            return cut_call(calls[0], after=after, limit=limit)
        return StartEnded(cut("the model's answer", answer.error_message or "", after=after, limit=limit))
    ending = soft(word(reason), answer.error_message or "")
    return StartEnded(ending) if parts or not may_tell(ending) else None


def _streams(context: CallbackContext) -> bool:
    settings = context.get_invocation_context().run_config
    return settings is not None and settings.streaming_mode.name == "SSE"


def _streams_from(context: CallbackContext, *kinds: str) -> bool:
    """Whether an answer is streamed by a model of one of these classes of ADK's."""
    return _streams(context) and is_a(getattr(context.get_invocation_context().agent, "canonical_model", None), *kinds)


def _came_to_nothing(answer: LlmResponse) -> bool:
    """Whether no token of an answer came, so of a page, or of a stream that was cut; LiteLLM calls these stopped."""
    return not (answer.content and answer.content.parts) and not _used(answer).get("outputTokens")


def _limit(context: CallbackContext) -> int | None:
    """The limit of output tokens that the agent itself sets."""
    config = getattr(context.get_invocation_context().agent, "generate_content_config", None)
    return getattr(config, "max_output_tokens", None)


def _text(answer: LlmResponse) -> str:
    parts = (answer.content.parts if answer.content else None) or []
    return "".join(part.text for part in parts if part.text and not part.thought)


def _ran_an_agent(error: BaseException) -> bool:
    """Whether `error` came out of the agent or node inside of a tool, or judges its answer: not out of the tool."""
    return isinstance(error, DynamicNodeFailError) or any(place.module in _INSIDE for place in places(error))


def _contains_steps(tool: BaseTool) -> bool:
    return any(kind.__name__ in _CONTAINERS for kind in type(tool).__mro__)


def _model_step(context: CallbackContext) -> str:
    return _step("model", context.invocation_id, context.get_invocation_context().branch, context.agent_name)


def _tool_step(context: ToolContext) -> str:
    return _step("tool", context.invocation_id, context.get_invocation_context().branch, context.function_call_id)


def _step(kind: str, run: str, branch: str | None, name: str | None) -> str:
    return f"{kind}:{run}:{branch or ''}:{name}"
