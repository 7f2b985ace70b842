"""Any output of the CLI: reading never raises and takes bounded memory, and nothing else counts as an answer."""

import json
import sys

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.clauderecordings import judged, recordings

from agentjobs.contract import Verdict
from agentjobs_runner.claude_code import stream
from agentjobs_runner.claude_code.command import ClaudeCodeSettings
from agentjobs_runner.claude_code.stream import Reader
from agentjobs_runner.claude_code.verdict import Exit, judge
from agentjobs_runner.output import Output

SCHEMA = {"type": "object", "required": ["outcome"], "properties": {"outcome": {"type": "string"}}}
# Few of what is drawn here succeeds, and what does is the question.
MANY = 5 * settings.default.max_examples
NAMES = sorted(name for name, recording in recordings().items() if recording.lines)

texts = st.text(max_size=8) | st.sampled_from(["init", "success", "result", "completed", "end_turn", "Bash"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    *("subtype", "message", "is_error", "result", "structured_output", "mcp_servers", "model", "permission_denials"),
    *(
        "parent_tool_use_id",
        "terminal_reason",
        "stop_reason",
        "errors",
        "usage",
        "api_error_status",
        "tool_result_meta",
    ),
    *("deferred_tool_use", "total_cost_usd", "error", "retry_delay_ms", "attempt", "num_turns"),
)
blocks = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "tool_result", "image"]) | values},
    optional=dict.fromkeys(("text", "id", "name", "input", "content", "tool_use_id", "is_error"), values),
)
messages = st.fixed_dictionaries({"content": st.lists(blocks, max_size=3) | values, "id": values, "usage": values})
events = st.fixed_dictionaries(
    {"type": st.sampled_from(["system", "assistant", "user", "result"]) | values},
    optional=dict.fromkeys(FIELDS, values) | {"message": messages | values},
)


def line(event):
    return json.dumps(event).encode() + b"\n"


@given(st.lists(st.binary(max_size=60) | events.map(line) | values.map(line), max_size=12))
@example([b'{"type":"result","is_error":false,"total_cost_usd":1e999,"num_turns":1' + b"0" * 5000 + b"}"])
@example([b'{"type":"result","result":"\\ud800\\u0000"}'])
@example([b"[" * 100_000])
@example([b'{"type":"user","message":{"content":' + b'[{"a":' * 20_000])
def test_reading_any_output_never_raises(lines):
    reader = Reader()
    for each in lines:
        reader.feed(each)
    judge(reader.facts, Exit(0), ClaudeCodeSettings(model="opus"), Output())


def test_a_too_long_line_is_not_parsed(monkeypatch):
    monkeypatch.setattr(stream, "MAX_LINE_BYTES", 1000)
    recording = recordings()["success"]
    assert judged(recording.lines, Exit(0), recording.settings, Output()).ending.verdict is not Verdict.SUCCEED


def test_kept_state_is_bounded(monkeypatch):
    monkeypatch.setattr(stream, "_MAX_IDS", 50)
    reader, sizes = Reader(), []
    for number in range(4000):
        call = {"type": "tool_use", "id": f"t{number}", "name": f"n{number}", "input": {}}
        message = {"id": f"m{number}", "model": f"m{number}", "content": [call]}
        reader.feed(line({"type": "assistant", "message": message, "parent_tool_use_id": None}))
        reader.feed(line({"type": "system", "subtype": "permission_denied", "tool_name": f"n{number}"}))
        reader.feed(line({"type": "system", "subtype": "init", "mcp_servers": [{"name": f"s{number}"}]}))
        if number % 1000 == 999:
            sizes.append(sum(sys.getsizeof(held) for held in vars(reader).values()))
    assert sizes[0] == sizes[-1]


def test_an_answer_in_endless_parts_is_bounded():
    reader = Reader()
    message = {"id": "m", "model": "m", "content": [{"type": "text", "text": "x" * 100_000}]}
    for _ in range(30):
        [answered] = reader.feed(line({"type": "assistant", "message": message, "parent_tool_use_id": None}))
    assert len(answered.text) == stream.MAX_TEXT_BYTES


@given(st.sampled_from(NAMES), st.floats(0, 1), st.booleans())
@settings(max_examples=MANY)
def test_a_truncated_recording_succeeds_only_with_a_complete_result(name, share, ends_well):
    recording = recordings()[name]
    whole = b"".join(recording.lines)
    kept = whole[: int(len(whole) * share)]
    ended = Exit(0) if ends_well else recording.exit
    found = judged(kept.splitlines(keepends=True), ended, recording.settings, recording.output)
    if found.ending.verdict is Verdict.SUCCEED:
        assert ended.code == 0
        assert_answered(kept.splitlines())


def test_no_recording_succeeds_without_its_last_result():
    for name in NAMES:
        recording = recordings()[name]
        last = max((at for at, each in enumerate(recording.lines) if is_result(each)), default=0)
        for end in range(last + 1):
            kept = recording.lines[:end]
            found = judged(kept, Exit(0), recording.settings, recording.output)
            if found.ending.verdict is Verdict.SUCCEED:
                assert_answered(kept)


def is_result(raw):
    return json.loads(raw).get("type") == "result"


def assert_answered(kept):
    """The newest result is whole, and no turn of the main agent began after it."""
    tail = []
    for raw in reversed(kept):
        event = json.loads(raw)  # a cut line is none
        if event.get("type") == "result":
            break
        tail.append(event)
    else:
        raise AssertionError("no result")
    turns = [each for each in tail if each.get("type") in ("assistant", "user")]
    assert all(each["parent_tool_use_id"] for each in turns)
    assert all(each.get("subtype") != "init" for each in tail)


def mostly(good, *others):
    """So that most streams have one fault or none."""
    return st.sampled_from((good,) * 16 + others)


inits = st.builds(
    lambda model, status: {
        "type": "system",
        "subtype": "init",
        "model": model,
        "mcp_servers": [] if status is None else [{"name": "papers", "status": status}],
    },
    mostly("claude-opus-5-5", "claude-haiku-5-5", ""),
    mostly("connected", "failed", "pending", None),
)
results = st.fixed_dictionaries(
    {
        "type": st.just("result"),
        "subtype": mostly("success", "error_during_execution", "error_max_turns"),
        "is_error": mostly(False, True, None, "false"),
        "result": mostly("done", '{"outcome":"x"}', ""),
        "terminal_reason": mostly("completed", "tool_deferred", "aborted_tools", "api_error"),
        "stop_reason": mostly("end_turn", "tool_use", "refusal", "max_tokens", "tool_deferred", None),
        "modelUsage": mostly({"claude-opus-5-5": {}}, {"claude-haiku-5-5": {}}),
        "structured_output": mostly({"outcome": "fix"}, {"other": 1}, [], "x", None),
        "deferred_tool_use": mostly(None, {"id": "t", "name": "Bash"}),
    }
)
answers = st.builds(
    lambda parent, model: {
        "type": "assistant",
        "message": {"id": "m", "model": model},
        "parent_tool_use_id": parent,
    },
    mostly(None, "toolu_1"),
    mostly("claude-opus-5-5", "claude-haiku-5-5", "claude-haiku-5-5", "<synthetic>"),
)
moves = st.just({"type": "system", "subtype": "model_refusal_fallback", "fallback_model": "claude-opus-4-8"})
rests = st.just([]) | st.lists(st.one_of(inits, results, answers, moves), max_size=2)
middles = st.builds(lambda answer, rest: [*answer, *rest], st.lists(answers, max_size=2), rests)


@given(
    st.builds(lambda init, middle, result, end: [init, *middle, result, *end], inits, middles, results, rests),
    mostly(0, 1, 143, -9, None),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=MANY)
def test_a_success_requires_everything_that_the_job_requested(told, code, wants_schema, wants_server):
    output = Output.read({"schema": SCHEMA} if wants_schema else {})
    asked = ClaudeCodeSettings(
        model="claude-opus-5-5",
        servers=frozenset({"papers"} if wants_server else ()),
        schema=SCHEMA if wants_schema else None,
    )
    found = judged(map(line, told), Exit(code), asked, output)
    if found.ending.verdict is not Verdict.SUCCEED:
        return
    begins = [each for each in told if each.get("subtype") == "init"]
    ends = [each for each in told if each["type"] == "result"]
    last = ends[-1]
    assert code == 0
    assert last["subtype"] == "success"
    assert last["is_error"] is False
    assert last["terminal_reason"] == "completed"
    assert last["stop_reason"] in (("end_turn", "tool_use") if wants_schema else ("end_turn",))
    assert not any(each["deferred_tool_use"] or "tool_deferred" in each.values() for each in ends)
    assert not any(each.get("subtype") == "model_refusal_fallback" for each in told)
    assert begins[-1]["model"] == "claude-opus-5-5"
    said = [each["message"]["model"] for each in told if each["type"] == "assistant" and not each["parent_tool_use_id"]]
    assert {*said} - {"<synthetic>"}
    assert "claude-haiku-5-5" not in said or "claude-haiku-5-5" not in last["modelUsage"]
    if wants_schema:
        assert found.ending.result["structured"] == {"outcome": "fix"}
    else:
        assert found.ending.result["text"] == last["result"]
    if wants_server:
        told_of = [server for each in begins for server in each.get("mcp_servers", ())]
        assert told_of[-1]["status"] == "connected"
    assert_answered(list(map(line, told)))
