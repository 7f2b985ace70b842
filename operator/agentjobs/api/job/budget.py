"""AgentJob.spec.budget: what a job may spend, and what happens at a limit. A part of the model in `spec`."""

from dataclasses import replace
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from agentjobs.api.fields import DOLLARS
from agentjobs.api.model import Integer, Model
from agentjobs.models.budget import Limits
from agentjobs.refused_value import RefusedValue

MAX_CALLS: Final = 100_000
MAX_TOKENS: Final = 1_000_000_000_000


def _amount(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    raise RefusedValue(value, 'is a number, which may be inexact; write it in quotes, as in "2.50"')


class Budget(Model):
    """Limits on what a job may spend. The first one reached counts."""

    max_cost_usd: Annotated[str | None, BeforeValidator(_amount)] = Field(
        default=None,
        alias="maxCostUSD",
        min_length=1,
        max_length=16,
        pattern=DOLLARS,
        description='Cost of model calls in US dollars, as a string, e.g. `"2.50"`. The job waits until all its models '
        "have prices. Calls outside the model proxy are not counted. Default: no limit.",
    )
    max_tokens: Integer | None = Field(
        default=None,
        ge=1,
        le=MAX_TOKENS,
        description="Tokens of model calls, sent and received. Default: no limit.",
    )
    max_llm_calls: Integer | None = Field(
        default=None,
        alias="maxLLMCalls",
        ge=1,
        le=MAX_CALLS,
        description="Model calls. Answers reused from recorded steps do not count again. Default: the installation's, "
        "500 unless configured.",
    )
    max_tool_calls: Integer | None = Field(
        default=None, ge=1, le=MAX_CALLS, description="Tool calls, counted like model calls. Default: no limit."
    )
    max_turns: Integer | None = Field(
        default=None,
        ge=1,
        le=MAX_CALLS,
        description="Turns of agent.claudeCode: answers of its main model, without its subagents'. Default: no limit.",
    )
    scope: Literal["Job", "Attempt"] = Field(
        default="Job",
        description="What the limits apply to: Job counts all starts, Attempt only those of the current attempt. "
        "Default: Job.",
    )
    on_exceeded: Literal["Fail", "Suspend"] = Field(
        default="Fail",
        description="What happens at a limit: Fail ends the job with BudgetExceeded; Suspend stops it after its last "
        "recorded step until the limit is raised. Default: Fail.",
    )


def limits_of(budget: Budget | None, *, max_llm_calls: int | None) -> Limits:
    """Return the limits that apply to a job.

    Args:
        budget: the job's own.
        max_llm_calls: the installation's limit on model calls, for jobs without one.
    """
    if budget is None:
        return Limits(llm_calls=max_llm_calls)
    limits = Limits.read(budget.model_dump(by_alias=True, exclude_none=True))
    return limits if limits.llm_calls is not None else replace(limits, llm_calls=max_llm_calls)
