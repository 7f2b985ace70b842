"""Processes that report that they are alive are listed for a minute."""

from datetime import timedelta

import pytest

from agentjobs.history import schema
from agentjobs.history.process_records import Presence
from agentjobs.history.records import Acceptance

LEADER = Presence("operator", "op-1", "1.2.3", leads=True)
STANDBY = Presence("operator", "op-2", "1.2.3")


@pytest.fixture
def listing(processes):
    async def ask():
        return [(one.kind, one.id, one.version, one.leads) for one in await processes.processes()]

    return ask


async def test_processes_are_listed_by_kind_and_id(processes, listing):
    for one in (STANDBY, LEADER, Presence("gateway", "gw-1", "1.2.2")):
        await processes.lives(one)

    assert await listing() == [
        ("gateway", "gw-1", "1.2.2", False),
        ("operator", "op-1", "1.2.3", True),
        ("operator", "op-2", "1.2.3", False),
    ]


async def test_the_newest_report_of_a_process_replaces_all_but_its_start_time(backend, processes, listing):
    await processes.lives(STANDBY)
    await backend.passes(timedelta(seconds=50))
    await processes.lives(Presence("operator", "op-2", "1.2.3", leads=True))

    [seen] = await processes.processes()
    assert (await listing(), seen.seen - seen.since >= timedelta(seconds=50)) == (
        [("operator", "op-2", "1.2.3", True)],
        True,
    )


async def test_a_process_without_a_report_for_a_minute_is_not_listed(backend, processes, listing):
    await processes.lives(LEADER)
    await backend.passes(timedelta(seconds=61))
    await processes.lives(STANDBY)

    assert await listing() == [("operator", "op-2", "1.2.3", False)]


async def test_the_database_reports_its_contents_version_and_clock(processes, operator, a_job):
    for uid in ("uid-1", "uid-2"):
        await operator.accept(Acceptance(a_job(uid, name=uid).job()))

    facts = await processes.database()

    assert (facts.jobs, facts.schema, bool(facts.version)) == (2, schema.HEAD, True)
    assert abs(facts.now - await operator.clock()) < timedelta(seconds=5)
