"""Sinks get each transition that they subscribed to, once and in order, until it is accepted or abandoned."""

import asyncio
import itertools
import json
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentjobs import errors
from agentjobs.history.outbox_records import Outcome, Tried
from agentjobs.history.records import Acceptance, EventDetails

LEASE = timedelta(seconds=30)
MINUTE = timedelta(minutes=1)
ALL = {"chat": 100, "audit": 100}
_uids = itertools.count()


def asks(**sinks):
    """`spec.notifications` of a job."""
    return {"notifications": [{"sink": sink, "events": events} for sink, events in sinks.items()]}


@pytest.fixture
def accepted(operator, a_job):
    """Makes a job that was accepted with notifications."""

    async def build(uid="uid-1", sinks=None, **more):
        build = a_job(uid, name=f"job-{uid}")
        await operator.accept(
            Acceptance(build.job(**asks(**(sinks or {"chat": ["Started", "Failed"]})), **more), build.start(1))
        )
        return build

    return build


async def told(outbox, **room):
    """The events that are due, as (sink, event)."""
    taken = await outbox.take(room or ALL, lease=LEASE)
    return sorted((one.sink, one.event) for one in taken)


async def test_a_sink_gets_only_the_events_that_it_subscribed_to(operator, outbox, accepted):
    build = await accepted(sinks={"chat": ["Failed"], "audit": ["Succeeded"]})

    await operator.write([build.transition(1, "Running"), build.transition(2, "Failed", finished=True)])

    assert await told(outbox) == [("chat", "Failed")]


async def test_a_job_without_notifications_or_acceptance_notifies_no_sink(operator, outbox, a_job):
    plain, unknown = a_job("plain"), a_job("unknown", name="other")
    await operator.accept(Acceptance(plain.job(), plain.start(1)))

    await operator.write([each.transition(1, "Failed", finished=True) for each in (plain, unknown)])

    assert (await outbox.backlog()).pending == 0


async def test_a_notification_has_the_fields_of_the_status(operator, outbox, accepted):
    build = await accepted(sinks={"chat": ["Failed"]}, partitionKey="tenant-7")
    held = EventDetails(attempts=3, summary="half of it", outcome="needs_review", cost="0.25")

    await operator.write([build.transition(4, "Failed", finished=True, message="too slow", details=held)])

    (taken,) = await outbox.take(ALL, lease=LEASE)
    assert (taken.transition, taken.time, taken.tries) == (4, build.transition(4, "").time, 1)
    assert taken.data == {
        "namespace": "default",
        "name": "job-uid-1",
        "uid": "uid-1",
        "partition": "tenant-7",
        "phase": "Failed",
        "reason": "FailedReason",
        "message": "too slow",
        "outcome": "needs_review",
        "summary": "half of it",
        "attempts": 3,
        "costUSD": "0.25",
    }


@pytest.mark.parametrize("character", ["x", "\x01", "\x00", "\ud800", "😀", '"'], ids=lambda one: ascii(one)[1:-1])
async def test_a_notification_is_at_most_8_kib_even_with_long_answers(operator, outbox, accepted, character):
    build = await accepted(sinks={"chat": ["Failed"]})
    endless = character * 40_000

    await operator.write(
        [build.transition(1, "Failed", finished=True, message=endless, details=EventDetails(1, endless, endless))]
    )

    (taken,) = await outbox.take(ALL, lease=LEASE)
    assert len(json.dumps(taken.data, ensure_ascii=False).encode()) < 8192


async def test_a_notification_waits_until_the_previous_one_was_sent(operator, outbox, accepted):
    build = await accepted()
    await operator.write([build.transition(1, "Running"), build.transition(2, "Failed", finished=True)])

    (first,) = await outbox.take(ALL, lease=LEASE)
    between = await told(outbox)
    await outbox.mark(Tried(first, Outcome.SENT))

    assert (first.event, between, await told(outbox)) == ("Started", [], [("chat", "Failed")])


async def test_a_notification_does_not_wait_for_an_abandoned_one(operator, outbox, accepted):
    build = await accepted()
    await operator.write([build.transition(1, "Running"), build.transition(2, "Failed", finished=True)])
    (first,) = await outbox.take(ALL, lease=LEASE)

    await outbox.mark(Tried(first, Outcome.GIVEN_UP, "410"))

    assert await told(outbox) == [("chat", "Failed")]


async def test_sinks_do_not_wait_for_each_other(operator, outbox, accepted):
    build = await accepted(sinks={"chat": ["Started"], "audit": ["Started"]})
    await operator.write([build.transition(1, "Running")])

    assert await told(outbox, chat=1, gone=1) == [("chat", "Started")]
    assert await told(outbox, audit=1) == [("audit", "Started")]


async def test_no_more_notifications_are_taken_than_the_capacity_of_a_sink(operator, outbox, accepted):
    builds = [await accepted(f"uid-{number}") for number in range(5)]
    await operator.write([each.transition(1, "Running") for each in builds])

    taken = [len(await outbox.take({"chat": room, "audit": 9}, lease=LEASE)) for room in (2, 0, 9)]

    assert taken == [2, 0, 3]


async def test_a_notification_without_a_result_is_due_again_when_its_lease_expires(backend, outbox, accepted):
    build = await accepted()
    await backend.operator.write([build.transition(1, "Running")])
    (first,) = await outbox.take(ALL, lease=LEASE)

    at_once = await told(outbox)
    await backend.passes(LEASE)
    (again,) = await outbox.take(ALL, lease=LEASE)

    assert at_once == []
    assert (again.uid, again.sink, again.transition, again.tries) == ("uid-1", "chat", 1, first.tries + 1)


async def test_a_failed_notification_is_due_again_after_its_backoff_and_before_the_next(backend, outbox, accepted):
    build = await accepted()
    await backend.operator.write([build.transition(1, "Running")])
    (first,) = await outbox.take(ALL, lease=LEASE)
    await outbox.mark(Tried(first, Outcome.FAILED, "answered 500", MINUTE))

    await backend.operator.write([build.transition(2, "Failed", finished=True)])
    page = await outbox.notifications("default")

    assert await told(outbox) == []
    assert page.items[0].due >= page.items[1].due
    await backend.passes(MINUTE)
    assert await told(outbox) == [("chat", "Started")]


async def test_a_notification_stored_while_the_previous_is_sent_does_not_wait_for_its_lease(operator, outbox, accepted):
    build = await accepted()
    await operator.write([build.transition(1, "Running")])
    await outbox.take(ALL, lease=LEASE)

    await operator.write([build.transition(2, "Failed", finished=True)])

    ended, started = (await outbox.notifications("default")).items
    assert (ended.event, started.event) == ("Failed", "Started")
    assert ended.due < started.due
    assert await told(outbox) == []


async def test_a_failure_counts_only_if_reported_by_the_latest_notifier(backend, outbox, accepted):
    build = await accepted()
    await backend.operator.write([build.transition(1, "Running")])
    (slow,) = await outbox.take(ALL, lease=LEASE)
    await backend.passes(LEASE)
    (fresh,) = await outbox.take(ALL, lease=LEASE)

    await outbox.mark(Tried(slow, Outcome.GIVEN_UP, "too late"))
    await outbox.mark(Tried(fresh, Outcome.SENT))

    (seen,) = (await outbox.notifications("default")).items
    assert (seen.state, seen.error) == ("Sent", "")


async def test_a_sent_notification_is_not_sent_again(backend, outbox, accepted):
    build = await accepted()
    await backend.operator.write([build.transition(1, "Running")])
    (taken,) = await outbox.take(ALL, lease=LEASE)
    await outbox.mark(Tried(taken, Outcome.SENT))

    await outbox.mark(Tried(taken, Outcome.FAILED, "cut", MINUTE))
    await backend.operator.write([build.transition(1, "Running"), build.job(**asks(chat=["Started"]))])
    await backend.passes(timedelta(hours=1))

    assert await told(outbox) == []
    assert (await outbox.backlog()).pending == 0


async def test_notifications_to_a_removed_sink_are_abandoned(backend, outbox, accepted):
    build = await accepted(sinks={"chat": ["Started"], "audit": ["Started"]})
    await backend.operator.write([build.transition(1, "Running")])
    early = await outbox.give_up(["audit"], after=MINUTE)
    await backend.passes(2 * MINUTE)

    late = await outbox.give_up(["audit"], after=MINUTE)

    states = {one.sink: one.state for one in (await outbox.notifications("default")).items}
    assert (early, late, states) == ({}, {"chat": 1}, {"chat": "GivenUp", "audit": "Waiting"})


async def test_what_waits_too_long_for_a_sink_that_is_down_is_given_up_with_its_last_error(backend, outbox, accepted):
    for number in range(2):
        build = await accepted(f"uid-{number}", sinks={"chat": ["Started"], "audit": ["Started"]})
        await backend.operator.write([build.transition(1, "Running")])
    (taken,) = await outbox.take({"chat": 1}, lease=LEASE)
    await outbox.mark(Tried(taken, Outcome.FAILED, "answered 500", MINUTE))
    early = await outbox.give_up(["chat", "audit"], down=["chat"], after=MINUTE)
    await backend.passes(2 * MINUTE)

    late = await outbox.give_up(["chat", "audit"], down=["chat"], after=MINUTE)

    told = [(one.sink, one.state, one.error) for one in (await outbox.notifications("default")).items]
    assert (early, late) == ({}, {"chat": 2})
    assert sorted(told) == [
        ("audit", "Waiting", ""),
        ("audit", "Waiting", ""),
        ("chat", "GivenUp", "answered 500"),
        ("chat", "GivenUp", "the sink was down"),
    ]


async def test_without_sinks_notifications_that_wait_too_long_are_abandoned(backend, outbox, accepted):
    build = await accepted()
    await backend.operator.write([build.transition(1, "Running")])
    await backend.passes(2 * MINUTE)

    assert await outbox.give_up([], after=MINUTE) == {"chat": 1}
    assert (await outbox.backlog()).pending == 0


async def test_the_backlog_has_the_number_of_waiting_notifications_and_the_age_of_the_oldest(backend, outbox, accepted):
    for number in range(3):
        build = await accepted(f"uid-{number}")
        await backend.operator.write([build.transition(1, "Running")])
    (taken,) = await outbox.take({"chat": 1}, lease=LEASE)
    await outbox.mark(Tried(taken, Outcome.SENT))
    await backend.an_hour_passes()

    backlog = await outbox.backlog()

    assert backlog.pending == 2
    assert timedelta(hours=1) <= backlog.oldest < timedelta(hours=2)


async def test_an_abandoned_notification_can_be_retried_like_a_new_one(backend, outbox, accepted):
    build = await accepted()
    await backend.operator.write([build.transition(1, "Running")])
    await backend.an_hour_passes()
    (taken,) = await outbox.take(ALL, lease=LEASE)
    await outbox.mark(Tried(taken, Outcome.GIVEN_UP, "answered 410"))

    retried = [await outbox.retry("uid-1", "audit"), await outbox.retry("uid-1"), await outbox.retry("nobody")]

    assert retried == [0, 1, 0]
    (again,) = await outbox.take(ALL, lease=LEASE)
    assert again.waited < MINUTE


async def test_stuck_notifications_are_listed_in_pages(backend, outbox, accepted):
    for number in range(3):
        build = await accepted(f"uid-{number}")
        await backend.operator.write([build.transition(1, "Running")])
    for taken in await outbox.take({"chat": 2}, lease=LEASE):
        await outbox.mark(Tried(taken, Outcome.FAILED, "answered 500", MINUTE))

    first = await outbox.notifications("default", stuck=True, limit=1)
    second = await outbox.notifications("default", stuck=True, limit=1, cursor=first.cursor)

    assert (first.items[0].state, first.items[0].error) == ("Retrying", "answered 500")
    assert first.items != second.items
    assert second.cursor is None
    assert (await outbox.notifications("other")).items == []
    assert len((await outbox.notifications("default", uid="uid-1")).items) == 1


async def test_a_cursor_of_another_list_is_refused(outbox):
    with pytest.raises(errors.Invalid):
        await outbox.notifications("default", cursor="bm9uZQ")


async def test_two_notifiers_never_take_the_same_notification(operator, outbox, accepted):
    builds = [await accepted(f"uid-{number}") for number in range(20)]
    await operator.write([each.transition(1, "Running") for each in builds])

    taken = await asyncio.gather(*(outbox.take({"chat": 10}, lease=LEASE) for _ in range(5)))

    uids = [one.uid for batch in taken for one in batch]
    assert len(uids) == len(set(uids))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    batches=st.lists(st.lists(st.integers(1, 6), max_size=4), max_size=6),
    answers=st.lists(st.sampled_from(list(Outcome)), max_size=12),
)
async def test_each_transition_is_notified_once_in_order_even_if_stored_out_of_order(
    operator, outbox, a_job, batches, answers
):
    build = a_job(f"told-{next(_uids)}")
    await operator.accept(Acceptance(build.job(**asks(**{build.uid: ["Started", "Retrying"]})), build.start(1)))
    phases = {number: "Running" if number % 2 else "Retrying" for number in range(1, 7)}

    for batch in batches:
        await operator.write([build.transition(number, phases[number]) for number in batch])

    sent, given_up, answers = [], [], iter(answers)
    while taken := await outbox.take({build.uid: 10}, lease=LEASE):
        (one,) = taken
        outcome = next(answers, Outcome.SENT)
        await outbox.mark(Tried(one, outcome, "" if outcome is Outcome.SENT else "why"))
        if outcome is not Outcome.FAILED:
            (sent if outcome is Outcome.SENT else given_up).append(one.transition)
    stored = {number for batch in batches for number in batch}
    assert sent == sorted(sent)
    assert sorted(sent + given_up) == sorted(stored)
