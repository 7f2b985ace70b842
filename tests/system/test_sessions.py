"""Sessions in a whole cluster: jobs continue where others ended, even if these were deleted and pods are killed."""

import json
import ssl

import httpx
import psycopg
import pytest

from devcluster.client import Resource

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]

AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
ANN = {"appName": "diary", "userId": "ann", "mode": "Continue"}
# Tests of one namespace share its users, so these have their own.
EVE, JOE, KIM = (ANN | {"userId": name} for name in ("eve", "joe", "kim"))


def said(name, *calls, text="Done."):
    """A script of tool calls, and a text at the end."""
    return {"starts": [[*({"toolCalls": [{"name": tool, "args": args}]} for tool, args in calls), {"text": text}]]}


@pytest.fixture
def a_turn(system, job_of):
    """Runs a job of the diary and returns its status and what its tools answered."""

    async def run(name, *calls, session, script=None, text="Done."):
        agent = {
            "model": f"scripted/{name}/script",
            "module": {"ref": "tests.system.diary:diary"},
        }
        await system.apply(*job_of(name, script or said(name, *calls, text=text), agent=agent, session=session))
        status = await system.finished(name)
        assert status["phase"] == "Succeeded", status
        return status, await results_of(system, name)

    return run


async def results_of(system, name):
    """What tools gave to a job, by the journal."""
    uid = (await system.job(name))["metadata"]["uid"]
    statement = "SELECT body FROM agentjobs.steps WHERE uid = %s AND kind = 'tool' AND NOT void ORDER BY n"
    async with await psycopg.AsyncConnection.connect(system.cluster.dsn) as connection:
        rows = await (await connection.execute(statement, [uid])).fetchall()
    return [json.loads(row[0]) for row in rows]


async def told(system, below, method="GET", **params):
    """What the gateway tells an administrator."""
    trust = ssl.create_default_context(cafile=system.cluster.gateway_ca)
    async with httpx.AsyncClient(verify=trust, trust_env=False) as http:
        return await http.request(
            method,
            f"{system.cluster.gateway_url}/v1/namespaces/{system.namespace}/{below}",
            params=params,
            headers={"Authorization": f"Bearer {system.cluster.token}"},
        )


def names(session):
    return {"app": session["appName"], "user": session["userId"], "session": session["sessionId"]}


async def test_a_job_continues_the_session_of_a_deleted_job(system, a_turn):
    session = ANN | {"sessionId": "monday"}
    await a_turn("first", ("note", {"text": "rain"}), session=session)
    await system.delete(AGENTJOBS, "first")
    await system.gone("first")

    _, (noted,) = await a_turn("second", ("note", {"text": "sun"}), session=session)
    story = (await told(system, "session", **names(session))).json()

    assert "rain" in json.dumps(noted)
    assert [turn["job"] for turn in story["turns"]] == ["first", "second"]
    assert (story["state"]["notes"], story["userState"]["count"], story["appState"]["last"]) == (
        ["rain", "sun"],
        2,
        "sun",
    )


async def test_a_users_artifacts_state_and_memory_are_available_in_other_sessions(system, a_turn):
    await a_turn("told", ("note", {"text": "umbrella"}), session=ANN | {"sessionId": "one"}, text="I lost my umbrella.")
    _, (found,) = await a_turn("asked", ("recall", {"query": "umbrella?"}), session=ANN | {"sessionId": "two"})

    assert "I lost my umbrella." in json.dumps(found)
    assert '"saved": "umbrella"' in json.dumps(found)


async def test_another_user_has_no_access_to_the_session(system, a_turn):
    await a_turn("told-joe", ("note", {"text": "umbrella"}), session=JOE | {"sessionId": "one"})
    bob = JOE | {"userId": "bob", "sessionId": "one"}
    _, (found, noted) = await a_turn(
        "asked-bob", ("recall", {"query": "umbrella"}), ("note", {"text": "hi"}), session=bob
    )

    assert "umbrella" not in json.dumps([found, noted])


async def test_a_job_killed_twice_saves_each_version_and_its_turn_once(system, a_turn):
    session = KIM | {"sessionId": "killed"}
    note = [{"toolCalls": [{"name": "note", "args": {"text": text}}]} for text in ("a", "b")]
    script = {"starts": [[note[0], {"exit": "SIGKILL"}], [note[1], {"exit": "SIGKILL"}], [{"text": "Done."}]]}
    status, _ = await a_turn("killed", session=session, script=script)

    artifacts = (await told(system, "session/artifacts", **names(session))).json()["items"]
    story = (await told(system, "session", **names(session))).json()

    assert status["starts"] == 3
    assert [(one["name"], one["version"]) for one in artifacts] == [
        ("notes.txt", 0),
        ("notes.txt", 1),
        ("user:all.txt", 0),
        ("user:all.txt", 1),
    ]
    assert (len(story["turns"]), story["state"]["notes"], story["userState"]["count"]) == (1, ["a", "b"], 2)


async def test_after_a_users_data_are_deleted_jobs_begin_new_sessions(system, a_turn):
    session = EVE | {"sessionId": "gone"}
    await a_turn("before", ("note", {"text": "secret"}), session=session)

    gone = (await told(system, "user-data", "DELETE", user="eve")).json()
    _, (found, noted) = await a_turn(
        "after", ("recall", {"query": "secret"}), ("note", {"text": "new"}), session=session
    )

    assert (gone["sessions"], gone["artifacts"]) == (1, 2)
    assert "secret" not in json.dumps([found, noted])
