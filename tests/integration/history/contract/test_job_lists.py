"""Lists of jobs: filters, orders and pages, over the namespaces that the caller can read."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.history.conftest import NOON
from tests.integration.history.model_calls import a_call_of, the_end_of

from agentjobs import errors
from agentjobs.api.job_filter import EVERY_JOB, JobFilter, JobOrder
from agentjobs.contract import Resolved, Result, ResultDocument
from agentjobs.history import listing
from agentjobs.history.memory_filter import has
from agentjobs.history.pages import place_of
from agentjobs.history.records import Acceptance, SlotRequest

NAMESPACES = ("docs", "shop", "tools")
TEMPLATE = {"name": "review", "generation": 1, "locked": [], "parameters": {}}
ENDS = ("Succeeded", "Failed", "Cancelled", "Skipped")


class Filled:
    """Writes jobs, each with what its number says."""

    def __init__(self, operator, gateway, ledger, a_job):
        self._operator, self._gateway, self._ledger, self._a_job = operator, gateway, ledger, a_job

    async def fill(self, count):
        for number in range(count):
            await self.one(number)

    async def one(self, n):
        """Add job number `n`."""
        labels = (("team", "abc"[n % 3]), *((("stage", "test"),) if n % 4 == 0 else ()))
        schedule = "brief" if n % 5 == 0 else ""
        # Several of one moment.
        build = self._a_job(
            f"u{n:02}", name=f"job-{n % 7}", namespace=NAMESPACES[n % 3], minute=n // 4, schedule=schedule
        )
        build.key = replace(build.key, labels=labels)
        record = build.job(agent={"model": ["", "gemini-fast", "openai/o9"][n % 3]}, partitionKey="eu" * (n % 2))
        if n % 2:
            record = replace(record, resolved=Resolved({**record.resolved, "template": TEMPLATE}))
        slot = SlotRequest(["agents", "slow"][n % 4 == 1], "", 1000)
        await self._operator.accept(Acceptance(record, build.start(1), slot))
        if n % 5 in {1, 2}:
            await self._runs(build, n)
        await self._operator.write([build.transition(1, "Running", message="It waits for quota.")])
        if n % 6 < 4:
            phase = ENDS[n % 4]
            await self._operator.write(
                [build.transition(2, phase, finished=True, message=f"Exit-code {n % 3}: no/luck")]
            )
        if n % 6 in {3, 4}:
            await self._operator.write([build.deletion(minute=30 + n)])

    async def _runs(self, build, n):
        await self._gateway.claim(build.uid, 1, "pod-1", **build.place)
        for cost in ("0.5", "0.125")[: n % 3]:
            call = a_call_of(build.uid)
            await self._ledger.reserve(call)
            await self._ledger.settle([the_end_of(call, cost=cost)])
        if n % 3:
            answer = Result(text="", structured=None, usage={}, outcome=["good", "bad"][n % 2])
            said = ResultDocument(verdict="Succeed", reason="Done", message="", delaySeconds=None, result=answer)
            await self._gateway.put_result(build.uid, 1, "pod-1", said)


@pytest.fixture
async def filled(operator, gateway, ledger, a_job):
    made = Filled(operator, gateway, ledger, a_job)
    await made.fill(36)
    return made


async def all_of(gateway, scope, chosen, limit=500):
    """All pages put together."""
    found, cursor = [], None
    while True:
        page = await gateway.jobs(scope, chosen, limit=limit, cursor=cursor)
        assert len(page.items) <= limit
        found += page.items
        if (cursor := page.cursor) is None:
            return found


def values(*words):
    return st.lists(st.sampled_from(words), max_size=2, unique=True).map(tuple)


minutes = st.none() | st.integers(-1, 70).map(lambda minute: NOON + timedelta(minutes=minute))
dollars = st.none() | st.sampled_from(["0", "0.5", "0.625", "7"]).map(Decimal)
filters = st.builds(
    JobFilter,
    name=values("job-1", "job-2", "none"),
    phase=values("Running", "Failed", "Succeeded", "Deleted"),
    reason=values("RunningReason", "FailedReason", "none"),
    outcome=values("good", "bad"),
    queue=values("agents", "slow"),
    schedule=values("brief", "none"),
    template=values("review", ""),
    partition=values("eu", "eu\ud800"),
    model=values("gemini-fast", "openai/o9", "none"),
    label=values("team=a", "team", "stage=test", "stage=prod"),
    since=minutes,
    until=minutes,
    ended_since=minutes,
    ended_until=minutes,
    min_cost=dollars,
    max_cost=dollars,
    text=st.sampled_from(["", "quota", "exit code 1", "LUCK", "job-1", "fail", "no-luck", "none"]),
)


@st.composite
def few_fields(draw):
    """A filter of up to three fields: more of them find nothing."""
    whole, names = draw(filters), draw(st.lists(st.sampled_from(FIELDS), max_size=3))
    kept = {name: getattr(whole, name) for name in names}
    return JobFilter(**kept, order=draw(st.sampled_from(list(JobOrder))))


FIELDS = [name for name in JobFilter.__dataclass_fields__ if name != "order"]
scopes = st.none() | st.lists(st.sampled_from([*NAMESPACES, "empty"]), unique=True).map(tuple)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(chosen=few_fields(), scope=scopes, limit=st.integers(1, 9), looked_at=st.sampled_from([2, 3000]))
async def test_all_pages_together_are_the_filtered_list_in_order(filled, gateway, chosen, scope, limit, looked_at):
    listing._LOOKED_AT = looked_at  # of both ways to find a page, each is taken
    whole = await all_of(gateway, None, EVERY_JOB)
    wanted = [job for job in whole if (scope is None or job.namespace in scope) and has(job, chosen)]
    wanted.sort(key=lambda job: (place_of(chosen.order, job), job.uid), reverse=chosen.order is not JobOrder.OLDEST)

    found = await all_of(gateway, scope, chosen, limit)

    assert len(whole) == 36
    assert found == wanted


@pytest.fixture(autouse=True)
def _looked_at(monkeypatch):
    monkeypatch.setattr(listing, "_LOOKED_AT", listing._LOOKED_AT)


async def one_field(gateway, **field):
    return {job.uid for job in await all_of(gateway, None, JobFilter(**field))}


@pytest.mark.parametrize(
    ("field", "uids"),
    [
        ({"phase": ("Failed",)}, {"u01", "u09", "u13", "u21", "u25", "u33"}),
        ({"phase": ("Deleted",)}, {"u04", "u10", "u16", "u22", "u28", "u34"}),
        ({"phase": ("Running",)}, {"u05", "u11", "u17", "u23", "u29", "u35"}),
        ({"label": ("stage=test", "team=a")}, {"u00", "u12", "u24"}),
        ({"label": ("stage", "team=b")}, {"u04", "u16", "u28"}),
        ({"label": ("stage=te",)}, set()),
        ({"min_cost": Decimal("0.6")}, {"u02", "u11", "u17", "u26", "u32"}),
        ({"min_cost": Decimal("0.5"), "max_cost": Decimal("0.5")}, {"u01", "u07", "u16", "u22", "u31"}),
        ({"text": "quota"}, {f"u{n:02}" for n in range(36) if n % 6 > 3}),
        ({"text": "luck EXIT cod", "phase": ("Skipped",)}, {"u03", "u07", "u15", "u19", "u27", "u31"}),
        ({"text": "uck"}, set()),
        ({"outcome": ("bad",), "phase": ("Deleted",)}, set()),
        ({"outcome": ("good",), "phase": ("Deleted",)}, {"u16", "u22"}),
        ({"ended_since": NOON + timedelta(minutes=60)}, {"u34"}),
        ({"ended_until": NOON + timedelta(minutes=35)}, {f"u{n:02}" for n in range(36) if n % 6 < 4} | {"u04"}),
        ({"since": NOON + timedelta(minutes=8), "until": NOON + timedelta(minutes=9)}, {"u32", "u33", "u34", "u35"}),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, dict) else "",
)
async def test_a_filter_finds_the_jobs_with_its_value(filled, gateway, field, uids):
    assert await one_field(gateway, **field) == uids


async def test_a_listed_job_has_all_fields_that_it_can_be_filtered_by(filled, gateway):
    (found,) = (await gateway.jobs(("tools",), JobFilter(name=("job-4",), min_cost=Decimal("0.6")), limit=1)).items
    told = await gateway.job("tools", found.uid)
    (related,) = (await gateway.tree("tools", found.uid)).items

    assert (told.queue, told.model, told.outcome, told.cost_usd) == ("agents", "openai/o9", "good", Decimal("0.625"))
    assert told.labels == {"team": "c", "stage": "test"}
    assert found == told == (await gateway.job_history("tools", found.uid)).job
    assert dict(told) == {name: value for name, value in related if name != "parent_uid"}


@pytest.mark.parametrize("order", JobOrder)
async def test_a_cursor_is_valid_only_for_its_order(filled, gateway, order):
    cursor = (await gateway.jobs(None, JobFilter(order=order), limit=2)).cursor

    for other in set(JobOrder) - {order}:
        with pytest.raises(errors.Invalid, match="cursor"):
            await gateway.jobs(None, JobFilter(order=other), limit=2, cursor=cursor)


async def test_a_cursor_of_another_user_gives_no_additional_access(filled, gateway):
    theirs = (await gateway.jobs(("docs", "shop"), EVERY_JOB, limit=5)).cursor

    page = await gateway.jobs(("tools",), EVERY_JOB, cursor=theirs)

    assert {job.namespace for job in page.items} == {"tools"}
    assert [job.uid for job in page.items] == [f"u{n:02}" for n in reversed(range(36)) if n % 3 == 2 and n < 28]


async def test_a_caller_without_readable_namespaces_gets_an_empty_list(filled, gateway):
    assert await gateway.jobs((), EVERY_JOB) == await gateway.jobs(("none",), EVERY_JOB)
    assert (await gateway.jobs((), JobFilter(phase=("Failed",)))).items == []


@pytest.mark.parametrize(
    "place",
    ["[]", '["cost","NaN","u"]', '["cost","-1","u"]', '["cost","x","u"]', '["cost",1,"u"]', '["cost","1","u\\u0000"]'],
)
async def test_an_invalid_cursor_is_refused(gateway, place):
    import base64

    cursor = base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")

    with pytest.raises(errors.Invalid, match="cursor"):
        await gateway.jobs(None, JobFilter(order=JobOrder.COST), cursor=cursor)


async def test_a_listed_job_has_the_labels_it_was_accepted_with(operator, gateway, a_job):
    build = a_job()
    labels = {name: replace(build.key, labels=(("team", name),)) for name in ("seen", "accepted", "later")}
    await operator.write([replace(build.transition(1, "Pending"), job=labels["seen"])])
    before = (await gateway.job("default", build.uid)).labels
    for name in ("accepted", "later"):
        await operator.accept(Acceptance(replace(build.job(), job=labels[name])))

    assert (before, (await gateway.job("default", build.uid)).labels) == ({"team": "seen"}, {"team": "accepted"})


@pytest.mark.parametrize("end", ["finished", "deleted", "vanished"])
async def test_a_call_that_is_settled_after_the_jobs_end_counts_in_the_cost_filter(
    operator, gateway, ledger, a_job, end, backend
):
    build = a_job()
    await operator.accept(Acceptance(build.job(), build.start(1)))
    await gateway.claim(build.uid, 1, "pod-1", **build.place)
    early, late, refused = a_call_of(), a_call_of(), a_call_of()
    for call in (early, late, refused):
        await ledger.reserve(call)
    await ledger.settle([the_end_of(early, cost="0.25")])
    await ends(operator, build, end)
    await ledger.settle([the_end_of(late, cost="0.5")])
    await ledger.settle([the_end_of(late, cost="0.5")])  # it is settled already
    await operator.write([build.deletion(minute=90)])

    (found,) = await all_of(gateway, None, JobFilter(min_cost=Decimal("0.75"), order=JobOrder.COST))

    assert (found.uid, found.cost_usd) == (build.uid, Decimal("0.75"))
    assert await all_of(gateway, None, JobFilter(min_cost=Decimal("0.76"))) == []


async def ends(operator, build, how):
    if how == "vanished":
        listed = await operator.clock()
        assert await operator.close_vanished(lambda *_: False, listed_at=listed) == 1
    elif how == "deleted":
        await operator.write([build.deletion()])
    else:
        await operator.write([build.transition(1, "Failed", finished=True)])
