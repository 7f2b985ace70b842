"""The fake providers speak as the real ones do: the providers' own clients take them for real."""

import asyncio
import json

import anthropic
import httpx
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from tests.modelproviders import Answer, Cut, Failure, Garbage, Hang, Used, in_thread

# google-genai makes a class of aiohttp's session, which aiohttp discourages.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

USED = Used(input=100, output=20, cached=40, cache_written=10, thinking=5)
TOOL = Answer(calls=[("weather", {"city": "Paris"})])


def gemini(fake):
    return genai.Client(api_key="k", http_options={"base_url": fake.gemini}).aio


def openai_client(fake):
    return openai.AsyncOpenAI(api_key="k", base_url=fake.openai, max_retries=0)


def anthropic_client(fake):
    return anthropic.AsyncAnthropic(api_key="k", base_url=fake.anthropic, max_retries=0)


async def test_gemini_answers_completely_and_as_a_stream(fake):
    fake.script(Answer(used=USED), Answer(used=USED), TOOL)
    async with gemini(fake) as client:
        whole = await client.models.generate_content(model="gemini-x", contents="hi")
        stream = await client.models.generate_content_stream(model="gemini-x", contents="hi")
        pieces = [each async for each in stream]
        called = await client.models.generate_content(model="gemini-x", contents="hi")

    assert whole.text == "".join(each.text for each in pieces) == "It is sunny."
    assert pieces[-1].usage_metadata == whole.usage_metadata
    assert whole.usage_metadata.thoughts_token_count == 5
    assert called.function_calls[0].args == {"city": "Paris"}
    assert [each.key for each in fake.of("gemini")] == ["k"] * 3


async def test_openai_answers_completely_and_as_a_stream(fake):
    fake.script(Answer(used=USED), Answer(used=USED), TOOL)
    asked = {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}
    async with openai_client(fake) as client:
        whole = await client.chat.completions.create(**asked)
        stream = await client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        pieces = [each async for each in stream]
        called = await client.chat.completions.create(**asked)

    text = "".join(each.choices[0].delta.content or "" for each in pieces if each.choices)
    assert whole.choices[0].message.content == text == "It is sunny."
    assert pieces[-1].usage == whole.usage
    assert called.choices[0].message.tool_calls[0].function.name == "weather"


async def test_openai_responses_answer_completely_and_as_a_stream(fake):
    fake.script(Answer(used=USED), Answer(used=USED))
    async with openai_client(fake) as client:
        whole = await client.responses.create(model="gpt-x", input="hi")
        async with client.responses.stream(model="gpt-x", input="hi") as stream:
            streamed = await stream.get_final_response()

    assert whole.output_text == streamed.output_text == "It is sunny."
    assert whole.usage == streamed.usage


async def test_anthropic_answers_completely_and_as_a_stream(fake):
    fake.script(Answer(used=USED), Answer(used=USED), TOOL)
    asked = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    async with anthropic_client(fake) as client:
        whole = await client.messages.create(**asked)
        async with client.messages.stream(**asked) as stream:
            streamed = await stream.get_final_message()
        called = await client.messages.create(**asked)
        counted = await client.messages.count_tokens(model="claude-x", messages=asked["messages"])

    assert whole.content[0].text == streamed.content[0].text == "It is sunny."
    assert whole.usage.input_tokens == streamed.usage.input_tokens == 50
    assert called.content[0].input == {"city": "Paris"}
    assert counted.input_tokens == 11


async def test_embeddings_and_caches_are_answered(fake):
    async with gemini(fake) as client:
        embedded = await client.models.embed_content(model="embed-x", contents=["a", "b"])
        cache = await client.caches.create(model="gemini-x", config={"contents": "hi", "ttl": "60s"})
        await client.caches.delete(name=cache.name)
    async with openai_client(fake) as other:
        more = await other.embeddings.create(model="embed-x", input=["a", "b"], encoding_format="float")

    assert len(embedded.embeddings) == len(more.data) == 2
    assert cache.usage_metadata.total_token_count == 11


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503, 529])
async def test_errors_have_the_providers_format(fake, status):
    fake.script(*[Failure(status, "no", retry_after=7)] * 3)
    async with gemini(fake) as client:
        with pytest.raises(genai_errors.APIError) as from_gemini:
            await client.models.generate_content(model="gemini-x", contents="hi")
    async with openai_client(fake) as client:
        with pytest.raises(openai.APIStatusError) as from_openai:
            await client.embeddings.create(model="gpt-x", input="hi")
    async with anthropic_client(fake) as client:
        with pytest.raises(anthropic.APIStatusError) as from_anthropic:
            await client.messages.create(model="c", max_tokens=1, messages=[])

    assert {from_gemini.value.code, from_openai.value.status_code, from_anthropic.value.status_code} == {status}
    assert "retryDelay" in json.dumps(from_gemini.value.details)
    assert from_openai.value.response.headers["retry-after"] == "7"


async def test_a_stream_can_be_cut_off_and_a_body_can_be_too_short(fake):
    fake.script(Answer(cut_after=2), Answer(missing=10), Answer(cut_after=1), Cut())
    for stream in (True, False, False, True):
        asked = {"model": "c", "max_tokens": 1, "messages": [], "stream": stream}
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            async with httpx.AsyncClient() as client:
                await client.post(f"{fake.anthropic}/v1/messages", json=asked)

    assert [each.ended for each in fake.seen[:1]] == ["cut"]


async def test_a_disconnect_of_the_client_is_recorded(fake):
    fake.script(Hang(), Answer(hang_after=1))
    for _ in range(2):
        asked = {"model": "c", "max_tokens": 1, "messages": [], "stream": True}
        async with httpx.AsyncClient(timeout=httpx.Timeout(20, read=0.2)) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.post(f"{fake.anthropic}/v1/messages", json=asked)

    for _ in range(2000):
        if [each.ended for each in fake.seen] == ["hung up"] * 2:
            break
        await asyncio.sleep(0.01)
    assert [each.ended for each in fake.seen] == ["hung up"] * 2


async def test_garbage_and_compressed_answers_are_sent_as_configured(fake):
    fake.script(Garbage(), Answer(zipped=True))
    async with httpx.AsyncClient() as client:
        asked = {"model": "c", "max_tokens": 1, "messages": []}
        garbage = await client.post(f"{fake.anthropic}/v1/messages", json=asked)
        zipped = await client.post(f"{fake.anthropic}/v1/messages", json=asked)

    assert garbage.text.startswith("<html>")
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.json()["content"][0]["text"] == "It is sunny."


def test_a_client_that_blocks_is_served_by_another_thread():
    with in_thread() as fake, openai.OpenAI(api_key="k", base_url=fake.openai) as client:
        answer = client.responses.create(model="gpt-x", input="hi")

    assert answer.output_text == "It is sunny."
    assert fake.most_within(60) == 1
