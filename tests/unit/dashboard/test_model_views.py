"""The content of the pages of models."""

from datetime import timedelta
from decimal import Decimal

import pytest
from tests.dashboardobjects import NOON, a_key, a_limit, a_provider, models_seen

from agentjobs.api.recorded_models import ClosedKey, ExhaustedModel, ModelFallback, ModelPrice, PriceTier
from agentjobs.dashboard.views.models import models_view

LATER, BEFORE = NOON + timedelta(minutes=5), NOON - timedelta(minutes=5)


@pytest.mark.parametrize(
    ("limit", "words", "models"),
    [
        (a_limit("gemini/first * requests", "requests", 60), "60 calls a minute", ""),
        (a_limit("gemini/first gemini-3* tokens", "tokens", 5000, window=86400), "5,000 tokens a day", "gemini-3*"),
        (a_limit("gemini/first * concurrentCalls", "concurrentCalls", 4, window=0), "4 calls at the same time", ""),
        (a_limit("gemini/first * requests", "requests", 9, window=10), "9 calls in 10 s", ""),
    ],
    ids=["minute", "day", "at-once", "other"],
)
def test_limits_are_described_in_words(limit, words, models):
    (provider,) = models_view(models_seen(a_provider(a_key(limits=[limit]))), NOON).providers

    (shown,) = provider.keys[0].limits
    assert (shown.words, shown.models) == (words, models)


@pytest.mark.parametrize(("left", "tone"), [(60, "run"), (5, "warn"), (0, "bad")])
def test_remaining_capacity_is_a_bar_with_its_number(left, tone):
    limit = a_limit("g/k * requests", "requests", 60, left=left)

    fill = models_view(models_seen(a_provider(a_key(limits=[limit]))), NOON).providers[0].keys[0].limits[0].left

    assert (fill.text, fill.tone, fill.percent) == (f"{left} remaining", tone, round(100 * left / 60))


@pytest.mark.parametrize(
    ("closed", "word"),
    [
        ([], "Open"),
        ([ClosedKey(model="", reason="401", until=LATER)], "Closed"),
        ([ClosedKey(model="", reason="401", until=BEFORE)], "Tried again"),
    ],
    ids=["open", "closed", "over"],
)
def test_a_key_says_whether_calls_use_it(closed, word):
    view = models_view(models_seen(a_provider(a_key(closed=closed))), NOON)

    assert view.providers[0].keys[0].state.word == word
    assert len(view.troubles) == (word == "Closed")


def test_exhausted_models_are_shown_with_reason_and_end():
    exhausted = [
        ExhaustedModel(model="gpt-9", reason="insufficient_quota", until=NOON + timedelta(days=1)),
        ExhaustedModel(model="old", reason="over", until=BEFORE),
    ]

    told = models_view(models_seen(a_provider(), exhausted=exhausted), NOON).troubles

    assert len(told) == 2
    assert "gpt-9 " in told[0]
    assert told[0].endswith(" 2026-11-26 12:00 UTC: insufficient_quota")
    assert told[1].startswith("gemini has no key")


def test_aliases_are_shown_with_their_models():
    falls = [ModelFallback(model="a", to=["b", "c"], after="30s"), ModelFallback(model="z", to=["a"], after="1m")]

    view = models_view(models_seen(aliases={"fast": "a"}, fallbacks=falls), NOON)

    assert [(one.name, one.model, one.fallback) for one in view.aliases] == [
        ("fast", "a", "b and c after 30s"),
        ("", "z", "a after 1m"),
    ]


def test_prices_of_large_inputs_are_shown_below_their_model():
    rates = {"input": "1", "output": "2", "cached_input": "0.1", "cache_writes": "1.25", "thinking": "2"}
    price = ModelPrice(models=["a", "b*"], tiers=[PriceTier(above=200000, **rates)], **rates)

    first, tier = models_view(models_seen(prices=[price]), NOON).prices

    assert (first.models, "200,000" in tier.models) == ("a, b*", True)
    assert first.rates[:2] == (Decimal(1), Decimal(2))


@pytest.mark.parametrize(("allowed", "said"), [(None, ""), ([], "no model"), (["a", "b*"], "a, b*")])
def test_the_models_that_a_namespace_can_use_are_shown(allowed, said):
    assert models_view(models_seen(allowed_models=allowed), NOON).allowed == said
