"""Numbers of many jobs and the installation, by REST and both clients, against a real gateway and PostgreSQL."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.runnerpods import NOW

import agentjobs
from agentjobs.client import AsyncClient, Client
from agentjobs.errors import Invalid, NotFound


@pytest.fixture
def client(kubeconfig, gateway):
    with Client(kubeconfig=str(kubeconfig), gateway_url=gateway) as client:
        yield client


@pytest.fixture
async def other(kubeconfig, gateway):
    async with AsyncClient(kubeconfig=str(kubeconfig), gateway_url=gateway) as client:
        yield client


async def test_both_clients_read_activity_and_open_jobs(story, client, other):
    await story.begin()
    time = {"since": NOW - timedelta(hours=2), "until": NOW + timedelta(hours=2)}

    activity = await asyncio.to_thread(lambda: client.overview.activity(**time))
    counts = await asyncio.to_thread(client.overview.open_jobs)

    assert sum(one.created for one in activity.slices) == sum(one.started for one in activity.slices) == 1
    assert [one.jobs for one in counts.items] == [1]
    assert await other.overview.activity(**time) == activity
    assert await other.overview.open_jobs() == counts
    assert (await other.overview.usage("queue", **time)).items == []
    assert (await asyncio.to_thread(client.overview.usage)).by == "model"


async def test_an_invalid_time_range_is_refused_with_a_message(other):
    with pytest.raises(Invalid, match="90 days"):
        await other.overview.activity(since=datetime(2026, 1, 1, tzinfo=UTC), until=datetime(2026, 11, 1, tzinfo=UTC))


async def test_the_gateway_reports_that_it_is_alive(client, other):
    async with asyncio.timeout(20):
        while not (seen := await other.overview.installation()).processes:
            await asyncio.sleep(0.05)

    [gateway] = seen.processes
    assert (gateway.kind, gateway.version, seen.version) == ("gateway", agentjobs.__version__, agentjobs.__version__)
    assert (seen.database_version != "", seen.database_bytes > 0, abs(seen.clock_skew_seconds) < 1) == (True,) * 3
    assert (await asyncio.to_thread(client.overview.installation)).cluster == seen.cluster


async def test_a_missing_step_is_not_found(story, client, other):
    await story.begin()

    with pytest.raises(NotFound, match="no step 1"):
        await asyncio.to_thread(client.step, "hello", 1)
    with pytest.raises(NotFound):
        await other.step("nobody", 1)
