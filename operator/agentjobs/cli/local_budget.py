"""The budget of a job with `--local`: its limits, and the usage of its starts from their journal.

Without a model proxy the runner also counts the cost, with the prices that ship with agentjobs.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TypedDict

from agentjobs import contract
from agentjobs.api.job.budget import limits_of
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.printing import counted
from agentjobs.contract import StepKind
from agentjobs.core.job.models import named_models
from agentjobs.models.budget import DEFAULT_LLM_CALLS, NOTHING, Limits, Scope, Spend, plain, to_runner
from agentjobs.models.names import SCRIPTED


class Usage(TypedDict):
    """The usage of a run, over all its starts."""

    llmCalls: int
    toolCalls: int
    inputTokens: int
    outputTokens: int
    costUSD: str
    """Cost of the calls whose price is known."""
    unpriced: list[str]
    """The models of the other calls."""


@dataclass(frozen=True, slots=True)
class Spending:
    """The usage of a journal's steps."""

    counts: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(contract.USAGE, 0))
    cost: Decimal = NOTHING
    unpriced: frozenset[str] = frozenset()

    @classmethod
    def of(cls, steps: Iterable[tuple[str, str, str, str]]) -> "Spending":
        """Return kind, name, request and usage of each step, the last two as JSON."""
        counts, cost, unpriced = dict.fromkeys(contract.USAGE, 0), NOTHING, set[str]()
        for kind, name, request, usage in steps:
            used = json.loads(usage)
            for key in counts:
                counts[key] += used.get(key, 0)
            known = json.loads(request).get("costUSD")
            if known is not None:
                cost += Decimal(known)
            elif kind == StepKind.MODEL and not name.startswith(SCRIPTED):
                unpriced.add(name)
        return cls(counts, cost, frozenset(unpriced))

    def spend(self) -> Spend:
        """Return it as budgets count it."""
        counts = self.counts
        tokens = counts["inputTokens"] + counts["outputTokens"]
        return Spend(self.cost, tokens, counts["llmCalls"], counts["toolCalls"])

    def usage(self) -> Usage:
        """Return it for programs."""
        return Usage(
            llmCalls=self.counts["llmCalls"],
            toolCalls=self.counts["toolCalls"],
            inputTokens=self.counts["inputTokens"],
            outputTokens=self.counts["outputTokens"],
            costUSD=plain(self.cost),
            unpriced=sorted(self.unpriced),
        )

    def __bool__(self) -> bool:
        """Whether there was any usage."""
        return any(self.counts.values())

    def __str__(self) -> str:
        """The line printed at the end of a run."""
        calls, tools = counted(self.counts["llmCalls"], "model call"), counted(self.counts["toolCalls"], "tool call")
        tokens = counted(self.counts["inputTokens"] + self.counts["outputTokens"], "token")
        missing = f" without {', '.join(sorted(self.unpriced))}, whose price is unknown" if self.unpriced else ""
        return f"used: {calls}, {tools}, {tokens}, ${plain(self.cost)}{missing}"


def limits_here(spec: AgentJobSpec) -> Limits:
    """Return the limits of a job."""
    return limits_of(spec.budget, max_llm_calls=DEFAULT_LLM_CALLS)


def of_start(spec: AgentJobSpec, spent: Spending) -> contract.Budget:
    """Return the budget of a start, reduced by what earlier starts used.

    Each run of the command counts as its own attempt.
    """
    limits = limits_here(spec)
    return to_runner(limits, spent.spend() if limits.scope is Scope.JOB else Spend())


def check_prices(spec: AgentJobSpec, aliases: Mapping[str, str], on: date) -> None:
    """Reject a job that limits its cost and uses a model without a known price.

    Raises:
        Failure: it does.
    """
    if limits_here(spec).cost is None:
        return
    from agentjobs.models.prices import shipped  # only needed if the cost is limited

    table = shipped()
    for place, model in named_models(spec):
        if table.of(aliases.get(model, model), on) is None:
            raise Failure(
                f"{place}: the price of {model!r:.80} is unknown, and spec.budget.maxCostUSD needs it. "
                "Use another model, or limit maxTokens or maxLLMCalls instead.",
                code=USAGE,
            )
