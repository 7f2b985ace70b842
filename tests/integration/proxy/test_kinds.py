"""A pod's clients ask every kind of provider through the real proxy: one token of the pod, each provider's own key."""

import asyncio
import json

import anthropic
import httpx
import openai
import psycopg
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google import genai
from tests.modelproviders import Answer, Used

from agentjobs import contract
from agentjobs.history.database import Database
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs.proxy.serve import serving
from agentjobs.settings import proxy_settings

pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The load_credentials_from_dict method:DeprecationWarning"),
]

USED = Used(input=100, output=20, cached=40, thinking=5)
QUESTION = [{"role": "user", "content": "hi"}]


@pytest.fixture
def models_file(fake, tmp_path):
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {"type": "service_account", "client_email": "a@b.test", "token_uri": fake.token_uri}
    (tmp_path / "VertexAI").write_text(json.dumps({**account, "private_key": key.decode()}))
    for kind in ("Gemini", "OpenAI", "Anthropic"):
        (tmp_path / kind).write_text(f"key-of-{kind}\n")

    def provider(kind, base, **more):
        keys = [{"name": "main", "file": str(tmp_path / kind)}]
        return {"name": kind.lower(), "kind": kind, "baseUrl": base, "keys": keys, **more}

    vertex = {"project": "ours", "location": "eu", "models": ["gemini-x", "anthropic/claude-*@*"]}
    providers = [
        provider("Gemini", fake.gemini),
        provider("OpenAI", fake.openai),
        provider("Anthropic", fake.anthropic),
        provider("VertexAI", fake.vertex, **vertex),
    ]
    file = tmp_path / "models.yaml"
    file.write_text(yaml.safe_dump({"providers": providers, "aliases": {"team/fast": "openai/gpt-5-mini"}}))
    return file


@pytest.fixture
async def url(database, apiserver, models_file):
    """URL of a running proxy that lets requests in."""
    settings = proxy_settings(
        database_url=database,
        kubeconfig=str(apiserver.kubeconfig),
        host="127.0.0.1",
        port=0,
        check_addresses=False,
        models_file=models_file,
    )
    async with serving(settings) as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
        for _ in range(200):
            if (await http.head(f"{contract.MODELS_ANTHROPIC}/api/hello")).status_code != 503:
                break
            await asyncio.sleep(0.05)
        yield url


@pytest.fixture
async def token(database, cluster, story):
    """Of a pod that has claimed its start."""
    token = await cluster.add_runner("hello", 1, "u1")
    await story.begin()
    pod = (await cluster.http.get(f"/api/v1/namespaces/{cluster.namespace}/pods/hello-1")).json()
    async with Database(database) as connection:
        runners = RunnerWrites(connection, cluster=await cluster.uid())
        await runners.claim("u1", 1, pod["metadata"]["uid"], namespace=cluster.namespace, job="hello")
    return token


def gemini(url, token):
    return genai.Client(api_key=token, http_options={"base_url": url + contract.MODELS_GEMINI}).aio


def express(url, token):
    return genai.Client(enterprise=True, api_key=token, http_options={"base_url": url + contract.MODELS_VERTEX}).aio


def openai_client(url, token):
    return openai.AsyncOpenAI(api_key=token, base_url=url + contract.MODELS_OPENAI, max_retries=0)


def anthropic_client(url, token):
    return anthropic.AsyncAnthropic(api_key=token, base_url=url + contract.MODELS_ANTHROPIC, max_retries=0)


def claude_on_vertex(url, token):
    place = {"project_id": "theirs", "region": "moon", "base_url": f"{url}{contract.MODELS_VERTEX}/v1"}
    return anthropic.AsyncAnthropicVertex(access_token=token, max_retries=0, **place)


async def ask_gemini(client, model):
    return (await client.models.generate_content(model=model, contents="hi")).text


async def ask_gemini_for_a_stream(client, model):
    stream = await client.models.generate_content_stream(model=model, contents="hi")
    return "".join([each.text async for each in stream])


async def ask_for_a_chat(client, model):
    return (await client.chat.completions.create(model=model, messages=QUESTION)).choices[0].message.content


async def ask_for_a_response(client, model):
    async with client.responses.stream(model=model, input="hi") as stream:
        return (await stream.get_final_response()).output_text


async def ask_for_a_message(client, model):
    return (await client.messages.create(model=model, max_tokens=9, messages=QUESTION)).content[0].text


async def ask_for_a_message_in_pieces(client, model):
    async with client.messages.stream(model=model, max_tokens=9, messages=QUESTION) as stream:
        return await stream.get_final_text()


@pytest.mark.parametrize(
    ("make", "ask", "named", "model", "key"),
    [
        (gemini, ask_gemini, "gemini-y", "gemini-y", "key-of-Gemini"),
        (gemini, ask_gemini_for_a_stream, "gemini-y", "gemini-y", "key-of-Gemini"),
        (express, ask_gemini, "gemini-x", "gemini-x", "vertex-token-1"),
        (express, ask_gemini_for_a_stream, "gemini-x", "gemini-x", "vertex-token-1"),
        (openai_client, ask_for_a_chat, "gpt-5", "openai/gpt-5", "key-of-OpenAI"),
        (openai_client, ask_for_a_response, "team/fast", "openai/gpt-5-mini", "key-of-OpenAI"),
        (anthropic_client, ask_for_a_message, "claude-x", "anthropic/claude-x", "key-of-Anthropic"),
        (anthropic_client, ask_for_a_message_in_pieces, "claude-x", "anthropic/claude-x", "key-of-Anthropic"),
        (claude_on_vertex, ask_for_a_message, "claude-x@1", "anthropic/claude-x@1", "vertex-token-1"),
        (claude_on_vertex, ask_for_a_message_in_pieces, "claude-x@1", "anthropic/claude-x@1", "vertex-token-1"),
    ],
)
@pytest.mark.alone("its pod has no job, and a garbage collector deletes it")
async def test_every_client_is_answered_and_its_call_recorded(database, fake, url, token, make, ask, named, model, key):
    fake.script(Answer(used=USED))
    async with make(url, token) as client:
        text = await ask(client, named)

    assert (text, [each.key for each in fake.seen]) == ("It is sunny.", [key])
    assert await recorded(database) == [("Answered", model, 100, 20, 40, False)]


@pytest.mark.alone("its pod has no job, and a garbage collector deletes it")
async def test_a_stream_cut_off_within_an_event_is_a_broken_connection_to_its_client(database, fake, url, token):
    fake.script(Answer(cut_within=3), Answer(cut_after=3))
    async with openai_client(url, token) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await ask_for_a_response(client, "gpt-5")
        with pytest.raises(openai.APIError) as raised:
            await ask_for_a_response(client, "gpt-5")

    assert raised.value.code == "agentjobs.dev/ModelUnavailable"


async def recorded(database):
    asked = "SELECT outcome, model, input, output, cached, estimated FROM agentjobs.model_calls"
    async with await psycopg.AsyncConnection.connect(database) as connection:
        for _ in range(200):
            rows = await (await connection.execute(asked)).fetchall()
            await connection.rollback()
            if rows and rows[0][0] is not None:
                break
            await asyncio.sleep(0.02)
    return rows
