"""The page of models: providers, remaining limits, closed keys, prices. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from agentjobs.api.recorded_models import (
    CallsUnderWay,
    ClosedKey,
    LimitLeft,
    ModelKey,
    ModelProxy,
    ModelsOverview,
    Rates,
)
from agentjobs.dashboard.views.states import Fill, State, Tone, counted, listed, part_of

_EACH: Final = {60.0: "a minute", 86400.0: "a day"}
_COUNTED: Final = {
    "requests": "calls",
    "tokens": "tokens",
    "inputTokens": "input tokens",
    "outputTokens": "output tokens",
    "concurrentCalls": "calls at the same time",
}
_LITTLE: Final = 10
"""Percent of a limit below which the remaining part is marked."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of a key."""

    words: str
    models: str
    """Its group of models; empty for all."""
    left: Fill


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a provider, by its name."""

    name: str
    state: State
    limits: Sequence[Limit]


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider of models."""

    name: str
    kind: str
    address: str
    models: Sequence[str]
    keys: Sequence[Key]


@dataclass(frozen=True, slots=True)
class Alias:
    """An alias of a model, and the model's fallbacks."""

    name: str
    """Empty for a model that has none."""
    model: str
    fallback: str


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    models: str
    """With the size of input from which it applies, and its last day."""
    rates: tuple[Decimal, ...]
    """Of input, output, cached input, writes to the cache, thinking."""


@dataclass(frozen=True, slots=True)
class ModelsView:
    """The models of an installation, as a namespace or an administrator sees them."""

    troubles: Sequence[str]
    """Problems of model calls now; they may contain text of providers."""
    providers: Sequence[Provider]
    aliases: Sequence[Alias]
    allowed: str
    """Models that the namespace may use; empty for all."""
    prices: Sequence[Price]
    prices_of: date | None
    under_way: Sequence[CallsUnderWay]
    proxies: Sequence[ModelProxy]


def models_view(seen: ModelsOverview, now: datetime) -> ModelsView:
    """Return what the page shows."""
    allowed = seen.allowed_models
    return ModelsView(
        troubles=list(troubles(seen, now)),
        providers=[
            Provider(
                provider.name,
                provider.kind,
                provider.base_url,
                provider.models,
                [_key(key, now) for key in provider.keys],
            )
            for provider in seen.providers
        ],
        aliases=list(_aliases(seen)),
        allowed="" if allowed is None else ", ".join(allowed) or "no model",
        prices=list(_prices(seen)),
        prices_of=seen.prices_of,
        under_way=sorted(seen.under_way, key=lambda call: call.since),
        proxies=seen.proxies,
    )


def troubles(seen: ModelsOverview, now: datetime) -> Iterable[str]:
    """Yield the problems of model calls now, one sentence each."""
    for model in seen.exhausted:
        if model.until > now:
            yield f"No call of {model.model} can be made until {_clock(model.until, now)}: {model.reason}"
    for provider in seen.providers:
        for key in provider.keys:
            for closed in key.closed:
                if closed.until > now:
                    yield f"{provider.name} refused key {_short(key.name)}. {_closed(closed, now)}"
        if not provider.keys:
            yield f"{provider.name} has no key here, so its models cannot be called."


def _key(key: ModelKey, now: datetime) -> Key:
    closed = [closure for closure in key.closed if closure.until > now]
    if closed:
        state = State("Closed", "bad", _closed(closed[0], now))
    elif key.closed:
        state = State("Tried again", "warn", f"It was closed ({key.closed[0].reason}); the next call tries it again.")
    else:
        state = State("Open", "ok", "Calls use it.")
    return Key(_short(key.name), state, [_limit(limit) for limit in key.limits])


def _closed(closed: ClosedKey, now: datetime) -> str:
    of = f" of {closed.model}" if closed.model else ""
    return f"No call{of} uses it until {_clock(closed.until, now)}: {closed.reason}"


def _limit(limit: LimitLeft) -> Limit:
    each = _EACH.get(limit.window, f"in {limit.window:g} s" if limit.window else "")
    words = f"{limit.most:,} {_COUNTED.get(limit.counts, limit.counts)} {each}".rstrip()
    # The name is provider and key, group, and what is limited.
    group = " ".join(limit.bucket.split(" ")[1:-1])
    part = part_of(limit.left, limit.most)
    return Limit(words, "" if group == "*" else group, Fill(part, f"{limit.left:,} remaining", _tone(limit.left, part)))


def _tone(left: int, part: int) -> Tone:
    return "bad" if left <= 0 else "warn" if part < _LITTLE else "run"


def _short(key: str) -> str:
    return key.partition("/")[2] or key


def _clock(at: datetime, now: datetime) -> str:
    return f"{at:%H:%M:%S} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"


def _aliases(seen: ModelsOverview) -> Iterable[Alias]:
    falls = {fallback.model: f"{listed(fallback.to)} after {fallback.after}" for fallback in seen.fallbacks}
    for name, model in sorted(seen.aliases.items()):
        yield Alias(name, model, falls.get(model, ""))
    for model, words in sorted(falls.items()):
        if model not in seen.aliases.values():
            yield Alias("", model, words)


def _prices(seen: ModelsOverview) -> Iterable[Price]:
    for price in seen.prices:
        until = f", until {price.until}" if price.until else ""
        yield Price(", ".join(price.models) + until, _rates(price))
        for tier in price.tiers:
            yield Price(f"… above {counted(tier.above, 'token')} of input", _rates(tier))


def _rates(rates: Rates) -> tuple[Decimal, ...]:
    return rates.input, rates.output, rates.cached_input, rates.cache_writes, rates.thinking
