"""Artifacts: named bytes with versions, each save stored once, of a session or of its user."""

import asyncio

import pytest
from tests.integration.history.runner_calls import Runner, a_saving, a_turn, pieces_of

from agentjobs import errors
from agentjobs.history.versions import CHUNK_BYTES, Piece

VERSIONS = {"adk": "2.13.0", "runner": "0.1.0", "scheme": "1", "agent": "a"}


async def test_versions_count_from_zero_and_the_newest_is_loaded(a_runner):
    runner = await a_runner()

    versions = [await runner.save(f"v{number}".encode(), key=f"tool:{number}") for number in range(3)]

    assert (versions, await runner.numbers()) == ([0, 1, 2], [0, 1, 2])
    assert (await runner.load(), await runner.load(version=1)) == (b"v2", b"v1")


async def test_a_repeated_save_replaces_the_bytes_of_its_version(a_runner, kept):
    runner = await a_runner()
    await runner.save(b"first", key="a")
    await runner.save(b"second", key="b")

    assert await runner.save(b"first of a later answer" * CHUNK_BYTES, key="a", mime="text/csv") == 0
    assert (await runner.numbers(), await runner.load(version=1)) == ([0, 1], b"second")
    assert await runner.load(version=0) == b"first of a later answer" * CHUNK_BYTES
    [session] = (await kept.sessions("default")).items
    assert (session.artifacts, session.artifact_bytes) == (2, 23 * CHUNK_BYTES + 6)


async def test_a_new_run_saves_new_versions(backend, a_runner, a_job):
    runner = await a_runner()
    await runner.save(b"old", key="a")
    build = a_job("uid-1", name="job-uid-1")
    anew = [build.start(2, attempt=2)]
    await backend.operator.write(anew)
    await backend.gateway.claim("uid-1", 2, "pod-2", **build.place)
    runner.who = ("uid-1", 2, "pod-2")
    await runner.save(b"again", key="a")
    await backend.gateway.append_steps("uid-1", 2, "pod-2", {"run": 2, "versions": VERSIONS, "void": [], "steps": []})

    assert (await runner.save(b"new", key="a"), await runner.numbers()) == (1, [0, 1])
    assert [await runner.load(version=version) for version in (0, 1)] == [b"again", b"new"]


async def test_the_key_of_a_save_is_unique_per_job_and_name(a_runner):
    first, second = await a_runner("uid-1"), await a_runner("uid-2")

    assert [await first.save(), await second.save(), await first.save(name="other.txt")] == [0, 1, 0]


async def test_simultaneous_saves_get_different_versions(a_runner):
    runner = await a_runner()

    versions = await asyncio.gather(*(runner.save(key=f"branch-{number}") for number in range(8)))

    assert sorted(versions) == list(range(8))


async def test_the_same_save_sent_twice_simultaneously_is_stored_once(a_runner):
    runner = await a_runner()

    assert await asyncio.gather(*(runner.save(key="a") for _ in range(4))) == [0, 0, 0, 0]
    assert await runner.numbers() == [0]


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES], ids=lambda size: f"{size}-bytes"
)
async def test_bytes_are_loaded_unchanged(a_runner, size):
    runner, data = await a_runner(), bytes(range(256)) * (size // 256 + 1)

    await runner.save(data[:size])

    assert await runner.load() == data[:size]


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/",
        "a/versions/0",
        "a\\b",
        "..",
        ".",
        " ",
        "\n",
        "%00%2e%2e",
        "ä/💥",
        "'; DROP TABLE agentjobs.artifacts; --",
        "%",
        "x" * 255,
        "💥" * 255,
    ],
)
async def test_any_text_is_a_name_and_not_a_path(a_runner, name):
    runner = await a_runner()
    await runner.save(b"neighbour", name="a")

    await runner.save(b"mine", name=name)

    assert await runner.load(name) == b"mine"
    assert (await runner.names())[0] == sorted(["a", name], key=str.encode)


async def test_deleting_an_artifact_keeps_those_whose_names_begin_with_its_name(a_runner):
    runner = await a_runner()
    for name in ("project", "project/versions/readme.txt"):
        await runner.save(name=name)

    await runner.delete("project")

    assert (await runner.names())[0] == ["project/versions/readme.txt"]


async def test_an_artifact_of_the_user_is_available_in_all_sessions_of_the_app(a_runner):
    await (await a_runner("uid-1")).save(b"mine", name="user:profile.json")
    await (await a_runner("uid-1")).save(b"session's", name="profile.json")

    other = await a_runner("uid-2", session="s2")

    assert await other.load("user:profile.json") == b"mine"
    assert (await other.names())[0] == ["user:profile.json"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"user": "bob"}, id="user"),
        pytest.param({"app": "bank"}, id="app"),
        pytest.param({"namespace": "elsewhere"}, id="namespace"),
    ],
)
@pytest.mark.parametrize("name", ["report.txt", "user:report.txt"])
async def test_a_job_sees_no_artifact_of_another(a_runner, other, name):
    await (await a_runner("uid-1")).save(name=name)
    stranger = await a_runner("uid-2", **other)

    assert (await stranger.load(name), await stranger.numbers(name)) == (None, [])
    assert await stranger.names() == ([], None)


async def test_a_deleted_artifact_loses_all_versions_and_restarts_at_zero(a_runner):
    runner = await a_runner()
    await runner.save(key="a")
    await runner.save(key="b")

    await runner.delete()

    assert (await runner.load(), await runner.numbers(), await runner.names()) == (None, [], ([], None))
    assert await runner.save(key="c") == 0


async def test_metadata_of_a_version_is_returned(backend, a_runner):
    runner = await a_runner()
    await runner.save(b"%PDF", kind="data", mime="application/pdf", metadata={"pages": 1})

    [found] = await backend.sessions.versions(*runner.who, "report.txt")

    assert (found.kind, found.mime, found.bytes) == ("data", "application/pdf", 4)
    assert bytes(found.metadata) == b'{"pages":1}'


async def test_the_number_of_versions_of_a_session_is_limited(a_runner, monkeypatch):
    monkeypatch.setattr("agentjobs.history.versions.MAX_ARTIFACTS", 2)
    runner = await a_runner()
    await runner.save(key="a")
    await runner.save(key="b")

    with pytest.raises(errors.TooLarge):
        await runner.save(key="c")

    assert await runner.numbers() == [0, 1]
    assert await runner.save(key="a", name="user:is-counted-apart") == 0


async def test_deleting_artifacts_frees_space(a_runner, monkeypatch):
    monkeypatch.setattr("agentjobs.history.versions.MAX_ARTIFACTS_BYTES", 10)
    runner = await a_runner()
    await runner.save(b"x" * 8)
    with pytest.raises(errors.TooLarge):
        await runner.save(b"x" * 8, name="other")

    await runner.delete()

    assert await runner.save(b"x" * 8, name="other") == 0


async def test_names_are_listed_in_pages(a_runner, monkeypatch):
    for module, size in (("artifacts", "PAGE_NAMES"), ("memory_sessions", "PAGE_EVENTS")):
        monkeypatch.setattr(f"agentjobs.history.{module}.{size}", 2)
    runner = await a_runner()
    for name in ("c", "user:a", "a", "b"):
        await runner.save(name=name)

    first, cursor = await runner.names()

    assert (first, cursor) == (["a", "b"], "b")
    assert await runner.names(cursor) == (["c", "user:a"], None)


async def test_artifacts_are_available_before_the_job_stores_its_turn(a_runner):
    await (await a_runner("uid-1")).save(b"early")

    assert await (await a_runner("uid-2")).load() == b"early"


async def test_an_aborted_save_leaves_no_version(backend, a_runner):
    async def broken():
        yield Piece(b"x" * CHUNK_BYTES, is_last=False)
        raise ConnectionError

    runner = await a_runner()
    with pytest.raises(ConnectionError):
        await backend.sessions.save(*runner.who, a_saving(), broken())

    assert await runner.numbers() == []


async def test_a_pod_that_is_fenced_during_a_save_leaves_no_version(backend, a_runner, a_job):
    runner = await a_runner()

    async def fenced_half_way():
        async for piece in pieces_of(b"x" * (2 * CHUNK_BYTES + 1)):
            yield piece
            await backend.operator.write([a_job("uid-1", name="job-uid-1").start(2)])

    with pytest.raises(errors.Fenced):
        await backend.sessions.save(*runner.who, a_saving(), fenced_half_way())


async def test_another_pod_can_neither_read_nor_write_artifacts(backend, a_runner):
    await (await a_runner("uid-1")).save()
    stranger = Runner(backend.sessions, "uid-1", "pod-of-somebody")

    for call in (stranger.load(), stranger.save(key="b"), stranger.numbers(), stranger.delete()):
        with pytest.raises(errors.Fenced):
            await call


async def test_turns_and_artifacts_of_a_session_do_not_affect_each_other(a_runner):
    runner = await a_runner("uid-1")
    await runner.save()
    await runner.put_turn(a_turn("x"))
    await runner.delete()

    assert (await (await a_runner("uid-2")).session())["turns"] == 1
