"""Models, their limits and costs as text for people and spreadsheets."""

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from agentjobs.api.recorded_models import ModelsOverview
from agentjobs.api.recorded_usage import UsageBy, UsageReport
from agentjobs.cli import models as told
from agentjobs.cli.failures import Failure

NOW = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
LATER = "2026-11-29T09:01:00Z"


def limit(counts="requests", *, most=150, window=60.0, left=148, group="gemini-2.5-pro*"):
    bucket = f"gemini/main {group} {counts}"
    return {"bucket": bucket, "counts": counts, "most": most, "window": window, "left": left}


def rates(price):
    return dict.fromkeys(("input", "output", "cachedInput", "cacheWrites", "thinking"), price)


SEEN = ModelsOverview.model_validate(
    {
        "providers": [
            {
                "name": "gemini",
                "kind": "Gemini",
                "baseUrl": "https://g",
                "models": ["gemini-*"],
                "keys": [
                    {"name": "gemini/main", "limits": [limit(), limit("concurrentCalls", window=0, group="*", left=3)]},
                    {
                        "name": "gemini/spare",
                        "limits": [],
                        "closed": [{"model": "", "reason": "429 \x1b[31m", "until": LATER}],
                    },
                ],
            },
            {"name": "openai", "kind": "OpenAI", "baseUrl": "https://o", "models": ["openai/*"], "keys": []},
        ],
        "aliases": {"fast": "gemini-2.5-flash", "best": "openai/gpt-5"},
        "fallbacks": [{"model": "gemini-2.5-pro", "to": ["gemini-2.5-flash"], "after": "30s"}],
        "allowedModels": ["gemini-*"],
        "prices": [
            {"models": ["gemini-*"], **rates("9")},
            {"models": ["gemini-2.5-pro"], **rates("1.25"), "tiers": [{"above": 200000, **rates("2.5")}]},
            {"models": ["gemini-2.5-flash"], **rates("0.3"), "until": "2026-12-31"},
        ],
        "pricesOf": "2026-11-29",
        "exhausted": [{"model": "gemini-2.5-pro", "reason": "no key has room", "until": LATER}],
        "underWay": [
            {
                "namespace": "docs",
                "job": "hello",
                "model": "gemini-2.5-flash",
                "calls": 2,
                "since": "2026-11-29T08:59:30Z",
            }
        ],
        "proxies": [{"id": "p", "since": "2026-11-29T08:00:00Z", "seen": "2026-11-29T09:00:00Z"}],
    }
)


def cells(page, first):
    return [line.split() for line in page.splitlines() if line.split()[:1] == [first]]


def test_each_limit_of_a_key_has_its_remaining_capacity():
    page = told.overview_page(SEEN, now=NOW)

    assert cells(page, "gemini")[0] == [
        "gemini",
        "Gemini",
        "main",
        "gemini-*",
        "150",
        "requests",
        "a",
        "minute",
        "gemini-2.5-pro*",
        "148",
        "open",
    ]
    assert "150 calls at a time" in page
    assert "closed until 09:01:00: 429" in page
    assert "no key for this namespace" in page


def test_an_overview_has_exhausted_models_and_calling_jobs():
    page = told.overview_page(SEEN, now=NOW)

    assert "gemini-2.5-pro is exhausted until 09:01:00 UTC" in page
    assert cells(page, "docs") == [["docs", "hello", "gemini-2.5-flash", "2", "30s"]]
    assert cells(page, "fast") == [["fast", "gemini-2.5-flash", "-"]]
    assert [line.split()[:4] for line in page.splitlines() if "above 200000" in line] == [["2.5", "2.5", "2.5", "2.5"]]
    assert "This namespace may use: gemini-*." in page


def test_an_overview_contains_no_control_characters():
    assert "\x1b" not in told.overview_page(SEEN, now=NOW)


def test_only_information_about_the_selected_models_is_shown():
    seen = told.chosen(SEEN, ["fast"])

    assert [provider.name for provider in seen.providers] == ["gemini"]
    assert [price.models for price in seen.prices] == [["gemini-2.5-flash"]]
    assert (seen.aliases, seen.exhausted) == ({"fast": "gemini-2.5-flash"}, [])
    assert [one.job for one in seen.under_way] == ["hello"]


def test_a_model_has_the_price_of_its_most_specific_pattern():
    assert told.price_of(SEEN.prices, "gemini-2.5-pro").input == Decimal("1.25")
    assert told.price_of(SEEN.prices, "gemini-3").input == 9
    assert told.price_of(SEEN.prices, "openai/gpt-5") is None


def test_a_model_without_a_provider_is_an_error():
    with pytest.raises(Failure, match="anthropic/x"):
        told.chosen(SEEN, ["anthropic/x"])


def test_without_providers_a_running_proxy_serves_no_model():
    without = SEEN.model_copy(update={"providers": []})

    with pytest.raises(Failure, match=r"provider .* fast"):
        told.chosen(without, ["fast"])
    assert told.chosen(without.model_copy(update={"proxies": []}), ["fast"]).providers == []


@pytest.mark.parametrize(
    ("since", "first"),
    [
        ("7d", date(2026, 11, 23)),
        ("1d", date(2026, 11, 29)),
        ("1h", date(2026, 11, 29)),
        ("36h", date(2026, 11, 28)),
        ("2026-11-01", date(2026, 11, 1)),
    ],
)
def test_a_number_of_days_includes_the_last_day(since, first):
    assert told.first_day(since, date(2026, 11, 29)) == first


def test_a_number_of_days_ends_at_the_first_day_of_the_calendar():
    assert told.first_day("30d", date(1, 1, 3)) == date.min


@pytest.mark.parametrize("since", ["0", "week", "2026-13-01", "2026-11-30", "-7d", ""])
def test_an_invalid_time_is_an_error(since):
    with pytest.raises(Failure):
        told.first_day(since, date(2026, 11, 29))


@pytest.mark.parametrize("by", ["colour", "model,model", "", "model,"])
def test_usage_cannot_be_grouped_by_an_unknown_field(by):
    with pytest.raises(Failure, match="use namespace"):
        told.sides_of(by)


def test_groupings_can_be_combined_and_completed():
    assert told.sides_of("model, day") == [UsageBy.MODEL, UsageBy.DAY]
    assert told.complete_by("model,p") == ["model,partition", "model,provider"]


def report(*names, side="user"):
    counts = {
        "calls": 2,
        "inputTokens": 100,
        "outputTokens": 10,
        "cachedTokens": 30,
        "cacheWrittenTokens": 0,
        "thinkingTokens": 4,
    }
    lines = [{"by": {side: name}, **counts, "costUSD": "0.0123"} for name in names]
    total = {**counts, "costUSD": "1.5"}
    return UsageReport.model_validate(
        {"first": "2026-11-01", "last": "2026-11-29", "items": lines, "more": False, "total": total}
    )


def test_usage_ends_with_its_total():
    head, line, total = told.usage_table(report("ann"), [UsageBy.USER]).splitlines()

    assert head.split() == ["USER", "CALLS", "INPUT", "OUTPUT", "CACHED", "THINKING", "COST"]
    assert line.split() == ["ann", "2", "100", "10", "30", "4", "$0.0123"]
    assert total.split()[0] == "TOTAL"
    assert total.split()[-1] == "$1.50"


def test_csv_output_has_exact_costs_and_no_formulas():
    text = told.usage_csv(report("=1+1", "a,b", "@x\x1b", ""), [UsageBy.USER])
    rows = list(csv.DictReader(io.StringIO(text)))

    assert [row["user"] for row in rows] == ["'=1+1", "a,b", "'@x\ufffd", ""]
    assert [row["costUSD"] for row in rows] == ["0.0123"] * 4
    assert list(rows[0]) == [
        *("user", "calls", "inputTokens", "outputTokens", "cachedTokens", "cacheWrittenTokens", "thinkingTokens"),
        "costUSD",
    ]
