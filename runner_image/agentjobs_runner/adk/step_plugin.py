"""Take each of ADK's steps through the gate, counts and checks it, and notes where its errors came from.

`StepPlugin` stands before all other plugins of every Runner. It notes which errors a model raised and which a tool,
because an exception alone does not say, and lets no answer pass that the model did not finish.
"""

from collections import deque
from collections.abc import Callable
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

from agentjobs_runner.adk.answer_checks import refusal, streams_from, usage_of
from agentjobs_runner.adk.finish_reasons import reason_word
from agentjobs_runner.adk.nested_failures import ends_start, node_error
from agentjobs_runner.adk.readers import make_strict
from agentjobs_runner.adk.step_keys import StepKeys, inside
from agentjobs_runner.adk.tool_results import with_json_results
from agentjobs_runner.endings import StartEnded, cut_off
from agentjobs_runner.frames import frames_of
from agentjobs_runner.gate import Gate
from agentjobs_runner.origins import Origin, Source, note_origin
from agentjobs_runner.steps import StepKey
from agentjobs_runner.usage import UsageCounter

# Tools that only contain other steps: while those are held at the gate, nothing runs inside of them.
_CONTAINERS: Final = frozenset({"AgentTool", "NodeTool"})
# What runs in between when those call an agent or a node, and what judges its answer by its output_schema.
_INSIDE: Final = frozenset({"google.adk.runners", "google.adk.utils._schema_utils", "google.adk.workflow._node_runner"})
# More answers than are on their way to `on_event_callback` at one time.
_ANSWERS: Final = 64
_ADKS_PLUGINS: Final = PluginManager.__init__


def install(plugin: "StepPlugin") -> None:
    """Put `plugin` before the plugins of every Runner.

    Also of those that tools build themselves, or that an AgentTool runs without its caller's plugins.
    """

    def init(manager: PluginManager, plugins: list[BasePlugin] | None = None, *rest: Any, **more: Any) -> None:
        others = [other for other in plugins or [] if not isinstance(other, StepPlugin)]
        _ADKS_PLUGINS(manager, [plugin, *others], *rest, **more)

    PluginManager.__init__ = init  # type: ignore[method-assign, assignment]


class StepPlugin(BasePlugin):
    """Takes steps through the gate, counts them and notes where errors came from.

    It sees more than events tell: agents inside of tools, and answers that a callback replaces.

    Args:
        record: takes what came of an answer that does not pass, as (kind, author, data) of the timeline.
    """

    def __init__(self, gate: Gate, usage: UsageCounter, record: Callable[[str, str, dict[str, Any]], None]) -> None:
        super().__init__(name="agentjobs")
        self._gate = gate
        self._usage = usage
        self._record = record
        self._keys = StepKeys()
        self._offered: dict[StepKey, frozenset[str]] = {}
        """The tools that each running model call offers."""
        self._answered: deque[object] = deque(maxlen=_ANSWERS)
        """The contents of the last answers of models, to tell their events from those that callbacks made."""

    async def before_model_callback(
        self, *, callback_context: CallbackContext, llm_request: LlmRequest
    ) -> LlmResponse | None:
        """Hold the model call at the gate, and give the model tools' results as every provider gets them."""
        make_strict()
        llm_request.contents = with_json_results(llm_request.contents)
        step, named = self._keys.ask(callback_context), f"a model call of {callback_context.agent_name}"
        self._offered[step] = frozenset(llm_request.tools_dict)
        await self._gate.enter(step, named, within=inside())
        return None

    async def after_model_callback(
        self, *, callback_context: CallbackContext, llm_response: LlmResponse
    ) -> LlmResponse | None:
        """Note the end of a model call; partial answers are not its end, and the whole one repeats their tokens.

        An answer that the model did not finish ends here, in whichever agent: what a sequence, a loop or a tool would
        pass on of it would become part of a success, and a call in it would run on half of its arguments.
        """
        if llm_response.partial:
            self._gate.note_progress()
        else:
            self._usage.count(usage_of(llm_response))
            offered = self._leave(self._keys.asked(callback_context))
            if (stopped := refusal(callback_context, llm_response, offered)) is not None:
                self._tell(callback_context.agent_name, llm_response, stopped)
                raise stopped
            self._keys.answer(callback_context, llm_response)
            if llm_response.content is not None:
                self._answered.append(llm_response.content)
        return None

    async def after_agent_callback(self, *, agent: BaseAgent, callback_context: CallbackContext) -> None:
        """Refuse the end of an agent whose model was asked and gave no answer at all, not even an empty one.

        With others than Gemini a callback may have answered in the model's place, with nothing.
        """
        step = self._keys.asked(callback_context)
        open_still = step is not None and self._gate.runs(step)
        self._leave(step)
        if open_still and streams_from(callback_context, "Gemini"):
            raise cut_off()

    def _leave(self, step: StepKey | None) -> frozenset[str]:
        """End a step; return the tools that its model may call."""
        if step is None:
            return frozenset()
        self._gate.leave(step)
        return self._offered.pop(step, frozenset())

    def _tell(self, agent: str, answer: LlmResponse, stopped: StartEnded) -> None:
        """Record an answer that no event will tell of, and why it did not pass."""
        if text := _text(answer):
            self._record("text", agent, {"text": text, "final": False})
        self._record("error", agent, {"code": reason_word(answer.finish_reason), "message": stopped.ending.message})

    async def on_model_error_callback(
        self, *, callback_context: CallbackContext, llm_request: LlmRequest, error: Exception
    ) -> LlmResponse | None:
        """Note that `error` came from a model."""
        note_origin(error, Origin(Source.MODEL, callback_context.agent_name))
        self._leave(self._keys.asked(callback_context))
        return None

    async def on_event_callback(self, *, invocation_context: InvocationContext, event: Event) -> Event | None:
        """Count a model call as ended when another callback answered in the model's place."""
        if not (event.partial or event.get_function_responses() or any(event.content is one for one in self._answered)):
            self._leave(self._keys.told(event, invocation_context.invocation_id))
        return None

    async def before_tool_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext
    ) -> dict[str, Any] | None:
        """Hold the tool call at the gate."""
        outer = inside()
        step = self._keys.call(tool_context)
        await self._gate.enter(step, f"tool {tool.name}", within=outer)
        self._usage.count({"toolCalls": 1})
        if _contains_steps(tool):
            self._gate.leave(step)
        return None

    async def after_tool_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext, result: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Note the end of a tool call."""
        self._leave(self._keys.called(tool_context))
        return None

    async def on_tool_error_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext, error: BaseException
    ) -> dict[str, Any] | None:
        """Note that `error` came from a tool; what an agent inside of it met keeps its own origin.

        An error that no caller may see ends the start here, before callbacks run that let models deal with errors.
        """
        self._leave(self._keys.called(tool_context))
        if not _ran_an_agent(error):
            note_origin(error, Origin(Source.TOOL, tool.name))
        if (
            isinstance(error, Exception)
            and (ending := ends_start(node_error(error), now=datetime.now(UTC))) is not None
        ):
            raise StartEnded(ending) from error
        return None


def _text(answer: LlmResponse) -> str:
    parts = (answer.content.parts if answer.content else None) or []
    return "".join(part.text for part in parts if part.text and not part.thought)


def _ran_an_agent(error: BaseException) -> bool:
    """Whether `error` came out of the agent or node inside of a tool, or judges its answer: not out of the tool."""
    return isinstance(error, DynamicNodeFailError) or any(frame.module in _INSIDE for frame in frames_of(error))


def _contains_steps(tool: BaseTool) -> bool:
    return any(kind.__name__ in _CONTAINERS for kind in type(tool).__mro__)
