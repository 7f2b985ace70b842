"""A process reports that it is alive, despite errors."""

import pytest

from agentjobs import errors
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.memory_overview import MemoryProcesses
from agentjobs.history.process_records import Presence
from agentjobs.history.processes import EVERY_SECONDS, of_cluster, unique_id, write_heartbeats

ME = Presence("gateway", "gw-1", "1")


class Enough(Exception):
    pass


async def says(processes, *steps, presence=lambda: ME):
    """Say it so often as there are steps, each of which happens in the pause after it."""
    left, slept = list(steps), []

    async def sleep(seconds):
        slept.append(seconds)
        if not left:
            raise Enough
        left.pop(0)()

    async def history():
        return processes

    with pytest.raises(Enough):
        await write_heartbeats(history, presence, sleep=sleep)
    return slept


@pytest.fixture
def history():
    return MemoryHistory()


@pytest.fixture
def processes(history):
    return MemoryProcesses(history)


async def test_a_process_reports_its_current_state_every_fifteen_seconds(processes):
    states = iter([False, True])
    slept = await says(processes, lambda: None, presence=lambda: Presence("operator", "op", "1", next(states)))

    assert slept == [EVERY_SECONDS, EVERY_SECONDS]
    assert [one.leads for one in await processes.processes()] == [True]


async def test_an_outage_is_logged_once_and_survived(history, processes, caplog):
    history.away = True
    await says(processes, lambda: None, lambda: None, lambda: setattr(history, "away", False))

    assert [record.message for record in caplog.records] == ["presence.not_written"]
    assert [one.id for one in await processes.processes()] == ["gw-1"]


async def test_each_outage_is_logged(history, processes, caplog):
    turns = [lambda to=to: setattr(history, "away", to) for to in (True, False, True)]
    await says(processes, *turns)

    assert [record.message for record in caplog.records] == ["presence.not_written"] * 2


async def test_the_identity_of_the_cluster_is_read_until_it_is_known():
    asked = iter([errors.Unavailable("not yet"), "c0ffee"])

    async def cluster():
        answer = next(asked)
        if isinstance(answer, Exception):
            raise answer
        return answer

    processes = of_cluster(None, cluster)
    with pytest.raises(errors.Unavailable):
        await processes()

    assert await processes() is await processes()


def test_process_names_are_unique():
    assert unique_id() != unique_id()
