"""Which requests are passed on, to which model, and what they may use."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.contract import ErrorClass
from agentjobs.proxy import apis
from agentjobs.proxy.apis.api import CallRefusal, Operation, ParsedRequest, Request

CHAT = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}
MESSAGE = {"model": "claude-x", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
CONTENT = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
FLASH = "/gemini/v1beta/models/gemini-2.5-flash"
VERTEX = "/vertex/v1/projects/theirs/locations/moon"


def read(path, body=None, *, method="POST", headers=None, raw=None):
    plain, _, query = path.partition("?")
    found = apis.find(plain)
    assert found is not None
    api, below = found
    text = raw if raw is not None else json.dumps(body).encode()
    return api.read(Request(method, below, query, headers or {}, text))


def asked(path, body=None, **more):
    found = read(path, body, **more)
    assert isinstance(found, ParsedRequest), found
    return found


@pytest.mark.parametrize(
    ("path", "body", "operation", "model", "target"),
    [
        (f"{FLASH}:generateContent", CONTENT, "generate", "gemini-2.5-flash", None),
        (f"{FLASH}:streamGenerateContent?alt=sse", CONTENT, "generate", "gemini-2.5-flash", None),
        (f"{FLASH}:countTokens", CONTENT, "count", "gemini-2.5-flash", None),
        ("/gemini/v1/models/text-embedding-004:embedContent", CONTENT, "embed", "gemini/text-embedding-004", None),
        (
            "/gemini/v1beta/models/gemini-embedding-001:batchEmbedContents",
            {"requests": [{"model": "models/gemini-embedding-001", **CONTENT}]},
            "embed",
            "gemini-embedding-001",
            None,
        ),
        (
            "/gemini/v1beta/cachedContents",
            {"model": "models/gemini-2.5-flash", "ttl": "1800s", **CONTENT},
            "keep",
            "gemini-2.5-flash",
            None,
        ),
        ("/openai/v1/chat/completions", CHAT, "generate", "openai/gpt-5", "/chat/completions"),
        ("/openai/v1/responses", {"model": "gpt-5", "input": "hi"}, "generate", "openai/gpt-5", "/responses"),
        ("/openai/v1/embeddings", {"model": "e", "input": "hi"}, "embed", "openai/e", "/embeddings"),
        ("/openai/v1/chat/completions", {**CHAT, "model": "qwen/qwen3:free"}, "generate", "openai/qwen/qwen3:free", ""),
        ("/anthropic/v1/messages?beta=true", MESSAGE, "generate", "anthropic/claude-x", None),
        ("/anthropic/v1/messages/count_tokens", MESSAGE, "count", "anthropic/claude-x", None),
        (
            f"{VERTEX}/publishers/google/models/gemini-2.5-pro:generateContent",
            CONTENT,
            "generate",
            "gemini-2.5-pro",
            "/v1/projects/ours/locations/eu/publishers/google/models/gemini-2.5-pro:generateContent",
        ),
        (
            "/vertex/v1beta1/publishers/google/models/gemini-2.5-pro:countTokens",
            CONTENT,
            "count",
            "gemini-2.5-pro",
            "/v1beta1/projects/ours/locations/eu/publishers/google/models/gemini-2.5-pro:countTokens",
        ),
        (
            f"{VERTEX}/publishers/anthropic/models/claude-x@20260101:streamRawPredict",
            {"max_tokens": 5, "stream": True, "messages": []},
            "generate",
            "anthropic/claude-x@20260101",
            "/v1/projects/ours/locations/eu/publishers/anthropic/models/claude-x@20260101:streamRawPredict",
        ),
        (
            f"{VERTEX}/publishers/anthropic/models/count-tokens:rawPredict",
            MESSAGE,
            "count",
            "anthropic/claude-x",
            "/v1/projects/ours/locations/eu/publishers/anthropic/models/count-tokens:rawPredict",
        ),
    ],
)
def test_requests_of_clients_are_forwarded_unchanged(path, body, operation, model, target):
    found = asked(path, body)

    own = path.removeprefix("/gemini").removeprefix("/anthropic")
    assert (found.operation, found.model) == (operation, model)
    assert found.body == json.dumps(body).encode()
    assert found.target(project="ours", location="eu") == (target or (found.target() if target == "" else own))
    assert found.with_model(found.model).body is found.body


@pytest.mark.parametrize(
    "path",
    [
        "/gemini/v1beta/models",
        FLASH,
        f"{FLASH}:predict",
        f"{FLASH}:batchGenerateContent",
        "/gemini/v1alpha/models/gemini-x:generateContent",
        "/gemini/v1beta/tunedModels/x:generateContent",
        "/gemini/v1beta/interactions",
        "/gemini/v1beta/files",
        "/gemini/upload/v1beta/files",
        "/gemini/v1beta/models/a%2f..%2fb:generateContent",
        "/gemini//v1beta/models/gemini-x:generateContent",
        "/gemini/http://evil/v1beta/models/gemini-x:generateContent",
        "/openai/v1/models",
        "/openai/v1/completions",
        "/openai/v1/chat/completions/",
        "/openai/v1/../v1/chat/completions",
        "/openai/v1/responses/resp_1",
        "/openai/v1/files",
        "/openai/v1/batches",
        "/openai/v1/images/generations",
        "/anthropic/v1/models",
        "/anthropic/v1/messages/batches",
        "/anthropic/v1/complete",
        "/vertex/v1/projects/p/locations/l/endpoints/1:generateContent",
        "/vertex/v1/projects/p/locations/l/publishers/google/models/m:predict",
        "/vertex/v1/projects/p/locations/l/publishers/google/models/m:rawPredict",
        "/vertex/v1/projects/p/locations/l/publishers/anthropic/models/m:generateContent",
        "/vertex/v1/projects/p/../locations/l/publishers/google/models/m:generateContent",
        "/vertex/v1/projects/p/locations/l/cachedContents",
    ],
)
def test_every_other_path_is_refused(path):
    found = read(path, {**CHAT, **MESSAGE})

    assert isinstance(found, CallRefusal)
    assert (found.status, found.error_class) == (404, ErrorClass.MODEL_BAD_REQUEST)


@pytest.mark.parametrize("path", ["/", "/v1/chat/completions", "/gemini", "/geminix/v1", "/openai/v2/responses", ""])
def test_an_unknown_path_belongs_to_no_api(path):
    assert apis.find(path) is None


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT"])
def test_models_are_called_only_by_post(method):
    for path in ("/openai/v1/chat/completions", "/anthropic/v1/messages", f"{FLASH}:generateContent"):
        assert isinstance(read(path, CHAT, method=method), CallRefusal)


def test_connectivity_checks_and_deletions_of_caches_are_accepted():
    hello = asked("/anthropic/api/hello", method="HEAD", raw=b"")
    forgotten = asked("/gemini/v1beta/cachedContents/abc-1", method="DELETE", raw=b"")

    assert (hello.operation, hello.free) == (Operation.HELLO, True)
    assert (forgotten.operation, forgotten.free, forgotten.sticky) == (Operation.FORGET, True, True)
    assert forgotten.target() == "/v1beta/cachedContents/abc-1"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/openai/v1/responses", {**CHAT, "background": True}, id="in the background"),
        pytest.param("/openai/v1/chat/completions", {**CHAT, "models": ["gpt-6"]}, id="more models"),
        pytest.param("/openai/v1/chat/completions", {**CHAT, "preset": "dear"}, id="a preset with a model"),
        pytest.param("/openai/v1/chat/completions", {**CHAT, "route": "fallback"}, id="a model of the host's choice"),
        pytest.param("/openai/v1/responses", {**CHAT, "fallbacks": ["gpt-6"]}, id="fallbacks of a host"),
        pytest.param("/openai/v1/chat/completions", {**CHAT, "fallback_models": ["gpt-6"]}, id="more fallbacks"),
        pytest.param("/openai/v1/chat/completions", {**CHAT, "plugins": [{"id": "web"}]}, id="services of a host"),
        pytest.param("/anthropic/v1/messages", {**MESSAGE, "models": ["y"]}, id="more models for a message"),
        pytest.param("/openai/v1/chat/completions", {**CHAT, "service_tier": "priority"}, id="a dearer tier"),
        pytest.param("/openai/v1/responses", {**CHAT, "tools": [{"type": "x", "model": "y"}]}, id="a tool's model"),
        pytest.param("/openai/v1/chat/completions", {"messages": []}, id="no model"),
        pytest.param("/openai/v1/chat/completions", {**CHAT, "model": ["gpt-5"]}, id="a list of models"),
        pytest.param("/openai/v1/chat/completions", {**CHAT, "model": "../x"}, id="a model that is a path"),
        pytest.param("/openai/v1/chat/completions", {**CHAT, "Model": "gpt-6"}, id="another case"),
        pytest.param("/openai/v1/chat/completions", {**CHAT, "n": -1}, id="less than no answers"),
        pytest.param("/openai/v1/chat/completions", {**CHAT, "n": 129}, id="more answers than anybody gives"),
        pytest.param("/openai/v1/chat/completions", {**CHAT, "max_tokens": "9"}, id="a limit that is a text"),
        pytest.param("/anthropic/v1/messages", {**MESSAGE, "fallbacks": [{"model": "y"}]}, id="fallbacks"),
        pytest.param("/anthropic/v1/messages", {**MESSAGE, "speed": "fast"}, id="a dearer speed"),
        pytest.param("/anthropic/v1/messages", {**MESSAGE, "tools": [{"name": "a", "model": "y"}]}, id="an adviser"),
        pytest.param(f"{FLASH}:generateContent", {**CONTENT, "model": "models/gemini-x"}, id="a model beside the path"),
        pytest.param(f"{FLASH}:generateContent", {**CONTENT, "serviceTier": "PRIORITY"}, id="Gemini's dearer tier"),
        pytest.param(f"{FLASH}:generateContent?fields=candidates", CONTENT, id="usage left out"),
        pytest.param(f"{FLASH}:generateContent?alt=proto", CONTENT, id="no JSON"),
        pytest.param(f"{FLASH}:generateContent?access_token=x", CONTENT, id="another's credentials"),
        pytest.param(f"{FLASH}:generateContent", {**CONTENT, "cachedContent": "projects/p/x"}, id="no cache of ours"),
        pytest.param(
            f"{FLASH}:batchEmbedContents", {"requests": [{"model": "models/gemini-x"}]}, id="a model in a batch"
        ),
        pytest.param(
            f"{FLASH}:countTokens", {"generateContentRequest": {"model": "models/x"}}, id="a model within a count"
        ),
        pytest.param(
            f"{FLASH}:generateContent",
            {**CONTENT, "generationConfig": {"maxOutputTokens": 1}, "generation_config": {"maxOutputTokens": 9}},
            id="two limits",
        ),
        pytest.param("/gemini/v1beta/cachedContents", {"model": "models/gemini-x", "ttl": "99999999s"}, id="for years"),
        pytest.param(
            "/gemini/v1beta/cachedContents",
            {"model": "models/gemini-x", "expireTime": "2099-01-01T00:00:00Z"},
            id="to a date",
        ),
        pytest.param(
            f"{VERTEX}/publishers/google/models/gemini-x:generateContent",
            {**CONTENT, "cachedContent": "projects/theirs/locations/x/cachedContents/1"},
            id="a cache of Vertex AI",
        ),
        pytest.param(f"{VERTEX}/publishers/anthropic/models/a:rawPredict", {**MESSAGE, "model": "b"}, id="raw model"),
    ],
)
def test_requests_that_could_be_judged_or_counted_wrongly_are_refused(path, body):
    found = read(path, body)

    assert isinstance(found, CallRefusal)
    assert (found.status, found.error_class) == (400, ErrorClass.MODEL_BAD_REQUEST)


@pytest.mark.parametrize("raw", [b"", b"{", b'{"model":"a","model":"b"}', b'{"model":"\xff"}', b"[" * 100_000])
def test_an_ambiguous_body_is_refused_by_every_api(raw):
    for path in ("/openai/v1/responses", "/anthropic/v1/messages", f"{FLASH}:generateContent"):
        assert read(path, raw=raw).status == 400


def test_a_compressed_body_is_refused():
    assert read("/openai/v1/responses", CHAT, headers={"Content-Encoding": "gzip"}).status == 400


def test_a_key_in_the_query_is_not_forwarded():
    found = asked(f"{FLASH}:streamGenerateContent?key=token&alt=sse", CONTENT)

    assert found.target() == "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    ("path", "body", "most", "answers"),
    [
        ("/openai/v1/chat/completions", CHAT, None, 1),
        ("/openai/v1/chat/completions", {**CHAT, "max_tokens": 5, "max_completion_tokens": 9, "n": 20}, 9, 20),
        ("/openai/v1/chat/completions", {**CHAT, "best_of": 7, "n": 2}, None, 7),
        ("/openai/v1/responses", {"model": "gpt-5", "input": "", "max_output_tokens": 9}, 9, 1),
        ("/openai/v1/embeddings", {"model": "e", "input": "hi"}, 0, 1),
        ("/anthropic/v1/messages", MESSAGE, 100, 1),
        ("/anthropic/v1/messages/count_tokens", MESSAGE, 0, 1),
        (f"{FLASH}:generateContent", CONTENT, None, 1),
        (
            f"{FLASH}:generateContent",
            {**CONTENT, "generationConfig": {"maxOutputTokens": 9, "candidateCount": 8}},
            9,
            8,
        ),
        (f"{FLASH}:generateContent", {**CONTENT, "generation_config": {"max_output_tokens": 9}}, 9, 1),
        (f"{FLASH}:embedContent", CONTENT, 0, 1),
    ],
)
def test_the_maximum_length_of_an_answer_is_known_before_the_call(path, body, most, answers):
    found = asked(path, body)

    assert (found.max_output, found.answers) == (most, answers)


@pytest.mark.parametrize(
    ("path", "body", "streamed"),
    [
        ("/openai/v1/chat/completions", {**CHAT, "stream": True}, True),
        ("/openai/v1/chat/completions", {**CHAT, "stream": None}, False),
        ("/anthropic/v1/messages", {**MESSAGE, "stream": True}, True),
        (f"{FLASH}:streamGenerateContent", CONTENT, True),
        (f"{FLASH}:generateContent", CONTENT, False),
    ],
)
def test_streamed_answers_are_recognized_by_the_request(path, body, streamed):
    assert asked(path, body).streamed is streamed


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/openai/v1/responses", {"model": "gpt-5", "input": "hi", "previous_response_id": "resp_1"}),
        (f"{FLASH}:generateContent", {**CONTENT, "cachedContent": "cachedContents/abc"}),
        ("/gemini/v1beta/cachedContents", {"model": "models/gemini-x", **CONTENT}),
    ],
)
def test_a_providers_stored_object_requires_its_key(path, body):
    assert asked(path, body).sticky


@pytest.mark.parametrize(
    ("path", "body", "other", "sent"),
    [
        ("/openai/v1/chat/completions", {**CHAT, "model": "team/fast"}, "openai/gpt-5", "gpt-5"),
        ("/anthropic/v1/messages", {**MESSAGE, "model": "team/fast"}, "anthropic/claude-x", "claude-x"),
        (
            f"{VERTEX}/publishers/anthropic/models/count-tokens:rawPredict",
            MESSAGE,
            "anthropic/claude-y@1",
            "claude-y@1",
        ),
        ("/gemini/v1beta/cachedContents", {"model": "models/team/fast", **CONTENT}, "gemini-x", "models/gemini-x"),
    ],
)
def test_an_alias_in_a_body_is_replaced_by_its_model(path, body, other, sent):
    found = asked(path, body).with_model(other)

    assert json.loads(found.body) == {**body, "model": sent}


@given(st.dictionaries(st.text('xyzé"\\\n{}[],: '), st.text() | st.integers() | st.lists(st.text())), st.data())
def test_replacing_the_model_changes_no_other_byte(members, data):
    items = data.draw(st.permutations([*members.items(), ("model", "team/fast")]), "order")
    text = json.dumps(dict(items), indent=data.draw(st.sampled_from([None, 2]), "indent")).encode()
    place = next(at for at in range(len(text)) if text.startswith(b'"team/fast"', at) and _is_model(text, at))

    found = asked("/openai/v1/responses", raw=text).with_model("openai/gpt-5")

    assert found.body == text[:place] + b'"gpt-5"' + text[place + len(b'"team/fast"') :]


def _is_model(text, at):
    return json.loads(text[:at] + b"0" + text[at + len(b'"team/fast"') :])["model"] == 0


def test_an_alias_of_a_gemini_model_can_have_a_slash_in_the_path():
    found = asked("/gemini/v1beta/models/team/fast:generateContent", CONTENT)

    assert (found.named, found.with_model("gemini-x").target()) == (
        "team/fast",
        "/v1beta/models/gemini-x:generateContent",
    )


def test_an_alias_on_vertex_is_sent_as_a_publisher():
    found = asked(f"{VERTEX}/publishers/team/models/fast:generateContent", CONTENT)
    target = found.with_model("gemini-x").target(project="p", location="l")

    assert found.model == "team/fast"
    assert target == "/v1/projects/p/locations/l/publishers/google/models/gemini-x:generateContent"


def test_betas_are_not_forwarded_when_tokens_are_counted_on_vertex():
    headers = {"anthropic-beta": "context-1m", "anthropic-version": "2023-06-01"}
    paths = [f"{VERTEX}/publishers/anthropic/models/{model}:rawPredict" for model in ("count-tokens", "claude-x")]

    found = [asked(path, MESSAGE, headers=headers).headers for path in paths]

    assert ["anthropic-beta" in sent for sent in found] == [False, True]


@pytest.mark.parametrize(
    ("path", "limits", "most"),
    [
        ("/openai/v1/chat/completions", {"max_tokens": 5}, 5),
        ("/openai/v1/chat/completions", {"max_tokens": 5, "max_completion_tokens": 9}, 9),
        ("/openai/v1/chat/completions", {"max_output_tokens": 5}, None),
        ("/openai/v1/responses", {"max_output_tokens": 5}, 5),
        ("/openai/v1/responses", {"max_tokens": 5}, None),
    ],
)
def test_only_the_limit_field_of_the_same_api_limits_an_answer(path, limits, most):
    assert asked(path, {**CHAT, "input": "hi", **limits}).max_output == most


@pytest.mark.parametrize(
    ("path", "options", "told"),
    [
        ("/openai/v1/chat/completions", {}, True),
        ("/openai/v1/chat/completions", {"stream": True}, False),
        ("/openai/v1/chat/completions", {"stream": True, "stream_options": {"include_usage": False}}, False),
        ("/openai/v1/chat/completions", {"stream": True, "stream_options": {"include_usage": True}}, True),
        ("/openai/v1/responses", {"stream": True}, True),
    ],
)
def test_a_stream_of_a_chat_has_its_usage_if_requested(path, options, told):
    assert asked(path, {**CHAT, "input": "hi", **options}).reports_usage is told
