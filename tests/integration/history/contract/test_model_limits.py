"""What proxies share of the limits of keys, in PostgreSQL and in memory."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentjobs.history.database import Database
from agentjobs.history.memory_model_limits import MemoryModelLimits
from agentjobs.history.model_limits import ModelLimits
from agentjobs.history.model_records import DAY, PROBE_SECONDS, Correction, Limit, Take

REQUESTS = Limit("gemini/main/flash/requests", 10)
TOKENS = Limit("gemini/main/flash/tokens", 1000)
AT_ONCE = Limit("gemini/main/flash/at-once", 2, window=0)
DAILY = Limit("gemini/main/flash/daily", 5, window=DAY, time_zone="America/Los_Angeles")
MODEL = "gemini-flash"

SHIFTS = (
    """UPDATE agentjobs.limit_slices
    SET slice = slice - CASE WHEN bucket LIKE '%%daily' THEN {seconds} / 86400 ELSE {seconds} END""",
    "UPDATE agentjobs.limit_running SET since = since - interval '{seconds} seconds'",
    "UPDATE agentjobs.proxies SET seen_at = seen_at - interval '{seconds} seconds'",
    """UPDATE agentjobs.closed_keys
    SET until = until - interval '{seconds} seconds', probe = probe - interval '{seconds} seconds'""",
    "UPDATE agentjobs.exhausted_models SET until = until - interval '{seconds} seconds'",
)
HEARTBEAT = """
    INSERT INTO agentjobs.proxies (id, cluster, told) VALUES (%s, 'c0ffee', '{}')
    ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()
"""


class InPostgres(ModelLimits):
    """Limits whose rows grow older."""

    async def passes(self, seconds):
        for shift in SHIFTS:
            await self._database.run(lambda tx: tx.execute(shift.format(seconds=seconds)))  # noqa: B023  awaited

    async def heartbeat(self, proxy):
        await self._database.run(lambda tx: tx.execute(HEARTBEAT, [proxy]))


class InMemory(MemoryModelLimits):
    """Limits whose clock continues."""

    def __init__(self):
        self.ahead = timedelta()
        super().__init__(now=lambda: datetime.now(UTC) + self.ahead)

    async def passes(self, seconds):
        self.ahead += timedelta(seconds=seconds)

    async def heartbeat(self, proxy):
        super().heartbeat(proxy)


@pytest.fixture
async def limits(dsn) -> AsyncIterator[InPostgres | InMemory]:
    if dsn is None:
        yield InMemory()
        return
    async with Database(dsn) as database:
        yield InPostgres(database, cluster=uuid4().hex)


def take(*amounts, key="gemini/main"):
    return Take(uuid4(), key, amounts or ((REQUESTS, 1),))


async def test_as_many_leading_requests_as_fit_are_granted(limits):
    taken = await limits.take(
        "a", MODEL, [take((TOKENS, 400)), take((TOKENS, 500)), take((TOKENS, 200)), take((TOKENS, 1))]
    )

    assert taken.granted == 2
    assert taken.rooms[TOKENS.bucket].used == 900


async def test_capacity_taken_by_one_proxy_is_unavailable_to_another(limits):
    await limits.take("a", MODEL, [take() for _ in range(7)])
    taken = await limits.take("b", MODEL, [take() for _ in range(7)])

    assert taken.granted == 3


async def test_the_limit_with_the_least_capacity_decides_and_is_named(limits):
    asked = [take((REQUESTS, 1), (TOKENS, 600)), take((REQUESTS, 1), (TOKENS, 600))]
    taken = await limits.take("a", MODEL, asked)
    refused = taken.refusal(asked[1])

    assert (taken.granted, refused.limit) == (1, TOKENS.bucket)
    assert 60.4 <= refused.seconds <= 61.6


async def test_a_call_that_one_limit_refuses_takes_nothing_from_the_others(limits):
    asked = [take((REQUESTS, 1), (AT_ONCE, 1)) for _ in range(4)]
    taken = await limits.take("a", MODEL, asked)

    assert (taken.granted, taken.rooms[REQUESTS.bucket].used) == (2, 2)


async def test_the_wait_ends_with_the_oldest_slices_that_make_room(limits):
    await limits.take("a", MODEL, [take((TOKENS, 600))])
    await limits.passes(20)
    await limits.take("a", MODEL, [take((TOKENS, 300))])
    few, many = take((TOKENS, 200)), take((TOKENS, 800))
    refused = await limits.take("a", MODEL, [few])

    assert 39 < refused.refusal(few).seconds < 42
    assert 60 < refused.refusal(many).seconds < 62


async def test_a_slice_counts_slightly_longer_than_the_window(limits):
    await limits.take("a", MODEL, [take() for _ in range(10)])
    await limits.passes(60)
    early = await limits.take("a", MODEL, [take()])
    await limits.passes(2)
    late = await limits.take("a", MODEL, [take()])

    assert (early.granted, late.granted) == (0, 1)


async def test_an_amount_above_the_limit_is_granted_if_nothing_is_used(limits):
    whole = await limits.take("a", MODEL, [take((TOKENS, 5000)), take((TOKENS, 1))])
    await limits.passes(62)
    await limits.take("a", MODEL, [take((TOKENS, 1))])
    again = await limits.take("a", MODEL, [take((TOKENS, 5000))])

    assert (whole.granted, again.granted) == (1, 0)


async def test_a_correction_can_release_capacity_or_exceed_the_limit(limits):
    taken = await limits.take("a", MODEL, [take((TOKENS, 900))])
    place = taken.slices[TOKENS.bucket]
    await limits.give_back([Correction(TOKENS.bucket, place, -800)])
    less = await limits.take("a", MODEL, [take((TOKENS, 800))])
    await limits.give_back([Correction(TOKENS.bucket, place, 500)])
    more = await limits.take("a", MODEL, [take((TOKENS, 1))])

    assert (less.granted, more.granted, more.rooms[TOKENS.bucket].used) == (1, 0, 1400)


async def test_a_correction_of_an_expired_slice_changes_nothing(limits):
    taken = await limits.take("a", MODEL, [take((TOKENS, 900))])
    await limits.passes(120)
    await limits.take("a", MODEL, [take((TOKENS, 100))])
    await limits.give_back([Correction(TOKENS.bucket, taken.slices[TOKENS.bucket] - 500, 900)])
    after = await limits.take("a", MODEL, [take((TOKENS, 1))])

    assert after.rooms[TOKENS.bucket].used == 101


async def test_a_slice_never_becomes_negative(limits):
    taken = await limits.take("a", MODEL, [take((TOKENS, 100))])
    await limits.give_back([Correction(TOKENS.bucket, taken.slices[TOKENS.bucket], -500)])
    after = await limits.take("a", MODEL, [take((TOKENS, 1000)), take((TOKENS, 1))])

    assert after.granted == 1


async def test_a_daily_limit_is_reset_at_midnight(limits):
    taken = await limits.take("a", MODEL, [daily := take((DAILY, 1)) for _ in range(9)])
    refused = taken.refusal(daily)
    await limits.passes(86_400)

    assert (taken.granted, refused.limit) == (5, DAILY.bucket)
    assert 0 < refused.seconds <= 25 * 3600
    assert (await limits.take("a", MODEL, [take((DAILY, 1)) for _ in range(9)])).granted == 5


async def test_concurrent_calls_count_until_they_are_released(limits):
    asked = [take((AT_ONCE, 1)) for _ in range(3)]
    taken = await limits.take("a", MODEL, asked)
    await limits.give_back([], [asked[0].id])

    assert (taken.granted, taken.refusal(asked[2]).limit) == (2, AT_ONCE.bucket)
    assert (await limits.take("b", MODEL, asked[2:])).granted == 1


async def test_a_take_that_is_repeated_counts_its_calls_once(limits):
    asked = [take((AT_ONCE, 1)) for _ in range(2)]
    await limits.take("a", MODEL, asked)

    assert (await limits.take("a", MODEL, asked)).granted == 2
    assert (await limits.take("a", MODEL, [take((AT_ONCE, 1))])).granted == 0


async def test_concurrent_calls_of_a_dead_proxy_do_not_count(limits):
    await limits.heartbeat("dead")
    await limits.heartbeat("alive")
    await limits.take("dead", MODEL, [take((AT_ONCE, 1))])
    await limits.take("alive", MODEL, [take((AT_ONCE, 1))])
    await limits.passes(46)
    await limits.heartbeat("alive")

    assert (await limits.take("b", MODEL, [take((AT_ONCE, 1)) for _ in range(5)])).granted == 1


async def test_a_proxy_gets_its_share_of_concurrent_calls_while_another_waits(limits):
    limit = Limit("gemini/main/flash/at-once", 4, window=0)
    first = [take((limit, 1)) for _ in range(4)]
    await limits.take("a", MODEL, first)
    await limits.take("b", MODEL, [take((limit, 1))])
    await limits.give_back([], [first[0].id, first[1].id])
    more = await limits.take("a", MODEL, [asked := take((limit, 1))])
    other = await limits.take("b", MODEL, [take((limit, 1)) for _ in range(2)])

    assert (more.granted, more.refusal(asked).limit, other.granted) == (0, limit.bucket, 2)


async def test_a_proxy_can_have_all_concurrent_calls_when_no_other_waits(limits):
    await limits.take("a", MODEL, [first := take((AT_ONCE, 1)), take((AT_ONCE, 1))])
    await limits.take("b", MODEL, [take((AT_ONCE, 1))])
    await limits.give_back([], [first.id])
    await limits.passes(3)

    assert (await limits.take("a", MODEL, [take((AT_ONCE, 1))])).granted == 1


async def test_a_key_closed_for_a_model_is_open_for_others(limits):
    await limits.close("gemini/main", MODEL, seconds=30, reason="429")
    other = await limits.take("a", "gemini-pro", [take(), take()])
    taken = await limits.take("a", MODEL, [asked := take()])

    assert (other.granted, taken.granted, taken.refusal(asked).limit) == (2, 0, "gemini/main")
    assert 29 < taken.refusal(asked).seconds <= 30


async def test_a_key_closed_for_all_models_is_closed_for_each_model(limits):
    await limits.close("gemini/main", "", seconds=30, reason="401")

    assert (await limits.take("a", MODEL, [take()])).granted == 0
    assert (await limits.take("a", MODEL, [take(key="gemini/second")])).granted == 1
    assert set(await limits.closed_keys()) == {("gemini/main", "")}


async def test_a_shorter_closing_does_not_open_a_key_earlier(limits):
    await limits.close("gemini/main", MODEL, seconds=3600, reason="quota")
    await limits.close("gemini/main", MODEL, seconds=5, reason="429")

    assert (await limits.closed_keys())["gemini/main", MODEL] > 3590


async def test_only_one_call_of_all_proxies_probes_a_reopened_key(limits):
    await limits.close("gemini/main", MODEL, seconds=30, reason="429")
    await limits.passes(31)
    first = await limits.take("a", MODEL, [take(), take()])
    second = await limits.take("b", MODEL, [asked := take()])

    assert (first.granted, first.probes, second.granted) == (1, {"gemini/main"}, 0)
    assert 0 < second.refusal(asked).seconds <= PROBE_SECONDS


async def test_all_calls_can_use_a_reopened_key_after_its_probe_succeeded(limits):
    await limits.close("gemini/main", MODEL, seconds=30, reason="429")
    await limits.passes(31)
    await limits.take("a", MODEL, [take()])
    await limits.opened("gemini/main", MODEL)
    after = await limits.take("b", MODEL, [take(), take()])

    assert (after.granted, after.probes, await limits.closed_keys()) == (2, frozenset(), {})


async def test_all_calls_can_use_a_reopened_key_if_its_probe_is_not_refused_in_time(limits):
    await limits.close("gemini/main", MODEL, seconds=30, reason="429")
    await limits.passes(31)
    await limits.take("a", MODEL, [take()])
    await limits.passes(6)

    assert (await limits.take("b", MODEL, [take(), take()])).granted == 2


async def test_a_reopened_key_is_closed_again_if_its_probe_is_refused(limits):
    await limits.close("gemini/main", MODEL, seconds=30, reason="429")
    await limits.passes(31)
    await limits.take("a", MODEL, [take()])
    await limits.close("gemini/main", MODEL, seconds=30, reason="429")
    await limits.opened("gemini/main", MODEL)
    await limits.passes(6)

    assert (await limits.take("b", MODEL, [take()])).granted == 0


async def test_reporting_remaining_capacity_takes_nothing(limits):
    other = Limit("gemini/second/flash/requests", 10)
    await limits.close("gemini/third", MODEL, seconds=30, reason="429")
    others = [take((other, 3), key="gemini/second"), take(key="gemini/third")]
    taken = await limits.take("a", MODEL, [take()], others)

    assert (taken.granted, taken.rooms[other.bucket].used) == (1, 0)
    assert (taken.refusal(others[0]), taken.refusal(others[1]).limit) == (None, "gemini/third")


async def test_granted_capacity_can_be_used_until_shortly_after_its_slice(limits):
    taken = await limits.take("a", MODEL, [take()])

    assert 0.5 <= taken.seconds <= 1.5


async def test_a_model_is_exhausted_until_it_has_capacity(limits):
    await limits.exhausted("a", seconds=30, reason="full")
    await limits.exhausted("b", seconds=30, reason="full")
    await limits.exhausted("a", seconds=0, reason="")
    known = set(await limits.exhausted_models())
    await limits.passes(31)

    assert (known, await limits.exhausted_models()) == ({"b"}, {})


async def test_concurrent_takes_never_exceed_a_limit(limits):
    other = Limit("gemini/main/pro/requests", 10)
    answers = await asyncio.gather(
        *(limits.take("a", MODEL, [take((REQUESTS, 1), (other, 1))]) for _ in range(8)),
        *(limits.take("b", MODEL, [take((other, 1), (REQUESTS, 1))]) for _ in range(8)),
    )

    assert sum(answer.granted for answer in answers) == 10


CALLS = st.tuples(st.integers(0, 1200), st.integers(0, 3), st.booleans())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(st.lists(CALLS, min_size=1, max_size=6), min_size=1, max_size=4))
async def test_postgresql_and_memory_grant_the_same(database, rounds):
    memory, scope = InMemory(), uuid4().hex
    tokens, at_once = Limit(f"{scope}/tokens", 1000), Limit(f"{scope}/at-once", 3, window=0)
    async with Database(database) as connected:
        postgres = ModelLimits(connected, cluster="c0ffee")
        for calls in rounds:
            asked = [
                Take(uuid4(), scope, ((tokens, amount),) + (((at_once, 1),) * limited)) for amount, _, limited in calls
            ]
            one, other = await postgres.take("a", MODEL, asked), await memory.take("a", MODEL, asked)
            assert (one.granted, {b: r.used for b, r in one.rooms.items()}) == (
                other.granted,
                {b: r.used for b, r in other.rooms.items()},
            )


async def test_only_one_of_many_concurrent_calls_probes_a_reopened_key(limits):
    await limits.close("gemini/main", MODEL, seconds=30, reason="429")
    await limits.passes(31)
    answers = await asyncio.gather(*(limits.take(proxy, MODEL, [take()]) for proxy in "abababab"))

    assert sum(answer.granted for answer in answers) == 1
