"""The real runner and the real clients of three providers, before a server that pretends to be the model proxy."""

import json
import ssl
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest

from agentjobs import contract
from agentjobs.contract import ErrorClass
from agentjobs.proxy.apis import find
from agentjobs.proxy.apis.api import CallRefusal
from devcluster.certificates import Authority

# The name in a job, what the proxy is asked for, and where the client puts its key.
CLIENTS = {
    "gemini": ("gemini-flash-latest", "gemini-flash-latest", "x-goog-api-key"),
    "openai": ("openai/some-model", "some-model", "Authorization"),
    "anthropic": ("anthropic/some-model", "some-model", "Authorization"),
}
SUCCEEDED = ("Succeed", "ResultAccepted")
CODE = """
from google.adk.agents import LlmAgent
root_agent = LlmAgent(name="helper", model={model}, instruction="Help.")
"""


def a_team_of(*models, kind):
    members = [{"name": f"m{n}", "instruction": "Help.", "model": model} for n, model in enumerate(models)]
    return {"name": "team", "agentClass": kind, "subAgents": [one["name"] for one in members], "agents": members}


def events(items):
    return "".join(f"event: {item.get('type', 'x')}\ndata: {json.dumps(item)}\n\n" for item in items).encode()


def in_openais_words(text, streamed):
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    frame = {"id": "x", "created": 1, "model": "m", "usage": usage}
    choice = {"index": 0, "finish_reason": "stop"}
    if not streamed:
        message = {"role": "assistant", "content": text}
        return {**frame, "object": "chat.completion", "choices": [{**choice, "message": message}]}
    chunk = {**frame, "object": "chat.completion.chunk", "choices": [{**choice, "delta": {"content": text}}]}
    return f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()


def in_anthropics_words(text, streamed):
    usage = {"input_tokens": 11, "output_tokens": 5}
    frame = {"id": "x", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None, "usage": usage}
    if not streamed:
        return {**frame, "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}
    return events(
        [
            {"type": "message_start", "message": {**frame, "content": [], "stop_reason": None}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ]
    )


def in_googles_words(text, streamed):
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 5, "totalTokenCount": 16}
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, "finishReason": "STOP"}
    answer = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "fake"}
    return f"data: {json.dumps(answer)}\r\n\r\n".encode() if streamed else answer


WORDS = {
    contract.MODELS_GEMINI: in_googles_words,
    contract.MODELS_VERTEX: in_googles_words,
    contract.MODELS_OPENAI: in_openais_words,
    contract.MODELS_ANTHROPIC: in_anthropics_words,
}


@pytest.fixture
def proxy(serve):
    """Answers every client in its provider's words; `calls` has what came, `then` is called with each number."""

    class Proxy:
        then = staticmethod(lambda number: None)
        refuses = None
        """What every call is answered."""
        breaks_off = False
        """Whether that comes within a stream."""
        says = staticmethod(lambda headers: "Hello.")

        def answer(self, method, path, headers, body):
            self.calls.append((path, headers, body))
            self.then(len(self.calls))
            words = next(words for prefix, words in WORDS.items() if path.startswith(f"{prefix}/"))
            streamed = "streamGenerateContent" in path or bool(body.get("stream"))
            words = in_anthropics_words if "/publishers/anthropic/" in path else words
            api, _ = find(path)
            if self.breaks_off:
                begun = words("Half an answer", streamed).split(b"\n\n")[0]
                return 200, {"content-type": "text/event-stream"}, begun + api.refusal_event(self.refuses)
            if self.refuses:
                return self.refuses.status, self.refuses.headers, api.refusal_body(self.refuses)
            kind = "text/event-stream" if streamed else "application/json"
            return 200, {"content-type": kind}, words(self.says(headers), streamed)

        @property
        def models(self):
            """What was asked for."""
            return [body.get("model") or path.split("/models/")[1].split(":")[0] for path, _, body in self.calls]

        @property
        def steps(self):
            return [unquote(headers.get(contract.HEADER_STEP, "")) for _, headers, _ in self.calls]

        def keys(self, header):
            return [
                {name.lower(): value for name, value in headers.items()}.get(header.lower())
                for _, headers, _ in self.calls
            ]

    made = Proxy()
    made.calls = []
    made.server = serve(made.answer)
    made.url = made.server.url
    return made


@pytest.fixture
def run(start, gateway, proxy):
    """`run(model)`: one start to its end, whose models are asked through the proxy."""

    def begin(model=None, *, agent=None, mode="NONE", files=None, budget=None, **env):
        settings = {"runConfig": {"streaming_mode": mode}, **({"model": model} if model else {})}
        told = gateway(
            agent={**settings, **(agent or {"inline": {"name": "helper", "instruction": "Help."}})},
            steps={"llm": {"maxAttempts": 1}},
        )
        told.attempt.update({"budget": budget} if budget else {})
        return told, start(told, files=files, **{contract.ENV_MODELS_URL: proxy.url, **env})

    return begin


@pytest.mark.parametrize("mode", ["NONE", "SSE"])
@pytest.mark.parametrize(("model", "asked", "header"), CLIENTS.values(), ids=CLIENTS)
def test_a_model_is_called_through_the_proxy_with_the_pods_token_and_the_step(run, proxy, model, asked, header, mode):
    told, process = run(model, mode=mode)

    assert process.wait().verdict == SUCCEEDED, process.err
    assert proxy.models == [asked]
    assert proxy.keys(header)[0].removeprefix("Bearer ") == (process.folder / "token").read_text()
    assert proxy.steps == [step["key"] for step in told.steps if step["kind"] == "model"]


@pytest.mark.parametrize(("model", "asked", "header"), CLIENTS.values(), ids=CLIENTS)
def test_a_renewed_token_is_used_by_the_next_call(run, proxy, model, asked, header):
    _, process = run(agent={"inline": a_team_of(model, model, kind="SequentialAgent")})
    token = process.folder / "token"
    proxy.then = lambda number: token.write_text(f"{token.read_text()}-{number}")

    assert process.wait().verdict == SUCCEEDED, process.err
    assert [key.removeprefix("Bearer ").count("-1") for key in proxy.keys(header)] == [0, 1]


def test_steps_contain_no_token(run, proxy):
    told, process = run(agent={"inline": a_team_of(*["openai/some-model"] * 2, kind="SequentialAgent")})
    token = process.folder / "token"
    proxy.then = lambda number: token.write_text(f"{token.read_text()}-{number}")
    proxy.says = lambda headers: f"You came with {headers['Authorization']}."

    assert process.wait().verdict == SUCCEEDED, process.err
    assert proxy.keys("Authorization")[1].endswith("-1")
    written = json.dumps(told.steps, ensure_ascii=False)
    assert written.count("You came with Bearer ⟦=token⟧.") == 2
    assert token.read_text().partition("-1")[0] not in written


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        pytest.param('"gemini-flash-latest"', "gemini-flash-latest", id="gemini-by-name"),
        pytest.param('"openai/some-model"', "some-model", id="openai-by-name"),
        pytest.param('"team/fast"', "other-model", id="alias-by-name"),
        pytest.param(
            "__import__('google.adk.models', fromlist=['Gemini']).Gemini(model='gemini-x')", "gemini-x", id="gemini"
        ),
        pytest.param(
            "__import__('google.adk.integrations.openai', fromlist=['OpenAILlm']).OpenAILlm(model='gpt-x')",
            "gpt-x",
            id="openai",
        ),
        pytest.param(
            "__import__('google.adk.models.anthropic_llm', fromlist=['x']).AnthropicLlm(model='claude-x')",
            "claude-x",
            id="anthropic",
        ),
        pytest.param(
            "__import__('google.adk.models.anthropic_llm', fromlist=['x']).Claude(model='claude-x', client="
            "__import__('anthropic').AsyncAnthropicVertex(project_id='p', region='global', access_token='none'))",
            "claude-x",
            id="anthropic-on-vertex-ai",
        ),
    ],
)
def test_a_model_named_or_built_by_code_is_called_through_the_proxy_too(run, proxy, code, asked):
    aliases = json.dumps({"team/fast": "openai/other-model"})
    _, process = run(
        agent={"module": {"ref": "mine:root_agent"}},
        files={"mine.py": CODE.format(model=code)},
        **{contract.ENV_MODEL_ALIASES: aliases},
    )

    assert process.wait().verdict == SUCCEEDED, process.err
    assert proxy.models == [asked]
    assert proxy.steps[0]


def test_vertex_ai_is_called_through_the_proxy_without_credentials(run, proxy):
    _, process = run("gemini-flash-latest", GOOGLE_GENAI_USE_VERTEXAI="True")

    assert process.wait().verdict == SUCCEEDED, process.err
    assert proxy.calls[0][0].startswith(f"{contract.MODELS_VERTEX}/v1beta1/publishers/google/models/")


@pytest.mark.parametrize("target", ["openai/other-model", "anthropic/other-model", "gemini-other-model"])
def test_an_alias_is_called_with_the_client_of_its_model(run, proxy, target):
    _, process = run("team/fast", **{contract.ENV_MODEL_ALIASES: json.dumps({"team/fast": target})})

    assert process.wait().verdict == SUCCEEDED, process.err
    assert proxy.models == [target.rpartition("/")[2]]


def test_a_provider_whose_key_the_job_has_is_called_directly(run, proxy, serve):
    direct = []

    def provider(method, path, headers, body):
        direct.append(headers["Authorization"])
        return 200, {}, in_openais_words("Direct.", streamed=False)

    _, process = run("openai/some-model", OPENAI_API_KEY="sk-own-key", OPENAI_BASE_URL=serve(provider).url)

    assert process.wait().verdict == SUCCEEDED, process.err
    assert (direct, proxy.calls) == (["Bearer sk-own-key"], [])


def test_a_call_of_the_users_own_code_has_the_token_and_no_step(run, proxy):
    asks = """
import openai
from google.adk.agents import LlmAgent

async def ask() -> str:
    answer = await openai.AsyncOpenAI().chat.completions.create(model="own", messages=[])
    return answer.choices[0].message.content

async def before(callback_context):
    callback_context.state["said"] = await ask()

root_agent = LlmAgent(name="a", model="openai/some-model", instruction="Help.", before_agent_callback=before)
"""
    _, process = run(agent={"module": {"ref": "mine:root_agent"}}, files={"mine.py": asks})

    assert process.wait().verdict == SUCCEEDED, process.err
    assert [(model, bool(step)) for model, step in zip(proxy.models, proxy.steps, strict=True)] == [
        ("own", False),
        ("some-model", True),
    ]


@pytest.mark.parametrize("mode", ["NONE", "SSE"])
@pytest.mark.parametrize("model", [model for model, _, _ in CLIENTS.values()], ids=CLIENTS)
def test_a_refusal_of_the_proxy_ends_the_start_with_its_error_class(run, proxy, model, mode):
    proxy.refuses = CallRefusal(402, ErrorClass.BUDGET_EXCEEDED, "maxCostUSD of 2.50 is reached.")
    _, process = run(model, mode=mode)

    assert process.wait().verdict == ("Fail", "BudgetExceeded"), process.err
    assert "maxCostUSD of 2.50 is reached." in process.message.message
    assert len(proxy.calls) == 1


def test_a_used_up_limit_snoozes_the_job_for_the_time_that_the_proxy_says(run, proxy):
    proxy.refuses = CallRefusal(429, ErrorClass.MODEL_RATE_LIMITED, "The limit of gemini is used up.", 21.0)
    _, process = run("gemini-flash-latest")

    assert process.wait().verdict == ("Snooze", "ModelRateLimited"), process.err
    assert process.message.delay_seconds == 21.0


@pytest.mark.parametrize("model", [model for model, _, _ in CLIENTS.values()], ids=CLIENTS)
def test_a_pod_fenced_by_the_proxy_exits_without_a_message(run, proxy, model):
    proxy.refuses = CallRefusal(409, ErrorClass.INTERRUPTED, "Another pod holds this start.")
    told, process = run(model)

    assert process.wait().code == contract.EXIT_FENCED, process.err
    assert (process.raw, told.results) == ("", [])


@pytest.mark.parametrize("model", [model for model, _, _ in CLIENTS.values()], ids=CLIENTS)
def test_a_refusal_within_a_stream_has_its_error_class(run, proxy, model):
    proxy.refuses, proxy.breaks_off = CallRefusal(402, ErrorClass.BUDGET_EXCEEDED, "maxTokens is reached."), True
    _, process = run(model, mode="SSE")
    assert process.wait().verdict == ("Fail", "BudgetExceeded"), process.err


def test_a_refusal_for_vertex_ai_has_its_error_class(run, proxy):
    proxy.refuses = CallRefusal(403, ErrorClass.MODEL_NOT_ALLOWED, "gemini-flash-latest is not allowed here.")
    _, process = run("gemini-flash-latest", GOOGLE_GENAI_USE_VERTEXAI="True")
    assert process.wait().verdict == ("Fail", "ModelNotAllowed"), process.err


@pytest.fixture
def authority(proxy, tmp_path):
    """Gives the proxy a certificate that only this authority vouches for; returns what a pod knows of it."""
    made = Authority(tmp_path, name="of-the-installation", now=datetime.now(UTC))
    pair = made.server("models")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    proxy.server.socket = context.wrap_socket(proxy.server.socket, server_side=True)
    proxy.url = proxy.url.replace("http:", "https:")
    return {contract.ENV_GATEWAY_CA: str(made.certificate), "TMPDIR": str(tmp_path)}


@pytest.mark.parametrize("model", [model for model, _, _ in CLIENTS.values()], ids=CLIENTS)
def test_clients_trust_the_installations_ca_and_bypass_the_clusters_http_proxy(run, proxy, authority, model):
    outside = {"HTTPS_PROXY": "http://127.0.0.1:9"}
    _, process = run(model, **authority, **outside)
    assert process.wait().verdict == SUCCEEDED, process.err


def test_a_subprocess_finds_the_proxy_by_environment_variables(run, proxy, authority):
    asks = """
import subprocess, sys
from google.adk.agents import LlmAgent
subprocess.run([sys.executable, "-c", '''
import openai
openai.OpenAI(max_retries=0).chat.completions.create(model="own", messages=[])
'''], check=True)
root_agent = LlmAgent(name="a", model="openai/some-model", instruction="Help.")
"""
    _, process = run(agent={"module": {"ref": "mine:root_agent"}}, files={"mine.py": asks}, **authority)

    assert process.wait().verdict == SUCCEEDED, process.err
    assert proxy.models == ["own", "some-model"]


def test_members_of_a_parallel_agent_make_no_call_beyond_the_budget(run, proxy):
    models = [model for model, _, _ in CLIENTS.values()] * 3
    budget = {"limits": {"maxLLMCalls": 4}, "used": {"costUSD": "0", "tokens": 0, "llmCalls": 1, "toolCalls": 0}}
    told, process = run(agent={"inline": a_team_of(*models, kind="ParallelAgent")}, budget=budget)

    assert process.wait().verdict == ("Fail", "BudgetExceeded"), process.err
    assert len(proxy.calls) == 3
    assert told.results[0]["reason"] == "BudgetExceeded"
