"""Sessions and artifacts on the command line and in the client, against a real gateway and PostgreSQL."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from tests.integration.history.runner_calls import Runner, a_turn
from tests.runnerpods import NOW

from agentjobs.cli.sessions import complete_sessions
from agentjobs.client import AsyncClient, Client
from agentjobs.errors import Conflict, NotFound
from agentjobs.history.artifacts import Artifacts
from agentjobs.history.database import Database
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartRecord
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs.history.sessions import Sessions


class Both:
    """Sessions and artifacts of runners as one value."""

    def __init__(self, *parts):
        self._parts = parts

    def __getattr__(self, name):
        return next(getattr(part, name) for part in self._parts if hasattr(part, name))


@pytest.fixture
async def a_runner(story, database, cluster):
    """Makes the runner of a job in the cluster's namespace."""
    uid_of_cluster = (await cluster.http.get("/api/v1/namespaces/kube-system")).json()["metadata"]["uid"]
    async with Database(database) as open_database:
        parts = [kind(open_database, cluster=uid_of_cluster) for kind in (Sessions, Artifacts)]
        writes = RunnerWrites(open_database, cluster=uid_of_cluster)

        async def build(uid="u1", *, app="shop", user="ann", session="s1"):
            key = JobKey(uid=uid, namespace=cluster.namespace, name=f"job-{uid}", created=NOW)
            said = {"appName": app, "userId": user, "sessionId": session, "mode": "Continue"}
            spec = {"retry": {"maxAttempts": 3}, "input": {"message": "hi"}, "session": said}
            record = JobRecord(job=key, resolved={"spec": spec, "scripts": {}}, spec_hash="abc")
            await story.operator.accept(Acceptance(record, StartRecord(key, 1, 1, f"{key.name}-1", NOW)))
            await writes.claim(uid, 1, "pod", namespace=cluster.namespace, job=key.name)
            return Runner(Both(*parts), uid, "pod")

        yield build


@pytest.fixture
async def kept(a_runner):
    """Two sessions of ann and one of bob."""
    first = await a_runner("u1")
    await first.put_turn(a_turn("hello \x1b[31m", state={"n": 1}, user={"name": "Ann"}))
    await first.save(b"\x00\xff", name="photo.png", mime="image/png")
    await first.save("Grüße".encode(), name="user:notes.txt", kind="text")
    await (await a_runner("u2", session="s2")).put_turn(a_turn("bye"))
    await (await a_runner("u3", user="bob")).put_turn(a_turn("hm"))


async def test_sessions_are_listed(cli, kept):
    code, out, _ = await cli("sessions", "list", "--user", "ann")
    wide = (await cli("sessions", "list", "-o", "wide"))[1]
    names = (await cli("sessions", "ls", "-o", "name"))[1]

    assert code == 0
    assert [line.split()[:4] for line in out.splitlines()] == [
        ["SESSION", "APP", "USER", "TURNS"],
        ["s2", "shop", "ann", "1"],
        ["s1", "shop", "ann", "1"],
    ]
    assert wide.splitlines()[0].split()[-1] == "AGE"
    assert names.split() == ["s1", "s2", "s1"]


async def test_an_empty_list_of_sessions_is_reported_and_is_not_a_failure(cli):
    assert (await cli("sessions", "list"))[0] == 0
    assert json.loads((await cli("sessions", "list", "-o", "json"))[1]) == []


async def test_a_session_is_shown_with_its_turns_states_and_texts(cli, kept):
    code, out, _ = await cli("sessions", "show", "s1", "--user", "ann", "--events")
    document = json.loads((await cli("sessions", "show", "s1", "--user", "ann", "--events", "-o", "json"))[1])

    assert code == 0
    assert [word in out for word in ("job-u1", '"name": "Ann"', "1.0 agent: hello", "\x1b")] == [
        True,
        True,
        True,
        False,
    ]
    assert (document["state"], document["userState"], len(document["events"])) == ({"n": 1}, {"name": "Ann"}, 1)


async def test_an_ambiguous_session_id_requires_app_and_user(cli, kept):
    code, _, err = await cli("sessions", "show", "s1")

    assert (code, "'ann'" in err, "'bob'" in err) == (1, True, True)


async def test_a_missing_session_is_a_failure(cli):
    for words in (("sessions", "show", "s9"), ("artifacts", "list", "s9"), ("sessions", "delete", "s9", "--yes")):
        code, _, err = await cli(*words)
        assert (code, "s9" in err) == (1, True)


async def test_a_session_of_another_user_is_not_reported_as_missing(cli, kept):
    code, _, err = await cli("sessions", "show", "s2", "--user", "bob")

    assert (code, "'bob'" in err) == (1, True)


async def test_artifacts_are_listed_and_downloaded(cli, kept, tmp_path):
    listed = (await cli("artifacts", "list", "s1", "--user", "ann"))[1]
    file = tmp_path / "photo"
    to_file = await cli("artifacts", "get", "s1", "photo.png", "--user", "ann", "--to", str(file))
    text = await cli("artifacts", "get", "s1", "user:notes.txt", "--user", "ann", "--version", "0")
    missing = await cli("artifacts", "get", "s1", "photo.png", "--user", "ann", "--version", "7")

    assert [line.split()[:3] for line in listed.splitlines()[1:]] == [
        ["photo.png", "0", "data"],
        ["user:notes.txt", "0", "text"],
    ]
    assert (to_file[0], file.read_bytes()) == (0, b"\x00\xff")
    assert (text[1], missing[0]) == ("Grüße", 1)


async def test_without_a_terminal_a_deletion_requires_the_option_yes(cli, kept, monkeypatch):
    for words in (("s2",), ("--user", "ann", "--all")):
        code, _, err = await cli("sessions", "delete", *words)
        assert (code, "--yes" in err) == (2, True)

    assert len((await cli("sessions", "list", "-o", "name"))[1].split()) == 3


@pytest.mark.parametrize(
    "words", [(), ("--all",), ("s1", "--all"), ("s1", "--user", "ann", "--all"), ("--user", "ann"), ("--app", "shop")]
)
async def test_an_incomplete_deletion_is_refused(cli, words):
    code, _, err = await cli("sessions", "delete", *words, "--yes")

    assert (code, "--all" in err) == (2, True)


async def test_sessions_are_deleted_by_their_ids(cli, kept):
    code, out, _ = await cli("sessions", "delete", "s1", "s2", "--user", "ann", "--yes")

    assert (code, out.splitlines()) == (
        0,
        ["s1 deleted: 1 session, 1 turn, 1 artifact", "s2 deleted: 1 session, 1 turn"],
    )
    assert (await cli("sessions", "list", "-o", "name"))[1].split() == ["s1"]


async def test_no_session_is_deleted_if_one_of_them_is_missing(cli, kept):
    assert (await cli("sessions", "delete", "s2", "s9", "--yes"))[0] == 1
    assert len((await cli("sessions", "list", "-o", "name"))[1].split()) == 3


async def test_one_command_deletes_all_data_of_a_user(cli, kept):
    code, out, _ = await cli("sessions", "delete", "--user", "ann", "--all", "-y")

    assert (code, out.strip()) == (0, "ann deleted: 2 sessions, 2 turns, 2 artifacts, 1 key of state")
    assert (await cli("sessions", "list", "--user", "ann", "-o", "name"))[1] == ""


async def test_completion_offers_the_ids_of_the_sessions_that_the_options_select(kubeconfig, kept):
    chosen = SimpleNamespace(params={"kubeconfig": str(kubeconfig), "user": "bob"})
    nowhere = SimpleNamespace(params={"kubeconfig": "/nowhere"})

    assert await asyncio.to_thread(complete_sessions, chosen, "s") == ["s1"]
    assert await asyncio.to_thread(complete_sessions, chosen, "x") == []
    assert await asyncio.to_thread(complete_sessions, nowhere, "s") == []


async def test_the_client_reads_and_deletes_sessions(kubeconfig, kept):
    def all_of_it():
        with Client(kubeconfig=str(kubeconfig)) as client:
            listed = [one.session for one in client.sessions.list(user="ann")]
            story = client.sessions.get("s1", user="ann")
            said = [event.event["id"] for event in client.sessions.events("s2")]
            names = [one.name for one in client.sessions.artifacts("s1", app="shop", user="ann")]
            photo = client.sessions.artifact("s1", "photo.png", user="ann")
            gone = (client.sessions.delete("s2").turns, client.sessions.delete_user("ann").sessions)
            return listed, story.state, said, names, photo, gone

    assert await asyncio.to_thread(all_of_it) == (
        ["s2", "s1"],
        {"n": 1},
        ["e-bye"],
        ["photo.png", "user:notes.txt"],
        b"\x00\xff",
        (1, 1),
    )


async def test_the_asyncio_client_reads_and_deletes_sessions(kubeconfig, kept):
    async with AsyncClient(kubeconfig=str(kubeconfig)) as client:
        assert [one.session async for one in client.sessions.list(user="ann")] == ["s2", "s1"]
        assert (await client.sessions.get("s1", user="ann")).user_state == {"name": "Ann"}
        assert [event.turn async for event in client.sessions.events("s2")] == [1]
        assert [one.version async for one in client.sessions.artifacts("s1", user="ann")] == [0, 0]
        assert await client.sessions.artifact("s1", "photo.png", user="ann") == b"\x00\xff"
        with pytest.raises(Conflict):
            await client.sessions.get("s1")
        assert (await client.sessions.delete("s2")).turns == 1
        assert (await client.sessions.delete_user("ann", app="shop")).sessions == 1
        with pytest.raises(NotFound):
            await client.sessions.artifact("s1", "photo.png", user="ann")
