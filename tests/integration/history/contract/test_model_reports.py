"""Reports of model calls for users: usage by owner, the cost of a job's calls, and the state of limits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from tests.integration.history.model_calls import a_call_of, the_end_of

from agentjobs import errors
from agentjobs.api.recorded_usage import UsageBy
from agentjobs.history.model_records import CallOutcome, Limit, Take
from agentjobs.history.pages import write_cursor
from agentjobs.history.records import Acceptance
from agentjobs.models.tokens import Tokens

DAY = timedelta(days=1)


@pytest.fixture
def reports(backend):
    return backend.reports


@pytest.fixture
def used(backend, a_job):
    """`await used("uid-1", "0.5", model=…)`: a call of a job, which is made where there is none."""

    async def call(uid, cost, *, namespace="default", partition="", model="gemini-2.5-flash", step="a", **end):
        build = a_job(uid, name=f"job-{uid}", namespace=namespace)
        session = {"appName": "shop", "userId": f"user-{uid}", "sessionId": uid, "mode": "New"}
        await backend.operator.accept(
            Acceptance(build.job(session=session, partitionKey=partition or None), build.start(1))
        )
        await backend.gateway.claim(uid, 1, "pod-1", **build.place)
        new = a_call_of(uid, step=step)
        await backend.ledger.reserve(new)
        await backend.ledger.settle([the_end_of(new, cost=cost, model=model, **end)])

    return call


@pytest.fixture
def today():
    """The days that the test may run on."""
    day = datetime.now(UTC).date()
    return {"first": day, "last": day + DAY}


def told(report):
    return [(*line.by.values(), line.calls, line.cost_usd) for line in report.items]


async def test_usage_is_grouped_and_summed(reports, used, today):
    await used("a", "0.5")
    await used("a", "0.25", model="gemini-2.5-pro")
    await used("b", "2", partition="acme")

    report = await reports.usage([UsageBy.MODEL], **today)
    assert told(report) == [("gemini-2.5-flash", 2, Decimal("2.5")), ("gemini-2.5-pro", 1, Decimal("0.25"))]
    assert (report.total.calls, report.total.input_tokens, report.total.output_tokens) == (3, 30, 15)
    assert report.total.cost_usd == Decimal("2.75")


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        pytest.param(UsageBy.NAMESPACE, ["docs", "default"], id="namespace"),
        pytest.param(UsageBy.PARTITION, ["acme", ""], id="partition"),
        pytest.param(UsageBy.USER, ["user-b", "user-a"], id="user"),
        pytest.param(UsageBy.QUEUE, ["nightly", "agents"], id="queue"),
        pytest.param(UsageBy.PROVIDER, ["google"], id="provider"),
    ],
)
async def test_usage_is_grouped_by_owner_with_the_most_expensive_first(reports, used, today, by, expected):
    await used("a", "0.5")
    await used("b", "2", partition="acme", namespace="docs", queue="nightly")

    assert [line.by[by] for line in (await reports.usage([by], **today)).items] == expected


async def test_a_report_by_day_and_model_is_in_the_order_of_days(reports, used, today):
    await used("a", "0.5")
    await used("a", "2", model="gemini-2.5-pro")
    report = await reports.usage([UsageBy.DAY, UsageBy.MODEL], **today)

    assert [line.by[UsageBy.MODEL] for line in report.items] == ["gemini-2.5-pro", "gemini-2.5-flash"]
    assert [line.by[UsageBy.DAY] for line in report.items] == sorted(line.by[UsageBy.DAY] for line in report.items)


async def test_a_report_of_a_namespace_has_only_its_own_usage(reports, used, today):
    await used("a", "0.5")
    await used("b", "2", namespace="docs")
    report = await reports.usage([UsageBy.USER], namespace="default", **today)

    assert (told(report), report.total.cost_usd) == ([("user-a", 1, Decimal("0.5"))], Decimal("0.5"))


async def test_a_long_report_is_truncated_and_says_so(reports, used, today):
    for number in range(3):
        await used(f"uid-{number}", str(number + 1))
    report = await reports.usage([UsageBy.USER], limit=2, **today)

    assert (len(report.items), report.more, report.total.cost_usd) == (2, True, Decimal(6))


async def test_days_without_calls_have_no_rows(reports, today):
    report = await reports.usage([UsageBy.MODEL], **today)

    assert (report.items, report.more, report.total.calls, report.total.cost_usd) == ([], False, 0, 0)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"by": []}, id="by-nothing"),
        pytest.param({"by": [UsageBy.DAY, UsageBy.DAY]}, id="twice"),
        pytest.param({"days": -1}, id="backwards"),
        pytest.param({"days": 400}, id="too-many-days"),
        pytest.param({"limit": 501}, id="too-many-lines"),
    ],
)
async def test_an_unsupported_report_is_refused(reports, asked):
    first = datetime.now(UTC).date()
    with pytest.raises(errors.Invalid):
        await reports.usage(
            asked.get("by", [UsageBy.MODEL]),
            first=first,
            last=first + asked.get("days", 0) * DAY,
            limit=asked.get("limit", 10),
        )


async def test_the_calls_of_a_job_are_summed_by_model(reports, ledger, used):
    await used("a", "0.5")
    await used("a", "0", outcome=CallOutcome.FAILED, tokens=Tokens())
    await used("a", "2", outcome=CallOutcome.CUT, model="gemini-2.5-pro")
    await ledger.reserve(a_call_of("a", provider="google", model="gemini-2.5-pro"))

    first, second = await reports.job_models("a")
    assert (first.model, first.calls, first.failed, first.under_way, first.cost_usd) == ("gemini-2.5-pro", 1, 0, 1, 2)
    assert (second.model, second.calls, second.failed, second.under_way) == ("gemini-2.5-flash", 1, 1, 0)
    assert (second.input_tokens, second.cost_usd, await reports.job_models("b")) == (10, Decimal("0.5"), [])


async def test_calls_are_listed_in_pages(reports, ledger, used):
    await used("a", "0.5")
    await used("a", "0", outcome=CallOutcome.FAILED, tokens=Tokens(), step="b")
    await ledger.reserve(a_call_of("a", step="c", cost="2"))

    first = await reports.calls("a", limit=2)
    rest = await reports.calls("a", limit=2, cursor=first.cursor)
    told = [(call.step, call.outcome, call.cost_usd, call.reserved_usd) for call in (*first.items, *rest.items)]
    assert told == [("a", "Answered", Decimal("0.5"), 1), ("b", "Failed", 0, 1), ("c", None, 0, 2)]
    assert (rest.cursor, (await reports.calls("b")).items) == (None, [])


async def test_calls_can_be_filtered_by_step(reports, used):
    await used("a", "0.5")
    await used("a", "0.25", step="b\x00")
    [call] = (await reports.calls("a", step="b\x00")).items

    assert (call.model, call.requested, call.key, call.status) == ("gemini-2.5-flash", "gemini-fast", "key-1", 200)
    assert (call.input_tokens, call.output_tokens, call.estimated, call.has_content) == (10, 5, False, False)


async def test_an_unsent_call_is_listed_with_its_requested_model(reports, ledger, used):
    await used("a", "0.5")
    call = a_call_of("a", provider="google", model="gemini-2.5-pro")
    await ledger.reserve(call)
    end = replace(the_end_of(call, outcome=CallOutcome.FAILED, cost="0", tokens=Tokens()), provider="", model="")
    await ledger.settle([end])

    told = [(line.provider, line.model, line.failed) for line in await reports.job_models("a")]
    assert told == [("google", "gemini-2.5-flash", 0), ("google", "gemini-2.5-pro", 1)]


@pytest.mark.parametrize(
    "cursor", ["nonsense", write_cursor([datetime.now(UTC), "no-uuid"])], ids=["nonsense", "no-uuid"]
)
async def test_a_cursor_of_another_list_is_refused(reports, cursor):
    with pytest.raises(errors.Invalid):
        await reports.calls("a", cursor=cursor)


async def test_recorded_requests_and_answers_can_be_read(reports, ledger, used):
    await used("a", "0.5")
    recorded, plain = a_call_of("a"), a_call_of("a")
    for call, content in ((recorded, {"request": "hi"}), (plain, None)):
        await ledger.reserve(call)
        await ledger.settle([replace(the_end_of(call), content=content)])

    assert bytes(await reports.content("a", recorded.id)) == b'{"request":"hi"}'
    assert await reports.content("a", plain.id) is None
    assert await reports.content("b", recorded.id) is None


async def test_live_proxies_are_listed_with_their_reports(reports, backend, ledger):
    await ledger.heartbeat("gone", {})
    await backend.passes(timedelta(seconds=50))
    await ledger.heartbeat("here", {"aliases": {"fast": "gemini-2.5-flash"}})

    [proxy] = await reports.proxies()
    assert (proxy.id, proxy.report) == ("here", {"aliases": {"fast": "gemini-2.5-flash"}})
    assert proxy.since == proxy.seen or proxy.seen - proxy.since < timedelta(seconds=1)


async def test_current_use_of_limits_is_reported(reports, backend):
    minute, at_once, unused = Limit("k tokens", 100), Limit("k calls", 5, window=0.0), Limit("k day", 9, window=86400.0)
    take = Take(uuid4(), "k", ((minute, 30), (at_once, 1)))
    await backend.limits.take("proxy-a", "m", [take])

    assert (await reports.limits_now([minute, at_once, unused])).used == {"k tokens": 30, "k calls": 1, "k day": 0}


async def test_closed_keys_and_exhausted_models_are_reported_with_their_reasons(reports, backend):
    await backend.limits.close("k", "", seconds=60, reason="out of credit")
    await backend.limits.exhausted("m", seconds=60, reason="all keys are closed")
    await backend.limits.exhausted("n", seconds=60, reason="soon over")
    await backend.limits.exhausted("n", seconds=0, reason="")

    now = await reports.limits_now([])
    assert [(one.key, one.model, one.reason) for one in now.closed] == [("k", "", "out of credit")]
    assert [(one.key, one.model, one.reason) for one in now.exhausted] == [("", "m", "all keys are closed")]


async def test_calls_in_progress_are_reported_by_job_and_model(reports, ledger, used):
    await used("a", "1")
    await used("b", "1", namespace="docs")
    for _ in range(2):
        await ledger.reserve(a_call_of("a", model="gemini-2.5-pro"))
    await ledger.reserve(a_call_of("b", requested="openai/gpt-5"))

    first, second = await reports.under_way()
    assert (first.namespace, first.job, first.model, first.calls) == ("default", "job-a", "gemini-2.5-pro", 2)
    assert (second.namespace, second.job, second.model, second.calls) == ("docs", "job-b", "openai/gpt-5", 1)
    assert first.since < second.since
    assert await reports.under_way("docs") == [second]
