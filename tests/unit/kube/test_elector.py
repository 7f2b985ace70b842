"""One holder at a time, by its own clock; a holder that may have lost the Lease does not write."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentjobs.errors import Denied, Unavailable
from agentjobs.kube.elector import Elector, LeaseLost

pytestmark = [pytest.mark.looptime]
START = datetime(2026, 1, 1, tzinfo=UTC)


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
def elector(api: Any) -> Callable[..., Elector]:
    def make(identity: str, *, skew: float = 0.0, clock: Callable[[], float] = now) -> Elector:
        return Elector(
            api,
            namespace="ns",
            name="lease",
            identity=identity,
            clock=clock,
            now=lambda: START + timedelta(seconds=now() + skew),
            jitter=lambda: 0.0,
        )

    return make


def spec(api: Any) -> dict[str, Any]:
    return api.objects["Lease", "lease"]["spec"]


async def acquired_at(elector: Elector) -> float:
    await elector.acquire()
    return now()


async def test_a_missing_lease_is_created(api, elector):
    await elector("a").acquire()

    assert spec(api) == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": "2026-01-01T00:00:00.000000Z",
        "leaseTransitions": 0,
    }


async def test_writes_are_refused_before_the_lease_is_held(elector):
    with pytest.raises(LeaseLost, match=r"^lease ns/lease: not held"):
        elector("a").held()


async def test_one_of_two_operators_that_start_together_leads(elector):
    one, other = elector("a"), elector("b")
    waiting = [asyncio.create_task(e.acquire()) for e in (one, other)]
    await asyncio.sleep(5)

    assert sorted((one.leading, other.leading)) == [False, True]

    for task in waiting:
        task.cancel()


@pytest.mark.parametrize("skew", [-3600.0, 0.0, 3600.0])
async def test_the_lease_of_a_dead_holder_is_acquired_after_its_duration_with_any_clocks(elector, skew):
    await elector("dead", skew=skew).acquire()
    await asyncio.sleep(3)

    took = await acquired_at(elector("next"))

    assert 3 + 15 <= took <= 3 + 15 + 2


async def test_others_wait_at_least_as_long_as_the_holder_can_write(api):
    duration, deadline, retry = (timedelta(seconds=s) for s in (1.9, 1.8, 0.1))
    await Elector(
        api, namespace="ns", name="lease", identity="a", duration=duration, deadline=deadline, retry=retry
    ).acquire()

    assert spec(api)["leaseDurationSeconds"] >= duration.total_seconds()


async def test_the_lease_of_a_renewing_holder_is_not_acquired(elector):
    holder, standby = elector("a"), elector("b")
    await holder.acquire()
    renewing = asyncio.create_task(holder.run())
    waiting = asyncio.create_task(standby.acquire())
    await asyncio.sleep(600)

    holder.held()
    assert not waiting.done()

    for task in (renewing, waiting):
        task.cancel()


async def test_a_released_lease_is_acquired_at_the_next_check(api, elector):
    holder = elector("a")
    await holder.acquire()
    waiting = asyncio.create_task(acquired_at(elector("b")))
    await asyncio.sleep(5)

    await holder.release()

    assert await waiting <= 5 + 2.1
    assert spec(api)["leaseTransitions"] == 1
    with pytest.raises(LeaseLost):
        holder.held()


async def test_a_released_leader_is_fenced_before_the_server_is_updated(api, elector):
    holder = elector("a")
    await holder.acquire()
    api.fault = lambda _verb: 1.0
    releasing = asyncio.create_task(holder.release())
    await asyncio.sleep(0.1)

    with pytest.raises(LeaseLost):
        holder.held()

    await releasing


async def test_a_hanging_release_is_abandoned(api, elector):
    holder = elector("a")
    await holder.acquire()
    api.fault = lambda _verb: 3600.0

    await holder.release()

    assert now() == pytest.approx(3, abs=0.1)


async def test_a_lease_is_released_even_if_an_abandoned_renewal_arrived(api, elector):
    holder = elector("a")
    await holder.acquire()
    lease = await api.get(_Lease, "ns", "lease")
    await api.replace(_Lease, "ns", "lease", lease)

    await holder.release()

    assert spec(api)["holderIdentity"] == ""


async def test_a_lease_that_was_not_renewed_in_time_is_still_released(api, elector):
    holder = elector("a")
    await holder.acquire()
    api.fault = lambda _verb: 3600.0
    with pytest.raises(LeaseLost):
        await holder.run()
    api.fault = lambda _verb: None

    await holder.release()

    assert spec(api)["holderIdentity"] == ""


async def test_a_lease_acquired_by_another_is_not_released(api, elector):
    holder = elector("a")
    await holder.acquire()
    lease = await api.get(_Lease, "ns", "lease")
    lease["spec"]["holderIdentity"] = "b"
    await api.replace(_Lease, "ns", "lease", lease)

    await holder.release()

    assert spec(api)["holderIdentity"] == "b"


async def test_without_a_renewal_writes_end_before_others_can_take_over(api, elector):
    holder = elector("a")
    await holder.acquire()

    def away(_verb: str) -> float | None:
        raise Unavailable("connection refused")

    api.fault = away
    with pytest.raises(LeaseLost, match="10 s"):
        await holder.run()

    assert 10 <= now() < 15


async def test_a_hanging_server_does_not_stretch_the_deadline(api, elector):
    holder = elector("a")
    await holder.acquire()
    api.fault = lambda _verb: 3600.0

    with pytest.raises(LeaseLost):
        await holder.run()

    assert 10 <= now() < 10.5


async def test_a_short_outage_is_survived(api, elector):
    holder = elector("a")
    await holder.acquire()
    renewing = asyncio.create_task(holder.run())

    def away(_verb: str) -> float | None:
        if 3 < now() < 9:
            raise Unavailable("connection refused")
        return None

    api.fault = away
    await asyncio.sleep(60)

    holder.held()
    renewing.cancel()


async def test_a_paused_process_is_fenced_when_it_resumes(elector):
    stopped = 0.0
    holder = elector("a", clock=lambda: now() + stopped)
    await holder.acquire()
    holder.held()

    stopped = 10.5

    with pytest.raises(LeaseLost, match=r"10\.5 s"):
        holder.held()


async def test_a_lease_acquired_by_another_is_lost_immediately(api, elector):
    holder = elector("a")
    await holder.acquire()
    lease = await api.get(_Lease, "ns", "lease")
    lease["spec"]["holderIdentity"] = "b"
    await api.replace(_Lease, "ns", "lease", lease)

    with pytest.raises(LeaseLost, match="taken by b"):
        await holder.run()

    assert now() < 3
    with pytest.raises(LeaseLost):
        holder.held()


class _Lease:
    kind = "Lease"


async def test_a_label_added_to_the_lease_does_not_end_the_leadership(api, elector):
    holder = elector("a")
    await holder.acquire()
    renewing = asyncio.create_task(holder.run())
    for _ in range(3):
        await asyncio.sleep(5.3)
        lease = await api.get(_Lease, "ns", "lease")
        await api.replace(_Lease, "ns", "lease", lease)
    await asyncio.sleep(20)

    holder.held()
    renewing.cancel()


async def test_a_manually_deleted_lease_is_created_again(api, elector):
    holder = elector("a")
    await holder.acquire()
    renewing = asyncio.create_task(holder.run())
    del api.objects["Lease", "lease"]
    await asyncio.sleep(30)

    holder.held()
    assert spec(api)["holderIdentity"] == "a"
    renewing.cancel()


async def test_missing_permissions_end_the_wait(api, elector):
    def refuse(_verb: str) -> float | None:
        raise Denied("leases is forbidden")

    api.fault = refuse

    with pytest.raises(Denied):
        await elector("a").acquire()
    assert now() == pytest.approx(60, abs=2.1)


async def test_a_refusal_by_a_starting_api_server_is_retried(api, elector):
    def begin(_verb: str) -> float | None:
        if now() < 40 or 60 <= now() < 100:
            raise Denied("leases is forbidden")
        if now() < 60:
            raise Unavailable("connection refused")
        return None

    api.fault = begin

    assert await acquired_at(elector("a")) == pytest.approx(100, abs=2.1)


async def test_the_elector_waits_for_an_unavailable_api_server(api, elector):
    def away(_verb: str) -> float | None:
        if now() < 30:
            raise Unavailable("connection refused")
        return None

    api.fault = away

    assert await acquired_at(elector("a")) == pytest.approx(30, abs=2.1)


@pytest.mark.parametrize("seconds", [(15, 15, 2), (15, 10, 10), (10, 15, 2)])
async def test_inconsistent_times_are_refused(api, seconds):
    duration, deadline, retry = (timedelta(seconds=s) for s in seconds)

    with pytest.raises(ValueError, match="retry < deadline < duration"):
        Elector(api, namespace="ns", name="n", identity="i", duration=duration, deadline=deadline, retry=retry)
