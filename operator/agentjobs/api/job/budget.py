"""AgentJob.spec.budget: what a job may spend, and what happens when that is spent. A part of the model in `spec`."""

from dataclasses import replace
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from agentjobs.api.fields import DOLLARS
from agentjobs.api.model import Integer, Model
from agentjobs.models.budget import Limits

MAX_CALLS: Final = 100_000
MAX_TOKENS: Final = 1_000_000_000_000


def _amount(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    raise ValueError(f'{value!r:.40} is a number, which may not be exact; write it in quotes, as in "2.50"')


class Budget(Model):
    """Limits on what a job may spend. Whichever is reached first counts; several may be given."""

    max_cost_usd: Annotated[str | None, BeforeValidator(_amount)] = Field(
        default=None,
        alias="maxCostUSD",
        min_length=1,
        max_length=16,
        pattern=DOLLARS,
        description='Cost of model calls in US dollars, as a text, e.g. `"2.50"`. It needs the prices of the job\'s '
        "models: without one the job is not accepted. Calls that the model proxy does not see cost nothing here. "
        "Default: no limit.",
    )
    max_tokens: Integer | None = Field(
        default=None,
        ge=1,
        le=MAX_TOKENS,
        description="Tokens of model calls, those sent and those received together. Default: no limit.",
    )
    max_llm_calls: Integer | None = Field(
        default=None,
        alias="maxLLMCalls",
        ge=1,
        le=MAX_CALLS,
        description="Calls of models. Answers that a later start takes from recorded steps do not count again. "
        "Default: the installation's, which is 500 unless it says otherwise.",
    )
    max_tool_calls: Integer | None = Field(
        default=None, ge=1, le=MAX_CALLS, description="Calls of tools, counted as calls of models. Default: no limit."
    )
    max_turns: Integer | None = Field(
        default=None,
        ge=1,
        le=MAX_CALLS,
        description="Turns of agent.claudeCode: answers of its main model, without those of its subagents. "
        "Default: no limit.",
    )
    scope: Literal["Job", "Attempt"] = Field(
        default="Job",
        description="What is counted together: Job counts all starts, Attempt those of the current attempt, so that "
        "each new attempt may spend it all again. Default: Job.",
    )
    on_exceeded: Literal["Fail", "Suspend"] = Field(
        default="Fail",
        description="What happens when a limit is reached: Fail ends the job with BudgetExceeded; Suspend keeps it, "
        "after its last recorded step, until the limit is raised. Default: Fail.",
    )


def limits_of(budget: Budget | None, *, max_llm_calls: int | None) -> Limits:
    """Return the limits that count for a job.

    Args:
        budget: the job's own.
        max_llm_calls: the installation's limit on calls of models, for jobs that say none.
    """
    if budget is None:
        return Limits(llm_calls=max_llm_calls)
    limits = Limits.read(budget.model_dump(by_alias=True, exclude_none=True))
    return limits if limits.llm_calls is not None else replace(limits, llm_calls=max_llm_calls)
