"""The content of a step, for any content, and who can read it."""

import pytest
from msgspec import Raw

AS_ADA = {"Authorization": "Bearer ada"}
STEPS = "/v1/namespaces/docs/agentjobs/hello/steps"


@pytest.fixture(autouse=True)
async def job(kube, history):
    """A job that Ada may read."""
    kube.add_user("ada", "ada", may={("get", "docs", "hello")})
    kube.add_user("nobody", "nobody")
    return await history.accept("docs")


async def record(history, body, **more):
    times = {"began": "2026-11-21T09:00:00Z", "ended": "2026-11-21T09:00:02Z"}
    step = {"key": "a", "kind": "tool", "agent": "hello", "name": "search", "request": {"digest": "0a"}, "usage": {}}
    steps = [{**step, **times, "body": body, **more}]
    await history.memory.append_steps("u1", 1, "p1", {"run": 1, "void": [], "steps": steps})


async def test_a_step_is_returned_with_its_content(http, history):
    await record(history, Raw(b'{"result": "<b>\\u0000\\u202e"}'))
    answer = (await http.get(f"{STEPS}/1", headers=AS_ADA)).json()

    assert (answer["body"], answer["request"]) == ({"result": "<b>\0\u202e"}, {"digest": "0a"})
    assert (answer["step"]["n"], answer["step"]["name"], answer["unreadable"]) == (1, "search", False)


async def test_a_call_in_progress_has_no_content(http, history):
    await record(history, None, ended=None)
    answer = (await http.get(f"{STEPS}/1", headers=AS_ADA)).json()

    assert (answer["body"], answer["unreadable"], answer["step"]["ended"]) == (None, False, None)


@pytest.mark.parametrize("stored", [b'{"a": ', b'"\\ud800"', b"[" * 100_000, b'{"a": NaN}', b"1" * 2000], ids=range(5))
async def test_a_body_that_readers_cannot_parse_is_not_returned(http, history, job, stored):
    await record(history, "sound")
    job.steps[1].body = stored
    answer = await http.get(f"{STEPS}/1", headers=AS_ADA)

    assert answer.status_code == 200
    assert (answer.json()["body"], answer.json()["unreadable"]) == (None, True)


@pytest.mark.parametrize(("n", "status"), [("2", 404), ("0", 400), ("-1", 400), ("x", 400), (str(2**31), 400)])
async def test_a_missing_step_is_not_found(http, history, n, status):
    await record(history, "body")
    answer = await http.get(f"{STEPS}/{n}", headers=AS_ADA)

    assert (answer.status_code, answer.json()["reason"]) == (status, "NotFound" if status == 404 else "BadRequest")


async def test_steps_require_permission_to_read_their_job(http, history):
    answer = await http.get(f"{STEPS}/1", headers={"Authorization": "Bearer nobody"})

    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
