"""Which agents get `agent.model`, for agents in the job or in Python. Called by `agents` once per start."""

from typing import Any

from google.adk.agents.llm_agent import LlmAgent

from agentjobs_runner.adk.agent_tree import walk
from agentjobs_runner.adk.models import Models
from agentjobs_runner.adk.scripted import PREFIX
from agentjobs_runner.endings import config_invalid

# A message has 1 KiB.
_SHOWN = 8


def assign_model(root: Any, name: str | None, models: Models) -> None:
    """Set the model `name` for the root agent and every agent below it without a model, also in graphs and tools.

    A script replaces every model, so that agents can be tried without a provider.

    Raises:
        StartEnded: ConfigInvalid if `name` is invalid, or no agent uses it.
    """
    if name is None:
        return
    model = models.resolve(name, "agent.model")
    agents = [node for node in walk(root) if isinstance(node, LlmAgent)]
    takers = [agent for agent in agents if agent is root or not agent.model or name.startswith(PREFIX)]
    if agents and not takers:
        named = ", ".join(f"{agent.name}: {_named(agent)}" for agent in agents[:_SHOWN])
        raise config_invalid(
            f"agent.model: {name!r} has no effect, since all agents name their own models ({named}); "
            "remove agent.model, or the agents' models"
        )
    for agent in takers:
        agent.model = model
    # For agents that code creates during the run.
    LlmAgent.set_default_model(model)
    if name.startswith(PREFIX):
        LlmAgent.canonical_model = property(lambda _: model)  # type: ignore[method-assign,assignment]


def _named(agent: LlmAgent) -> str:
    return agent.model if isinstance(agent.model, str) else agent.model.model
