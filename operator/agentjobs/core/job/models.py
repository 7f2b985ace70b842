"""The models that a job's spec names. What its code asks for besides is known at the call alone."""

from collections.abc import Iterator, Mapping

from agentjobs.api.job.agent import SCRIPTED
from agentjobs.api.job.spec import AgentJobSpec


def named_models(spec: AgentJobSpec) -> Iterator[tuple[str, str]]:
    """Yield field and name of each model that the spec names and that will be asked; scripts ask none."""
    agent = spec.agent
    named = [("spec.agent.model", agent.model)]
    if agent.inline is not None and not (agent.model or "").startswith(SCRIPTED):
        # A script of the whole team replaces the models of its members.
        members = enumerate(agent.inline.agents)
        named += [(f"spec.agent.inline.agents[{place}].model", member.model) for place, member in members]
    if spec.steps.compaction is not None:
        named.append(("spec.steps.compaction.model", spec.steps.compaction.model))
    for field, model in named:
        if model is not None and not model.startswith(SCRIPTED):
            yield field, model


def asked_models(spec: AgentJobSpec, aliases: Mapping[str, str]) -> frozenset[str]:
    """Return the models that the spec's names stand for, without aliases and scripts."""
    return frozenset(aliases.get(model, model) for _, model in named_models(spec))
