"""What the job may still spend: each model call and tool call that is made for real is asked for here before it begins.

Calls under way are reserved at their most, so that agents that run side by side do not pass a limit together. When a
limit is reached no further step begins, whichever it is; what is taken from the journal is not asked for. What the
calls of a job cost is known here only where no model proxy is asked. Used from any thread and event loop.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Final

from agentjobs import contract
from agentjobs.contract import Attempt, ErrorClass, Verdict
from agentjobs.models.budget import NOTHING, Fits, Limits, Scope, Spend, judge
from agentjobs.models.names import SCRIPTED
from agentjobs.models.tokens import Tokens
from agentjobs_runner.endings import Ending, StartEnded, config_invalid

if TYPE_CHECKING:
    from agentjobs.models.prices import Price, PriceTable

# How soon a waiting call sees that another one has ended: short beside a model call.
POLL_SECONDS: Final = 0.05


@dataclass(eq=False)
class Charge:
    """One model call that is under way. What is in `spent` when it ends is counted; nothing of a call that failed."""

    most: Spend
    spent: Spend = field(default_factory=Spend)


class StartBudget:
    """The limits of the job, and what is left of them.

    Args:
        limits: of the job.
        spent: by the starts before, as far as the limits count it.
        prices: whether calls have a price here; where the model proxy is asked, it judges the cost.
        on: the day of the prices.
    """

    def __init__(
        self, limits: Limits | None = None, spent: Spend | None = None, *, prices: bool = False, on: date | None = None
    ) -> None:
        self._limits = limits or Limits()
        self._prices, self._on = prices, on
        self._lock = threading.Lock()
        self._spent = spent or Spend()
        self._under_way: set[Charge] = set()
        self._ended: Ending | None = None

    @classmethod
    def read(cls, attempt: Attempt, variables: Mapping[str, str] = os.environ) -> "StartBudget":
        """Return the budget of a start.

        Raises:
            StartEnded: ConfigInvalid when a limit is of no use.
        """
        given = attempt.get("budget")
        if given is None:
            return cls()
        used = given["used"]
        so_far = Spend(Decimal(used["costUSD"]), used["tokens"], used["llmCalls"], used["toolCalls"])
        try:
            limits = Limits.read(given["limits"])
        except ValueError as error:
            raise config_invalid(f"budget.{error}") from error
        return cls(limits, so_far, prices=not variables.get(contract.ENV_MODELS_URL), on=datetime.now(UTC).date())

    def most(self, model: str, tokens_in: int, tokens_out: int | None) -> Spend:
        """Return what a call may spend at most.

        Args:
            model: its name, as in `agent.model`.
            tokens_in: rather too many than too few.
            tokens_out: None where the request does not say, so that the model's own limit holds.

        Raises:
            StartEnded: UnknownModelPrice when the job limits its cost, and the model has no price.
        """
        price = self._price(model)
        if price is None and self._is_priced(model) and self._limits.cost is not None:
            raise _unknown_price(model)
        out = tokens_out or (price and price.max_output) or _unknown_output()
        return Spend(price.most(tokens_in, out) if price is not None else NOTHING, tokens_in + out, 1)

    def cost(self, model: str, tokens: Tokens) -> Decimal | None:
        """Return what a call cost in US dollars; None when that is not known here."""
        price = self._price(model)
        return None if price is None else price.cost(tokens)

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters how much a call uses, so that estimating it is worth the while."""
        return self._limits.tokens is not None or self._limits.cost is not None

    @asynccontextmanager
    async def model_call(self, most: Spend) -> AsyncIterator[Charge]:
        """Make a model call in this context; waits while calls under way may need what is left.

        Raises:
            StartEnded: BudgetExceeded.
        """
        charge = Charge(most)
        try:
            while not self._begins(charge):  # noqa: ASYNC110  other threads and loops end the calls it waits for
                await asyncio.sleep(POLL_SECONDS)
            yield charge
        finally:
            with self._lock:
                if charge in self._under_way:
                    self._under_way.discard(charge)
                    self._spent += charge.spent

    def tool_call(self) -> None:
        """Count a tool call that is about to begin.

        Raises:
            StartEnded: BudgetExceeded.
        """
        with self._lock:
            self._check()
            if "maxToolCalls" in self._limits.reached(self._spent):
                self._end("maxToolCalls")
            self._spent += Spend(tool_calls=1)

    def check(self) -> None:
        """Let a step begin that the budget does not count.

        Raises:
            StartEnded: BudgetExceeded, because a limit was reached before.
        """
        with self._lock:
            self._check()

    @property
    def ending(self) -> Ending | None:
        """How the start ends because a limit was reached; None while none is."""
        with self._lock:
            return self._ended

    def end(self, ending: Ending) -> None:
        """Let no further step begin: the model proxy refused a call by the budget."""
        with self._lock:
            self._ended = self._ended or ending

    def _begins(self, charge: Charge) -> bool:
        with self._lock:
            self._check()
            under_way = sum((other.most for other in self._under_way), Spend())
            judgement = judge(self._limits, self._spent, under_way, charge.most)
            if judgement.fits is Fits.NO:
                self._end(judgement.limit)
            if judgement.fits is Fits.YES:
                self._under_way.add(charge)
            return judgement.fits is Fits.YES

    def _check(self) -> None:
        if self._ended is not None:
            raise StartEnded(self._ended)

    def _end(self, limit: str) -> None:
        used, most = self._spent.by_limit()[limit], self._limits.dump()[limit]
        by = "this attempt" if self._limits.scope is Scope.ATTEMPT else "the job"
        said = f"budget.{limit} is reached: {by} used {used} of {most}. Raise budget.{limit} to let it do more"
        self._ended = Ending(Verdict.FAIL, ErrorClass.BUDGET_EXCEEDED, said)
        self._check()

    def _price(self, model: str) -> "Price | None":
        return self._table.of(model, self._on) if self._is_priced(model) else None

    def _is_priced(self, model: str) -> bool:
        """Whether a call may cost something that is counted here; scripts ask nobody."""
        return self._prices and not model.startswith(SCRIPTED)

    @cached_property
    def _table(self) -> "PriceTable":
        from agentjobs.models.prices import shipped  # where nothing is priced, nothing has to be read

        return shipped()


def _unknown_output() -> int:
    from agentjobs.models.prices import UNKNOWN_MAX_OUTPUT

    return UNKNOWN_MAX_OUTPUT


def _unknown_price(model: str) -> StartEnded:
    said = (
        f"budget.maxCostUSD needs the price of each model, and none is known of {model!r}. "
        "Use a model that has one, or limit budget.maxTokens or budget.maxLLMCalls instead"
    )
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.UNKNOWN_MODEL_PRICE, said))
