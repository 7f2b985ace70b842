"""Sessions, artifacts and memory over jobs and over kill -9, with the real gateway, PostgreSQL and runner."""

import json
import uuid
from dataclasses import dataclass, field

import httpx
import pytest
from tests.crash.remembering import APP

from agentjobs import contract

pytestmark = pytest.mark.asyncio(loop_scope="session")
LINES = 6  # of effects: the model, the tool and the model again, each begun and ended
VERSIONS = """
    SELECT string_agg(chunks.data, '' ORDER BY chunks.n) AS content
    FROM agentjobs.scopes JOIN agentjobs.artifacts ON artifacts.scope = scopes.id
    JOIN agentjobs.artifact_chunks AS chunks ON chunks.artifact = artifacts.id
    WHERE scopes.user_id = %(user)s AND scopes.session_id = %(session)s
    GROUP BY artifacts.id, artifacts.version ORDER BY artifacts.version
"""


@dataclass
class Talk:
    """Jobs of one user."""

    world: object
    user: str = field(default_factory=lambda: uuid.uuid4().hex)

    async def job(self, message, *, session="s", mode="Continue", kill_at=(), user=None):
        """Run a job to its end, killed at these lines of its starts before; return it with what its model was told."""
        names = {"appName": APP, "userId": user or self.user, "sessionId": session, "mode": mode}
        spec = {"input": {"message": message}, "session": names}
        job = await self.world.accept(Shape(spec))
        for line in kill_at:
            assert (await self.world.start(job, kill_at=line)).message is None
        last = await self.world.start(job)
        assert getattr(last.message, "verdict", None) == "Succeed", last.log
        (row,) = self.world.rows("SELECT result FROM agentjobs.results WHERE uid = %(uid)s", uid=job.uid)
        return job, json.loads(row["result"]["text"])

    def versions(self, session="s"):
        """The texts of the versions of the artifact in a session, oldest first."""
        rows = self.world.rows(VERSIONS, user=self.user, session=session)
        return [bytes(row["content"]).decode() for row in rows]


@dataclass(frozen=True)
class Shape:
    """The agent, as `World.accept` takes it."""

    spec: dict
    name: str = APP
    ref: str = "tests.crash.remembering:team"
    agent: dict = field(default_factory=dict)
    at_once: bool = False


@pytest.fixture
def talk(crash_world):
    return Talk(crash_world)


async def test_the_second_job_of_a_session_sees_the_first(talk):
    await talk.job("My cat is called Tom.")

    _, told = await talk.job("What is it called?")

    assert [told[0], told[-1]] == ["My cat is called Tom.", "What is it called?"]


async def test_a_killed_job_stores_the_same_session_as_one_that_was_not_killed(talk):
    seen = []
    for kill_at in ((), (4,), (LINES, 1)):
        one = Talk(talk.world)
        await one.job("one")
        _, told = await one.job("two", kill_at=kill_at)
        _, after = await one.job("three")
        seen.append((told, after, one.versions()))

    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0][2]) == 3


async def test_a_job_in_another_session_has_the_state_artifacts_and_memory_of_its_user(talk):
    await talk.job("My cat is called Tom.")

    _, told = await talk.job("What is my cat called?", session="t", mode="New")

    assert "My cat is called Tom." in " ".join(told)
    assert talk.versions("t") == [str({"user:jobs": 1})]


async def test_another_users_job_does_not_see_the_session(talk):
    await talk.job("My cat is called Tom.")

    _, told = await talk.job("What is my cat called?", user=uuid.uuid4().hex)

    assert told == ["What is my cat called?"]


async def test_a_pod_gets_its_own_session_even_if_it_requests_another(talk):
    await talk.job("My cat is called Tom.")
    job, _ = await talk.job("hi", user=uuid.uuid4().hex)
    token = (talk.world._folder / f"{job.uid}-1" / "token").read_text()
    headers = {"Authorization": f"Bearer {token}"}

    async with httpx.AsyncClient(base_url=talk.world.url, headers=headers) as pod:
        named = {"user": talk.user, "userId": talk.user, "app": APP, "session": "s"}
        session = await pod.get(contract.PATH_SESSION, params=named)
        found = await pod.post(contract.PATH_MEMORY, json={"query": "cat", "limit": 9, "user": talk.user})

    assert (session.status_code, session.json()["events"]) == (200, [])
    assert (found.status_code, found.json()["memories"]) == (200, [])
