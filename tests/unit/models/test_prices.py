"""What a call costs."""

from dataclasses import fields, replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.errors import Misconfigured
from agentjobs.models.names import Pattern
from agentjobs.models.prices import MILLION, Price, PriceTable, Rates, read_table, shipped, with_overrides
from agentjobs.models.tokens import Tokens

AMOUNTS = st.integers(0, 100_000).map(lambda mills: Decimal(mills) / 1000)
COUNTS = st.integers(0, 2_000_000)
TODAY = date(2026, 11, 29)


@st.composite
def prices(draw):
    base = Rates(*[draw(AMOUNTS) for _ in fields(Rates)])
    dearer = Rates(*[getattr(base, field.name) + draw(AMOUNTS) for field in fields(Rates)])
    tiers = draw(st.sampled_from([(), ((200_000, dearer),)]))
    return Price(base, tiers)


@st.composite
def tokens(draw):
    whole, output = draw(COUNTS), draw(COUNTS)
    cached = draw(st.integers(0, whole))
    written = draw(st.integers(0, whole - cached))
    return Tokens(whole, output, cached, written, draw(st.integers(0, output)), draw(st.integers(0, written)))


@given(prices(), tokens())
def test_a_call_never_costs_more_than_its_maximum(price, used):
    assert 0 <= price.cost(used) <= price.most(used.input, used.output)


@given(prices(), tokens(), COUNTS)
def test_more_tokens_never_cost_less(price, used, more):
    assert price.cost(replace(used, input=used.input + more)) >= price.cost(used)
    assert price.cost(replace(used, output=used.output + more)) >= price.cost(used)
    assert price.most(used.input + more, used.output) >= price.most(used.input, used.output)


@given(AMOUNTS, tokens())
def test_no_tokens_are_counted_twice(amount, used):
    same = Price(Rates(*[amount] * 6))

    assert same.cost(used) == amount * used.total / MILLION


@given(prices(), st.builds(Tokens, *[st.integers(-(2**40), 2**40)] * 6))
def test_contradictory_counts_have_a_plausible_cost(price, absurd):
    assert 0 <= price.cost(absurd) <= price.most(max(0, absurd.input), max(0, absurd.output))


def test_cache_writes_and_cache_reads_have_separate_prices():
    price = shipped().of("anthropic/claude-sonnet-4-5-20250929", TODAY)

    # What a proxy was once reported for: its bill said 0.05439, the proxy 0.091311.
    assert price.cost(Tokens(12_307, 550, cache_written=12_304)) == Decimal("0.054399")
    assert price.cost(Tokens(1000, 0, cached=1000)) == Decimal("0.0003")
    assert price.cost(Tokens(1000, 0, cache_written=1000, cache_written_long=1000)) == Decimal("0.006")


def test_a_large_input_raises_the_price_of_the_whole_call():
    price = shipped().of("gemini-2.5-pro", TODAY)

    assert price.cost(Tokens(200_000, 1000)) == Decimal("0.26")
    assert price.cost(Tokens(200_001, 1000)) == Decimal("0.5150025")


@pytest.mark.parametrize(
    ("model", "input_price"),
    [
        ("anthropic/claude-opus-4-20250514", "15"),
        ("anthropic/claude-opus-4-5-20251101", "5"),
        ("anthropic/claude-opus-4-1@20250805", "15"),
        ("openai/gpt-5-2025-08-07", "1.25"),
        ("openai/gpt-5-mini", "0.25"),
        ("scripted/answers/main", "0"),
    ],
)
def test_versions_of_a_model_have_the_same_price(model, input_price):
    assert shipped().of(model, TODAY).rates.input == Decimal(input_price)


@pytest.mark.parametrize("model", ["openai/gpt-5.9", "openai/gpt-5-image", "gemini-9-pro", "gpt-5", "llama", ""])
def test_a_model_without_an_entry_has_no_price(model):
    assert shipped().of(model, TODAY) is None


def test_no_two_entries_price_the_same_models_on_the_same_day():
    told = [name for entry in shipped().report([Pattern("*")], TODAY) for name in entry["models"]]

    assert len(told) == len(set(told)) > 50


def test_a_price_applies_from_its_first_day_to_its_last():
    of = shipped().of

    assert of("gemini-4-carbon", date(2026, 11, 30)).rates.input == 2
    assert of("gemini-4-carbon", date(2026, 12, 1)).rates.input == 4
    assert of("gemini-4-carbon").rates.input == 4  # without a day, the price that lasts


def test_every_price_that_ends_has_a_successor():
    ending = [(name, price) for name in names() for price in [shipped().of(name, TODAY)] if price.until]

    assert ending
    assert all(shipped().of(name, date.fromordinal(price.until.toordinal() + 1)) for name, price in ending)


def test_every_included_entry_can_be_found_and_is_plausible():
    for name in names():
        price = shipped().of(name, TODAY)
        assert 0 < price.rates.cached_input <= price.rates.input, name
        assert price.rates.output > price.rates.input or "embedding" in name, name
        assert price.max_output, name


def names():
    return [pattern.text.rstrip("*") for source in shipped()._sources for pattern, _ in source]


def table(text):
    return read_table(f"date: 2026-01-01\nprices:\n{text}", "prices.yaml")


ENTRY = '  - {{models: [{0}], input: "{1}", output: "2"}}\n'


def test_the_most_specific_pattern_applies():
    prices = table("".join(ENTRY.format(*row) for row in [('"a*"', 1), ("abc", 2), ('"ab*"', 3), ('"a?c*"', 4)]))

    assert [prices.of(name).rates.input for name in ("abc", "abd", "ax", "axc")] == [2, 3, 1, 4]


def test_entries_of_an_installation_override_included_ones():
    own = table(ENTRY.format('"gemini-*"', "0.001"))._sources[0]

    assert with_overrides(entry for _, entry in own).of("gemini-2.5-pro", TODAY).rates.input == Decimal("0.001")


def test_prices_are_exact_decimals():
    prices = table("  - {models: [a], input: 0.1, output: 1e-2, cachedInput: 0}\n")

    assert prices.of("a").rates.input == Decimal("0.1")
    assert prices.of("a").rates.output == Decimal("0.01")


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (
            'models: [a], inptu: "1", output: "2"',
            "prices.yaml:3: prices[0].inptu: ",
        ),
        ('models: [a], input: "1,25", output: "2"', 'prices.yaml:3: prices[0].input: "1,25" '),
        ('models: [a], input: "-1", output: "2"', "prices.yaml:3: prices[0].input: "),
        ('models: [a], input: .nan, output: "2"', "prices.yaml:3: prices[0].input: "),
        ('models: [a], input: "1"', "prices.yaml:3: prices[0].output: "),
        ('models: ["a b"], input: "1", output: "2"', "prices.yaml:3: prices[0].models[0]: "),
        ('models: [], input: "1", output: "2"', "prices.yaml:3: prices[0].models: "),
        ('models: [a], input: "1", output: "2", until: tomorrow', "prices.yaml:3: prices[0].until: "),
        (
            'models: [a], input: "1", output: "2", since: 2026-02-01, until: 2026-01-01',
            "prices.yaml:3: prices[0]: ends",
        ),
        (
            'models: [a], input: "1", output: "2", tiers: [{above: 5, input: "0.1", output: "3"}]',
            "prices.yaml:3: prices[0]: a tier ",
        ),
        ("models: [a], input: '1', input: '2'", 'prices.yaml:3: is not YAML: key "input" '),
        ("models: [a", "prices.yaml:3: is not YAML: expected"),
    ],
)
def test_a_mistake_in_the_table_is_refused_with_its_line(entry, told):
    with pytest.raises(Misconfigured) as refused:
        table(f"  - {{{entry}}}\n")

    assert told in str(refused.value)


def test_all_problems_are_reported_together():
    with pytest.raises(Misconfigured) as refused:
        table('  - models: [a]\n    input: x\n    output: "2"\n  - models: [b]\n    input: "1"\n    ouput: "2"\n')

    assert [line.split(":")[1] for line in str(refused.value).splitlines()] == ["4", "6", "8"]


def test_an_empty_table_has_no_prices():
    assert PriceTable().of("a") is None


def test_a_gemini_model_has_the_same_price_by_both_names():
    assert shipped().of("gemini/gemini-2.5-flash") == shipped().of("gemini-2.5-flash") is not None
