"""What a runner meets that reads its session and stores turns and artifacts, also a hostile one."""

import asyncio
import json
import tracemalloc
from dataclasses import replace

import httpx
import pytest

from agentjobs import contract
from agentjobs.gateway import limits
from agentjobs.gateway.bodies import parse
from agentjobs.gateway.session_bodies import TurnBody, read_header
from agentjobs.history.records import Acceptance, JobRecord, StartRecord
from agentjobs.history.versions import CHUNK_BYTES
from agentjobs.problem import Problem

AS_RUNNER = {"Authorization": "Bearer t"}
SESSION, ARTIFACT = contract.PATH_SESSION, contract.PATH_ARTIFACT
EVENT = {"id": "e1", "author": "agent", "timestamp": 1.8e9, "content": {"parts": [{"text": "a cat"}]}}
TURN = {"events": [EVENT], "state": {"n": 1}, "user": {"u": 1}, "app": {"a": 1}}
SAVE = {"name": "report.txt", "key": "tool:1", "kind": "text", "mime": "text/html", "metadata": {"k": "ä"}}


def header(**changes):
    return AS_RUNNER | {contract.HEADER_ARTIFACT: json.dumps(SAVE | changes)}


@pytest.fixture(autouse=True)
async def _runner(kube, history):
    kube.add_runner("t", job="hello", start=2, uid="u1", pod_uid="p1")
    await history.accept(start=2)


@pytest.fixture
async def next_job(kube, history):
    """Accepts the next job of the session, whose runner has the token `t2`."""
    kube.add_runner("t2", job="hello", start=1, uid="u2", pod_uid="p2", pod="hello-1")
    first = history.memory.jobs_by_uid["u1"]
    key = replace(first.key, uid="u2")
    begun = StartRecord(key, 1, 1, "hello-1", key.created)
    await history.memory.accept(Acceptance(JobRecord(key, first.resolved, "abc"), begun))
    await history.memory.claim("u2", 1, "p2", namespace="default", job="hello")
    return {"Authorization": "Bearer t2"}


async def test_a_turn_is_stored_and_the_next_job_reads_it_unchanged(http, next_job):
    assert (await http.put(SESSION, headers=AS_RUNNER, json=TURN)).status_code == 204

    answer = await http.get(SESSION, headers=next_job)

    assert answer.json() == {
        "events": [EVENT],
        "state": {"n": 1},
        "user": {"u": 1},
        "app": {"a": 1},
        "turns": 1,
        "next": None,
    }


async def test_events_of_a_session_are_found_in_another(http, history, next_job):
    await http.put(SESSION, headers=AS_RUNNER, json=TURN)
    history.memory.jobs_by_uid["u2"].resolved = {
        "spec": {"session": {"appName": "shop", "userId": "ann", "sessionId": "s2"}}
    }

    answer = await http.post(contract.PATH_MEMORY, headers=next_job, json={"query": "cat", "limit": 5})

    assert [(hit["session"], hit["text"]) for hit in answer.json()["memories"]] == [("s1", "a cat")]


async def test_an_artifact_is_returned_with_its_metadata_and_never_as_a_page(http):
    saved = await http.post(ARTIFACT, headers=header(), content=b"<script>")
    answer = await http.get(ARTIFACT, headers=AS_RUNNER, params={"name": "report.txt"})

    assert (saved.json(), answer.content) == ({"version": 0}, b"<script>")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment"
    told = json.loads(answer.headers[contract.HEADER_ARTIFACT])
    assert (told["mime"], told["kind"], told["bytes"], told["metadata"]) == ("text/html", "text", 8, {"k": "ä"})


async def test_artifacts_are_listed_and_deleted(http):
    await http.post(ARTIFACT, headers=header(), content=b"x")
    await http.post(ARTIFACT, headers=header(name="user:photo"), content=b"x")

    names = (await http.get(contract.PATH_ARTIFACTS, headers=AS_RUNNER)).json()
    versions = (
        await http.get(contract.PATH_ARTIFACT_VERSIONS, headers=AS_RUNNER, params={"name": "report.txt"})
    ).json()
    gone = await http.delete(ARTIFACT, headers=AS_RUNNER, params={"name": "report.txt"})
    after = await http.get(ARTIFACT, headers=AS_RUNNER, params={"name": "report.txt"})

    assert names == {"names": ["report.txt", "user:photo"], "next": None}
    assert [version["version"] for version in versions["versions"]] == [0]
    assert (gone.status_code, after.status_code, after.json()["reason"]) == (204, 404, "NotFound")


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        pytest.param({"events": {}}, "events", id="events-are-no-list"),
        pytest.param({"events": [1]}, "events", id="event-is-no-object"),
        pytest.param({"events": [None]}, "events", id="event-is-null"),
        pytest.param({"state": []}, "state", id="state-is-a-list"),
        pytest.param({"state": {"user:x": 1}}, "state", id="state-of-the-user"),
        pytest.param({"state": {"k": "x" * contract.MAX_STATE_BYTES}}, "state", id="state-too-large"),
        pytest.param({"user": {"": 1}}, "user", id="empty-name"),
        pytest.param({"user": {"k" * 257: 1}}, "user", id="long-name"),
        pytest.param({"app": 1}, "app", id="app-is-a-number"),
        pytest.param({"events": ["," * 500_000]}, "commas", id="commas"),
    ],
)
async def test_an_invalid_turn_is_refused_with_its_path(http, changes, where):
    answer = await http.put(SESSION, headers=AS_RUNNER, json=TURN | changes)

    assert (answer.status_code, answer.json()["reason"]) == (422, "InvalidBody")
    assert where in answer.json()["message"]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"events": [{"a": "\xff"}], "state": {}}',
        b'{"events": [{"a": "\\ud800"}], "state": {}}',
        b'{"events": [{"a": ' + b"[" * 500 + b"]" * 500 + b'}], "state": {}}',
        b'{"events": [{"a": ' + b"1" * 5000 + b'}], "state": {}}',
        b"{",
    ],
    ids=["not-utf-8", "half-a-pair", "deep", "long-number", "cut"],
)
async def test_a_turn_that_some_reader_cannot_parse_is_refused(http, raw):
    answer = await http.put(SESSION, headers=AS_RUNNER, content=raw)

    assert (answer.status_code, answer.json()["reason"]) == (400, "InvalidJSON")


async def test_nul_in_an_event_is_replaced(http, next_job):
    raw = b'{"events": [{"a": "x\\u0000y"}], "state": {}}'
    assert (await http.put(SESSION, headers=AS_RUNNER, content=raw)).status_code == 204

    assert (await http.get(SESSION, headers=next_job)).json()["events"] == [{"a": "x�y"}]


async def test_a_turn_above_the_limit_is_refused(http):
    body = TURN | {"events": [{"a": "x" * contract.MAX_TURN_BYTES}]}

    assert (await http.put(SESSION, headers=AS_RUNNER, json=body)).status_code == 413


@pytest.mark.parametrize(
    "raw",
    [
        b'{"events": [' + b",".join([b"{}"] * 390_000) + b'], "state": {}}',
        b'{"events": [' + b'{"content": {"parts": [' + b",".join([b'{"text": "x"}'] * 100_000) + b']}}], "state": {}}',
        b'{"events": [{"a": ' + b"[" + b"1," * 390_000 + b"1]" + b'}], "state": {}}',
    ],
    ids=["many-events", "many-parts", "long-list"],
)
def test_parsing_a_turn_takes_bounded_memory(raw):
    tracemalloc.start()
    try:
        parse(TurnBody, raw)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 64 * 1024 * 1024


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (None, 400),
        ("", 400),
        ("{", 400),
        ("[" * 1000, 400),
        (json.dumps(SAVE, ensure_ascii=False), 400),
        (json.dumps(SAVE | {"name": "\ud800"}), 400),
        (json.dumps(SAVE | {"metadata": {"k": "x" * 20_000}}), 400),
        (json.dumps(SAVE | {"name": ""}), 422),
        (json.dumps(SAVE | {"name": "a\0b"}), 422),
        (json.dumps(SAVE | {"key": "a\0b"}), 422),
        (json.dumps(SAVE | {"name": "x" * 256}), 422),
        (json.dumps(SAVE | {"key": ""}), 422),
        (json.dumps(SAVE | {"kind": "movie"}), 422),
        (json.dumps(SAVE | {"mime": "text/html\r\nSet-Cookie: a"}), 422),
        (json.dumps(SAVE | {"mime": "x" * 256}), 422),
        (json.dumps(SAVE | {"metadata": []}), 422),
        (json.dumps(SAVE | {"metadata": {"k": "x" * 3000}}), 422),
        ("[]", 422),
    ],
)
def test_an_invalid_header_of_a_save_is_refused(value, status):
    with pytest.raises(Problem) as refused:
        read_header(value)

    assert refused.value.status == status


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 256])
async def test_an_invalid_artifact_name_is_refused(http, name):
    for method in ("GET", "DELETE"):
        answer = await http.request(method, ARTIFACT, headers=AS_RUNNER, params={"name": name})
        assert answer.status_code == 400


async def test_an_artifact_above_the_limit_is_refused_and_stores_nothing(http, monkeypatch):
    monkeypatch.setattr(contract, "MAX_ARTIFACT_BYTES", 3 * CHUNK_BYTES)

    answers = [await http.post(ARTIFACT, headers=header(), content=content) for content in _bodies(3 * CHUNK_BYTES + 1)]

    assert [answer.status_code for answer in answers] == [413, 413]
    assert (await http.get(contract.PATH_ARTIFACTS, headers=AS_RUNNER)).json()["names"] == []


def _bodies(size):
    """A body with its length said, and one without."""

    async def stream():
        for _ in range(size // 1000 + 1):
            yield b"x" * 1000

    return [b"x" * size, stream()]


async def test_a_too_slow_upload_is_refused_and_stores_nothing(http, monkeypatch):
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.01)
    monkeypatch.setattr(limits, "BODY_BYTES_PER_SECOND", 10**12)

    async def slow():
        yield b"x"
        await asyncio.sleep(1)

    answer = await http.post(ARTIFACT, headers=header(), content=slow())

    assert (answer.status_code, answer.json()["reason"]) == (408, "BodyTooSlow")


async def test_an_upload_keeps_few_parts_in_memory(http, sessions, monkeypatch):
    held = []

    async def save(uid, start, pod, saving, pieces):
        held.extend([len(piece.data) async for piece in pieces])
        return 0

    monkeypatch.setattr(sessions, "save", save)
    await http.post(ARTIFACT, headers=header(), content=b"x" * (5 * CHUNK_BYTES + 1))

    assert held == [CHUNK_BYTES] * 5 + [1]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", SESSION),
        ("PUT", SESSION),
        ("POST", contract.PATH_MEMORY),
        ("GET", contract.PATH_ARTIFACTS),
        ("POST", ARTIFACT),
        ("GET", ARTIFACT),
        ("DELETE", ARTIFACT),
        ("GET", contract.PATH_ARTIFACT_VERSIONS),
    ],
)
async def test_unknown_callers_and_users_are_refused_on_routes_of_runners(http, kube, method, path):
    kube.add_user("ada", "ada", may={("list", "default", "")})

    for token, status in (("nobody", 401), ("ada", 401)):
        answer = await http.request(method, path, headers={"Authorization": f"Bearer {token}"}, params={"name": "x"})
        assert answer.status_code == status


async def test_no_request_can_name_a_session(http, history, next_job):
    await http.put(SESSION, headers=AS_RUNNER, json=TURN)
    history.memory.jobs_by_uid["u2"].resolved = {
        "spec": {"session": {"appName": "shop", "userId": "eve", "sessionId": "s1", "mode": "Continue"}}
    }

    named = {"user": "ann", "userId": "ann", "app": "shop", "session": "s1", "uid": "u1"}
    answer = await http.get(SESSION, headers=next_job, params=named)

    assert (answer.json()["turns"], answer.json()["user"]) == (0, {})


async def test_a_request_gets_a_retry_delay_while_history_is_unavailable(http, history):
    history.memory.away = True

    for method, path in (("GET", SESSION), ("PUT", SESSION), ("POST", ARTIFACT)):
        body = json.dumps(TURN).encode()
        answer: httpx.Response = await http.request(method, path, headers=header(), content=body)
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)


async def test_the_openapi_document_describes_the_headers_of_a_save(http):
    document = (await http.get("/openapi.json")).json()
    save = document["paths"][ARTIFACT]["post"]

    [described] = [one for one in save["parameters"] if one["name"] == contract.HEADER_ARTIFACT]
    assert described["schema"]["$ref"].rpartition("/")[2] in document["components"]["schemas"]
    assert "application/octet-stream" in save["requestBody"]["content"]
