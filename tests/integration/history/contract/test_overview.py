"""Statistics of many jobs: nothing is counted twice, and nothing of other namespaces."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.integration.history.conftest import NOON

from agentjobs import errors
from agentjobs.history.records import Acceptance
from agentjobs.history.slices import ACTIVITY_SECONDS, USAGE_SECONDS, slices_of

MORNING, EVENING = NOON - timedelta(hours=6), NOON + timedelta(hours=6)
COUNTED = ("created", "started", "succeeded", "failed", "cancelled", "skipped")


@pytest.fixture
def job_with_phases(operator, a_job):
    """`await job_with_phases("uid-1", (1, "Running"), (5, "Failed"))`: a job with these phases at these minutes."""

    async def run(uid, *phases, queue="agents", starts=0, deleted=False, reason=None, **key):
        build = a_job(uid, name=f"job-{uid}", **key)
        await operator.accept(Acceptance(build.job(queue=queue)))
        for number in range(1, starts + 1):
            await operator.accept(Acceptance(build.job(queue=queue), build.start(number)))
        for number, (minute, phase) in enumerate(phases, 1):
            ended = phase in ("Succeeded", "Failed", "Cancelled", "Skipped")
            told = replace(build.transition(number, phase, finished=ended), time=NOON + timedelta(minutes=minute))
            await operator.write([told if reason is None else replace(told, reason=reason)])
        if deleted:
            await operator.write([build.deletion()])

    return run


def totals(activity):
    return {name: sum(getattr(one, name) for one in activity.slices) for name in COUNTED}


async def test_open_jobs_are_counted_by_the_reason_for_which_they_wait(job_with_phases, overview):
    await job_with_phases("uid-1", (3, "Queued"))
    await job_with_phases("uid-2", (1, "Queued"))
    await job_with_phases("uid-3", (2, "Running"), queue="batch", namespace="docs")
    await job_with_phases("uid-4", (1, "Running"), (2, "Succeeded"))
    await job_with_phases("uid-5", (1, "Running"), deleted=True)

    found = await overview.open_jobs()

    assert [(one.namespace, one.queue, one.phase, one.reason, one.jobs) for one in found.items] == [
        ("default", "agents", "Queued", "QueuedReason", 2),
        ("docs", "batch", "Running", "RunningReason", 1),
    ]
    assert [one.since for one in found.items] == [NOON + timedelta(minutes=1), NOON + timedelta(minutes=2)]
    assert not found.more


async def test_a_job_without_transitions_waits_since_its_creation(job_with_phases, overview):
    await job_with_phases("uid-1", minute=7)

    [found] = (await overview.open_jobs()).items

    assert (found.phase, found.reason, found.since) == ("Pending", "", NOON + timedelta(minutes=7))


async def test_only_jobs_of_these_namespaces_are_counted(job_with_phases, overview):
    await job_with_phases("uid-1", (1, "Failed"))
    await job_with_phases("uid-2", (1, "Running"), (2, "Failed"), namespace="docs", starts=2)
    await job_with_phases("uid-3", (1, "Queued"), namespace="docs")

    docs, nothing = [await overview.activity(MORNING, EVENING, places) for places in (["docs"], [])]

    assert totals(docs) == {"created": 2, "started": 2, "succeeded": 0, "failed": 1, "cancelled": 0, "skipped": 0}
    assert set(totals(nothing).values()) == {0}
    assert [one.namespace for one in (await overview.open_jobs(["docs", "other"])).items] == ["docs"]
    assert (await overview.open_jobs([])).items == []


async def test_an_event_is_counted_in_the_slice_of_its_time(job_with_phases, overview):
    await job_with_phases("uid-1", (1, "Running"), (16, "Succeeded"), starts=1)
    await job_with_phases("uid-2", (1, "Running"), (61, "Cancelled"), minute=-1)
    await job_with_phases("uid-3", (1, "Skipped"))

    told = await overview.activity(NOON - timedelta(hours=12), NOON + timedelta(hours=8))

    found = {one.begin: one for one in told.slices if any(getattr(one, name) for name in COUNTED)}
    first, noon, quarter, hour = (found[NOON + timedelta(minutes=at)] for at in (-15, 0, 15, 60))
    assert (told.seconds, len(told.slices), len(found)) == (900, 80, 4)
    assert (first.created, noon.created, noon.started, noon.skipped) == (1, 2, 1, 1)
    assert (quarter.succeeded, hour.cancelled) == (1, 1)


async def test_each_start_is_counted_and_a_vanished_job_is_not_counted_as_ended(job_with_phases, overview):
    await job_with_phases("uid-1", (1, "Running"), starts=3, deleted=True)

    told = totals(await overview.activity(MORNING, EVENING))

    assert (told["created"], told["started"], sum(told.values())) == (1, 3, 4)


async def test_failures_are_counted_by_reason_with_the_most_frequent_first(job_with_phases, overview):
    for number, minute in enumerate((1, 9, 4)):
        await job_with_phases(f"uid-{number}", (minute, "Failed"), reason="ToolError")
    await job_with_phases("uid-8", (2, "Failed"), reason="Lost")
    await job_with_phases("uid-9", (2, "Cancelled"), reason="Lost")

    told = (await overview.activity(MORNING, EVENING)).failures

    assert [(one.reason, one.jobs, one.latest) for one in told] == [
        ("ToolError", 3, NOON + timedelta(minutes=9)),
        ("Lost", 1, NOON + timedelta(minutes=2)),
    ]


async def test_the_rarest_reasons_are_left_out(job_with_phases, overview):
    for number in range(22):
        await job_with_phases(f"uid-{number}", (1, "Failed"), reason=f"Reason{number:02}")

    told = await overview.activity(MORNING, EVENING)

    assert [one.reason for one in told.failures] == [f"Reason{number:02}" for number in range(20)]
    assert totals(told)["failed"] == 22


async def test_events_outside_the_time_range_are_not_counted(job_with_phases, overview):
    await job_with_phases("uid-1", (-1, "Failed"), minute=-60)
    await job_with_phases("uid-2", (120, "Failed"), minute=61)

    told = await overview.activity(NOON, NOON + timedelta(hours=1))

    assert set(totals(told).values()) == {0}
    assert told.failures == []


@pytest.mark.parametrize("hours", [1, 5, 24, 7 * 24, 30 * 24, 90 * 24])
@pytest.mark.parametrize("late", [timedelta(), timedelta(seconds=1), timedelta(minutes=4)])
async def test_the_slices_of_any_time_range_sum_up_to_the_total(job_with_phases, overview, hours, late):
    await job_with_phases("uid-1", (1, "Running"), (20, "Succeeded"), starts=2)
    await job_with_phases("uid-2", (50, "Failed"), namespace="docs")
    end = NOON + timedelta(minutes=55) + late

    told = await overview.activity(end - timedelta(hours=hours), end)

    whole = {"created": 2, "started": 2, "succeeded": 1, "failed": 1, "cancelled": 0, "skipped": 0}
    assert (totals(told), len(told.slices) <= 100) == (whole, True)
    assert (told.since, told.until) == (
        told.slices[0].begin,
        told.slices[-1].begin + timedelta(seconds=told.seconds),
    )


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (NOON, NOON + timedelta(minutes=59)),
        (NOON, NOON - timedelta(hours=2)),
        (NOON, NOON + timedelta(days=90, seconds=1)),
        (datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC) + timedelta(days=1)),
        (datetime.max.replace(tzinfo=UTC) - timedelta(days=1), datetime.max.replace(tzinfo=UTC)),
    ],
    ids=["short", "backwards", "long", "the first day", "the last day"],
)
async def test_an_invalid_time_range_is_refused(overview, since, until):
    with pytest.raises(errors.Invalid, match="since"):
        await overview.activity(since, until)
    with pytest.raises(errors.Invalid, match="since"):
        await overview.usage_series("queue", since, until)


@given(
    begin=st.timedeltas(timedelta(days=-2000), timedelta(days=2000)).map(NOON.__add__),
    length=st.timedeltas(timedelta(hours=1), timedelta(days=90)),
    lengths=st.sampled_from([ACTIVITY_SECONDS, USAGE_SECONDS]),
)
def test_slices_cover_any_time_range_and_are_aligned(begin, length, lengths):
    slices = slices_of(begin, begin + length, lengths)

    assert slices.since <= begin
    assert begin + length <= slices.until
    assert slices.until - slices.since < length + 2 * timedelta(seconds=slices.seconds)
    assert 1 <= slices.count <= 100
    assert {time.timestamp() % slices.seconds for time in slices.times} == {0}
    assert [slices.number_of(time) for time in (slices.since, begin, slices.until)] == [
        0,
        0,
        None,
    ]
