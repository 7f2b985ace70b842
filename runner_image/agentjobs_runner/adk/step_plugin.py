"""ADK's callbacks for steps: each step passes the gate and the journal, and answers are checked.

`StepPlugin` comes before all other plugins of every Runner. It notes which errors come from a model and which from a
tool, because an exception alone does not show that, and rejects incomplete answers.
"""

from datetime import UTC, datetime
from typing import Any, Final

from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.callback_context import CallbackContext
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.plugins.plugin_manager import PluginManager
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext
from google.adk.workflow._errors import DynamicNodeFailError

from agentjobs.contract import ErrorClass
from agentjobs_runner import user_steps
from agentjobs_runner.adk.answer_checks import refusal
from agentjobs_runner.adk.finish_reasons import reason_word
from agentjobs_runner.adk.model_steps import ModelCall, ModelSteps
from agentjobs_runner.adk.nested_failures import ends_start, node_error
from agentjobs_runner.adk.node_steps import NodeSteps
from agentjobs_runner.adk.readers import make_strict
from agentjobs_runner.adk.step_keys import StepKeys
from agentjobs_runner.adk.steps_of_start import StepsOfStart
from agentjobs_runner.adk.tool_results import JsonResults
from agentjobs_runner.adk.tool_steps import ToolSteps
from agentjobs_runner.endings import StartEnded
from agentjobs_runner.frames import frames_of
from agentjobs_runner.origins import Origin, Source, note_origin
from agentjobs_runner.user_steps import Place

# ADK's code between a tool and its agent or node, and the check of an answer by output_schema.
_INSIDE: Final = frozenset({"google.adk.runners", "google.adk.utils._schema_utils", "google.adk.workflow._node_runner"})
_DECIDED_BY_STEPS: Final = frozenset(
    {
        ErrorClass.BUDGET_EXCEEDED,
        ErrorClass.DIVERGED,
        ErrorClass.JOURNAL_FULL,
        ErrorClass.STEP_TOO_LARGE,
        ErrorClass.TOOL_INTERRUPTED,
        ErrorClass.UNKNOWN_MODEL_PRICE,
    }
)
_ADKS_PLUGINS: Final = PluginManager.__init__


def install(plugin: "StepPlugin") -> None:
    """Put `plugin` before the plugins of every Runner.

    Including those that tools create, or that an AgentTool runs without its caller's plugins.
    """

    def init(manager: PluginManager, plugins: list[BasePlugin] | None = None, *rest: Any, **more: Any) -> None:
        others = [other for other in plugins or [] if not isinstance(other, StepPlugin)]
        _ADKS_PLUGINS(manager, [plugin, *others], *rest, **more)

    PluginManager.__init__ = init  # type: ignore[method-assign, assignment]


class StepPlugin(BasePlugin):
    """Takes steps through the gate and the journal, and notes the origin of errors.

    It covers more than events: agents inside tools, and answers that a callback replaces.
    """

    def __init__(self, start: StepsOfStart) -> None:
        super().__init__(name="agentjobs")
        self._start = start
        self._keys = StepKeys()
        self._results = JsonResults()
        self._models = ModelSteps(start, self._keys)
        self._tools = ToolSteps(start, self._keys)
        self._nodes = NodeSteps(start, self._keys)

    def install(self) -> None:
        """Install itself before the plugins of every Runner, in every agent's model and every function node."""
        install(self)
        self._models.install()
        self._nodes.install()

    def intercept(self, model: BaseLlm) -> None:
        """Record the answers of `model`, even if no agent calls it."""
        self._models.intercept(model)

    async def before_agent_callback(self, *, agent: BaseAgent, callback_context: CallbackContext) -> None:
        """Note the current agent, for recorded steps of user code."""
        user_steps.place.set(Place(self._place(callback_context), agent.name, outer=user_steps.place.get()))

    async def after_agent_callback(self, *, agent: BaseAgent, callback_context: CallbackContext) -> None:
        """Note that the code has left the agent, or an inner one that did not end."""
        key, here = self._place(callback_context), user_steps.place.get()
        while here.outer is not None:
            left, here = here, here.outer
            if left.key == key:
                user_steps.place.set(here)
                return

    async def on_agent_error_callback(
        self, *, agent: BaseAgent, callback_context: CallbackContext, error: Exception
    ) -> None:
        """Note the agent that raised `error`."""
        self._start.failing(error, self._keys.strand(callback_context), agent.name)

    def _place(self, context: CallbackContext) -> str:
        return f"{self._keys.strand(context)}|{context.agent_name}"

    async def before_model_callback(
        self, *, callback_context: CallbackContext, llm_request: LlmRequest
    ) -> LlmResponse | None:
        """Note the beginning of a model call, and normalize tool results in its request."""
        make_strict()
        llm_request.contents = self._results.of(llm_request.contents)
        await self._models.begin(callback_context, llm_request)
        return None

    async def after_model_callback(
        self, *, callback_context: CallbackContext, llm_response: LlmResponse
    ) -> LlmResponse | None:
        """Check and record the end of a model call; partial answers are not its end.

        An incomplete answer ends the start here, for any agent: otherwise a sequence, a loop or a tool could use it in
        a success, or a tool could run with incomplete arguments.
        """
        if llm_response.partial:
            return None
        call = self._models.call_of(llm_response) or self._models.answered_by_callback(callback_context, llm_response)
        if call.seen:
            return None
        call.seen = True
        if call.replayed:
            for answer in call.answers:
                self._start.answer_replayed(answer.content)
        else:
            await self._refuse(call, callback_context)
        self._start.answered(call.key, replayed=call.replayed)
        self._keys.answer(callback_context, *call.answers)
        if not call.replayed:
            await self._models.record(call)
        return None

    async def _refuse(self, call: ModelCall, context: CallbackContext) -> None:
        for answer in call.answers:
            if (stopped := refusal(context, answer, call.offered)) is not None:
                self._record_rejected(context.agent_name, answer, stopped)
                await self._models.record(call, void=True)
                self._start.survived.failed(call.key, stopped)
                self._start.lost(call.key, stored=True)
                raise stopped

    def _end_at_once(self, error: BaseException) -> None:
        """Raise an error that no callback may replace by an answer: the job's rules for its steps."""
        if isinstance(error, StartEnded) and error.ending.reason in _DECIDED_BY_STEPS:
            self._start.orders.append(error.ending)
            raise error

    def _record_rejected(self, agent: str, answer: LlmResponse, stopped: StartEnded) -> None:
        """Record an answer without an event, and why it was rejected."""
        if text := _text(answer):
            self._start.report("text", agent, {"text": text, "final": False})
        self._start.report(
            "error", agent, {"code": reason_word(answer.finish_reason), "message": stopped.ending.message}
        )

    async def on_model_error_callback(
        self, *, callback_context: CallbackContext, llm_request: LlmRequest, error: Exception
    ) -> LlmResponse | None:
        """Note that `error` came from a model."""
        note_origin(error, Origin(Source.MODEL, callback_context.agent_name))
        self._end_at_once(error)
        return None

    async def before_tool_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext
    ) -> dict[str, Any] | None:
        """Note that a tool call begins."""
        await self._tools.begin(tool, tool_args, tool_context)
        return None

    async def after_tool_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext, result: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Note the end of a tool call."""
        await self._tools.end(tool_context, result)
        return None

    async def on_tool_error_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext, error: BaseException
    ) -> dict[str, Any] | None:
        """Note that `error` came from a tool; errors of an agent inside it keep their own origin.

        An error that no caller may handle ends the start here, before callbacks let models handle errors.
        """
        self._tools.leave(tool_context)
        self._end_at_once(error)
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
    """Whether `error` came from the agent or node inside a tool, or from the check of its answer, not from the tool."""
    return isinstance(error, DynamicNodeFailError) or any(frame.module in _INSIDE for frame in frames_of(error))
