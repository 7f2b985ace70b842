"""What users read: their namespace, page by page, also of hostile jobs."""

import pytest
from psycopg import AsyncCursor

from agentjobs import errors
from agentjobs.contract import TimelineEntry
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance


@pytest.fixture
def queries(monkeypatch):
    """Statements sent while the test runs, but for those that begin and end a transaction."""
    sent, execute = [], AsyncCursor.execute

    async def note(cursor, statement, *args, **kwargs):
        if statement not in ("BEGIN", "COMMIT"):
            sent.append(statement)
        return await execute(cursor, statement, *args, **kwargs)

    monkeypatch.setattr(AsyncCursor, "execute", note)
    return sent


async def test_a_page_takes_one_query(operator, gateway, a_job, queries):
    await operator.write([a_job(f"u{n}", minute=n).start(2, attempt=2) for n in range(20)])
    queries.clear()

    page = await gateway.jobs(("default",))

    assert len(queries) == 1
    assert {(job.starts, job.attempts) for job in page.items} == {(2, 2)}


async def test_jobs_of_other_namespaces_and_clusters_are_not_read(connected, operator, gateway, a_job):
    await operator.write([a_job("u1", namespace="other").transition(1, "Queued")])
    await OperatorWrites(connected, cluster="another").write([a_job("u2").transition(1, "Queued")])

    assert (await gateway.jobs(("default",))).items == []
    for uid in ("u1", "u2", "hello"):
        with pytest.raises(errors.NotFound, match="in the history of namespace"):
            await gateway.job("default", uid)


async def write_events(operator, gateway, build, count):
    await operator.accept(Acceptance(build.job(), build.start(1)))
    await gateway.claim(build.uid, 1, "pod", **build.place)
    batch = [
        TimelineEntry(seq=seq, time="2026-01-31T12:00:00Z", kind="text", author="a", data={"n": seq})
        for seq in range(count)
    ]
    await gateway.add_events(build.uid, 1, "pod", batch)


async def test_two_thousand_events_and_a_heartbeat_take_as_many_statements_as_one(operator, gateway, a_job, queries):
    build = a_job()
    await write_events(operator, gateway, build, 1)
    took = []
    for write in (1, 2000):
        queries.clear()
        batch = [
            TimelineEntry(seq=seq, time="2026-01-31T12:00:00Z", kind="text", author="a", data={})
            for seq in range(7, 7 + write)
        ]
        await gateway.add_events(build.uid, 1, "pod", batch)
        took.append(len(queries))
    queries.clear()
    await gateway.heartbeat(build.uid, 1, "pod")

    assert (took, len(queries)) == ([2, 2], 1)
