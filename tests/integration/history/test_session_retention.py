"""Sessions and their users' data are deleted when they were not used for long, and nothing else is."""

import contextlib
from datetime import timedelta

import pytest
from tests.integration.history.runner_calls import Runner, a_saving, a_turn, pieces_of

from agentjobs import errors
from agentjobs.history import session_removal
from agentjobs.history.artifacts import Artifacts
from agentjobs.history.fence import Fence
from agentjobs.history.records import Acceptance
from agentjobs.history.session_reads import SessionReads
from agentjobs.history.session_retention import SessionRetention
from agentjobs.history.sessions import Sessions
from agentjobs.history.versions import CHUNK_BYTES, Piece

from .conftest import CLUSTER

TABLES = ("scopes", "turns", "turn_events", "states", "artifacts", "artifact_chunks")


class Both:
    def __init__(self, database):
        self._parts = [kind(database, cluster=CLUSTER) for kind in (Sessions, Artifacts)]

    def __getattr__(self, name):
        return next(getattr(part, name) for part in self._parts if hasattr(part, name))


@pytest.fixture
def a_runner(operator, gateway, a_job, connected):
    async def build(uid="uid-1", *, namespace="default", user="ann", session="s1"):
        build = a_job(uid, name=f"job-{uid}", namespace=namespace)
        said = {"appName": "shop", "userId": user, "sessionId": session, "mode": "Continue"}
        await operator.accept(Acceptance(build.job(session=said), build.start(1)))
        await gateway.claim(uid, 1, "pod", **build.place)
        return Runner(Both(connected), uid, "pod")

    return build


@pytest.fixture
def execute(connected):
    async def run(statement):
        async def work(connection):
            cursor = await connection.execute(statement)
            return await cursor.fetchall() if cursor.description else []

        return await connected.autocommit(work)

    return run


@pytest.fixture
def count(execute):
    async def rows():
        return {table: (await execute(f"SELECT count(*) FROM agentjobs.{table}"))[0][0] for table in TABLES}

    return rows


@pytest.fixture
def sweep(connected):
    async def build(*, keep=timedelta(days=90), namespaces=(), pruned=None):
        async def no_pause(_seconds):
            """Tests do not wait."""

        told = {} if pruned is None else pruned
        swept = SessionRetention(
            connected, cluster=CLUSTER, namespaces=namespaces, keep=keep, on_pruned=told.__setitem__, sleep=no_pause
        )
        return await swept.sweep()

    return build


@pytest.fixture
def age(execute):
    """Lets days pass since the last use of the sessions of a user, and of all that is theirs."""

    async def build(days, user="ann"):
        changed = f"UPDATE agentjobs.scopes SET used_at = used_at - interval '{days} days' WHERE user_id = '{user}'"
        await execute(changed)

    return build


async def test_an_unused_session_is_deleted_completely_and_counted(a_runner, sweep, age, count):
    runner = await a_runner()
    await runner.put_turn(a_turn("a", "b", user={"u": 1}))
    await runner.save(b"x" * (CHUNK_BYTES + 1))
    await age(91)
    pruned = {}

    gone = await sweep(pruned=pruned)

    assert gone == pruned == {"sessions": 1, "turns": 1, "artifacts": 1, "states": 1}
    assert set((await count()).values()) == {0}


async def test_sessions_in_use_are_kept(a_runner, sweep, age, count):
    await (await a_runner()).put_turn(a_turn("a", user={"u": 1}))
    await (await a_runner("uid-2", user="bob")).put_turn(a_turn("b"))
    await age(91, user="bob")

    assert await sweep() == {"sessions": 1, "turns": 1}
    assert (await count())["turns"] == 1


async def test_a_new_job_of_a_session_keeps_it_and_its_users_data(a_runner, sweep, age):
    await (await a_runner()).put_turn(a_turn("a", user={"u": 1}))
    later = await a_runner("uid-2")
    await age(91)
    await later.session()

    assert await sweep() == {}
    assert (await later.session())["user"] == {"u": 1}


async def test_without_a_retention_time_no_session_is_deleted(a_runner, sweep, age, count):
    await (await a_runner()).put_turn(a_turn("a"))
    await age(9999)

    assert await sweep(keep=None) == {}
    assert (await count())["turns"] == 1


async def test_sessions_of_namespaces_that_are_not_served_are_kept(a_runner, sweep, age):
    await (await a_runner()).put_turn(a_turn("a"))
    await (await a_runner("uid-2", namespace="elsewhere")).put_turn(a_turn("b"))
    await age(91)

    assert await sweep(namespaces=["elsewhere"]) == {"sessions": 1, "turns": 1}


async def test_sessions_of_another_cluster_are_kept(a_runner, sweep, age, execute):
    await (await a_runner()).put_turn(a_turn("a"))
    await execute("UPDATE agentjobs.scopes SET cluster = 'another'")
    await age(91)

    assert await sweep() == {}


async def test_more_sessions_than_a_batch_are_deleted(a_runner, sweep, age, count, monkeypatch):
    monkeypatch.setattr(session_removal, "ARTIFACTS", 2)
    monkeypatch.setattr(session_removal, "SCOPES", 1)
    runner = await a_runner()
    for key in range(5):
        await runner.save(key=str(key))
    await age(91)

    assert (await sweep())["artifacts"] == 5
    assert set((await count()).values()) == {0}


async def test_parts_of_a_save_whose_process_crashed_are_deleted_after_a_day(
    a_runner, connected, sweep, execute, count
):
    async def dies():
        yield Piece(b"x" * CHUNK_BYTES, is_last=False)
        raise KeyboardInterrupt

    runner = await a_runner()
    broken = Artifacts(connected, cluster=CLUSTER)
    broken._drop_chunks = lambda _id: _nothing()
    with pytest.raises(KeyboardInterrupt):
        await broken.save(*runner.who, a_saving(), dies())
    await runner.save(b"x" * (CHUNK_BYTES + 1), key="whole")
    assert (await sweep(), (await count())["artifact_chunks"]) == ({}, 3)
    await execute("UPDATE agentjobs.artifact_chunks SET stored_at = stored_at - interval '2 days'")

    assert await sweep() == {"artifact_chunks": 1}
    assert await runner.load() == b"x" * (CHUNK_BYTES + 1)


async def _nothing():
    """Stands for a process that is not there any more."""


async def test_pruning_history_keeps_sessions(a_runner, execute, connected):
    await (await a_runner()).put_turn(a_turn("a"))
    await execute("DELETE FROM agentjobs.jobs")

    assert (
        await SessionReads(connected, cluster=CLUSTER).session_history("default", "shop", "ann", "s1")
    ).session.turns == 1
    assert (await (await a_runner("uid-2")).session())["turns"] == 1


async def test_an_aborted_save_deletes_its_parts(a_runner, connected, count):
    async def breaks():
        async for piece in pieces_of(b"x" * (2 * CHUNK_BYTES)):
            yield piece
            raise ConnectionError

    runner = await a_runner()
    with pytest.raises(ConnectionError):
        await Artifacts(connected, cluster=CLUSTER).save(*runner.who, a_saving(), breaks())

    assert (await count())["artifact_chunks"] == 0


async def test_a_repeated_save_leaves_no_second_parts(a_runner, count):
    runner = await a_runner()
    for _ in range(2):
        await runner.save(b"x" * (CHUNK_BYTES + 1))

    assert (await count())["artifact_chunks"] == 2


async def test_a_save_whose_commit_was_not_answered_keeps_its_parts(connected, a_runner, count, monkeypatch):
    enter = Fence.__call__
    fenced = []

    @contextlib.asynccontextmanager
    async def unanswered(self, *args, **more):
        async with enter(self, *args, **more) as tx:
            yield tx
        fenced.append(1)
        if len(fenced) == 2:  # the first is of the piece before the last one
            raise errors.Unavailable("the connection broke")

    runner = await a_runner()
    monkeypatch.setattr(Fence, "__call__", unanswered)
    with pytest.raises(errors.Unavailable):
        await runner.save(b"x" * (CHUNK_BYTES + 1))
    stored = await count()

    assert (stored["artifacts"], stored["artifact_chunks"]) == (1, 2)
    assert await runner.load() == b"x" * (CHUNK_BYTES + 1)
