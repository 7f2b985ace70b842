"""What a job may spend on models and tools, and whether another call fits.

A job may have several concurrent calls, through several proxies. Their maximum cost is reserved before they begin, and
replaced by their actual cost. So the last dollar is spent by one call and not by twenty: at most one call exceeds a
limit of cost or tokens, and none a limit of calls. The database applies the same rule (`history/sql/model_calls.sql`);
a test compares both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from agentjobs import contract

NOTHING: Final = Decimal(0)
_LEAST_DECIMALS: Final = 2
_MOST_DECIMALS: Final = 4
DEFAULT_LLM_CALLS: Final = 500
"""Default limit on model calls of a job, if neither budget nor installation sets one."""


class Scope(StrEnum):
    """What a budget counts: all starts of the job, or those of the current attempt."""

    JOB = "Job"
    ATTEMPT = "Attempt"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of `spec.budget`; None means no limit. Cost is in US dollars."""

    cost: Decimal | None = None
    tokens: int | None = None
    llm_calls: int | None = None
    tool_calls: int | None = None
    turns: int | None = None
    scope: Scope = Scope.JOB

    @classmethod
    def read(cls, budget: Mapping[str, Any]) -> "Limits":
        """Return the limits of an object with the field names of `spec.budget`.

        Raises:
            ValueError: a value is invalid; the message names it.
        """
        cost = budget.get("maxCostUSD")
        return cls(
            cost=None if cost is None else _dollars(cost),
            tokens=_count(budget, "maxTokens"),
            llm_calls=_count(budget, "maxLLMCalls"),
            tool_calls=_count(budget, "maxToolCalls"),
            turns=_count(budget, "maxTurns"),
            scope=Scope(budget.get("scope") or Scope.JOB),
        )

    def reached(self, spent: "Spend") -> list[str]:
        """Return the limits that are reached, by the names of `spec.budget`."""
        counted = {
            "maxCostUSD": self.cost is not None and spent.cost >= self.cost,
            "maxTokens": self.tokens is not None and spent.tokens >= self.tokens,
            "maxLLMCalls": self.llm_calls is not None and spent.llm_calls >= self.llm_calls,
            "maxToolCalls": self.tool_calls is not None and spent.tool_calls >= self.tool_calls,
        }
        return [name for name, is_reached in counted.items() if is_reached]

    def used_of(self, name: str, spent: "Spend") -> str:
        """Return what is used of a limit, both written alike: `0.60 of 0.50`, `34 of 30`.

        Args:
            name: of a limit that is set, as in `spec.budget`.
        """
        if name == "maxCostUSD" and self.cost is not None:
            # The limit is exact; the cost is rounded to a hundredth of a cent, unless the limit is more precise.
            decimals = max(_LEAST_DECIMALS, _decimals(self.cost), min(_decimals(spent.cost), _MOST_DECIMALS))
            return f"{spent.cost:.{decimals}f} of {self.cost:.{decimals}f}"
        used = {"maxTokens": spent.tokens, "maxLLMCalls": spent.llm_calls, "maxToolCalls": spent.tool_calls}
        return f"{used[name]} of {self.dump()[name]}"

    def dump(self) -> dict[str, Any]:
        """Return the object that `read` reads, without unlimited fields."""
        found = {
            "maxCostUSD": None if self.cost is None else format(self.cost, "f"),
            "maxTokens": self.tokens,
            "maxLLMCalls": self.llm_calls,
            "maxToolCalls": self.tool_calls,
            "maxTurns": self.turns,
            "scope": None if self.scope is Scope.JOB else self.scope.value,
        }
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Spend:
    """Actual or maximum spending, as counted by a budget. Cost is in US dollars."""

    cost: Decimal = NOTHING
    tokens: int = 0
    llm_calls: int = 0
    tool_calls: int = 0

    def __add__(self, other: "Spend") -> "Spend":
        return Spend(
            self.cost + other.cost,
            self.tokens + other.tokens,
            self.llm_calls + other.llm_calls,
            self.tool_calls + other.tool_calls,
        )


class Fits(StrEnum):
    """Whether a call may begin."""

    YES = "Yes"
    NOT_YET = "NotYet"
    """Calls in progress may need the rest; try again when they have ended."""
    NO = "No"
    """A limit is reached."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a call may begin, and the limit that prevents it."""

    fits: Fits
    limit: str = ""
    """Name of the field of `spec.budget`; empty when the call fits."""


def to_runner(limits: Limits, spent: Spend, turns: int | None = None) -> contract.Budget:
    """Return a budget for a runner. `turns` is the number of turns, if counted."""
    used = contract.Used(
        costUSD=plain(spent.cost), tokens=spent.tokens, llmCalls=spent.llm_calls, toolCalls=spent.tool_calls
    )
    if turns is not None:
        used["turns"] = turns
    return contract.Budget(limits=limits.dump(), used=used)


def judge(limits: Limits, spent: Spend, under_way: Spend, call: Spend) -> Judgement:
    """Decide whether a call with maximum cost `call` may begin.

    Args:
        spent: by calls that have ended.
        under_way: reserved by calls in progress; without any, the call begins unless a limit is reached.
    """
    worst = Judgement(Fits.YES)
    for name, limit, used, reserved, own in (
        ("maxCostUSD", limits.cost, spent.cost, under_way.cost, call.cost),
        ("maxTokens", limits.tokens, spent.tokens, under_way.tokens, call.tokens),
        ("maxLLMCalls", limits.llm_calls, spent.llm_calls, under_way.llm_calls, call.llm_calls),
    ):
        if limit is None:
            continue
        if used >= limit:
            return Judgement(Fits.NO, name)
        if under_way.llm_calls and used + reserved + own > limit and worst.fits is Fits.YES:
            worst = Judgement(Fits.NOT_YET, name)
    return worst


def plain(cost: Decimal) -> str:
    """Return dollars in plain notation: `0.0123`, never `1.23E-2` or `0.0123000000`."""
    return format(cost.normalize(), "f")


def _decimals(cost: Decimal) -> int:
    return len(plain(cost).partition(".")[2])


def _dollars(value: object) -> Decimal:
    try:
        cost = Decimal(str(value))
    except ArithmeticError:
        raise ValueError(f"maxCostUSD: {value!r} is not an amount of dollars; use e.g. '2.50'") from None
    if not cost.is_finite() or cost <= 0:
        raise ValueError(f"maxCostUSD: {value!r} must be more than 0")
    return cost


def _count(budget: Mapping[str, Any], name: str) -> int | None:
    value = budget.get(name)
    if value is None:
        return None
    if type(value) is not int or value < 1:
        raise ValueError(f"{name}: {value!r} must be a whole number of at least 1")
    return value
