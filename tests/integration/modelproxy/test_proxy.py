"""Calls through a real proxy, from a pod's token to the row in the database."""

import asyncio
import json
import logging

import httpx
import pytest
from tests.modelproviders import Answer, Cut, Failure, Garbage, Hang, Used

from agentjobs.contract import HEADER_MAX_WAIT, HEADER_MODEL, HEADER_STEP, read_refusal
from agentjobs.proxy import exchange, sending, upstream
from agentjobs.proxy.serve import serving
from tests import claudecoderequest

pytestmark = pytest.mark.alone("runners' pods here have no job")

CHAT = {"model": "gpt-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
MESSAGES = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
GENERATE = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 100}}
GEMINI = "/gemini/v1beta/models/gemini-2.5-flash:generateContent"
GEMINI_STREAM = "/gemini/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"


async def settled(ledger, count=1):
    """Wait until so many calls have ended."""
    for _ in range(500):
        calls = await ledger.calls()
        if len(calls) == count and all(call.ended for call in calls):
            return calls
        await asyncio.sleep(0.01)
    raise AssertionError(calls)


@pytest.mark.parametrize(
    ("path", "header", "body", "model"),
    [
        pytest.param(GEMINI, "x-goog-api-key", GENERATE, "gemini-2.5-flash", id="gemini"),
        pytest.param("/openai/v1/chat/completions", "Authorization", CHAT, "openai/gpt-5", id="openai"),
        pytest.param("/anthropic/v1/messages", "x-api-key", MESSAGES, "anthropic/claude-sonnet-4-5", id="anthropic"),
    ],
)
async def test_a_pods_call_reaches_its_provider_with_the_providers_key_and_is_settled(
    http, pod, fake, ledger, path, header, body, model
):
    token = await pod()
    fake.script(Answer(used=Used(input=1000, output=200)))

    answer = await http.post(path, json=body, headers={header: f"Bearer {token}" if header[0] == "A" else token})

    assert answer.status_code == 200, answer.text
    (seen,) = fake.seen
    (call,) = await settled(ledger)
    assert (seen.key, seen.json) == (f"key-of-{call.provider}", body)
    assert (call.asked, call.model, call.outcome, call.status) == (model, model, "Answered", 200)
    assert (call.input, call.output, float(call.cost)) == (1000, 200, 0.003)


def key(token):
    return {"x-api-key": token}


async def ask(http, token, body=MESSAGES, **headers):
    return await http.post("/anthropic/v1/messages", json=body, headers=key(token) | headers)


def code(answer):
    """The class that a refusal in Anthropic's form has."""
    return answer.json()["error"]["type"], answer.json()["error"].get("code")


def identifier(answer):
    """What Claude Code hands on of a refusal."""
    return answer.json()["error"]["details"]["error_code"]


async def test_a_stream_is_passed_unchanged_and_its_usage_is_read(http, pod, fake, ledger):
    token = await pod()
    fake.default = Answer(used=Used(input=500, output=50), pieces=5)
    direct = await asyncio.to_thread(
        httpx.post, f"{fake.anthropic}/v1/messages", json=MESSAGES | {"stream": True}, headers={"x-api-key": "k"}
    )

    answer = await ask(http, token, MESSAGES | {"stream": True}, **{HEADER_STEP: "main/hello/1"})

    (call,) = await settled(ledger)
    assert (answer.content, answer.headers["content-type"]) == (direct.content, direct.headers["content-type"])
    assert (call.step, call.input, call.output, call.estimated) == ("main/hello/1", 500, 50, False)


async def test_the_first_chunk_arrives_before_the_last_is_sent(http, pod, fake):
    token = await pod()
    fake.default = Answer(pieces=3, hang_after=3)

    async with http.stream(
        "POST", "/anthropic/v1/messages", json=MESSAGES | {"stream": True}, headers=key(token)
    ) as answer:
        first = await anext(answer.aiter_raw())

    assert b"message_start" in first


async def test_neither_the_pods_token_nor_its_own_headers_reach_the_provider(http, pod, fake):
    token = await pod()
    mine = {"cookie": "a=b", "x-forwarded-for": "1.2.3.4", "anthropic-version": "2023-06-01", "x-other": "1"}

    await ask(http, token, **mine)

    sent = fake.seen[0].headers
    assert not {"cookie", "x-forwarded-for", "x-other", "agentjobs-step"} & sent.keys()
    assert token not in str(sent)
    assert (sent["anthropic-version"], sent["accept-encoding"]) == ("2023-06-01", "identity")


async def test_a_disconnect_ends_the_call_at_the_provider_and_settles_what_was_received(http, pod, fake, ledger):
    token = await pod()
    fake.default = Answer(used=Used(input=500, output=50), pieces=4, hang_after=3)

    async with http.stream(
        "POST", "/anthropic/v1/messages", json=MESSAGES | {"stream": True}, headers=key(token)
    ) as answer:
        await anext(answer.aiter_raw())

    (call,) = await settled(ledger)
    assert (call.outcome, call.input, call.estimated) == ("Cut", 500, True)
    assert [seen.ended for seen in fake.seen] == ["hung up"]


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_a_disconnect_before_the_first_byte_ends_the_call_at_the_provider(http, pod, fake, ledger, streamed):
    token = await pod()
    fake.default = Hang()
    asking = asyncio.create_task(ask(http, token, MESSAGES | {"stream": streamed}))
    while not fake.seen:
        await asyncio.sleep(0.01)

    asking.cancel()

    (call,) = await settled(ledger)
    for _ in range(200):
        if fake.seen[0].ended:
            break
        await asyncio.sleep(0.01)
    assert (call.outcome, call.status, fake.seen[0].ended) == ("Cut", 0, "hung up")
    assert call.cost <= call.reserved_cost


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        pytest.param(Cut(), 502, id="cut"),
        pytest.param(Garbage(), 502, id="a-page"),
        pytest.param(Garbage(content_type="application/json"), None, id="garbage"),
        pytest.param(Garbage(b"", content_type="application/json"), None, id="nothing"),
        pytest.param(Answer(missing=10), None, id="wrong-length"),
        pytest.param(Answer(cut_after=0), None, id="half-a-body"),
        pytest.param(Failure(500), 500, id="its-own-500"),
        pytest.param(Failure(529, delay=0.05), 529, id="overloaded"),
        pytest.param(Failure(400, "no such parameter"), 400, id="its-own-400"),
    ],
)
async def test_a_faulty_answer_of_a_provider_never_becomes_a_complete_one(http, pod, fake, ledger, behaviour, status):
    token = await pod()
    fake.default = behaviour

    if status is None:
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(http, token)
    else:
        assert (await ask(http, token)).status_code == status

    (call,) = await settled(ledger)
    assert call.outcome == ("Cut" if status is None else "Failed")
    assert bool(call.cost) == (status is None)


@pytest.mark.parametrize("cut", [1, 3, 5])
async def test_a_stream_that_is_cut_off_ends_with_an_error(http, pod, fake, ledger, cut):
    token = await pod()
    fake.default = Answer(pieces=6, cut_after=cut)

    with pytest.raises(httpx.RemoteProtocolError):
        await ask(http, token, MESSAGES | {"stream": True})

    (call,) = await settled(ledger)
    assert (call.outcome, call.status, call.estimated) == ("Cut", 200, True)


async def test_a_call_to_a_hanging_provider_is_aborted(pod, fake, ledger, monkeypatch, settings):
    short = upstream.ProviderTimeouts(0.1, 0.1)
    monkeypatch.setattr(upstream, "ProviderTimeouts", lambda: short)
    token = await pod()
    fake.script(Hang(), Answer(hang_after=2))

    async with serving(settings()) as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
        silent = await ask(http, token)
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(http, token, MESSAGES | {"stream": True})

    assert silent.status_code == 504
    calls = await settled(ledger, 2)
    assert [(call.outcome, call.estimated, call.cost > 0) for call in calls] == [("Cut", True, True)] * 2


@pytest.mark.parametrize("raw", [None, {"input_tokens": -5, "output_tokens": 10**15}, {"input_tokens": "many"}])
async def test_missing_or_absurd_usage_is_settled_at_an_estimate(http, pod, fake, ledger, raw):
    token = await pod()
    fake.default = Answer(used=None, raw_usage=raw)

    assert (await ask(http, token)).status_code == 200

    (call,) = await settled(ledger)
    assert (call.outcome, call.estimated) == ("Answered", True)
    assert 0 < call.input < 1000
    assert 0 < call.cost <= call.reserved_cost


async def test_a_refused_key_is_named_by_its_file_and_never_shown(http, pod, fake, keys, caplog):
    caplog.set_level(logging.DEBUG)
    token = await pod()
    fake.default = Failure(401, "Incorrect API key provided: key-of-anthropic")

    answer = await ask(http, token)

    assert (answer.status_code, "ModelAuth" in answer.text) == (401, True)
    assert f"anthropic/anthropic ({keys / 'anthropic'})" in answer.text
    assert "key-of-anthropic" not in answer.text + caplog.text
    assert token not in caplog.text


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(Failure(403, "CachedContent not found (or permission denied)"), id="another's-cache"),
        pytest.param(
            Failure(400, 'Unknown name "API_KEY_INVALID": {"reason": "API_KEY_INVALID"}'), id="a-field-so-named"
        ),
    ],
)
async def test_no_request_of_a_pod_can_close_a_key_to_others(http, pod, fake, failure):
    fake.script(failure)
    token = await pod()

    first, second = [await http.post(GEMINI, json=GENERATE, headers={"x-goog-api-key": token}) for _ in range(2)]

    assert (first.status_code, first.json()["error"]["message"]) == (failure.status, failure.message)
    assert second.status_code == 200


async def test_a_missing_key_is_named_and_used_when_it_exists(http, pod, fake, keys, monkeypatch):
    monkeypatch.setattr("agentjobs.proxy.keys.POLL_SECONDS", 0.0)
    token = await pod()
    (keys / "anthropic").unlink()
    without = await ask(http, token)
    (keys / "anthropic").write_text("another")

    answer = await ask(http, token)

    assert (without.status_code, str(keys / "anthropic") in without.text) == (403, True)
    assert (answer.status_code, fake.seen[-1].key) == (200, "another")


async def test_another_key_is_used_while_one_is_at_its_limit(settings, models_file, pod, fake, ledger):
    fake.choose = lambda seen: Failure(429, retry_after=30) if seen.key == "key-of-gemini" else None
    token = await pod()

    async with (
        serving(settings(models_file=models_file(keys_of_gemini=("gemini", "second")))) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        answers = [await http.post(GEMINI, json=GENERATE, headers={"x-goog-api-key": token}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [seen.key for seen in fake.seen].count("key-of-gemini") <= 1
    assert {call.key for call in await settled(ledger, 3)} == {"gemini/second"}


@pytest.mark.parametrize(
    ("failure", "times"),
    [
        pytest.param(
            Failure(429, "Request too large for gpt-5: Limit 30000, Requested 31538"), 1, id="said-to-be-large"
        ),
        pytest.param(Failure(429, retry_after=0.1), sending.BUSY_TIMES, id="refused-again-and-again"),
    ],
)
async def test_a_request_that_its_provider_always_refuses_does_not_keep_the_key_from_others(
    http, pod, fake, failure, times
):
    fake.choose = lambda seen: failure if "large" in str(seen.json) else None
    token = await pod()
    headers, large = {"Authorization": f"Bearer {token}"}, CHAT | {"messages": [{"role": "user", "content": "large"}]}

    refused = await http.post("/openai/v1/chat/completions", json=large, headers=headers)
    answer = await http.post("/openai/v1/chat/completions", json=CHAT, headers=headers)

    assert (refused.status_code, answer.status_code, len(fake.seen)) == (429, 200, times + 1)


async def test_a_request_of_claude_code_reaches_the_provider_unchanged(http, pod, fake):
    token = await pod()
    # Its apiKeyHelper gives both of them.
    keys = {"x-api-key": token, "authorization": f"Bearer {token}"}

    path, body = f"/anthropic/v1/messages?{claudecoderequest.QUERY}", json.dumps(claudecoderequest.BODY)
    answer = await http.post(path, content=body, headers={**claudecoderequest.HEADERS, **keys})

    assert answer.status_code == 200, answer.text
    (seen,) = fake.seen
    assert (seen.body.decode(), seen.query, seen.key) == (body, claudecoderequest.QUERY, "key-of-anthropic")
    assert {name: seen.headers.get(name) for name in claudecoderequest.HEADERS} == claudecoderequest.HEADERS
    assert token not in str(seen.headers)


@pytest.mark.parametrize("status", [429, 503, 529])
async def test_a_long_retry_delay_of_a_provider_is_in_the_error_code(http, pod, fake, status):
    fake.default = Failure(status, retry_after=7200)
    token = await pod()

    answer = await ask(http, token)

    assert answer.status_code == 429
    assert identifier(answer) == "agentjobs_model_rate_limited_retry_after_7200"
    assert answer.headers["retry-after"] == "7200"


async def test_calls_for_a_key_closed_for_long_get_the_delay_in_the_error_code(http, pod, fake):
    fake.default = Failure(429, retry_after=600)
    token = await pod()

    answers = [await ask(http, token) for _ in range(2)]

    told = [read_refusal(identifier(answer)) for answer in answers]
    assert [found.error_class for found in told] == ["ModelRateLimited", "ModelRateLimited"]
    assert all(590 <= found.retry_after <= 600 for found in told)
    assert len(fake.seen) == 1


@pytest.mark.parametrize(("status", "seconds"), [(429, 30), (400, 7200), (500, 7200)])
async def test_other_errors_of_a_provider_are_passed_on_unchanged(http, pod, fake, status, seconds):
    fake.default = Failure(status, retry_after=seconds)
    token = await pod()

    answer = await ask(http, token, **{HEADER_MAX_WAIT: "1"})

    assert answer.status_code == status
    assert not code(answer)[0].startswith("agentjobs.dev/")


async def test_clients_that_expose_headers_get_a_providers_long_delay_unchanged(http, pod, fake):
    fake.default = Failure(429, retry_after=7200)
    token = await pod()

    answer = await http.post("/openai/v1/chat/completions", json=CHAT, headers={"Authorization": f"Bearer {token}"})

    assert answer.headers["retry-after"] == "7200"
    assert "agentjobs.dev" not in answer.text


async def test_a_fallback_answers_for_an_unavailable_model_and_is_reported(settings, models_file, pod, fake, ledger):
    fallbacks = [{"model": "anthropic/claude-sonnet-4-5", "to": ["anthropic/claude-haiku-4-5"], "after": "1s"}]
    fake.choose = lambda seen: Failure(503) if "sonnet" in seen.model else None
    token = await pod()

    async with (
        serving(settings(models_file=models_file(fallbacks=fallbacks))) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        answer = await ask(http, token)

    (call,) = await settled(ledger)
    assert (answer.status_code, answer.headers[HEADER_MODEL]) == (200, "anthropic/claude-haiku-4-5")
    assert [*dict.fromkeys(seen.model for seen in fake.seen)] == ["claude-sonnet-4-5", "claude-haiku-4-5"]
    assert (call.asked, call.model) == ("anthropic/claude-sonnet-4-5", "anthropic/claude-haiku-4-5")


async def test_an_alias_is_replaced_by_its_model_in_the_request(settings, models_file, pod, fake, ledger):
    token = await pod()

    async with (
        serving(settings(models_file=models_file(aliases={"team/fast": "openai/gpt-5"}))) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        headers = {"authorization": f"Bearer {token}"}
        answer = await http.post("/openai/v1/chat/completions", json=CHAT | {"model": "team/fast"}, headers=headers)

    (call,) = await settled(ledger)
    assert (answer.status_code, fake.seen[0].model) == (200, "gpt-5")
    assert (call.asked, call.model) == ("team/fast", "openai/gpt-5")


async def test_a_budget_of_calls_is_never_exceeded_by_simultaneous_calls(http, pod, fake, ledger):
    token = await pod(budget=json.dumps({"maxLLMCalls": 3}))

    answers = await asyncio.gather(*(ask(http, token) for _ in range(10)))

    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [402] * 7
    assert len(fake.seen) == 3


async def test_a_budget_of_cost_is_exceeded_by_one_call_at_most(http, pod, fake, ledger):
    fake.default = Answer(used=Used(input=100, output=100))  # 0.0011 dollars each, reserved at as much
    token = await pod(budget=json.dumps({"maxCostUSD": "0.0042"}))

    answers = await asyncio.gather(*(ask(http, token) for _ in range(20)))

    calls = [call for call in await ledger.calls() if call.outcome == "Answered"]
    assert {answer.status_code for answer in answers} == {200, 402}
    assert 0.0042 <= float(sum(call.cost for call in calls)) <= 0.0042 + 0.0011


async def test_a_model_without_a_price_is_refused_only_under_a_cost_limit(settings, models_file, pod, fake):
    free, limited = await pod("a", uid="u1"), await pod("b", uid="u2", budget=json.dumps({"maxCostUSD": "1"}))
    body = MESSAGES | {"model": "unknown-model"}

    async with (
        serving(settings(models_file=models_file(prices=[]))) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        answers = [await ask(http, token, body) for token in (free, limited)]

    assert [answer.status_code for answer in answers] == [200, 400]
    assert "UnknownModelPrice" in answers[1].text


async def test_a_fenced_pod_can_no_longer_call_models(http, pod, story, fake):
    token = await pod()
    await pod(start=2)

    answer = await ask(http, token)

    assert (answer.status_code, fake.seen) == (409, [])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/anthropic/v1/files", 404),
        ("/other/v1/messages", 404),
        ("/anthropic/v1/../v1/messages", 400),
        ("/anthropic/%2e%2e/v1/messages", 400),
        ("/anthropic//v1/messages", 400),
        ("/anthropic/v1/messages%00", 400),
    ],
)
async def test_other_paths_are_refused_without_a_call_to_a_provider(proxy, pod, fake, path, status):
    token = await pod()

    said = await raw(proxy, f"POST {path} HTTP/1.1\r\nHost: x\r\nx-api-key: {token}\r\nContent-Length: 2\r\n\r\n{{}}")

    assert (int(said.split()[1]), fake.seen) == (status, [])


async def raw(url, text):
    """Send bytes and return what comes back until the connection closes or a moment passes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(text.encode())
    try:
        async with asyncio.timeout(5):
            return (await reader.read(65536)).decode("utf-8", "replace")
    finally:
        writer.close()


async def test_an_answer_that_is_not_a_stream_arrives_with_its_head(proxy, pod, fake):
    token = await pod()
    head = f"POST /anthropic/v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: {token}\r\nContent-Length: {len(BODY)}"

    said = await raw(proxy, f"{head}\r\n\r\n{BODY}")

    assert json.loads(said.partition("\r\n\r\n")[2])["type"] == "message"


BODY = json.dumps(MESSAGES)
CHUNKED = f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "rest"),
    [
        pytest.param(
            "POST {p} HTTP/1.1\nHost: x\n{k}\nContent-Length: 4\nTransfer-Encoding: chunked", CHUNKED, id="both-lengths"
        ),
        pytest.param("POST {p} HTTP/1.1\nHost: x\n{k}\nContent-Length: 4\nContent-Length: 5", BODY, id="two-lengths"),
        pytest.param("POST {p} HTTP/1.1\nHost: x\n{k}\nTransfer-Encoding: chunked, identity", CHUNKED, id="odd-coding"),
        pytest.param("POST {p} HTTP/1.1\nHost: x\n{k}\nTransfer-Encoding : chunked", CHUNKED, id="space-before-colon"),
        pytest.param("POST http://evil{p} HTTP/1.1\nHost: x\n{k}\nContent-Length: 2", "{}", id="absolute-form"),
        pytest.param("CONNECT evil:443 HTTP/1.1\nHost: x\n{k}", "", id="connect"),
        pytest.param(
            "POST {p} HTTP/1.1\nHost: x\n{k}\nConnection: upgrade\nUpgrade: h2c\nContent-Length: 2", "{}", id="upgrade"
        ),
        pytest.param("POST {p} HTTP/1.1\nHost: x\nHost: y\n{k}\nContent-Length: 2", "{}", id="two-hosts"),
        pytest.param(
            "POST {p} HTTP/1.1\nHost: x\n{k}\nContent-Encoding: gzip\nContent-Length: 2", "{}", id="compressed"
        ),
        pytest.param("GARBAGE", "", id="no-http"),
    ],
)
async def test_ambiguous_requests_are_refused(proxy, pod, fake, head, rest):
    token = await pod()
    text = head.format(p="/anthropic/v1/messages", k=f"x-api-key: {token}").replace("\n", "\r\n")

    said = await raw(proxy, f"{text}\r\n\r\n{rest}")

    assert (said.split()[1], fake.seen) == ("400", [])


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
async def test_a_request_that_is_too_large_is_413_and_not_buffered(settings, models_file, pod, fake, announced):
    token = await pod()
    body = b'{"model": "claude", "x": "' + b"x" * 70_000 + b'"}'

    async def pieces():
        yield body

    async with (
        serving(settings(models_file=models_file(maxRequestBytes="64Ki"))) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        answer = await http.post("/anthropic/v1/messages", content=body if announced else pieces(), headers=key(token))

    assert (answer.status_code, fake.seen) == (413, [])


async def test_invalid_and_missing_tokens_are_refused_in_the_providers_format(http, pod, fake):
    answers = [await ask(http, "nobody"), await http.post("/anthropic/v1/messages", json=MESSAGES)]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert [answer.json()["type"] for answer in answers] == ["error", "error"]
    assert fake.seen == []


async def test_a_limit_delays_calls_until_it_has_capacity_and_reports_when(
    settings, models_file, pod, fake, monkeypatch
):
    monkeypatch.setattr(exchange, "MAX_WAIT_SECONDS", 0.2)
    token = await pod()

    async with (
        serving(settings(models_file=models_file(limits=[{"requestsPerMinute": 2}]))) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        answers = [await ask(http, token) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 62
    assert len(fake.seen) == 2


async def test_calls_in_progress_when_the_proxy_stops_are_cut_off_and_settled(settings, pod, fake, ledger):
    token = await pod()
    fake.default = Answer(used=Used(input=500, output=50), pieces=4, hang_after=3)

    async with httpx.AsyncClient(trust_env=False) as http:
        async with serving(settings(drain="50ms")) as url:
            stream = http.build_request(
                "POST", f"{url}/anthropic/v1/messages", json=MESSAGES | {"stream": True}, headers=key(token)
            )
            answer = await http.send(stream, stream=True)
            pieces = answer.aiter_raw()
            await anext(pieces)
        (call,) = await ledger.calls()
        with pytest.raises(httpx.HTTPError):
            [piece async for piece in pieces]

    assert (call.outcome, call.input, call.ended is None) == ("Cut", 500, False)


async def test_no_prompt_no_answer_and_no_key_is_logged(http, pod, fake, caplog, ledger):
    caplog.set_level(logging.DEBUG)
    token = await pod()
    fake.default = Answer(text="the-secret-answer")

    await ask(http, token, MESSAGES | {"messages": [{"role": "user", "content": "the-secret-question"}]})
    await settled(ledger)

    (record,) = [record for record in caplog.records if record.message == "call.ended"]
    assert (record.job, record.model, record.outcome) == ("hello", "anthropic/claude-sonnet-4-5", "Answered")
    everything = caplog.text + str([vars(record) for record in caplog.records])
    assert not [word for word in ("the-secret", "key-of", token) if word in everything]


async def test_probes_and_metrics_are_answered(http, pod):
    await ask(http, await pod())

    health, ready, metrics = [await http.get(path) for path in ("/healthz", "/readyz", "/metrics")]

    assert (health.status_code, ready.status_code) == (200, 200)
    assert 'agentjobs_proxy_calls_total{outcome="Answered",provider="anthropic"} 1.0' in metrics.text
