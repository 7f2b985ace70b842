"""The models that a job's spec names. Further models in its code are only known at the call."""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime

from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.models.config import ModelRefusal, Models
from agentjobs.models.names import CLAUDE_CODE, LONG_CONTEXT, SCRIPTED, Api, api_of, canonical, of_pool


def named_models(spec: AgentJobSpec, aliases: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield field and name of each model that will be called; scripted models call none.

    Args:
        aliases: names of the installation. They take precedence over Claude Code's own names, which only its CLI
        resolves.
    """
    agent = spec.agent
    named = [("spec.agent.model", agent.model if agent.claude_code is None else _of_claude_code(agent.model, aliases))]
    if agent.inline is not None and not (agent.model or "").startswith(SCRIPTED):
        # A scripted `agent.model` replaces the models of all agents.
        members = enumerate(agent.inline.agents)
        named += [(f"spec.agent.inline.agents[{place}].model", member.model) for place, member in members]
    if spec.steps.compaction is not None:
        named.append(("spec.steps.compaction.model", spec.steps.compaction.model))
    for field, model in named:
        if model is not None and not model.startswith(SCRIPTED):
            yield field, model


def _of_claude_code(model: str | None, aliases: Collection[str]) -> str | None:
    """Return the canonical name of a model of Claude Code; None if its CLI chooses."""
    if model is None or model in aliases:
        return model
    model = model.removesuffix(LONG_CONTEXT)
    if model in CLAUDE_CODE:
        return None
    return canonical(Api.ANTHROPIC, model) if api_of(model) is None and "/" not in model else model


def requested_models(spec: AgentJobSpec, aliases: Mapping[str, str]) -> frozenset[str]:
    """Return the models of the spec, with aliases resolved and without scripted ones."""
    return frozenset(aliases.get(model, model) for _, model in named_models(spec, aliases))


def exhausted_until(models: Models, model: str, namespace: str, exhausted: Mapping[str, datetime]) -> datetime | None:
    """Return until when a namespace cannot call a model or any of its fallbacks.

    Args:
        exhausted: as reported by the proxies, by `models.names.pool`; None if a call can be made now.
    """
    pools = [(*of_pool(name), until) for name, until in exhausted.items()]
    route = models.resolve(model, namespace)
    if isinstance(route, ModelRefusal):
        # Without a models file, all jobs use the same keys.
        return max((until for of, _, until in pools if of == model), default=None)
    ends = []
    for each in (route, *route.fallbacks):
        mine = {key.name for candidate in each.candidates for key in candidate.keys}
        shut = [until for of, keys, until in pools if of == each.model and (not keys or mine <= keys)]
        if not shut:
            return None
        ends.append(max(shut))
    return min(ends)


def unpriced(spec: AgentJobSpec, is_priced: Callable[[str], bool], source: str) -> tuple[str, ...]:
    """Return a sentence for each model of the spec without a known price.

    Args:
        source: the origin of the installation's prices.
    """
    return tuple(
        f"{field}: the price of {model!r:.80} is not known, and spec.budget.maxCostUSD needs it; add it to the "
        f"prices of {source}, or remove maxCostUSD"
        for field, model in named_models(spec)
        if not is_priced(model)
    )


def uncounted(spec: AgentJobSpec) -> tuple[str, ...]:
    """Return a sentence if the spec names models and the installation does not count costs."""
    if spec.agent.claude_code is None and not any(named_models(spec)):
        return ()
    cure = "set AGENTJOBS_MODELS_URL for the operator, or use maxTokens or maxLLMCalls"
    return (f"spec.budget.maxCostUSD: this installation has no model proxy to count costs; {cure}",)
