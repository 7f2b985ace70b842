"""Starts never hold more slots of a queue than its limits allow, and a refused claim stores nothing."""

import asyncio
from datetime import timedelta

import pytest

from agentjobs import errors
from agentjobs.core.queues.policy import Rate
from agentjobs.history.records import Acceptance, Accepted, NoSlot, SlotRequest

MINUTE = timedelta(minutes=1)


@pytest.fixture
def claim(operator, a_job):
    """Claim a slot of queue `q` for a start of the job of that uid."""

    async def ask(uid, start=1, *, queue="q", partition="", limit=9, namespace="default", **slot):
        build = a_job(uid, name=f"job-{uid}", namespace=namespace)
        request = SlotRequest(queue, partition, limit, **slot)
        return await operator.accept(Acceptance(build.job(), build.start(start), request))

    return ask


@pytest.fixture
def claim_all(claim):
    """Claim slots for many jobs at the same time, each by its uid and partition."""

    async def ask(*jobs, **slot):
        return await asyncio.gather(*(claim(uid, partition=partition, **slot) for uid, partition in jobs))

    return ask


def said(answers):
    return ["ok" if isinstance(one, Accepted) else one.reason for one in answers]


async def test_a_full_queue_refuses_a_claim_and_another_queue_accepts_it(claim):
    answers = [await claim("a", limit=1), await claim("b", limit=1), await claim("c", limit=1, queue="other")]

    assert said(answers) == ["ok", "Slot", "ok"]


async def test_queues_of_the_same_name_in_other_namespaces_are_separate(claim):
    assert said([await claim("a", limit=1), await claim("b", limit=1, namespace="n2")]) == ["ok", "ok"]


async def test_the_first_claims_of_a_batch_get_the_last_slots(claim_all):
    jobs = [(f"u{number:02}", "") for number in range(20)]

    assert said(await claim_all(*jobs, limit=3)) == ["ok"] * 3 + ["Slot"] * 17


async def test_claims_of_a_batch_are_answered_as_if_made_one_by_one(claim_all):
    answers = await claim_all(("a", "x"), ("b", "x"), ("c", "y"), ("d", "x"), ("e", "z"), limit=3, per_partition=1)

    assert said(answers) == ["ok", "Partition", "ok", "Partition", "ok"]


async def test_a_full_queue_has_precedence_over_a_full_partition_as_reason(claim_all):
    answers = await claim_all(("a", "x"), ("b", "x"), ("c", "x"), limit=1, per_partition=1)

    assert said(answers) == ["ok", "Slot", "Slot"]


async def test_a_repeated_claim_takes_no_second_slot(claim):
    answers = [await claim("a", limit=2), await claim("a", limit=2), await claim("b", limit=2)]

    assert said(answers) == ["ok", "ok", "ok"]
    assert said([await claim("a", limit=2), await claim("c", limit=2)]) == ["ok", "Slot"]


async def test_a_later_start_takes_over_the_slot_of_its_job(claim):
    assert said([await claim("a", 1, limit=1), await claim("a", 2, limit=1)]) == ["ok", "ok"]
    assert said([await claim("b", limit=1)]) == ["Slot"]


async def test_a_refused_later_start_frees_the_slot_of_the_earlier_one(claim):
    await claim("a", 1), await claim("b", 1)

    assert said([await claim("a", 2, limit=1)]) == ["Slot"], "the limit was lowered, b holds its slot"
    assert said([await claim("c", 1, limit=2)]) == ["ok"]


async def test_two_starts_of_a_job_in_a_batch_are_answered_in_order(claim):
    answers = await asyncio.gather(claim("a", 1, limit=1), claim("a", 2, limit=1), claim("b", 1, limit=1))

    assert said(answers) == ["ok", "ok", "Slot"]


async def test_a_start_older_than_the_one_with_the_slot_is_refused(claim):
    await claim("a", 2)

    assert said([await claim("a", 1)]) == ["Slot"]


async def test_a_refused_start_is_not_stored(claim, operator, gateway, a_job):
    await claim("a", limit=1)

    refused = await claim("b", limit=1)

    assert refused.resolved == a_job("b").job().resolved == await operator.resolved("b")
    assert (await gateway.job_history("default", "b")).starts == []


async def test_a_refused_start_does_not_fence_an_earlier_one(claim, operator, gateway, a_job):
    build = a_job("a", name="job-a")
    await claim("a", 1)
    await gateway.claim("a", 1, "pod-a", **build.place)
    await claim("b", 1)

    assert said([await claim("a", 2, limit=1)]) == ["Slot"]
    await gateway.heartbeat("a", 1, "pod-a")
    assert said([await claim("a", 2, limit=2)]) == ["ok"]
    with pytest.raises(errors.Fenced):
        await gateway.heartbeat("a", 1, "pod-a")


ENDS = {
    "end of the start": lambda build: [build.end(1)],
    "end of the job": lambda build: [build.transition(2, "Succeeded", finished=True)],
    "deletion": lambda build: [build.deletion()],
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_slot_is_freed_when_its_start_ends(claim, operator, a_job, end):
    await claim("a", limit=1)

    await operator.write(ENDS[end](a_job("a", name="job-a")))

    assert said([await claim("b", limit=1)]) == ["ok"]


async def test_a_phase_that_is_not_final_keeps_the_slot(claim, operator, a_job):
    await claim("a", limit=1)

    await operator.write([a_job("a").transition(1, "Running")])

    assert said([await claim("b", limit=1)]) == ["Slot"]


async def test_the_slots_of_vanished_jobs_are_freed(claim, operator):
    await claim("a", limit=1)

    await operator.close_vanished(lambda *_: False, listed_at=await operator.clock())

    assert said([await claim("b", limit=1)]) == ["ok"]


async def test_a_late_end_does_not_free_the_slot_of_a_later_start(claim, operator, a_job):
    await claim("a", 1, limit=1), await claim("a", 2, limit=1)

    await operator.write([a_job("a").end(1)])

    assert said([await claim("b", limit=1, released=(("a", 1),))]) == ["Slot"]


async def test_a_start_that_has_ended_frees_its_slot_before_its_end_is_stored(claim):
    await claim("a", limit=1)

    assert said([await claim("b", limit=1, released=(("a", 1), ("unknown", 4)))]) == ["ok"]


async def test_the_limits_at_the_time_of_the_claim_apply(claim):
    assert said([await claim(uid, limit=2) for uid in "abc"]) == ["ok", "ok", "Slot"]
    assert said([await claim("c", limit=3), await claim("d", limit=1), await claim("d", limit=0)]) == [
        "ok",
        "Slot",
        "Slot",
    ]


async def test_a_rate_counts_starts_that_have_ended(claim, operator, a_job):
    rate = Rate(2, MINUTE)
    await claim("a", rate=rate), await claim("b", rate=rate)
    await operator.write([a_job("a").end(1), a_job("b").end(1)])

    refused = await claim("c", rate=rate)

    assert refused.reason == "Rate"
    assert timedelta(seconds=50) < refused.retry_in <= MINUTE


async def test_a_rate_has_capacity_when_its_oldest_start_leaves_the_window(claim, backend):
    rate = Rate(2, MINUTE)
    await claim("a", rate=rate)
    await backend.passes(timedelta(seconds=40))
    await claim("b", rate=rate)

    refused = await claim("c", rate=rate)
    await backend.passes(timedelta(seconds=21))

    assert timedelta(seconds=15) < refused.retry_in <= timedelta(seconds=20)
    assert said([await claim("c", rate=rate), await claim("d", rate=rate)]) == ["ok", "Rate"]


async def test_a_rate_per_partition_counts_partitions_separately(claim_all):
    answers = await claim_all(("a", "x"), ("b", "x"), ("c", "y"), rate=Rate(1, MINUTE, by_partition=True))

    assert said(answers) == ["ok", "Rate", "ok"]


async def test_a_retry_counts_as_a_start_in_the_rate(claim):
    rate = Rate(2, MINUTE)

    assert said([await claim("a", n, rate=rate) for n in (1, 2, 3)]) == ["ok", "ok", "Rate"]


async def test_a_repeated_claim_counts_once_in_the_rate(claim):
    rate = Rate(2, MINUTE)

    assert said([await claim(uid, rate=rate) for uid in ("a", "a", "b", "c")]) == ["ok", "ok", "ok", "Rate"]


async def test_a_refusal_names_the_slots_that_are_older_than_a_minute(claim, backend):
    await claim("a", limit=2)
    await backend.passes(timedelta(seconds=61))
    await claim("b", limit=2)

    (holder,) = (await claim("c", limit=2)).holders

    assert (holder.uid, holder.start, holder.namespace, holder.name) == ("a", 1, "default", "job-a")


async def test_slots_left_by_a_dead_operator_are_released(claim, operator, backend):
    await claim("a", limit=1)
    await backend.passes(timedelta(seconds=61))
    (left,) = (await claim("b", limit=1)).holders

    await operator.give_back([("a", 2, left.claimed), ("b", 1, left.claimed)])
    others = said([await claim("b", limit=1)])
    await operator.give_back([("a", 1, left.claimed)])

    assert (others, said([await claim("b", limit=1)])) == (["Slot"], ["ok"])


async def test_a_slot_that_was_claimed_again_is_not_released(claim, operator):
    first, again = await claim("a", limit=1), await claim("a", limit=1)

    await operator.give_back([("a", 1, first.claimed)])
    kept = said([await claim("b", limit=1)])
    await operator.give_back([("a", 1, again.claimed)])

    assert (kept, said([await claim("b", limit=1)])) == (["Slot"], ["ok"])


async def test_a_job_moved_after_a_crash_gets_a_slot_when_its_old_one_is_released(claim, operator, backend):
    await claim("a", queue="old")
    moved = await claim("a", queue="new")
    await backend.passes(timedelta(seconds=61))
    (left,) = (await claim("a", queue="new")).holders
    await operator.give_back([(left.uid, left.start, left.claimed)])

    assert (said([moved]), said([await claim("a", queue="new")])) == (["Slot"], ["ok"])


async def test_starts_from_before_slots_existed_hold_one(claim, operator, a_job):
    await operator.write([a_job(uid).start(2) for uid in ("a", "b")])

    held = (("a", 2, ""), ("b", 2, "x"))

    assert said([await claim("c", limit=2, held=held)]) == ["Slot"]
    assert said([await claim("c", limit=3), await claim("d", limit=3)]) == ["ok", "Slot"]
    await operator.write([a_job("a").end(2)])
    assert said([await claim("d", limit=3)]) == ["ok"]


async def test_a_running_start_takes_over_the_slot_that_an_older_version_left_to_an_earlier_one(claim, operator, a_job):
    left = await claim("a", 1, limit=1)
    await operator.write([a_job("a").start(3)])  # by a version that knows no slots, as it knew of no end of the first

    told = await claim("b", limit=1, held=(("a", 3, ""),))
    await operator.give_back([("a", 1, left.claimed)])

    assert (said([told]), said([await claim("b", limit=1)])) == (["Slot"], ["Slot"])


@pytest.mark.parametrize("end", ENDS)
async def test_an_ended_start_that_an_operator_reports_as_running_gets_no_slot(claim, operator, a_job, end):
    await operator.write([a_job("a").start(1), *ENDS[end](a_job("a"))])

    assert said([await claim("b", limit=1, held=(("a", 1, ""), ("unknown", 1, "")))]) == ["ok"]


async def test_a_job_without_a_start_claims_nothing(operator, a_job, claim):
    await operator.accept(Acceptance(a_job("a").job(), None, SlotRequest("q", "", 1)))

    assert said([await claim("b", limit=1)]) == ["ok"]


async def test_a_start_without_a_slot_needs_none(operator, a_job, claim):
    await claim("a", limit=1)
    build = a_job("b")

    assert isinstance(await operator.accept(Acceptance(build.job(), build.start(1))), Accepted)


async def test_a_refusal_is_distinct_from_other_answers(claim):
    await claim("a", limit=1)

    assert isinstance(await claim("b", limit=1), NoSlot)
