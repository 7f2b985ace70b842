"""The providers' own clients and ADK's classes of models ask through the APIs as they ask the providers."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anthropic
import openai
import pytest
from google import genai
from google.adk.integrations.openai import OpenAILlm, OpenAIResponsesLlm
from google.adk.models.anthropic_llm import AnthropicLlm
from google.adk.models.google_llm import Gemini
from google.adk.models.llm_request import LlmRequest
from google.genai import errors as genai_errors
from google.genai import types
from google.oauth2.credentials import Credentials
from tests.modelproviders import Answer, Failure, Used

from agentjobs.contract import ErrorClass
from agentjobs.models.tokens import Tokens
from agentjobs.proxy.apis.api import CallRefusal, Operation
from agentjobs_runner.provider_errors import read

pytestmark = [
    # google-genai makes a class of aiohttp's session, which aiohttp discourages; ADK's classes are called experimental.
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

USED = Used(input=100, output=20, cached=40, thinking=5)
TOLD = Tokens(input=100, output=20, cached=40, thinking=5)
TOOL = [("weather", {"city": "Paris"})]
SPENT = CallRefusal(402, ErrorClass.BUDGET_EXCEEDED, "the budget is spent")
QUESTION = [{"role": "user", "content": "hi"}]
PROMPT = types.Content(role="user", parts=[types.Part(text="What is the weather? Ünïcödé 太陽")])
DECLARED = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="weather",
            description="Tells it",
            parameters=types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}),
        )
    ]
)


def gemini(proxy):
    return genai.Client(api_key="pod", http_options={"base_url": proxy.gemini}).aio


def vertex(proxy):
    options = {"base_url": proxy.vertex}
    credentials = Credentials(token="pod")
    return genai.Client(
        enterprise=True, project="theirs", location="moon", credentials=credentials, http_options=options
    ).aio


def express(proxy):
    """Vertex AI with a key instead of a project."""
    return genai.Client(enterprise=True, api_key="pod", http_options={"base_url": proxy.vertex}).aio


def openai_client(proxy):
    return openai.AsyncOpenAI(api_key="pod", base_url=proxy.openai, max_retries=2)


def anthropic_client(proxy):
    return anthropic.AsyncAnthropic(api_key="pod", base_url=proxy.anthropic, max_retries=2)


def claude_on_vertex(proxy):
    return anthropic.AsyncAnthropicVertex(
        access_token="pod", project_id="theirs", region="moon", base_url=f"{proxy.vertex}/v1", max_retries=0
    )


@asynccontextmanager
async def adk_model(kind, proxy):
    """One of ADK's classes, asking through the proxy; its client is closed at the end."""
    if kind == "gemini":
        client = genai.Client(api_key="pod", http_options={"base_url": proxy.gemini})
        try:
            yield Gemini(model="gemini-x", client=client)
        finally:
            await client.aio.aclose()
            client.close()
    elif kind == "anthropic":
        async with anthropic_client(proxy) as client:
            yield AnthropicLlm(model="claude-x", client=client)
    else:
        make = OpenAILlm if kind == "chat" else OpenAIResponsesLlm
        async with openai_client(proxy) as client:
            yield make(model="gpt-x", client=client)


def _class_of(error):
    """The class as the runner reads it."""
    return read(error, datetime.now(UTC)).refused


ADK = ["gemini", "chat", "response", "anthropic"]


async def asked_of(kind, proxy, *, stream, tools=True):
    config = types.GenerateContentConfig(tools=[DECLARED] if tools else None, system_instruction="Be brief.")
    async with adk_model(kind, proxy) as model:
        request = LlmRequest(model=model.model, contents=[PROMPT], config=config)
        return [each async for each in model.generate_content_async(request, stream=stream)]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ADK)
async def test_adk_gets_its_text_and_the_usage_is_read(proxy, fake, kind, stream):
    fake.script(Answer(used=USED))

    answers = await asked_of(kind, proxy, stream=stream)

    final = [each for each in answers if not each.partial][-1]
    assert "".join(part.text for part in final.content.parts if part.text) == "It is sunny."
    assert (proxy.read[0].tokens(), proxy.read[0].whole) == (TOLD, True)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ADK)
async def test_adk_gets_its_tool_calls(proxy, fake, kind, stream):
    fake.script(Answer(calls=TOOL, used=USED))

    answers = await asked_of(kind, proxy, stream=stream)

    calls = [part.function_call for part in answers[-1].content.parts if part.function_call]
    assert [(call.name, call.args) for call in calls] == TOOL
    assert (proxy.read[0].tokens(), proxy.read[0].whole) == (TOLD, True)


@pytest.mark.parametrize("kind", ADK)
async def test_the_provider_gets_adks_bytes_and_no_token_of_the_pod(proxy, fake, kind):
    await asked_of(kind, proxy, stream=True)

    seen = fake.seen[0]
    assert seen.body == proxy.asked[0].body
    assert "pod" not in {value.removeprefix("Bearer ") for value in seen.headers.values()}
    assert seen.headers["accept-encoding"] == "identity"
    assert seen.key == "the-key"


@pytest.mark.parametrize("kind", ADK)
async def test_an_alias_changes_only_the_name_of_the_model(proxy, fake, kind):
    proxy.model = {"gemini": "gemini-other", "anthropic": "anthropic/other"}.get(kind, "openai/other")
    await asked_of(kind, proxy, stream=False)

    before, after = proxy.asked[0].body, fake.seen[0].body
    assert fake.seen[0].model == proxy.model.removeprefix("openai/").removeprefix("anthropic/")
    assert after == before.replace(b'"gpt-x"', b'"other"').replace(b'"claude-x"', b'"other"')


@pytest.mark.parametrize("make", [gemini, vertex])
async def test_googles_client_can_use_an_alias_with_a_slash(proxy, fake, make):
    proxy.model = "gemini-other"
    async with make(proxy) as client:
        answer = await client.models.generate_content(model="team/fast", contents="hi")

    assert answer.text == "It is sunny."
    assert (proxy.asked[0].named, fake.seen[0].model) == ("team/fast", "gemini-other")


@pytest.mark.parametrize("kind", ADK)
async def test_the_estimate_of_adks_prompt_is_not_too_small(proxy, kind):
    await asked_of(kind, proxy, stream=False)

    # Some forty tokens of text, schema and instruction.
    assert 40 <= proxy.asked[0].input_estimate <= 400


@pytest.mark.parametrize("kind", ADK)
async def test_adk_raises_its_usual_error_with_our_error_class(proxy, kind):
    proxy.refusal = SPENT
    with pytest.raises((genai_errors.ClientError, openai.APIStatusError, anthropic.APIStatusError)) as raised:
        await asked_of(kind, proxy, stream=False)

    error = raised.value
    assert (getattr(error, "code", None) == 402) or error.status_code == 402
    assert _class_of(error) == "BudgetExceeded"


@pytest.mark.parametrize("kind", ["chat", "response", "anthropic"])
@pytest.mark.parametrize("status", [402, 409, 503])
async def test_clients_do_not_retry_permanent_errors(proxy, kind, status):
    tries = []
    proxy.refusal = CallRefusal(status, ErrorClass.BUDGET_EXCEEDED, "no")
    async with anthropic_client(proxy) if kind == "anthropic" else openai_client(proxy) as client:
        client._client.event_hooks["request"].append(_noting(tries))
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)):
            await _ask(kind, client)

    assert len(tries) == 1


def _noting(tries):
    async def note(request):
        tries.append(request.url)

    return note


async def _ask(kind, client):
    if kind == "anthropic":
        await client.messages.create(model="claude-x", max_tokens=9, messages=QUESTION)
    elif kind == "chat":
        await client.chat.completions.create(model="gpt-x", messages=QUESTION)
    elif kind == "response":
        await client.responses.create(model="gpt-x", input="hi")
    else:
        await client.models.generate_content(model="gemini-x", contents="hi")


async def test_the_error_of_a_limit_has_the_retry_delay(proxy):
    proxy.refusal = CallRefusal(429, ErrorClass.MODEL_RATE_LIMITED, "later", retry_after=12.5)
    async with openai.AsyncOpenAI(api_key="pod", base_url=proxy.openai, max_retries=0) as client:
        with pytest.raises(openai.RateLimitError) as from_openai:
            await client.responses.create(model="gpt-x", input="hi")
    async with gemini(proxy) as client:
        with pytest.raises(genai_errors.ClientError) as from_gemini:
            await client.models.generate_content(model="gemini-x", contents="hi")

    assert from_openai.value.response.headers["retry-after"] == "13"
    assert from_gemini.value.details["error"]["details"][1]["retryDelay"] == "13s"


@pytest.mark.parametrize("kind", ADK)
async def test_a_refusal_within_a_stream_is_raised_with_our_error_class(proxy, fake, kind):
    fake.script(Answer(pace=0.02, pieces=5))
    proxy.refusal, proxy.refuse_after = SPENT, 2

    with pytest.raises((genai_errors.APIError, openai.APIError, anthropic.APIError)) as raised:
        await asked_of(kind, proxy, stream=True, tools=False)

    assert _class_of(raised.value) == "BudgetExceeded"


async def test_counting_tokens_costs_nothing(proxy):
    async with gemini(proxy) as client:
        first = await client.models.count_tokens(model="gemini-x", contents="hi")
    async with anthropic_client(proxy) as client:
        second = await client.messages.count_tokens(model="claude-x", messages=QUESTION)
        third = await client.beta.messages.count_tokens(model="claude-x", messages=QUESTION)

    assert {first.total_tokens, second.input_tokens, third.input_tokens} == {11}
    assert [asked.operation for asked in proxy.asked] == [Operation.COUNT] * 3
    assert [read.tokens() for read in proxy.read] == [Tokens()] * 3


async def test_embeddings_are_answered_and_counted_if_the_provider_counts_them(proxy):
    async with gemini(proxy) as client:
        embedded = await client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"])
    async with openai_client(proxy) as client:
        more = await client.embeddings.create(model="embed-x", input=["a", "b"])

    assert len(embedded.embeddings) == len(more.data) == 2
    assert [asked.model for asked in proxy.asked] == ["gemini-embedding-001", "openai/embed-x"]
    assert [read.tokens() for read in proxy.read] == [None, Tokens(input=11)]


async def test_a_cache_is_created_used_and_deleted(proxy, fake):
    fake.script(Answer(used=Used(input=5000, output=0)))
    async with gemini(proxy) as client:
        cache = await client.caches.create(model="gemini-x", config={"contents": "long", "ttl": "1800s"})
        config = types.GenerateContentConfig(cached_content=cache.name)
        await client.models.generate_content(model="gemini-x", contents="hi", config=config)
        await client.caches.delete(name=cache.name)

    assert [asked.operation for asked in proxy.asked] == [Operation.KEEP, Operation.GENERATE, Operation.FORGET]
    assert [asked.sticky for asked in proxy.asked] == [True] * 3
    assert proxy.read[0].tokens() == Tokens(input=5000, cache_written=5000)


@pytest.mark.parametrize("make", [vertex, express])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_vertex_is_called_with_the_installations_project(proxy, fake, make, stream):
    fake.script(Answer(used=USED))
    async with make(proxy) as client:
        if stream:
            pieces = [each async for each in await client.models.generate_content_stream(model="gemini-x", contents="")]
            text = "".join(each.text for each in pieces)
        else:
            text = (await client.models.generate_content(model="gemini-x", contents="hi")).text

    assert text == "It is sunny."
    assert fake.seen[0].path.startswith("/v1beta1/projects/ours/locations/eu/publishers/google/models/gemini-x:")
    assert proxy.read[0].tokens() == TOLD


async def test_claude_on_vertex_is_called_with_the_installations_project(proxy, fake):
    fake.script(Answer(used=USED), Answer(used=USED), Answer())
    asked = {"model": "claude-x@20260101", "max_tokens": 9, "messages": QUESTION}
    async with claude_on_vertex(proxy) as client:
        whole = await client.messages.create(**asked)
        async with client.messages.stream(**asked) as stream:
            streamed = await stream.get_final_message()
        counted = await client.messages.count_tokens(model="claude-x@20260101", messages=QUESTION)

    place = "/v1/projects/ours/locations/eu/publishers/anthropic/models/"
    assert whole.content[0].text == streamed.content[0].text == "It is sunny."
    assert [each.path.removeprefix(place) for each in fake.seen] == [
        "claude-x@20260101:rawPredict",
        "claude-x@20260101:streamRawPredict",
        "count-tokens:rawPredict",
    ]
    assert [asked.model for asked in proxy.asked] == ["anthropic/claude-x@20260101"] * 3
    assert ([read.tokens() for read in proxy.read], counted.input_tokens) == ([TOLD, TOLD, Tokens()], 11)


@pytest.mark.parametrize(("make", "kind"), [(vertex, "gemini"), (claude_on_vertex, "anthropic")])
async def test_clients_of_vertex_raise_their_usual_error_with_our_error_class(proxy, make, kind):
    proxy.refusal = SPENT
    async with make(proxy) as client:
        with pytest.raises((genai_errors.ClientError, anthropic.APIStatusError)) as raised:
            await _ask(kind, client)

    assert _class_of(raised.value) == "BudgetExceeded"


async def test_the_usage_of_a_chat_that_does_not_request_it_is_estimated(proxy, fake):
    fake.script(Answer("word " * 100, used=USED))
    async with openai_client(proxy) as client:
        stream = await client.chat.completions.create(model="gpt-x", messages=QUESTION, stream=True)
        async for _ in stream:
            pass

    assert (proxy.read[0].tokens(), proxy.read[0].whole) == (None, True)
    assert 100 <= proxy.read[0].received_output <= 250


async def test_an_error_of_the_provider_is_passed_on(proxy, fake):
    fake.script(Failure(529, "overloaded"))
    async with anthropic.AsyncAnthropic(api_key="pod", base_url=proxy.anthropic, max_retries=0) as client:
        with pytest.raises(anthropic.APIStatusError) as raised:
            await client.messages.create(model="claude-x", max_tokens=9, messages=QUESTION)

    assert raised.value.status_code == 529
    assert raised.value.body["error"]["type"] == "overloaded_error"


async def test_other_requests_than_model_calls_get_an_error_of_the_clients_api(proxy):
    async with openai_client(proxy) as client:
        with pytest.raises(openai.NotFoundError) as from_openai:
            await client.models.list()
    async with anthropic_client(proxy) as client:
        with pytest.raises(anthropic.NotFoundError) as from_anthropic:
            await client.messages.batches.list()
    async with gemini(proxy) as client:
        with pytest.raises(genai_errors.ClientError) as from_gemini:
            await client.files.list()

    refused = [from_openai.value, from_anthropic.value, from_gemini.value]
    assert [_class_of(error) for error in refused] == ["ModelBadRequest"] * 3
