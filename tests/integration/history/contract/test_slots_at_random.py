"""Claims in one transaction are answered as if made one by one, by PostgreSQL and memory alike."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentjobs.core.queues.policy import Rate
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.records import Acceptance, Accepted, SlotRequest

_clusters = itertools.count()

limits = st.tuples(
    st.integers(0, 4), st.none() | st.integers(1, 2), st.none() | st.tuples(st.integers(1, 4), st.booleans())
)
claims = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(1, 3), st.sampled_from("pq")),
    min_size=1,
    max_size=6,
    unique_by=lambda claim: claim[0],
)
# What a job was accepted with stays: its queue may change before its first start, its partition never.
PARTITIONS = {"a": "", "b": "", "c": "x", "d": "x", "e": "x", "f": "y"}
batches = st.lists(st.tuples(st.fixed_dictionaries({"p": limits, "q": limits}), claims, st.booleans()), max_size=5)


def asked(place, limits, claim):
    uid, start, queue = claim
    most, per_partition, rate = limits[queue]
    build = place(uid)
    allowed = Rate(rate[0], timedelta(hours=1), rate[1]) if rate else None
    return Acceptance(
        build.job(), build.start(start), SlotRequest(queue, PARTITIONS[uid], most, per_partition, allowed)
    )


def counted(limits, claim):
    """Where a start is counted: its queue, and whether that has a rate."""
    return claim[2], limits[claim[2]][2] is not None


def said(answer):
    return "granted" if isinstance(answer, Accepted) else answer.reason


@pytest.mark.parametrize("dsn", ["postgres"], indirect=True)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=batches)
async def test_a_batch_is_answered_like_single_claims_in_its_order(operator, a_job, batches):
    number = next(_clusters)

    def place(uid):
        return a_job(f"{number}-{uid}", name=uid, namespace=f"n{number}")

    memory = MemoryHistory(now=lambda: datetime.now(UTC))
    granted = {}
    for limits, claims, over in batches:
        # A start that is claimed again after its end, in another queue, or in one that has a rate only now, counts
        # there for later batches, but not for the rest of its own.
        changed = [
            claim for claim in claims if granted.get(claim[:2], counted(limits, claim)) != counted(limits, claim)
        ]
        claims = changed[:1] or claims
        batch = [asked(place, limits, claim) for claim in claims]
        together = await operator._accept_all(batch)
        # What the batch says to have ended is free for all of it.
        memory.slots.release([(one.start.job.uid, one.start.start - 1) for one in batch])
        alone = [await memory.accept(one) for one in batch]
        assert [said(one) for one in together] == [said(one) for one in alone]
        granted |= {
            claim[:2]: counted(limits, claim)
            for claim, one in zip(claims, alone, strict=True)
            if said(one) == "granted"
        }
        if over:
            ended = place(claims[0][0]).end(claims[0][1])
            await operator.write([ended])
            await memory.write([ended])
            granted[claims[0][:2]] = None
