"""A process detects an outage of PostgreSQL once, and its end once."""

import asyncio

import pytest

from agentjobs import errors
from agentjobs.history.breaker import Away
from agentjobs.history.database import Database

pytestmark = [pytest.mark.looptime]


class Pool:
    """Stands where the driver's connections do, and answers, hangs or refuses."""

    def __init__(self):
        self.asked = 0
        self.probes = 0
        self.fault = None

    async def ask(self, _work, _connect):
        self.asked += 1
        return await self._answer()

    async def probe(self):
        self.probes += 1
        await self._answer()

    async def _answer(self):
        if self.fault == "hangs":
            await asyncio.sleep(3600)
        if self.fault == "refuses":
            raise ConnectionRefusedError("refused")
        await asyncio.sleep(0.001)
        return 1


@pytest.fixture
def pool():
    return Pool()


@pytest.fixture
async def database(pool, monkeypatch):
    """A real Database, breaker and deadlines included, on a pool with faults."""
    async with Database("postgresql://nobody@127.0.0.1:1/none") as database:
        monkeypatch.setattr(database, "_repeated_once", pool.ask)
        monkeypatch.setattr(database, "_connect_once", pool.probe)
        yield database


async def ask(database):
    """Ask once; return what came of it and the seconds it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        return await database.autocommit(None), loop.time() - began
    except errors.Unavailable as error:
        return error, loop.time() - began


def lines(caplog):
    return [record.msg for record in caplog.records if record.msg.startswith("database.")]


async def test_after_a_failure_only_one_probe_per_second_is_sent(database, pool):
    pool.fault = "refuses"
    await ask(database)
    asked = pool.asked
    for _ in range(100):
        answer, _ = await ask(database)
        assert isinstance(answer, Away)
        await asyncio.sleep(0.1)

    assert pool.asked == asked
    assert 9 <= pool.probes <= 11


async def test_callers_fail_fast_while_a_server_hangs(database, pool):
    pool.fault = "hangs"
    workers = await asyncio.gather(*(ask(database) for _ in range(32)))
    late = await asyncio.gather(*(ask(database) for _ in range(32)))

    assert max(seconds for _, seconds in workers) < 4
    assert max(seconds for _, seconds in late) == 0
    assert all(isinstance(answer, errors.Unavailable) for answer, _ in workers + late)


async def test_a_slow_statement_is_not_aborted_while_the_server_answers_others(database, pool, monkeypatch):
    async def slow(_work, _connect):
        await asyncio.sleep(4)
        return "done"

    monkeypatch.setattr(database, "_repeated_once", slow)

    assert await ask(database) == ("done", pytest.approx(4))
    assert pool.probes == 1
    assert not database.breaker.away


async def test_one_broken_connection_among_working_ones_does_not_open_the_breaker(database, pool, monkeypatch):
    async def broken(_work, _connect):
        await asyncio.sleep(0.5)
        raise ConnectionResetError("reset")

    good = database._repeated_once
    monkeypatch.setattr(database, "_repeated_once", broken)
    first = asyncio.create_task(ask(database))
    await asyncio.sleep(0.1)
    monkeypatch.setattr(database, "_repeated_once", good)
    await ask(database)
    answer, _ = await first

    assert isinstance(answer, errors.Unavailable)
    assert not database.breaker.away


async def test_recovery_wakes_waiting_callers_and_is_logged_once(database, pool, caplog):
    woken = []
    database.breaker.on_back(lambda: woken.append(asyncio.get_running_loop().time()))
    pool.fault = "refuses"
    for _ in range(20):
        await ask(database)
        await asyncio.sleep(1)
    pool.fault = None
    await asyncio.sleep(2)

    assert len(woken) == 1
    assert lines(caplog) == ["database.unavailable", "database.available"]
    assert (await ask(database))[0] == 1


async def test_the_breaker_stays_open_longer_if_only_probes_are_answered(database, pool, monkeypatch):
    async def healthy():
        pool.probes += 1

    pool.fault = "refuses"
    monkeypatch.setattr(database, "_connect_once", healthy)
    for _ in range(600):
        await ask(database)
        await asyncio.sleep(0.1)

    assert 5 <= pool.probes <= 8
    pool.fault = None
    await asyncio.sleep(20)
    assert (await ask(database))[0] == 1


async def test_an_unexpected_error_in_a_probe_does_not_stop_probing(database, pool, monkeypatch):
    pool.fault = "refuses"
    await ask(database)
    pool.fault = None

    async def defect():
        raise KeyError("probe")

    monkeypatch.setattr(database, "_connect_once", defect)
    await asyncio.sleep(3)
    assert database.breaker.away
    monkeypatch.setattr(database, "_connect_once", pool.probe)
    await asyncio.sleep(2)

    assert not database.breaker.away
