"""Prices of models: a built-in dated table, and entries of an installation, which take precedence.

Prices are US dollars per million tokens, as decimal numbers, never floats. A provider's discounts and surcharges that
do not depend on token counts (batches, priority, searches, images) are not included; an installation can override
entries.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic.alias_generators import to_camel

from agentjobs.bounded import Bounded
from agentjobs.models import marked_yaml
from agentjobs.models.budget import plain
from agentjobs.models.names import SCRIPTED, Pattern, unique_name
from agentjobs.models.tokens import Tokens

MILLION: Final = Decimal(1_000_000)
MAX_PRICE: Final = Decimal(100_000)
"""Dollars per million tokens. A larger number is probably in another unit."""
UNKNOWN_MAX_OUTPUT: Final = 65_536
"""Default tokens of the largest answer of a model."""


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per million tokens, for each sort of token."""

    input: Decimal
    output: Decimal
    cached_input: Decimal
    cache_writes: Decimal
    cache_writes_long: Decimal
    thinking: Decimal

    def cost(self, tokens: Tokens) -> Decimal:
        """Return the cost of a call. A part larger than its total counts as the total."""
        whole, output = max(0, tokens.input), max(0, tokens.output)
        cached = _part(tokens.cached, whole)
        written = _part(tokens.cache_written, whole - cached)
        long = _part(tokens.cache_written_long, written)
        thinking = _part(tokens.thinking, output)
        return (
            self.input * (whole - cached - written)
            + self.cached_input * cached
            + self.cache_writes * (written - long)
            + self.cache_writes_long * long
            + self.output * (output - thinking)
            + self.thinking * thinking
        ) / MILLION

    def most(self, tokens_in: int, tokens_out: int) -> Decimal:
        """Return the cost of a call if all its tokens were of the most expensive sort."""
        highest = max(self.input, self.cached_input, self.cache_writes, self.cache_writes_long)
        return (highest * tokens_in + max(self.output, self.thinking) * tokens_out) / MILLION


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model."""

    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    """Rates of the whole call if its input has more tokens than this, in ascending order."""
    max_output: int | None = None
    """Tokens of the largest answer."""
    until: date | None = None
    """The last day of this price."""

    def cost(self, tokens: Tokens) -> Decimal:
        """Return the cost of a call, in dollars."""
        rates = self.rates
        for above, tier in self.tiers:
            if tokens.input > above:
                rates = tier
        return rates.cost(tokens)

    def most(self, tokens_in: int, tokens_out: int) -> Decimal:
        """Return the maximum cost of a call with at most these tokens, in dollars."""
        reachable = [self.rates, *(rates for above, rates in self.tiers if tokens_in > above)]
        return max(rates.most(tokens_in, tokens_out) for rates in reachable)


FREE: Final = Price(Rates(*[Decimal(0)] * 6))
"""The price of scripted models."""


def _amount(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError(f"{marked_yaml.shown(value)} is not an amount of dollars; use e.g. '1.25'")
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{marked_yaml.shown(value)} is not an amount of dollars; use e.g. '1.25'") from None
    if not amount.is_finite() or not 0 <= amount <= MAX_PRICE:
        raise ValueError(f"{marked_yaml.shown(value)} is not between 0 and {MAX_PRICE} dollars per million tokens")
    return amount


def _day(value: object) -> date:
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f"{marked_yaml.shown(value)} is not a day; use e.g. 2026-12-31") from None


def _pattern(value: object) -> Pattern:
    if not isinstance(value, str):
        # YAML does not read no, on and 1 as strings.
        raise ValueError(f"{marked_yaml.shown(value)} is not a pattern of names; write it in quotes")
    return Pattern.parse(value)


Amount = Annotated[Decimal, BeforeValidator(_amount)]
Day = Annotated[date, BeforeValidator(_day)]


def _whole(value: object) -> object:
    return int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else value


Count = Annotated[int, Strict(), BeforeValidator(_whole), Field(ge=1, le=2**40)]
Glob = Annotated[Pattern, BeforeValidator(_pattern)]
Globs = Annotated[tuple[Glob, ...], Field(min_length=1)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, arbitrary_types_allowed=True)


class Prices(_Form):
    """US dollars per million tokens, as decimal numbers."""

    input: Amount
    output: Amount
    cached_input: Amount | None = None
    """Default: the price of input."""
    cache_writes: Amount | None = None
    """Default: the price of input."""
    cache_writes_long: Amount | None = None
    """For longer retention: an hour at Anthropic, twelve at OpenAI. Default: the price of other writes."""
    thinking: Amount | None = None
    """Default: the price of output."""


class Tier(Prices):
    """Prices of the whole call if its input is large."""

    above: Count
    """Tokens of input, including cache reads and writes."""


class Entry(Prices):
    """Prices of the models that match a pattern."""

    models: Globs
    tiers: tuple[Tier, ...] = ()
    max_output: Count | None = None
    """Tokens of the largest answer; reserved for a call without a limit. Default: 65,536."""
    since: Day | None = None
    """The first day of this price."""
    until: Day | None = None
    """The last day of this price."""

    @model_validator(mode="after")
    def _is_ordered(self) -> "Entry":
        steps = [tier.above for tier in self.tiers]
        if steps != sorted(set(steps)):
            raise ValueError("tiers must be in ascending order of above, without duplicates")
        levels: tuple[Prices, ...] = (self, *self.tiers)
        for lower, higher in pairwise(levels):
            if higher.input < lower.input or higher.output < lower.output:
                raise ValueError("a tier of larger inputs must not be cheaper than the one before it")
        if self.since and self.until and self.since > self.until:
            raise ValueError(f"ends ({self.until}) before it begins ({self.since})")
        return self

    def holds(self, on: date | None) -> bool:
        """Whether the price applies on a day; without a day, whether it has no end."""
        if on is None:
            return self.until is None
        return (self.since is None or self.since <= on) and (self.until is None or on <= self.until)


class _Table(_Form):
    date: Day
    prices: tuple[Entry, ...]


class PriceTable:
    """A table of entries for looking up a model's price."""

    def __init__(self, *sources: Iterable[Entry], dated: date | None = None) -> None:
        """Entries of an earlier source take precedence over those of a later one."""
        self._sources: Sequence[Sequence[tuple[Pattern, Entry]]] = [
            [(pattern, entry) for entry in source for pattern in entry.models] for source in sources
        ]
        self._found: Bounded[tuple[str, date | None], Price | None] = Bounded(1024)
        self.dated = dated
        """The day on which the built-in table was checked."""

    def of(self, model: str, on: date | None = None) -> Price | None:
        """Return the price of the model with a canonical name, or None.

        Args:
            on: the day; without it, the price that has no end.
        """
        if (model, on) not in self._found:
            # Cached, because every model call looks it up, and matching all patterns takes longer than the rest of
            # routing.
            self._found.put((model, on), self._find(model, on))
        return self._found.get((model, on))

    def _find(self, model: str, on: date | None) -> Price | None:
        if model.startswith(SCRIPTED):
            return FREE
        model = unique_name(model)
        for source in self._sources:
            fits = [(pattern, entry) for pattern, entry in source if entry.holds(on) and pattern.matches(model)]
            if fits:
                _, entry = max(fits, key=lambda fit: fit[0].exactness)
                return _price(entry)
        return None

    def report(self, served: Sequence[Pattern], on: date) -> list[dict[str, Any]]:
        """Return a day's entries for models of these patterns, in readable form."""
        return [
            {
                "models": [pattern.text for pattern in entry.models],
                **_as_document(entry),
                "tiers": [{"above": tier.above, **_as_document(tier)} for tier in entry.tiers],
                "until": None if entry.until is None else entry.until.isoformat(),
            }
            for source in self._sources
            for entry in dict.fromkeys(entry for _, entry in source)
            if entry.holds(on) and any(pattern.meets(own) for pattern in entry.models for own in served)
        ]


def shipped() -> PriceTable:
    """Return the built-in table."""
    return PriceTable(_shipped().prices, dated=_shipped().date)


def with_overrides(entries: Iterable[Entry]) -> PriceTable:
    """Return the built-in table, overridden by entries of an installation."""
    return PriceTable(tuple(entries), _shipped().prices, dated=_shipped().date)


def read_table(text: str, source: str) -> PriceTable:
    """Parse a table in the format of `prices.yaml`.

    Raises:
        errors.Misconfigured: it is invalid; the message lists every error with its line.
    """
    table = marked_yaml.load(text, source).as_model(_Table)
    return PriceTable(table.prices, dated=table.date)


@cache
def _shipped() -> _Table:
    text = files(__package__).joinpath("prices.yaml").read_text("utf-8")
    return marked_yaml.load(text, "prices.yaml").as_model(_Table)


def _price(entry: Entry) -> Price:
    tiers = tuple((tier.above, _rates(tier)) for tier in entry.tiers)
    return Price(_rates(entry), tiers, entry.max_output, entry.until)


def _rates(entry: Prices) -> Rates:
    writes = _or(entry.cache_writes, entry.input)
    return Rates(
        input=entry.input,
        output=entry.output,
        cached_input=_or(entry.cached_input, entry.input),
        cache_writes=writes,
        cache_writes_long=_or(entry.cache_writes_long, writes),
        thinking=_or(entry.thinking, entry.output),
    )


def _or(amount: Decimal | None, default: Decimal) -> Decimal:
    return default if amount is None else amount


def _part(count: int, whole: int) -> int:
    return min(max(0, count), whole)


def _as_document(prices: Prices) -> dict[str, Any]:
    rates = _rates(prices)
    named = {
        "input": rates.input,
        "output": rates.output,
        "cachedInput": rates.cached_input,
        "cacheWrites": rates.cache_writes,
        "thinking": rates.thinking,
    }
    return {name: plain(amount) for name, amount in named.items()}
