"""Pods that send what they should not, and clients that leave when they should not."""

import asyncio
import json
import logging

import httpx
import pytest
from tests.integration.modelproxy.asking import MESSAGES, PATH, STREAMED, until
from tests.modelproviders import Answer, Failure, Garbage, Used

from agentjobs.proxy import exchange
from agentjobs.proxy.serve import serving

pytestmark = pytest.mark.alone("runners' pods here have no job")

GEMINI = "/gemini/v1beta/models/gemini-2.5-flash:generateContent"
GENERATE = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 100}}
CHATS = "/openai/v1/chat/completions"
CHAT = {"model": "gpt-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
FOREIGN = "sk-foreign-key-of-a-pod"


async def ended(ledger, count=1):
    """Calls in the ledger, once so many have ended."""
    for _ in range(500):
        calls = [call for call in await ledger.calls() if call.ended]
        if len(calls) == count:
            return calls
        await asyncio.sleep(0.01)
    raise AssertionError(calls)


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside-the-token"])
@pytest.mark.parametrize(
    ("path", "body", "header"),
    [
        pytest.param(GEMINI, GENERATE, "x-goog-api-key", id="googles"),
        pytest.param(CHATS, CHAT, "authorization", id="openais"),
        pytest.param(CHATS, CHAT, "api-key", id="azures"),
        pytest.param(PATH, MESSAGES, "x-api-key", id="anthropics"),
        pytest.param(f"{GEMINI}?key={FOREIGN}", GENERATE, None, id="in-the-query"),
    ],
)
async def test_a_key_that_is_not_the_pods_token_is_refused_and_not_disclosed(
    http, pod, fake, caplog, path, body, header, beside
):
    caplog.set_level(logging.DEBUG, logger="agentjobs")
    token = await pod()
    sent = {header: f"Bearer {FOREIGN}" if header == "authorization" else FOREIGN} if header else {}
    if beside:
        sent["x-goog-api-key" if header != "x-goog-api-key" else "x-api-key"] = token

    answer = await http.post(path, json=body, headers=sent)

    assert (answer.status_code, fake.seen) == (401, [])
    assert FOREIGN not in answer.text + caplog.text + str([vars(record) for record in caplog.records])


async def test_a_pod_with_the_token_of_another_is_refused(http, pod, cluster, fake):
    token = await pod()
    there = await cluster.http.patch(
        f"/api/v1/namespaces/{cluster.namespace}/pods/hello-1/status",
        json={"status": {"podIP": "10.1.2.3"}},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert there.status_code == 200, there.text

    answer = await http.post(PATH, json=MESSAGES, headers={"x-api-key": token})

    assert (answer.status_code, fake.seen) == (403, [])


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
async def test_a_request_of_a_hundred_megabytes_is_refused_and_others_continue(http, pod, fake, announced):
    token, piece = await pod(), b"x" * 1024 * 1024

    async def pieces():
        yield b'{"model": "claude", "x": "'
        for _ in range(100):
            yield piece
        yield b'"}'

    length = {"content-length": str(100 * len(piece) + 28)} if announced else {}
    large = http.post(PATH, content=pieces(), headers={"x-api-key": token, **length})
    answer, small = await asyncio.gather(large, http.post(PATH, json=MESSAGES, headers={"x-api-key": token}))

    assert (answer.status_code, small.status_code, len(fake.seen)) == (413, 200, 1)


BODY = json.dumps(MESSAGES)
HIDDEN = f"POST {PATH} HTTP/1.1\nHost: x\nKEY\nContent-Length: {len(BODY)}\n\n{BODY}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"HEAD\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n{HIDDEN}", id="both-lengths"),
        pytest.param(f"HEAD\nTransfer-Encoding: gzip, chunked\n\n0\n\n{HIDDEN}", id="two-codings"),
        pytest.param(f"HEAD\nTransfer-Encoding: xchunked\nContent-Length: 0\n\n{HIDDEN}", id="unknown-coding"),
        pytest.param(f"HEAD\nTransfer-Encoding: chunked\n\n-1\n{HIDDEN}", id="negative-chunk"),
        pytest.param(f"HEAD\nTransfer-Encoding: chunked\n\n0x0\n\n{HIDDEN}", id="chunk-with-a-prefix"),
        pytest.param(f"HEAD\nTransfer-Encoding: chunked\n\n1_0\n{HIDDEN}", id="chunk-with-an-underscore"),
        pytest.param(f"HEAD\nContent-Length: +0\n\n{HIDDEN}", id="signed-length"),
        pytest.param(f"HEAD\nContent-Length: 0, 0\n\n{HIDDEN}", id="lengths-in-a-list"),
        pytest.param(f"HEAD\nX: a\n Content-Length: 4\nContent-Length: 0\nHost: y\n\n{HIDDEN}", id="folded"),
    ],
)
async def test_request_smuggling_is_refused(proxy, pod, fake, text):
    key = f"x-api-key: {await pod()}"
    head = f"POST {PATH} HTTP/1.1\nHost: x\n{key}"
    reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.rpartition(":")[2]))

    writer.write(text.replace("HEAD", head).replace("KEY", key).replace("\n", "\r\n").encode())
    async with asyncio.timeout(20):
        said = (await reader.read()).decode()
    writer.close()

    assert said.split()[1] == "400"
    assert (said.count("HTTP/1."), fake.seen) == (1, [])


async def test_a_complete_answer_whose_client_disconnected_is_settled_at_most_at_its_reservation(
    http, pod, fake, ledger
):
    token = await pod()
    fake.default = Answer(delay=60)
    call = asyncio.create_task(http.post(PATH, json=MESSAGES, headers={"x-api-key": token}))
    await until(lambda: fake.seen)

    call.cancel()

    (booked,) = await ended(ledger)
    assert (booked.outcome, booked.output, booked.cost) == ("Cut", 100, booked.reserved_cost)
    assert [seen.ended for seen in fake.seen] == ["hung up"]


async def test_a_client_that_disconnects_at_the_last_event_was_answered(http, pod, fake, ledger):
    token = await pod()
    fake.default = Answer(used=Used(input=500, output=50), pieces=2, hang_after=8)

    async with http.stream("POST", PATH, json=STREAMED, headers={"x-api-key": token}) as answer:
        async for piece in answer.aiter_raw():
            if b"message_stop" in piece:
                break

    (call,) = await ended(ledger)
    assert (call.outcome, call.input, call.output, call.estimated) == ("Answered", 500, 50, False)


async def test_a_client_that_disconnects_frees_its_concurrent_call(settings, models_file, pod, fake):
    token = await pod()
    fake.choose = lambda seen: Answer(hang_after=2) if seen.json.get("stream") else None
    limited = settings(models_file=models_file(limits=[{"concurrentCalls": 1}]))

    async with serving(limited) as url, httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as http:
        for _ in range(3):
            async with http.stream("POST", PATH, json=STREAMED, headers={"x-api-key": token}) as answer:
                await anext(answer.aiter_raw())
        answer = await http.post(PATH, json=MESSAGES, headers={"x-api-key": token})

    assert answer.status_code == 200


async def test_a_call_refused_by_the_concurrency_limit_does_not_count_in_the_rate_limit(
    settings, models_file, pod, fake, monkeypatch
):
    monkeypatch.setattr(exchange, "MAX_WAIT_SECONDS", 0.3)
    token = await pod()
    fake.script(Answer(delay=1.0))
    limited = settings(models_file=models_file(limits=[{"concurrentCalls": 1, "requestsPerMinute": 2}]))

    async with serving(limited) as url, httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as http:

        async def ask():
            return (await http.post(PATH, json=MESSAGES, headers={"x-api-key": token})).status_code

        first = asyncio.create_task(ask())
        await until(lambda: fake.seen)
        second = await ask()
        statuses = [await first, second, await ask()]

    assert statuses == [200, 429, 200]


EVENTS = b"".join(
    f"data: {json.dumps(event)}\n\n".encode()
    for event in (
        {"id": "x", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Half an"}}]},
        {"id": "x", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": " answer"}}]},
    )
)
ERROR = b'data: {"id": "x", "choices": [], "error": {"code": 502, "message": "provider disconnected"}}\n\n'


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(EVENTS, id="no-end"),
        pytest.param(EVENTS + ERROR, id="an-error-in-it"),
        pytest.param(EVENTS + ERROR + b"data: [DONE]\n\n", id="an-error-and-an-end"),
        pytest.param(b": keep-alive\n\n", id="comments-alone"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_a_stream_without_its_last_event_is_not_an_answer(http, pod, fake, ledger, events):
    token = await pod()
    fake.default = Garbage(events, content_type="text/event-stream")

    with pytest.raises(httpx.RemoteProtocolError):
        await http.post(CHATS, json=CHAT | {"stream": True}, headers={"authorization": f"Bearer {token}"})

    (call,) = await ended(ledger)
    assert call.outcome == "Cut"


async def test_a_daily_quota_closes_the_key_for_long_and_its_message_reaches_the_pod(http, pod, fake, database):
    token = await pod()
    fake.default = Failure(429, "quota exceeded", retry_after=20, quota="GenerateRequestsPerDayPerProjectPerModel")

    answers = [await http.post(GEMINI, json=GENERATE, headers={"x-goog-api-key": token}) for _ in range(2)]

    assert ([answer.status_code for answer in answers], len(fake.seen)) == ([429, 429], 1)
    assert "PerDay" in answers[0].text
    assert int(answers[1].headers["retry-after"]) > 500
