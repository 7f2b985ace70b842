"""What an answer used is read from its bytes as they pass by, cut anywhere."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.modelproviders import Answer, Seen, Used, shaped

from agentjobs.models.tokens import Tokens
from agentjobs.proxy import apis
from agentjobs.proxy.apis import answers
from agentjobs.proxy.apis.answers import Array, Documents
from agentjobs.proxy.apis.api import ParsedRequest, Request

USED = Used(input=1000, output=200, cached=400, cache_written=100, thinking=50)
TOLD = Tokens(input=1000, output=200, cached=400, cache_written=100, thinking=50)
UNWRITTEN = Tokens(input=1000, output=200, cached=400, thinking=50)
GEMINI = ("/gemini/v1beta/models/gemini-x", {"contents": []})
VERTEX = ("/vertex/v1/projects/p/locations/l/publishers/google/models/gemini-x", {"contents": []})
CLAUDE = "/vertex/v1/projects/p/locations/l/publishers/anthropic/models/claude-x"
CHAT = {"model": "gpt-x", "messages": []}
MESSAGE = {"model": "claude-x", "max_tokens": 9, "messages": []}
TELLS = {"stream": True, "stream_options": {"include_usage": True}}
# What each kind of answer tells; OpenAI's chats and Gemini say nothing of what was written to a cache.
KINDS = {
    "gemini": (GEMINI[0] + ":generateContent", GEMINI[1], UNWRITTEN),
    "gemini-events": (GEMINI[0] + ":streamGenerateContent?alt=sse", GEMINI[1], UNWRITTEN),
    "gemini-array": (GEMINI[0] + ":streamGenerateContent", GEMINI[1], UNWRITTEN),
    "vertex-array": (VERTEX[0] + ":streamGenerateContent", VERTEX[1], UNWRITTEN),
    "chat": ("/openai/v1/chat/completions", CHAT, UNWRITTEN),
    "chat-events": ("/openai/v1/chat/completions", {**CHAT, **TELLS}, UNWRITTEN),
    "response": ("/openai/v1/responses", {"model": "gpt-x", "input": ""}, TOLD),
    "response-events": ("/openai/v1/responses", {"model": "gpt-x", "input": "", "stream": True}, TOLD),
    "message": ("/anthropic/v1/messages", MESSAGE, TOLD),
    "message-events": ("/anthropic/v1/messages", {**MESSAGE, "stream": True}, TOLD),
    "vertex-message": (f"{CLAUDE}:rawPredict", {"max_tokens": 9}, TOLD),
    "vertex-message-events": (f"{CLAUDE}:streamRawPredict", {"max_tokens": 9, "stream": True}, TOLD),
}
STREAMS = [name for name in KINDS if name.endswith(("events", "array"))]
TEXT = Answer('It is "sunny" \\ {warm} in Zürich. 太陽。\n' * 3, used=USED, pieces=5)


def asked(path, body):
    plain, _, query = path.partition("?")
    found = apis.find(plain)
    assert found is not None
    read = found[0].read(Request("POST", found[1], query, {}, json.dumps(body).encode()))
    assert isinstance(read, ParsedRequest), read
    return found[0], read


def reader(path, body):
    api, read = asked(path, body)
    return api.usage_reader(read)


def answered(path, body, answer):
    """The pieces of a body, as a provider sends them."""
    plain, _, query = path.partition("?")
    kind = plain.split("/")[1]
    below = plain.removeprefix("/openai/v1" if kind == "openai" else f"/{kind}")
    found = shaped(Seen(kind, "POST", below, query, {}, json.dumps(body).encode(), 0.0), answer)
    return found if isinstance(found, list) else [json.dumps(found).encode()]


def fed(name, pieces):
    watch = reader(*KINDS[name][:2])
    for piece in pieces:
        watch.feed(piece)
    return watch


@pytest.mark.parametrize("name", KINDS)
def test_every_count_of_every_api_is_read(name):
    path, body, told = KINDS[name]

    watch = fed(name, answered(path, body, TEXT))

    assert (watch.tokens(), watch.whole) == (told, True)


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_usage_does_not_depend_on_the_chunks_of_an_answer(name, data):
    path, body, told = KINDS[name]
    text = b"".join(answered(path, body, TEXT))
    if data.draw(st.booleans(), "other line ends") and name != "gemini-array":
        text = text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=40)))
    whole = fed(name, [text])

    watch = fed(name, [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)])

    assert (watch.tokens(), watch.whole, watch.received_output) == (told, True, whole.received_output)


@pytest.mark.parametrize("name", KINDS)
def test_an_answer_can_be_read_byte_by_byte(name):
    path, body, told = KINDS[name]
    text = b"".join(answered(path, body, TEXT))

    watch = fed(name, [bytes([byte]) for byte in text])

    assert (watch.tokens(), watch.whole) == (told, True)


@pytest.mark.parametrize("name", KINDS)
def test_an_answer_compressed_without_request_is_read(name):
    path, body, told = KINDS[name]
    text = gzip.compress(b"".join(answered(path, body, TEXT)))

    watch = fed(name, [text[:1], text[1:30], text[30:]])

    assert (watch.tokens(), watch.whole) == (told, True)


@pytest.mark.parametrize("name", STREAMS)
def test_no_part_of_a_stream_is_considered_complete(name):
    path, body, _ = KINDS[name]
    pieces = answered(path, body, TEXT)
    ends = next(
        at for at, piece in enumerate(pieces) if b"inish" in piece or b"_stop" in piece or b".completed" in piece
    )

    assert not any(fed(name, pieces[:count]).whole for count in range(ends))


@pytest.mark.parametrize("name", sorted(set(KINDS) - set(STREAMS)))
def test_no_part_of_a_document_is_considered_complete(name):
    text = answered(*KINDS[name][:2], TEXT)[0]
    watch = fed(name, [text[:-1]])

    assert (watch.tokens(), watch.whole) == (None, False)
    assert watch.received_output > 0


@pytest.mark.parametrize("name", KINDS)
def test_an_answer_without_usage_has_no_tokens(name):
    path, body, _ = KINDS[name]
    watch = fed(name, answered(path, body, Answer(TEXT.text, used=None)))

    assert (watch.tokens(), watch.whole) == (None, True)
    assert watch.received_output >= len(TEXT.text) // 4


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("absurd", [-1, 10**12, 1.5, "12", True, [], {}])
def test_an_impossible_count_is_ignored(name, absurd):
    path, body, _ = KINDS[name]
    fields = ("promptTokenCount", "prompt_tokens", "input_tokens", "output_tokens", "completion_tokens")
    usage = dict.fromkeys((*fields, "candidatesTokenCount"), absurd)

    assert fed(name, answered(path, body, Answer(raw_usage=usage))).tokens() is None


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("absurd", [5, "many", [1], True])
def test_usage_that_is_not_an_object_is_ignored(name, absurd):
    path, body, _ = KINDS[name]

    assert fed(name, answered(path, body, Answer(raw_usage=absurd))).tokens() is None


def test_parts_of_a_count_are_never_larger_than_the_count():
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 50}}
    watch = fed("chat", answered(*KINDS["chat"][:2], Answer(raw_usage=usage)))

    assert watch.tokens() == Tokens(input=5, output=2, cached=5)


def test_a_message_that_is_cut_off_costs_its_prompt_and_the_received_output():
    path, body, _ = KINDS["message-events"]
    pieces = answered(path, body, Answer("word " * 300, used=USED, pieces=10))

    watch = fed("message-events", pieces[:8])
    told = watch.tokens()

    assert (told.input, told.cached, told.output) == (1000, 400, watch.received_output)
    assert 200 < told.output < 400


def test_usage_of_a_later_event_replaces_earlier_usage():
    told = (
        '{"type":"message_start","message":{"usage":{"input_tokens":10,"cache_read_input_tokens":0,"output_tokens":1}}}',
        '{"type":"message_delta","usage":{"input_tokens":4,"cache_read_input_tokens":6,"output_tokens":null}}',
        '{"type":"message_delta","usage":{"output_tokens":9}}',
        '{"type":"message_stop"}',
    )
    watch = fed("message-events", [f"data: {each}\n\n".encode() for each in told])

    assert watch.tokens() == Tokens(input=10, output=9, cached=6)


def test_turns_that_a_total_leaves_out_are_added():
    turn = {"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 0}
    turns = [{"type": "message", **turn}, {"type": "compaction", **turn}]
    usage = {"input_tokens": 1, "output_tokens": 2, "iterations": turns}
    watch = fed("message", answered(*KINDS["message"][:2], Answer(raw_usage=usage)))

    assert watch.tokens() == Tokens(input=106, output=22, cached=5)


def test_tokens_cached_for_an_hour_are_counted_separately():
    written = {"cache_creation_input_tokens": 300, "cache_creation": {"ephemeral_1h_input_tokens": 200}}
    usage = {"input_tokens": 1, "output_tokens": 2, **written, "iterations": [{"type": "compaction", **written}]}
    watch = fed("message", answered(*KINDS["message"][:2], Answer(raw_usage=usage)))

    assert watch.tokens() == Tokens(input=601, output=2, cache_written=600, cache_written_long=400)


CHAT_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 45}


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("chat", CHAT_USAGE),
        ("chat", {**CHAT_USAGE, "completion_tokens_details": {"reasoning_tokens": 30}}),
        ("gemini", {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 45}),
    ],
)
def test_thinking_that_is_only_in_the_total_is_output(name, usage):
    watch = fed(name, answered(*KINDS[name][:2], Answer(raw_usage=usage)))

    assert watch.tokens() == Tokens(input=10, output=35, thinking=30)


def test_comments_nulls_and_filter_results_of_hosts_are_ignored():
    events = [
        b": OPENROUTER PROCESSING\n\n",
        b'data: {"choices":[],"prompt_filter_results":[{}],"usage":null}\n\n',
        b'data:{"choices":[{"delta":{"content":"a"},"finish_reason":null}],"usage":{"prompt_tokens":9,"completion_tokens":1}}\n\n',
        b'data:{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4}}\n\n',
        b"data:[DONE]\n\n",
    ]
    watch = fed("chat-events", events)

    assert (watch.tokens(), watch.whole) == (Tokens(input=9, output=4), True)


def test_results_of_googles_own_tools_are_input():
    usage = {"promptTokenCount": 10, "toolUsePromptTokenCount": 90, "candidatesTokenCount": 5, "totalTokenCount": 105}
    watch = fed("gemini", answered(*KINDS["gemini"][:2], Answer(raw_usage=usage)))

    assert watch.tokens() == Tokens(input=100, output=5)


def test_the_answer_to_a_blocked_prompt_is_complete():
    text = b'data: {"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":9}}\r\n\r\n'

    watch = fed("gemini-events", [text])

    assert (watch.tokens(), watch.whole) == (Tokens(input=9), True)


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("message-events", b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n'),
        ("chat-events", b'data: {"error":{"message":"x"}}\n\ndata: [DONE]\n\n'),
        ("response-events", b'data: {"type":"response.failed","response":{"usage":null}}\n\n'),
        ("gemini-events", b'data: {"error":{"code":503}}\r\n\r\n'),
        ("gemini", b'{"error":{"code":503}}'),
    ],
)
def test_an_answer_with_an_error_is_not_complete(name, event):
    assert not fed(name, [event]).whole


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("text", [b"", b"\n", b"<html>bad gateway</html>", b"\x00" * 99, b"{" * 5000, b"data: \n\n"])
def test_an_invalid_answer_has_no_usage(name, text):
    watch = fed(name, [text, text])

    assert (watch.tokens(), watch.whole) == (None, False)


@given(st.lists(st.binary(max_size=60), max_size=8), st.sampled_from(sorted(KINDS)))
def test_any_bytes_can_be_read(pieces, name):
    watch = fed(name, pieces)

    assert watch.tokens() is None or watch.whole or watch.received_output >= 0


def test_a_too_large_answer_is_not_parsed():
    documents = Documents(most=1000)

    found = [each for piece in [b'{"a":"', *[b"x" * 100] * 20, b'"}'] for each in documents.feed(piece)]

    assert (found, documents.lost, documents.size) == ([], True, 2008)


def test_many_small_events_are_not_too_large():
    documents = Documents(most=1000)

    found = [each for _ in range(200) for each in documents.feed(b': ping\n\ndata: {"a":1}\n\n')]

    assert (len(found), documents.lost) == (200, False)


@pytest.mark.parametrize("name", [name for name in KINDS if name.endswith("events")])
def test_an_event_can_be_appended_only_after_complete_events(name):
    pieces = answered(*KINDS[name][:2], TEXT)

    assert [fed(name, pieces[:count]).between for count in range(4)] == [True] * 4
    halves = [pieces[2][:size] for size in range(1, pieces[2].rindex(b"}") + 2)]
    # A name without data is dropped at the empty line that ours begin with.
    assert not any(fed(name, [*pieces[:2], half]).between for half in halves if not half.endswith(b"\n"))


@pytest.mark.parametrize("name", ["gemini-array", "message", "chat"])
def test_no_event_can_be_appended_to_an_answer_without_events(name):
    watch = fed(name, [answered(*KINDS[name][:2], TEXT)[0][:9]])

    assert not watch.between


def test_an_incomplete_event_is_known_after_the_end_too():
    watch = fed("chat-events", [b'data: {"choices":[]}\n\ndata: {"cho'])

    assert (watch.whole, watch.tokens(), watch.between) == (False, None, False)


def test_no_event_can_be_appended_to_a_compressed_stream():
    watch = fed("chat-events", [gzip.compress(b"data: {}\n\n")])

    assert not watch.between


def test_a_too_large_answer_has_no_usage_and_is_not_considered_cut_off():
    piece = b'{"a":"' + b"x" * answers.MAX_DOCUMENT_BYTES
    plain, zipped = fed("message", [piece, b'"}']), fed("message", [gzip.compress(piece + b'"}')])

    assert (plain.tokens(), plain.whole) == (zipped.tokens(), zipped.whole) == (None, True)


def test_compressed_whitespace_is_not_an_answer():
    watch = fed("message", [gzip.compress(b" " * (answers.MAX_DOCUMENT_BYTES * 2)), gzip.compress(b"x")])

    assert (watch.tokens(), watch.whole) == (None, False)


def test_an_answer_with_only_a_gzip_header_is_invalid():
    watch = fed("message", [b"\x1f\x8bnonsense", b"more"])

    assert (watch.tokens(), watch.whole) == (None, False)


@pytest.mark.parametrize(
    ("path", "body", "answer", "told"),
    [
        ("/gemini/v1beta/models/gemini-x:countTokens", {}, b'{"totalTokens":99}', Tokens()),
        ("/anthropic/v1/messages/count_tokens", MESSAGE, b'{"input_tokens":99}', Tokens()),
        (
            "/gemini/v1beta/cachedContents",
            {"model": "models/gemini-x"},
            b'{"name":"cachedContents/a","usageMetadata":{"totalTokenCount":5000}}',
            Tokens(input=5000, cache_written=5000),
        ),
        (
            "/openai/v1/embeddings",
            {"model": "e", "input": ""},
            b'{"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":8,"total_tokens":8}}',
            Tokens(input=8),
        ),
        ("/gemini/v1beta/models/e:embedContent", {}, b'{"embedding":{"values":[0.1]}}', None),
    ],
)
def test_an_answer_without_text_has_no_output(path, body, answer, told):
    watch = reader(path, body)
    watch.feed(answer)

    assert (watch.tokens(), watch.whole, watch.received_output) == (told, True, 0)


def test_an_empty_chunk_after_a_backslash_has_no_effect():
    array = Array()
    found = [document for piece in (b'[{"a": "\\', b"", b'"}"}]') for document in array.feed(piece)]
    assert found == [b'{"a": "\\"}"}']
