"""From the resolved spec's `agent` to an ADK App: Inline agents are built here, Module agents loaded.

Called by `engine` once per start. Raises ConfigInvalid or ModuleNotFound; runs no agent.
"""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.llm_agent import LlmAgent
from google.adk.apps.app import App
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.base_toolset import BaseToolset
from google.genai import types
from pydantic import ValidationError

from agentjobs_runner.adk.agent_tree import duplicate_names
from agentjobs_runner.adk.conventions import load_agent
from agentjobs_runner.adk.mcp_servers import toolsets
from agentjobs_runner.adk.model_assignment import assign_model
from agentjobs_runner.adk.models import Models
from agentjobs_runner.adk.scripted import PREFIX
from agentjobs_runner.endings import config_invalid, module_not_found
from agentjobs_runner.modules import attribute, first_problems, misfit

# Tools of google.adk.tools that need neither arguments nor a person.
BUILT_IN_TOOLS: Final = (
    "enterprise_web_search",
    "exit_loop",
    "google_maps_grounding",
    "google_search",
    "load_artifacts",
    "load_memory",
    "preload_memory",
    "transfer_to_agent",
    "url_context",
)
# google-adk 2.13's rule for App.name.
_APP_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]*")


def app_name(wanted: str | None, fallback: str) -> str:
    """Return ADK's name of the application.

    Args:
        wanted: `session.appName`, used unchanged or rejected.
        fallback: the agent's or job's name, made valid: other characters become `_`, `app_` precedes a digit.
    """
    if wanted is not None:
        if not _APP_NAME.fullmatch(wanted) or wanted == "user":
            raise config_invalid(
                f"session.appName: ADK rejects {wanted[:63]!r}; use a letter, then letters, digits, _ and -; not `user`"
            )
        return wanted
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", fallback)
    return name if _APP_NAME.fullmatch(name) and name != "user" else f"app_{name}"


async def build(agent: Mapping[str, Any], models: Models, *, name: str | None, job: str) -> App:
    """Return the App of a job's `agent`.

    Raises:
        StartEnded: the definition is invalid.
        Exception: of user code, from its import or its factory.
    """
    inline, module = agent.get("inline"), agent.get("module")
    if inline is not None:
        root = _Team(inline, agent.get("model"), models).root()
        assign_model(root, agent.get("model"), models)
        return _app(app_name(name, root.name or job), root)
    if module is None:
        raise config_invalid("agent: this runner runs agent.inline and agent.module; the job has neither")
    found = await _made(load_agent(module["ref"], "agent.module.ref"), module["ref"], module.get("args") or {})
    _expect_own_names(found.root_agent if isinstance(found, App) else found, module["ref"])
    if isinstance(found, App):
        return _user_app(found, agent.get("model"), models, name)
    assign_model(found, agent.get("model"), models)
    return _app(app_name(name, job), found)


def _expect_own_names(root: Any, ref: str) -> None:
    if names := duplicate_names(root):
        raise config_invalid(
            f"agent.module.ref: {ref!r} has several agents or nodes named {', '.join(map(repr, names))}; "
            "ADK identifies them by name, so give each its own"
        )


def _app(name: str, root: Any) -> App:
    return App(name=name, root_agent=root)


def _user_app(found: App, model: str | None, models: Models, name: str | None) -> App:
    assign_model(found.root_agent, model, models)
    return found.model_copy(update={"name": app_name(name, found.name)})


async def _made(found: Any, ref: str, args: Mapping[str, Any]) -> Any:
    """Call a factory, which may be async; it must return an agent, a node or an App."""
    if not _is_made(found) and callable(found):
        try:
            found = found(**args)
            if inspect.isawaitable(found):
                found = await found
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:
                given = f"with {', '.join(args)}" if args else "without arguments"
                raise config_invalid(
                    f"agent.module.ref: {ref!r} cannot be called {given}: {error}; set agent.module.args"
                ) from error
            raise
        except ValidationError as error:
            raise config_invalid(f"agent.module.ref: {misfit(ref, error)}") from error
    elif args:
        raise config_invalid(f"agent.module.args: {ref!r} is {_article(found)}, which takes no arguments; remove them")
    if _is_made(found):
        return found
    raise config_invalid(
        f"agent.module.ref: {ref!r} is {_article(found)}; it must be an Agent, an App, or a function that returns one"
    )


def _is_made(found: Any) -> bool:
    return isinstance(found, (App, BaseAgent)) or _is_node(found)


def _is_node(found: Any) -> bool:
    from google.adk.workflow import BaseNode  # ADK loads it anyway when an agent runs

    return isinstance(found, BaseNode)


def _article(found: Any) -> str:
    return "a module" if inspect.ismodule(found) else f"a {type(found).__name__}"


class _Team:
    """Builds an Inline agent and the agents that it names, each once."""

    def __init__(self, inline: Mapping[str, Any], model: str | None, models: Models) -> None:
        self._inline = inline
        self._model = model
        self._models = models
        self._members = {item["name"]: (index, item) for index, item in enumerate(inline.get("agents") or ())}
        self._parents: dict[str, str] = {}

    def root(self) -> BaseAgent:
        return self._agent(self._inline, "agent.inline", ())

    def _agent(self, spec: Mapping[str, Any], field: str, above: tuple[str, ...]) -> BaseAgent:
        name = spec.get("name") or "agent"
        children = [
            self._child(child, f"{field}.subAgents", name, (*above, name)) for child in spec.get("subAgents") or ()
        ]
        kind = spec.get("agentClass") or "LlmAgent"
        if kind not in _BUILDERS:
            raise config_invalid(f"{field}.agentClass: {kind!r} is unknown; use one of {', '.join(_BUILDERS)}")
        common = {"name": name, "description": spec.get("description") or "", "sub_agents": children}
        try:
            with warnings.catch_warnings():
                # ADK deprecates three of its classes in favour of Workflow, which cannot be a sub-agent yet.
                warnings.simplefilter("ignore", DeprecationWarning)
                return _BUILDERS[kind](self, spec, field, common)
        except ValidationError as error:
            raise config_invalid(f"{field}: ADK rejects agent {name!r}: {first_problems(error)}") from error

    def _child(self, child: str, field: str, parent: str, above: tuple[str, ...]) -> BaseAgent:
        if child not in self._members:
            known = ", ".join(self._members) or "none"
            raise config_invalid(f"{field}: {child!r} is not in agent.inline.agents (there are: {known})")
        if child in above:
            raise config_invalid(f"{field}: {' → '.join((*above, child))} is a cycle; an agent cannot contain itself")
        if child in self._parents:
            raise config_invalid(
                f"{field}: {child!r} already belongs to {self._parents[child]!r}; give {parent!r} its own agent"
            )
        self._parents[child] = parent
        index, spec = self._members[child]
        return self._agent(spec, f"agent.inline.agents[{index}]", above)

    def llm(self, spec: Mapping[str, Any], field: str, common: dict[str, Any]) -> BaseAgent:
        own = spec.get("model")
        if not own and not self._model:
            raise config_invalid(
                f"agent.model: agent {common['name']!r} needs a model; set agent.model, e.g. gemini-flash-latest"
            )
        # `model_assignment` fills an empty model. A script replaces every model, so no client may require its key here.
        replaced = (self._model or "").startswith(PREFIX)
        model = self._models.resolve(own, f"{field}.model") if own and not replaced else ""
        tools = [
            _tool(item["name"], f"{field}.tools[{index}].name") for index, item in enumerate(spec.get("tools") or ())
        ]
        assign_model = 0 if field == "agent.inline" else self._members[common["name"]][0] + 1
        tools += toolsets(spec.get("mcpServers") or (), assign_model, field)
        most = spec.get("maxOutputTokens")
        if most is not None:
            common["generate_content_config"] = types.GenerateContentConfig(max_output_tokens=most)
        return LlmAgent(model=model, instruction=spec.get("instruction") or "", tools=tools, **common)

    def sequential(self, spec: Mapping[str, Any], field: str, common: dict[str, Any]) -> BaseAgent:
        from google.adk.agents.sequential_agent import SequentialAgent  # loaded only by the jobs that use it

        return SequentialAgent(**common)

    def parallel(self, spec: Mapping[str, Any], field: str, common: dict[str, Any]) -> BaseAgent:
        from google.adk.agents.parallel_agent import ParallelAgent  # loaded only by the jobs that use it

        return ParallelAgent(**common)

    def loop(self, spec: Mapping[str, Any], field: str, common: dict[str, Any]) -> BaseAgent:
        from google.adk.agents.loop_agent import LoopAgent  # loaded only by the jobs that use it

        return LoopAgent(max_iterations=spec.get("maxIterations"), **common)


_BUILDERS: Final[Mapping[str, Callable[[_Team, Mapping[str, Any], str, dict[str, Any]], BaseAgent]]] = {
    "LlmAgent": _Team.llm,
    "SequentialAgent": _Team.sequential,
    "ParallelAgent": _Team.parallel,
    "LoopAgent": _Team.loop,
}


def _tool(name: str, field: str) -> Any:
    if ":" not in name:
        if name not in BUILT_IN_TOOLS:
            raise module_not_found(
                f"{field}: ADK has no ready-made tool {name!r}; "
                f"use one of {', '.join(BUILT_IN_TOOLS)}, or package.module:function"
            )
        return attribute(f"google.adk.tools:{name}", field)
    found = attribute(name, field)
    if callable(found) or isinstance(found, (BaseTool, BaseToolset)):
        return found
    raise config_invalid(f"{field}: {name!r} is {_article(found)}; a tool is a function, a BaseTool or a BaseToolset")
