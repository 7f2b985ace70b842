"""A model call is recorded before it is made, fits its job's budget, and is booked once, however proxies end."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from tests.integration.history.model_calls import a_call_of, the_end_of
from tests.integration.history.runner_calls import a_step, record

from agentjobs import errors
from agentjobs.history.model_records import CallOutcome
from agentjobs.history.records import Acceptance
from agentjobs.models.budget import Fits, Limits, Scope, Spend
from agentjobs.models.tokens import Tokens

TWO_DOLLARS = Limits(cost=Decimal(2))


@pytest.fixture
async def build(operator, gateway, a_job):
    build = a_job()
    await operator.accept(Acceptance(build.job(), build.start(1)))
    await gateway.claim(build.uid, 1, "pod-1", **build.place)
    return build


@pytest.fixture
def make(ledger):
    """Reserves a call, and settles it at a cost unless that is None."""

    async def call(cost="0.5", *, outcome=CallOutcome.ANSWERED, tokens=None, **said):
        new = a_call_of(**said)
        reserved = await ledger.reserve(new)
        assert reserved.judgement.fits is Fits.YES
        if cost is not None:
            await ledger.settle([the_end_of(new, cost=cost, outcome=outcome, tokens=tokens)])
        return new

    return call


async def fits(ledger, **said):
    judgement = (await ledger.reserve(a_call_of(**said))).judgement
    return judgement.fits, judgement.limit


async def two_starts(build, operator, gateway):
    """The second attempt of a job, whose first one has ended."""
    await operator.write([build.end(1)])
    await operator.accept(Acceptance(build.job(), build.start(2, attempt=2)))
    await gateway.claim(build.uid, 2, "pod-2", **build.place)


async def test_the_usage_of_a_call_counts_for_its_job(operator, make, build):
    await make("0.25")

    assert await operator.spent(build.uid) == Spend(Decimal("0.25"), tokens=15, llm_calls=1)
    assert (await operator.final_result(build.uid)).cost == Decimal("0.25")


async def test_a_job_without_model_calls_has_no_cost(operator, build):
    assert (await operator.final_result(build.uid)).cost is None


async def test_a_jobs_usage_is_the_larger_of_its_calls_and_its_steps(operator, gateway, make, build):
    event = {"seq": 1, "time": "2026-01-31T12:00:00Z", "kind": "model", "author": "agent", "data": {}}
    await gateway.add_events(build.uid, 1, "pod-1", [event | {"usage": {"inputTokens": 3, "outputTokens": 90}}])
    await make()

    assert (await operator.final_result(build.uid)).usage == {"llmCalls": 1, "inputTokens": 10, "outputTokens": 90}
    assert (await operator.spent(build.uid)).tokens == 100


async def test_a_reached_limit_refuses_calls_and_reports_the_usage(ledger, make, build):
    await make("2")
    reserved = await ledger.reserve(a_call_of(limits=TWO_DOLLARS))

    assert (reserved.judgement.fits, reserved.judgement.limit) == (Fits.NO, "maxCostUSD")
    assert reserved.spent == Spend(Decimal(2), tokens=15, llm_calls=1)


async def test_a_refused_call_is_not_recorded(ledger, make, build):
    await make("2")
    call = a_call_of(limits=TWO_DOLLARS)

    assert (await ledger.reserve(call)).judgement.fits is Fits.NO
    await ledger.settle([the_end_of(call)])
    assert (await ledger.reserve(call)).spent.llm_calls == 1


@pytest.mark.parametrize(
    ("limits", "used"),
    [
        pytest.param(
            Limits(cost=Decimal(2), tool_calls=3),
            {"costUSD": "0.5", "tokens": 100, "llmCalls": 2, "toolCalls": 4},
            id="job",
        ),
        pytest.param(
            Limits(tokens=9, scope=Scope.ATTEMPT),
            {"costUSD": "0", "tokens": 0, "llmCalls": 0, "toolCalls": 0},
            id="attempt",
        ),
    ],
)
async def test_a_start_gets_the_part_of_its_budget_that_earlier_starts_used(
    gateway, operator, make, build, limits, used
):
    event = {"seq": 1, "time": "2026-01-31T12:00:00Z", "kind": "model", "author": "agent", "data": {}}
    told = {"llmCalls": 2, "toolCalls": 4, "inputTokens": 5, "outputTokens": 90}
    await gateway.add_events(build.uid, 1, "pod-1", [event | {"usage": told}])
    await make("0.5")
    await operator.accept(Acceptance(build.job(), build.start(2, attempt=2)))
    attempt = await gateway.claim(build.uid, 2, "pod-2", **build.place, budget=limits)
    await gateway.add_events(build.uid, 2, "pod-2", [event | {"usage": told}])

    assert attempt["budget"] == {"limits": limits.dump(), "used": used}
    assert (await gateway.claim(build.uid, 2, "pod-2", **build.place, budget=limits))["budget"] == attempt["budget"]


@pytest.mark.parametrize("limits", [None, Limits()])
async def test_a_start_without_limits_gets_no_budget(gateway, build, limits):
    assert "budget" not in await gateway.claim(build.uid, 1, "pod-1", **build.place, budget=limits)


async def test_a_call_waits_for_another_that_has_reserved_the_rest_of_the_budget(ledger, make, build):
    first = await make(None)

    assert await fits(ledger, limits=Limits(cost=Decimal("1.5"))) == (Fits.NOT_YET, "maxCostUSD")
    await ledger.settle([the_end_of(first, cost="0.1")])
    assert await fits(ledger, limits=Limits(cost=Decimal("1.5"))) == (Fits.YES, "")


async def test_a_step_has_the_cost_of_its_calls_and_the_answering_model(gateway, make, build):
    await make("0", outcome=CallOutcome.FAILED, tokens=Tokens(), step="b")
    await make("0.25", outcome=CallOutcome.CUT, step="b")
    await make("0.50", step="b")
    await make(None, step="b")
    await make("9", step="")
    await record(gateway, build.uid, 1, a_step("a"), a_step("b"))

    other, step = (await gateway.steps(build.uid)).items
    assert (step.cost_usd, step.served, step.tries) == (Decimal("0.75"), "gemini-2.5-flash", 4)
    assert (other.cost_usd, other.served, other.tries) == (None, None, 0)
    assert step.model_dump(mode="json", by_alias=True)["costUSD"] == "0.75"


async def test_a_step_answered_by_its_requested_model_has_no_fallback(gateway, ledger, build):
    call = a_call_of(requested="gemini-2.5-flash")
    await ledger.reserve(call)
    await ledger.settle([the_end_of(call)])
    await record(gateway, build.uid, 1, a_step("a"))

    assert (await gateway.steps(build.uid)).items[0].served is None


async def test_calls_of_a_later_start_of_the_run_count_for_the_step_too(gateway, operator, make, build):
    await make("0.1")
    await two_starts(build, operator, gateway)
    await make("0.2", start=2)
    await record(gateway, build.uid, 2, a_step("a"))

    story = await gateway.job_history("default", build.uid)
    assert (await gateway.steps(build.uid)).items[0].cost_usd == Decimal("0.3")
    assert [start.cost_usd for start in story.starts] == [Decimal("0.1"), Decimal("0.2")]


async def test_calls_of_another_run_do_not_count_for_a_step(gateway, operator, make, build):
    await make("0.1")
    await record(gateway, build.uid, 1, a_step("a"))
    await two_starts(build, operator, gateway)
    await record(gateway, build.uid, 2, a_step("a"), run=2)
    await make("0.2", start=2)

    assert [step.cost_usd for step in (await gateway.steps(build.uid)).items] == [Decimal("0.1"), Decimal("0.2")]


async def test_a_call_counts_for_only_one_of_the_rows_of_its_key(gateway, backend, make, build):
    async def ends_now(void):
        now = datetime.now(UTC).isoformat()
        await record(gateway, build.uid, 1, a_step("a", void=void) | {"began": now, "ended": now})

    await make("0.1")
    await ends_now(void=True)
    await make("0.2")
    await ends_now(void=False)

    assert [step.cost_usd for step in (await gateway.steps(build.uid)).items] == [Decimal("0.1"), Decimal("0.2")]


async def test_jobs_are_listed_with_their_cost(gateway, make, build):
    await make("0.1")
    await make("0.2")
    await make("0", outcome=CallOutcome.FAILED, tokens=Tokens())

    assert (await gateway.jobs(("default",))).items[0].cost_usd == Decimal("0.3")
    assert (await gateway.job_history("default", build.uid)).job.cost_usd == Decimal("0.3")


async def test_a_start_without_model_calls_has_no_cost(gateway, build):
    assert (await gateway.job_history("default", build.uid)).starts[0].cost_usd is None


async def test_a_failed_call_does_not_count_against_the_budget(operator, ledger, make, build):
    await make("0", outcome=CallOutcome.FAILED, tokens=Tokens())

    assert await operator.spent(build.uid) == Spend()
    assert await fits(ledger, limits=Limits(llm_calls=1)) == (Fits.YES, "")


async def test_a_call_that_was_cut_off_counts_against_the_budget(ledger, make, build):
    await make("0", outcome=CallOutcome.CUT, tokens=Tokens())

    assert await fits(ledger, limits=Limits(llm_calls=1)) == (Fits.NO, "maxLLMCalls")


async def test_a_call_reserved_twice_is_stored_once(ledger, build):
    call = a_call_of(limits=Limits(llm_calls=1))
    answers = await asyncio.gather(*(ledger.reserve(call) for _ in range(5)))

    assert {answer.judgement.fits for answer in answers} == {Fits.YES}
    assert await fits(ledger, limits=Limits(llm_calls=1)) == (Fits.NOT_YET, "maxLLMCalls")


async def test_an_ended_call_cannot_be_reserved_again(ledger, make, build):
    call = await make("0.5")

    with pytest.raises(errors.Conflict):
        await ledger.reserve(call)


async def test_a_budget_per_attempt_counts_only_the_starts_of_the_attempt(ledger, operator, gateway, make, build):
    await make("2")
    await make(None)
    await two_starts(build, operator, gateway)

    of_attempt = Limits(cost=Decimal(2), scope=Scope.ATTEMPT)
    assert await fits(ledger, start=2, limits=TWO_DOLLARS) == (Fits.NO, "maxCostUSD")
    assert await fits(ledger, start=2, limits=of_attempt) == (Fits.YES, "")
    assert await fits(ledger, start=2, limits=of_attempt, cost="1.5") == (Fits.NOT_YET, "maxCostUSD")


async def test_a_call_of_an_earlier_start_is_settled_for_its_own_attempt(ledger, operator, gateway, make, build):
    late = await make(None)
    await two_starts(build, operator, gateway)
    await ledger.settle([the_end_of(late, cost="0.5")])

    assert (await operator.spent(build.uid, 1)).cost == Decimal("0.5")
    assert (await operator.spent(build.uid, 2)).cost == 0


@pytest.mark.parametrize(
    ("said", "error"),
    [
        pytest.param({"pod_uid": "pod-b"}, errors.Fenced, id="another-pod"),
        pytest.param({"uid": "nobody"}, errors.NotFound, id="job"),
        pytest.param({"start": 2}, errors.NotFound, id="start"),
        pytest.param({"start": 2**40}, errors.NotFound, id="huge"),
        pytest.param({"cost": "NaN"}, errors.Invalid, id="no-number"),
    ],
)
async def test_a_call_that_is_not_allowed_is_refused(ledger, build, said, error):
    with pytest.raises(error):
        await ledger.reserve(a_call_of(**said))


async def test_a_fenced_pod_cannot_make_calls(ledger, operator, make, build):
    call = await make(None)
    await operator.accept(Acceptance(build.job(), build.start(2)))

    with pytest.raises(errors.Fenced):
        await ledger.reserve(a_call_of())
    with pytest.raises(errors.Fenced):
        await ledger.reserve(call)


async def test_a_call_settled_twice_is_counted_once(ledger, operator, build):
    calls = [a_call_of() for _ in range(3)]
    for call in calls:
        await ledger.reserve(call)
    ends = [the_end_of(call, cost="0.1") for call in calls]

    await asyncio.gather(*(ledger.settle([*ends, *reversed(ends)]) for _ in range(3)))
    await ledger.settle([the_end_of(calls[0], cost="9")])
    assert await operator.spent(build.uid) == Spend(Decimal("0.3"), tokens=45, llm_calls=3)


async def test_settling_an_unknown_call_is_ignored(ledger, operator, make, build):
    known = await make(None)
    await ledger.settle([the_end_of(a_call_of(call=uuid4())), the_end_of(known)])

    assert (await operator.spent(build.uid)).llm_calls == 1


@pytest.mark.parametrize(
    ("cost", "booked"),
    [
        pytest.param("-3", "0", id="negative"),
        pytest.param("NaN", "1", id="no-number-is-the-reservation"),
        pytest.param("Infinity", "1000000", id="infinite"),
        pytest.param("1e30", "1000000", id="absurd"),
        pytest.param("0.0000000001", "0.0000000001", id="small"),
    ],
)
async def test_a_settled_cost_is_limited_to_a_valid_range(operator, make, build, cost, booked):
    await make(cost)
    found = (await operator.spent(build.uid)).cost

    assert (type(found), found) == (Decimal, Decimal(booked))


async def test_settled_token_counts_are_limited_to_a_valid_range(operator, make, build):
    await make(tokens=Tokens(input=-5, output=2**200))

    assert (await operator.spent(build.uid)).tokens == 10**12


async def test_absurd_reservations_do_not_stop_a_job_without_a_budget(ledger, build):
    for _ in range(3):
        assert await fits(ledger, tokens=2**300, cost="1e40") == (Fits.YES, "")


async def test_a_text_that_cannot_be_stored_does_not_affect_other_calls(ledger, operator, build):
    calls = [a_call_of(step="\x00\ud800", requested="a\x00b"), a_call_of()]
    for call in calls:
        await ledger.reserve(call)
    await ledger.settle([the_end_of(call, model="\x00", queue="\ud800") for call in calls])

    assert (await operator.spent(build.uid)).llm_calls == 2


async def test_calls_of_a_crashed_proxy_cost_their_reservation(ledger, backend, operator, make, build):
    await ledger.heartbeat("proxy-a", {})
    await ledger.heartbeat("proxy-b", {})
    lost = await make(None)
    await lives_on(ledger, backend, "proxy-b")

    assert await operator.spent(build.uid) == Spend(Decimal(1), tokens=100, llm_calls=1)
    await ledger.settle([the_end_of(lost, cost="0.1")])
    assert (await operator.spent(build.uid)).cost == 1


async def lives_on(ledger, backend, *proxies):
    """For as long as misses another one, and a heartbeat more."""
    for _ in range(5):
        await backend.passes(timedelta(seconds=10))
        for proxy in proxies:
            await ledger.heartbeat(proxy, {})


async def test_calls_of_a_live_proxy_are_not_lost(ledger, backend, operator, make, build):
    await ledger.heartbeat("proxy-a", {})
    await ledger.heartbeat("proxy-b", {})
    await make(None)
    await lives_on(ledger, backend, "proxy-b", "proxy-a")

    assert (await operator.spent(build.uid)).llm_calls == 0


async def test_a_call_in_progress_of_a_proxy_without_a_report_is_not_lost(ledger, backend, operator, make, build):
    await ledger.heartbeat("proxy-b", {})
    await lives_on(ledger, backend, "proxy-b")
    await make(None)
    await ledger.heartbeat("proxy-b", {})

    assert (await operator.spent(build.uid)).llm_calls == 0


async def test_after_an_outage_of_history_no_proxy_is_immediately_considered_dead(
    ledger, backend, operator, make, build
):
    await ledger.heartbeat("proxy-a", {})
    await ledger.heartbeat("proxy-b", {})
    await lives_on(ledger, backend, "proxy-b", "proxy-a")
    await make(None)
    await backend.passes(timedelta(minutes=3))
    await ledger.heartbeat("proxy-b", {})
    await ledger.heartbeat("proxy-a", {})
    await lives_on(ledger, backend, "proxy-b", "proxy-a")

    assert (await operator.spent(build.uid)).llm_calls == 0
