"""What a runner meets, through the whole application but for its two seams."""

import asyncio
import gzip
import logging

import pytest

from agentjobs import errors
from agentjobs.auth import DEFAULT_BUDGET
from agentjobs.contract import MAX_STEP_BYTES
from agentjobs.gateway.limits import BODY_BYTES, CONCURRENT_REQUESTS, CONCURRENT_WRITES

AS_RUNNER = {"Authorization": "Bearer t"}
EVENT = {"seq": 1, "time": "2026-11-21T09:00:00Z", "kind": "text", "author": "hello", "data": {"text": "SECRET"}}
RESULT = {"text": "SECRET", "structured": None, "usage": {"llmCalls": 1}}
DOCUMENT = {"verdict": "Succeed", "reason": "Succeeded", "message": "", "delaySeconds": None, "result": RESULT}
STEP = {"key": "a", "kind": "model", "agent": "hello", "name": "m", "request": {}, "usage": {"llmCalls": 1}}
STEP |= {"began": "2026-11-21T09:00:00.5Z", "ended": "2026-11-21T09:00:01Z", "body": {"text": "SECRET"}}
STEPS = {"run": 2, "void": [], "steps": [STEP]}
CLAIM, HEARTBEAT = ("GET", "/v1/attempt"), ("POST", "/v1/attempt/heartbeat")
CALLS = [
    pytest.param("GET", "/v1/attempt", None, id="attempt"),
    pytest.param("POST", "/v1/attempt/events", {"events": [EVENT]}, id="events"),
    pytest.param("POST", "/v1/attempt/heartbeat", {}, id="heartbeat"),
    pytest.param("PUT", "/v1/attempt/result", DOCUMENT, id="result"),
    pytest.param("POST", "/v1/attempt/steps", STEPS, id="steps"),
    pytest.param("GET", "/v1/attempt/steps", None, id="recorded-steps"),
]


@pytest.fixture(autouse=True)
async def _runner(kube, history):
    kube.add_runner("t", job="hello", start=2, uid="u1", pod_uid="p1")
    await history.accept(start=2)


async def test_the_attempt_is_claimed_for_the_pod_of_the_token(http, history):
    answer = await http.get("/v1/attempt", headers=AS_RUNNER)

    assert (answer.status_code, answer.json()["start"]) == (200, 2)
    assert answer.json()["budget"]["limits"] == DEFAULT_BUDGET.dump()
    assert history.calls == [("claim", "u1", 2, "p1", "default", "hello", DEFAULT_BUDGET)]


async def test_events_and_heartbeats_are_stored_and_answered_without_a_body(http, history):
    first = await http.post("/v1/attempt/events", headers=AS_RUNNER, json={"events": [EVENT]})
    second = await http.post("/v1/attempt/heartbeat", headers=AS_RUNNER, json={})
    third = await http.post("/v1/attempt/heartbeat", headers=AS_RUNNER)

    assert [(answer.status_code, answer.content) for answer in (first, second, third)] == [(204, b"")] * 3
    assert history.calls[:2] == [("add_events", "u1", 2, "p1", [EVENT]), ("heartbeat", "u1", 2, "p1")]


async def test_the_first_result_is_the_answer_to_every_later_one(http, history):
    first = history.memory.jobs_by_uid["u1"].result = {"text": "first", "structured": None, "usage": {}}

    answer = await http.put("/v1/attempt/result", headers=AS_RUNNER, json=DOCUMENT)

    assert answer.json() == {"final": first}
    assert history.calls == [("put_result", "u1", 2, "p1", DOCUMENT)]


async def test_steps_are_recorded_once_and_read_unchanged(http, history):
    body = STEPS | {"steps": [STEP | {"body": {"text": "\0 ü", "n": 1.0}}]}
    answers = [await http.post("/v1/attempt/steps", headers=AS_RUNNER, json=body) for _ in range(2)]
    page = await http.get("/v1/attempt/steps", headers=AS_RUNNER, params={"after": 0})
    rest = await http.get("/v1/attempt/steps", headers=AS_RUNNER, params={"after": 1, "limit": 5})

    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"last": 1})] * 2
    named = {name: STEP[name] for name in ("key", "kind", "agent", "name", "request")}
    step = {"n": 1, "start": 2, "ended": "2026-11-21T09:00:01+00:00", "body": body["steps"][0]["body"]}
    assert page.json() == {"steps": [named | step], "next": None}
    assert rest.json() == {"steps": [], "next": None}


async def test_versions_and_void_keys_are_stored(http, history):
    versions = {"adk": "2.5.0", "runner": "0.2.0", "scheme": "1", "agent": "0f"}
    body = {"run": 2, "void": ["b"], "steps": [], "versions": versions}
    await http.post("/v1/attempt/steps", headers=AS_RUNNER, json=body)

    assert history.calls == [("append_steps", "u1", 2, "p1", body)]


async def test_a_too_large_step_is_named_and_nothing_is_stored(http, history):
    steps = [STEP, STEP | {"key": "agent/2", "body": "x" * MAX_STEP_BYTES}]
    answer = await http.post("/v1/attempt/steps", headers=AS_RUNNER, json=STEPS | {"steps": steps})

    assert (answer.status_code, answer.json()["reason"]) == (413, "StepTooLarge")
    assert "agent/2" in answer.json()["message"]
    assert history.memory.jobs_by_uid["u1"].steps == {}


async def test_an_invalid_page_of_steps_is_400(http, history):
    for params in ({"after": -1}, {"after": 2**40}, {"limit": 0}, {"limit": 10_000}, {"after": "x"}):
        answer = await http.get("/v1/attempt/steps", headers=AS_RUNNER, params=params)
        assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


async def test_an_agent_that_records_steps_fast_is_not_rate_limited(http, history):
    codes = set()
    for number in range(600):  # three times what any other request may be sent at the same time
        body = STEPS | {"steps": [STEP | {"key": str(number)}]}
        codes.add((await http.post("/v1/attempt/steps", headers=AS_RUNNER, json=body)).status_code)

    assert codes == {200}


async def test_outcomes_of_steps_are_counted_once(http, history):
    body = STEPS | {"steps": [STEP, STEP | {"key": "b", "void": True}, STEP | {"key": "c", "kind": "dance"}]}
    resumed = EVENT | {"kind": "resumed", "data": {"fromStep": 3, "replayed": 7}}
    for _ in range(2):
        await http.post("/v1/attempt/steps", headers=AS_RUNNER, json=body)
        await http.post("/v1/attempt/events", headers=AS_RUNNER, json={"events": [resumed]})
    told = (await http.get("/metrics")).text.splitlines()

    assert [line for line in told if line.startswith("agentjobs_steps_total")] == [
        'agentjobs_steps_total{kind="model",result="recorded"} 1.0',
        'agentjobs_steps_total{kind="model",result="void"} 1.0',
        'agentjobs_steps_total{kind="Other",result="recorded"} 1.0',
        'agentjobs_steps_total{kind="any",result="replayed"} 7.0',
    ]
    assert "agentjobs_model_calls_total 3.0" in told


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
@pytest.mark.parametrize(
    ("raised", "status", "reason"),
    [
        (errors.Fenced("pod p1 lost start 2"), 409, "Fenced"),
        (errors.NotFound("job u1 has no start 2"), 404, "NotFound"),
        (errors.Unavailable("PostgreSQL did not answer"), 503, "Unavailable"),
        (errors.Busy("another body is being stored"), 503, "Busy"),
        (errors.Denied("password authentication failed"), 503, "Unavailable"),
        (errors.Invalid("time out of range"), 422, "Invalid"),
        (errors.JournalFull("the job has recorded 20000 steps"), 413, "JournalFull"),
        (KeyError("SECRET"), 500, "InternalError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_errors_of_history_have_the_format_of_other_errors(
    http, history, method, path, body, raised, status, reason
):
    history.raises = raised

    answer = await http.request(method, path, headers=AS_RUNNER, json=body)

    assert answer.status_code == status
    assert set(answer.json()) == {"reason", "message"}
    assert answer.json()["reason"] == reason
    assert "SECRET" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_an_unknown_caller_is_refused_before_a_query_of_history(http, history, method, path, body):
    answer = await http.request(method, path, json=body)

    assert (answer.status_code, answer.json()["reason"]) == (401, "Unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert history.calls == []


async def test_a_body_above_the_limit_is_413_and_names_it(http, history):
    answer = await http.post("/v1/attempt/events", headers=AS_RUNNER, content=b"x" * (50 * 1024 * 1024))

    assert (answer.status_code, answer.json()["reason"]) == (413, "BodyTooLarge")
    assert "1048576 bytes" in answer.json()["message"]
    assert history.calls == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/nothing"), ("DELETE", "/v1/attempt"), ("BREW", "/v1/attempt"), ("GET", "/v1/attempt/%00")],
)
async def test_an_unknown_route_gets_an_error_of_the_same_format(http, method, path):
    answer = await http.request(method, path)

    assert answer.status_code in {404, 405}
    assert set(answer.json()) == {"reason", "message"}


async def test_nothing_secret_is_logged(http, history, caplog):
    caplog.set_level(logging.DEBUG)
    await http.post("/v1/attempt/events", headers=AS_RUNNER, json={"events": [EVENT]})
    await http.post("/v1/attempt/steps", headers=AS_RUNNER, json=STEPS)
    await http.put("/v1/attempt/result?token=SECRET", headers=AS_RUNNER, json=DOCUMENT)
    history.raises = KeyError("SECRET")
    await http.get("/v1/attempt", headers={"Authorization": "Bearer t"})

    told = [str(vars(record)) for record in caplog.records if record.name.startswith("agentjobs")]
    assert any("request.crashed" in line for line in told)
    assert not [line for line in told if "SECRET" in line or "Bearer" in line]


async def test_a_concurrent_request_is_released_after_any_ending(http, history):
    history.raises = errors.Fenced("another pod")
    refused = [await http.post("/v1/attempt/heartbeat", headers=AS_RUNNER) for _ in range(CONCURRENT_REQUESTS)]
    history.raises = None
    wrong = [await http.post("/v1/attempt/events", headers=AS_RUNNER, content=b"{") for _ in range(CONCURRENT_REQUESTS)]

    answer = await http.get("/v1/attempt", headers=AS_RUNNER)

    assert {each.status_code for each in refused} | {each.status_code for each in wrong} == {409, 400}
    assert answer.status_code == 200


async def test_a_runner_with_too_many_concurrent_requests_gets_a_retry_after(http, history):
    waiting, go_on = [], asyncio.Event()

    async def slow(uid, start, pod_uid):
        waiting.append(start)
        await go_on.wait()

    history.heartbeat = slow
    many = [
        asyncio.create_task(http.post("/v1/attempt/heartbeat", headers=AS_RUNNER)) for _ in range(CONCURRENT_REQUESTS)
    ]
    async with asyncio.timeout(20):
        while len(waiting) < CONCURRENT_REQUESTS:
            await asyncio.sleep(0)
    answer = await http.post("/v1/attempt/heartbeat", headers=AS_RUNNER)
    go_on.set()

    assert (answer.status_code, answer.json()["reason"]) == (429, "TooManyRequests")
    assert {(await each).status_code for each in many} == {204}


async def test_claims_and_heartbeats_are_accepted_while_bodies_fill_the_memory_limit(http, app, history):
    intake = app._app.state.services.intake
    async with intake._bytes.taken(BODY_BYTES), intake._writes.taken(CONCURRENT_WRITES):
        answers = [await http.request(*call, headers=AS_RUNNER) for call in (HEARTBEAT, CLAIM)]

    assert [answer.status_code for answer in answers] == [204, 200]


async def test_a_compressed_body_is_not_decompressed(http, history):
    bomb = gzip.compress(b"[" * 10_000_000)

    answer = await http.put("/v1/attempt/result", headers=AS_RUNNER | {"Content-Encoding": "gzip"}, content=bomb)

    assert (answer.status_code, answer.json()["reason"]) == (400, "InvalidJSON")
    assert history.calls == []
