"""The job's remaining budget: each model call and tool call is checked here before it begins.

Running calls reserve their maximum, so that parallel agents cannot exceed a limit together. After a limit is reached no
step begins; replayed steps are not checked. The cost of calls is known here only without a model proxy. May be used
from any thread and event loop.
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

# Polling interval of a waiting call: short compared with a model call.
POLL_SECONDS: Final = 0.05


@dataclass(eq=False)
class Charge:
    """A running model call. At its end `spent` is counted; a failed call counts nothing."""

    most: Spend
    spent: Spend = field(default_factory=Spend)


class StartBudget:
    """The job's limits, and what remains of them.

    Args:
        limits: of the job.
        spent: by earlier starts, as far as the limits count it.
        prices: whether to price calls here; with a model proxy, the proxy checks the cost.
        on: the day, for prices.
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
            StartEnded: ConfigInvalid if a limit is invalid.
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
        """Return a call's maximum usage.

        Args:
            model: as in `agent.model`.
            tokens_in: an estimate, rather too high.
            tokens_out: None if the request has no limit, so that the model's own applies.

        Raises:
            StartEnded: UnknownModelPrice if the job limits its cost, and the model has no price.
        """
        price = self._price(model)
        if price is None and self._is_priced(model) and self._limits.cost is not None:
            raise _unknown_price(model)
        out = tokens_out or (price and price.max_output) or _unknown_output()
        return Spend(price.most(tokens_in, out) if price is not None else NOTHING, tokens_in + out, 1)

    def cost(self, model: str, tokens: Tokens) -> Decimal | None:
        """Return a call's cost in US dollars; None if unknown here."""
        price = self._price(model)
        return None if price is None else price.cost(tokens)

    @property
    def counts_tokens(self) -> bool:
        """Whether usage is limited, so that estimates are needed."""
        return self._limits.tokens is not None or self._limits.cost is not None

    @asynccontextmanager
    async def model_call(self, most: Spend) -> AsyncIterator[Charge]:
        """Run a model call in this context; waits while running calls may need the rest of the budget.

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
        """Check before a step that the budget does not count.

        Raises:
            StartEnded: BudgetExceeded, if a limit was reached before.
        """
        with self._lock:
            self._check()

    @property
    def ending(self) -> Ending | None:
        """The start's ending after a limit was reached; None before."""
        with self._lock:
            return self._ended

    def end(self, ending: Ending) -> None:
        """Allow no further step: the model proxy rejected a call because of the budget."""
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
        used = self._limits.used_of(limit, self._spent)
        by = "this attempt" if self._limits.scope is Scope.ATTEMPT else "the job"
        message = f"budget.{limit} is reached: {by} used {used}. Raise budget.{limit} to let it continue"
        self._ended = Ending(Verdict.FAIL, ErrorClass.BUDGET_EXCEEDED, message)
        self._check()

    def _price(self, model: str) -> "Price | None":
        return self._table.of(model, self._on) if self._is_priced(model) else None

    def _is_priced(self, model: str) -> bool:
        """Whether a call may cost something that is counted here; scripted models are free."""
        return self._prices and not model.startswith(SCRIPTED)

    @cached_property
    def _table(self) -> "PriceTable":
        from agentjobs.models.prices import shipped  # only needed for priced models

        return shipped()


def _unknown_output() -> int:
    from agentjobs.models.prices import UNKNOWN_MAX_OUTPUT

    return UNKNOWN_MAX_OUTPUT


def _unknown_price(model: str) -> StartEnded:
    message = (
        f"budget.maxCostUSD needs the price of each model, but the price of {model!r} is unknown. "
        "Use another model, or limit budget.maxTokens or budget.maxLLMCalls instead"
    )
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.UNKNOWN_MODEL_PRICE, message))
