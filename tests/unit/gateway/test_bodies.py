"""What a runner may send, and how the rest is refused."""

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs import contract
from agentjobs.gateway.bodies import EventsBody, HeartbeatBody, ResultDocumentBody, StepsBody, parse
from agentjobs.problem import Problem

EVENT = {"seq": 1, "time": "2026-11-21T09:00:00Z", "kind": "text", "author": "hello", "data": {"text": "hi"}}
RESULT = {"text": "hi", "structured": None, "usage": {"llmCalls": 1}}
STEP = {"key": "a", "kind": "tool", "agent": "hello", "name": "add", "request": {"digest": "0f"}, "usage": {}}
STEP |= {"began": "2026-11-21T09:00:00Z", "ended": "2026-11-21T09:00:01Z", "body": [1], "void": False}
DOCUMENT = {"verdict": "Succeed", "reason": "Succeeded", "message": "", "delaySeconds": None, "result": RESULT}


def read(value):
    return msgspec.json.decode(msgspec.json.encode(value))


def test_an_event_is_parsed_unchanged():
    body = parse(EventsBody, json.dumps({"events": [EVENT]}).encode())

    assert read([event.to_contract() for event in body.events]) == [EVENT]


@pytest.mark.parametrize("changes", [{}, {"ended": None, "body": None}, {"void": True}, {"body": "\0\u2028"}])
def test_steps_are_parsed_unchanged(changes):
    body = {"run": 1, "void": ["b"], "steps": [STEP | changes]}

    assert read(parse(StepsBody, json.dumps(body).encode()).to_contract()) == body


def test_a_nul_in_a_request_of_a_step_becomes_the_replacement_character():
    body = {"run": 1, "steps": [STEP | {"request": {"a": "\0"}}]}

    step = parse(StepsBody, json.dumps(body).encode()).to_contract()["steps"][0]

    assert read(step)["request"] == {"a": "\ufffd"}


@pytest.mark.parametrize("document", [DOCUMENT, DOCUMENT | {"result": RESULT | {"cutFrom": 9_000_000}}])
def test_a_result_document_is_parsed_unchanged(document):
    assert read(parse(ResultDocumentBody, json.dumps(document).encode()).to_contract()) == document


def test_keys_of_a_newer_runner_are_left_out():
    body = parse(ResultDocumentBody, json.dumps(DOCUMENT | {"later": 1}).encode())
    used = {"llmCalls": 1, "cachedTokens": 2}
    event = parse(EventsBody, json.dumps({"events": [EVENT | {"usage": used}]}).encode()).events[0]

    assert read(body.to_contract()) == DOCUMENT
    assert read(event.to_contract()) == EVENT | {"usage": {"llmCalls": 1}}


def test_a_long_message_is_truncated_to_the_contracts_length():
    document = parse(ResultDocumentBody, json.dumps(DOCUMENT | {"message": "é" * 5000}).encode()).to_contract()

    assert len(document["message"].encode()) <= contract.MAX_MESSAGE_BYTES


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00\xff\xfe", id="garbage"),
        pytest.param(b'{"events": [', id="cut"),
        pytest.param(b'{"events": "\x00"}', id="raw-nul"),
        pytest.param(b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", id="deep"),
        pytest.param(b'{"a":' + b"9" * 10_000 + b"}", id="endless-number"),
        pytest.param(rb'{"events": "\ud800"}', id="half-a-surrogate"),
    ],
)
def test_invalid_json_is_400(raw):
    with pytest.raises(Problem) as refused:
        parse(EventsBody, raw)

    assert (refused.value.status, refused.value.reason) == (400, "InvalidJSON")


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"seq": -1}, "events.0.seq"),
        ({"seq": 2**31}, "events.0.seq"),
        ({"seq": "1"}, "events.0.seq"),
        ({"seq": True}, "events.0.seq"),
        ({"time": "yesterday"}, "events.0.time"),
        ({"time": "2026-11-21T09:00:00"}, "events.0.time"),
        ({"time": 5}, "events.0.time"),
        ({"kind": "Text\x00"}, "events.0.kind"),
        ({"usage": {"inputTokens": -1}}, "events.0.usage.inputTokens"),
        ({"usage": {"inputTokens": 2**31}}, "events.0.usage.inputTokens"),
        ({"usage": {"inputTokens": "1"}}, "events.0.usage.inputTokens"),
        ({"usage": [1]}, "events.0.usage"),
        ({"author": "x" * 300}, "events.0.author"),
        ({"data": []}, "events.0.data"),
        ({"data": {"text": "x" * 70_000}}, "larger than 65536 bytes"),
    ],
)
def test_an_event_of_another_shape_is_422_with_its_path(changes, place):
    with pytest.raises(Problem) as refused:
        parse(EventsBody, json.dumps({"events": [EVENT | changes]}).encode())

    assert (refused.value.status, refused.value.reason) == (422, "InvalidBody")
    assert place in refused.value.message


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"run": 0}, "run"),
        ({"run": None}, "run"),
        ({"void": [""]}, "void: 0"),
        ({"void": ["x" * 500] * 200}, "void"),
        ({"void": "a"}, "void"),
        ({"versions": {"adk": "1"}}, "versions"),
        ({"steps": [STEP] * 501}, "steps"),
        ({"steps": [STEP | {"key": ""}]}, "steps.0.key"),
        ({"steps": [STEP | {"key": "x" * 513}]}, "steps.0.key"),
        ({"steps": [STEP | {"kind": "Tool"}]}, "steps.0.kind"),
        ({"steps": [STEP | {"began": "now"}]}, "steps.0.began"),
        ({"steps": [STEP | {"ended": "later"}]}, "steps.0.ended"),
        ({"steps": [STEP | {"ended": None}]}, "steps.0.body"),
        ({"steps": [STEP | {"request": []}]}, "steps.0.request"),
        ({"steps": [STEP | {"request": {"a": "x" * 65_536}}]}, "steps.0.request"),
        ({"steps": [STEP | {"usage": {"llmCalls": -1}}]}, "steps.0.usage.llmCalls"),
        ({"steps": [STEP | {"void": 1}]}, "steps.0.void"),
    ],
)
def test_steps_of_another_shape_are_422_with_their_path(changes, place):
    with pytest.raises(Problem) as refused:
        parse(StepsBody, json.dumps({"run": 1, "steps": [STEP]} | changes).encode())

    assert (refused.value.status, refused.value.reason) == (422, "InvalidBody")
    assert place in refused.value.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verdict": "Perhaps"}, "Succeed, Retry"),
        ({"result": None}, "verdict Succeed"),
        ({"verdict": "Fail"}, "verdict Succeed"),
        ({"reason": "no spaces please"}, "reason"),
        ({"reason": ""}, "reason"),
        ({"delaySeconds": -1}, "delaySeconds"),
        ({"delaySeconds": 1e300}, "delaySeconds"),
        ({"delaySeconds": "soon"}, "delaySeconds"),
        ({"result": RESULT | {"structured": [1]}}, "structured"),
        ({"result": RESULT | {"usage": {"llmCalls": 2**60}}}, "usage"),
        ({"result": RESULT | {"usage": {"llm\x00": 1}}}, "usage"),
        ({"result": RESULT | {"text": 5}}, "text"),
    ],
)
def test_a_result_of_another_shape_is_422_with_its_path(changes, words):
    with pytest.raises(Problem) as refused:
        parse(ResultDocumentBody, json.dumps(DOCUMENT | changes).encode())

    assert refused.value.status == 422
    assert words in refused.value.message


def test_a_refusal_repeats_no_value_and_is_one_sentence():
    events = [EVENT | {"kind": "SECRET", "seq": "SECRET"} for _ in range(1000)]

    with pytest.raises(Problem) as refused:
        parse(EventsBody, json.dumps({"events": events}).encode())

    assert "SECRET" not in refused.value.message
    assert len(refused.value.message) < 1000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("events", "verdict", "reason", "message", "delaySeconds", "result", "seq", "data"), JSON),
)


@pytest.mark.parametrize("model", [EventsBody, ResultDocumentBody, HeartbeatBody, StepsBody])
@given(raw=st.binary() | (JSON | NEARLY).map(lambda value: json.dumps(value).encode()))
def test_any_body_is_accepted_or_refused(model, raw):
    with contextlib.suppress(Problem):
        parse(model, raw)


@given(raw=st.binary())
def test_a_refusal_is_a_client_error_and_a_sentence(raw):
    with pytest.raises(Problem) as refused:
        parse(ResultDocumentBody, raw)

    assert refused.value.status in {400, 422}
    assert refused.value.message.endswith(".")
