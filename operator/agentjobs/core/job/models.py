"""The models that a job's spec names. What its code asks for besides is known at the call alone."""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime

from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.models.config import Models, Refusal
from agentjobs.models.names import CLAUDE_CODE, LONG_CONTEXT, SCRIPTED, Api, api_of, canonical, of_pool


def named_models(spec: AgentJobSpec, aliases: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield field and name of each model that the spec names and that will be asked; scripts ask none.

    Args:
        aliases: names of the installation. They go before those for which Claude Code chooses a model itself, which
            nobody but its CLI can tell.
    """
    agent = spec.agent
    named = [("spec.agent.model", agent.model if agent.claude_code is None else _of_claude_code(agent.model, aliases))]
    if agent.inline is not None and not (agent.model or "").startswith(SCRIPTED):
        # A script of the whole team replaces the models of its members.
        members = enumerate(agent.inline.agents)
        named += [(f"spec.agent.inline.agents[{place}].model", member.model) for place, member in members]
    if spec.steps.compaction is not None:
        named.append(("spec.steps.compaction.model", spec.steps.compaction.model))
    for field, model in named:
        if model is not None and not model.startswith(SCRIPTED):
            yield field, model


def _of_claude_code(model: str | None, aliases: Collection[str]) -> str | None:
    """The canonical name of a model as it is named for Claude Code; None where its CLI chooses."""
    if model is None or model in aliases:
        return model
    model = model.removesuffix(LONG_CONTEXT)
    if model in CLAUDE_CODE:
        return None
    return canonical(Api.ANTHROPIC, model) if api_of(model) is None and "/" not in model else model


def asked_models(spec: AgentJobSpec, aliases: Mapping[str, str]) -> frozenset[str]:
    """Return the models that the spec's names stand for, without aliases and scripts."""
    return frozenset(aliases.get(model, model) for _, model in named_models(spec, aliases))


def exhausted_until(models: Models, model: str, namespace: str, exhausted: Mapping[str, datetime]) -> datetime | None:
    """Return until when no call of a model can be made from a namespace: neither of it nor of its fallbacks.

    Args:
        exhausted: what the proxies told, by `models.names.pool`; None when a call can be made now.
    """
    told = [(*of_pool(name), until) for name, until in exhausted.items()]
    route = models.resolve(model, namespace)
    if isinstance(route, Refusal):
        # Nothing says which keys there are: without a file of models all jobs use the same.
        return max((until for of, _, until in told if of == model), default=None)
    ends = []
    for each in (route, *route.fallbacks):
        mine = {key.name for candidate in each.candidates for key in candidate.keys}
        shut = [until for of, keys, until in told if of == each.model and (not keys or mine <= keys)]
        if not shut:
            return None
        ends.append(max(shut))
    return min(ends)


def unpriced(spec: AgentJobSpec, is_priced: Callable[[str], bool], source: str) -> tuple[str, ...]:
    """Return a sentence for each model that the spec names and whose price is not known.

    Args:
        source: where the prices of the installation come from.
    """
    return tuple(
        f"{field}: the price of {model!r:.80} is not known, and spec.budget.maxCostUSD needs it; add it to the prices "
        f"of {source}, or take maxCostUSD away"
        for field, model in named_models(spec)
        if not is_priced(model)
    )


def uncounted(spec: AgentJobSpec) -> tuple[str, ...]:
    """Return a sentence when the spec names models and the installation has nothing that counts dollars."""
    if spec.agent.claude_code is None and not any(named_models(spec)):
        return ()
    cure = "set AGENTJOBS_MODELS_URL for the operator, or use maxTokens or maxLLMCalls"
    return (f"spec.budget.maxCostUSD: this installation has no model proxy, so nothing counts dollars; {cure}",)
