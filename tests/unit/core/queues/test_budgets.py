"""Periods of budgets follow each other without a gap in every zone, and a budget is over when a limit is reached."""

import zoneinfo
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.api.conditions import SuspendedReason
from agentjobs.api.queues.spec import QueueBudget
from agentjobs.core.queues.budgets import budget_state, budget_stops, period_of
from agentjobs.history.model_records import SPEND_SLICE_SECONDS
from agentjobs.models.budget import Spend

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ZONES = st.sampled_from(sorted(zoneinfo.available_timezones() - {"localtime", "Local", "Factory"}))
INSTANTS = st.integers(0, 4 * 365 * 86400).map(lambda seconds: NOW + timedelta(seconds=seconds))


def a_budget(period="Daily", zone="UTC", **limits):
    told = {"name": "day", "period": period, "timeZone": zone, **(limits or {"maxTokens": 100})}
    return QueueBudget.model_validate(told)


def when(budget, text):
    period = period_of(budget, datetime.fromisoformat(text))
    return period.begin.isoformat(), period.end.isoformat()


@pytest.mark.parametrize(
    ("period", "zone", "now", "begin", "end"),
    [
        ("Daily", "UTC", "2026-11-21T09:00Z", "2026-11-21T00:00", "2026-11-22T00:00"),
        ("Daily", "Europe/Berlin", "2026-11-21T23:30Z", "2026-11-21T23:00", "2026-11-22T23:00"),
        ("Daily", "Europe/Berlin", "2026-03-29T12:00Z", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("Daily", "Europe/Berlin", "2026-10-25T12:00Z", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("Daily", "Asia/Kathmandu", "2026-11-21T09:00Z", "2026-11-20T18:15", "2026-11-21T18:15"),
        # Clocks go forward at midnight: the day begins at one o'clock.
        ("Daily", "Asia/Beirut", "2026-03-29T12:00Z", "2026-03-28T22:00", "2026-03-29T21:00"),
        ("Weekly", "UTC", "2026-11-22T23:59Z", "2026-11-16T00:00", "2026-11-23T00:00"),
        ("Weekly", "America/New_York", "2026-11-23T04:59Z", "2026-11-16T05:00", "2026-11-23T05:00"),
        ("Monthly", "UTC", "2028-02-29T09:00Z", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("Monthly", "UTC", "2026-12-31T23:59Z", "2026-12-01T00:00", "2027-01-01T00:00"),
    ],
    ids=lambda value: str(value).replace("/", "-"),
)
def test_a_period_begins_at_midnight_of_its_time_zone(period, zone, now, begin, end):
    assert when(a_budget(period, zone), now) == (f"{begin}:00+00:00", f"{end}:00+00:00")


@given(ZONES, INSTANTS, st.sampled_from(["Daily", "Weekly", "Monthly"]))
def test_periods_contain_their_instants_and_are_contiguous(zone, now, period):
    budget = a_budget(period, zone)

    found = period_of(budget, now)
    last, first = period_of(budget, found.begin - timedelta(seconds=1)), period_of(budget, found.end)

    assert found.begin <= now < found.end
    assert (last.end, first.begin) == (found.begin, found.end)
    assert found.begin.timestamp() % SPEND_SLICE_SECONDS == 0


def judged(budget, **spent):
    return budget_state(budget, {name: Spend(Decimal(cost), tokens) for name, (cost, tokens) in spent.items()}, DAY)


DAY = period_of(a_budget(), NOW)


@pytest.mark.parametrize(
    ("limits", "over"),
    [
        ({"maxTokens": 31}, False),
        ({"maxTokens": 30}, True),
        ({"maxCostUSD": "3.01"}, False),
        ({"maxCostUSD": "3"}, True),
        ({"maxCostUSD": "100", "maxTokens": 30}, True),
    ],
    ids=str,
)
def test_a_budget_of_the_queue_sums_up_its_partitions(limits, over):
    state = judged(a_budget(**limits), a=("1", 10), b=("2", 20))

    assert state.spend == Spend(Decimal(3), 30)
    assert state.over == ((None,) if over else ())


def test_a_budget_per_partition_holds_only_partitions_that_used_it_up():
    budget = a_budget(maxTokens=20, scope="Partition", onExceeded="Fail")

    state = judged(budget, a=("0", 10), b=("0", 20), c=("0", 25))

    assert (state.over, state.partition) == (("b", "c"), "c")
    assert [(one.partition, one.fails, one.until) for one in state.exceeded] == [
        ("b", True, DAY.end),
        ("c", True, DAY.end),
    ]


def test_without_spending_no_budget_is_used_up():
    assert judged(a_budget(scope="Partition")).over == ()
    assert judged(a_budget()).over == ()


def test_running_jobs_are_stopped_if_the_budget_says_so():
    finish, suspend = judged(a_budget(), a=("0", 100)), judged(a_budget(action="Suspend", maxTokens=1), a=("0", 100))

    assert budget_stops("agents", (finish,)) == {}
    assert budget_stops("agents", (finish, suspend))[None].reason is SuspendedReason.QUEUE_BUDGET_EXCEEDED
