"""What the CLI prints, as values."""

import json

import pytest
from tests.clauderecordings import recordings

from agentjobs_runner.claude_code.stream import Answered, Began, Call, Concluded, Noise, Reader, Retrying, ToolEnded


def seen_in(name):
    reader = Reader()
    return [seen for line in recordings()[name].lines for seen in reader.feed(line)], reader.facts


def of(kind, seen):
    return [each for each in seen if isinstance(each, kind)]


def feed(reader, **event):
    return reader.feed(json.dumps(event).encode())


def test_the_events_of_a_run_are_in_order():
    seen, facts = seen_in("tool_bash_denied_default")

    kinds = [type(each) for each in seen if not isinstance(each, Noise)]
    assert kinds == [Began, Answered, Answered, ToolEnded, Answered, Concluded]
    assert facts.usage == {"llmCalls": 2, "toolCalls": 1, "inputTokens": 200, "outputTokens": 40}
    assert (facts.denied, facts.unfinished) == ({"Bash": 1}, False)


def test_each_part_of_an_answer_has_its_id_and_the_earlier_parts():
    seen, _ = seen_in("tool_bash_denied_default")

    first, second, _ = of(Answered, seen)
    given = {"command": "touch /job/x1; echo hi > a.txt", "description": "x"}
    assert (first.id, first.text, first.calls) == ("msg_fake_0001", "I will run it.", ())
    assert (second.id, second.text) == (first.id, first.text)
    assert second.calls == (Call("toolu_fake_001_0", "Bash", given),)


def test_a_denied_tool_did_not_run():
    [denied] = of(ToolEnded, seen_in("tool_bash_denied_default")[0])
    ran = of(ToolEnded, seen_in("tool_bash_bypass")[0])

    assert (denied.name, denied.is_error, denied.ran) == ("Bash", True, False)
    assert [(each.name, each.is_error, each.ran) for each in ran] == [
        ("Bash", False, True),
        ("Write", False, True),
        ("Read", False, True),
        ("Edit", False, True),
    ]


def test_events_of_a_subagent_do_not_belong_to_the_main_agent():
    seen, facts = seen_in("budget_in_subagent_fg")

    assert {each.main for each in of(Answered, seen)} == {True, False}
    assert facts.usage["llmCalls"] == len({each.id for each in of(Answered, seen)})


def test_an_error_of_the_api_is_not_an_answer():
    seen, facts = seen_in("api_401")

    assert of(Answered, seen) == []
    assert (facts.models, facts.error) == (frozenset(), "authentication_failed")
    [first, *_] = of(Retrying, seen)
    assert (first.attempt, first.most, first.delay_seconds, first.status) == (1, 10, 0.588, 401)


def test_the_last_result_and_the_newest_structured_output_are_kept():
    _, facts = seen_in("schema_with_bg")

    assert (facts.last.text, facts.last.has_structured) == ("second turn text", False)
    assert facts.structured == {"outcome": "first"}


def test_the_newest_status_of_a_server_applies():
    reader = Reader()
    for status in ("connected", "failed"):
        feed(reader, type="system", subtype="init", mcp_servers=[{"name": "papers", "status": status}])

    assert reader.facts.servers == {"papers": "failed"}


def test_an_event_of_an_unknown_type_is_ignored():
    _, facts = seen_in("success")
    reader = Reader()
    for line in recordings()["success"].lines:
        reader.feed(b'{"type":"of_tomorrow","parent_tool_use_id":null,"is_error":true}')
        reader.feed(line)
    reader.feed(b'{"type":"command_lifecycle"}')

    assert reader.facts == facts


@pytest.mark.parametrize("line", [b"", b"\n", b"Debugger attached.\n", b"[]", b"null", b"12"])
def test_a_line_that_is_not_an_event_does_not_affect_the_result(line):
    reader = Reader()
    feed(reader, type="result", is_error=False)
    reader.feed(line)

    assert reader.facts.unfinished is False


@pytest.mark.parametrize("line", [b'{"type":"result","subtype":"succ', b'{"type":"assis', b"{", b' {"a":\xff}'])
def test_a_truncated_event_invalidates_the_last_result(line):
    reader = Reader()
    feed(reader, type="result", is_error=False)
    reader.feed(line)

    assert reader.facts.unfinished is True


def test_a_denial_reported_twice_counts_once():
    reader = Reader()
    denial = {"tool_name": "Bash", "tool_use_id": "toolu_1"}
    feed(reader, type="system", subtype="permission_denied", **denial)
    feed(reader, type="result", permission_denials=[denial])

    assert reader.facts.denied == {"Bash": 1}


def test_a_tools_result_in_blocks_is_recorded_with_their_texts():
    reader = Reader()
    content = [{"type": "text", "text": "two"}, {"type": "image"}, {"type": "text", "text": "lines"}]
    block = {"type": "tool_result", "tool_use_id": "toolu_1", "content": content}
    [ended] = feed(reader, type="user", message={"content": [block]}, parent_tool_use_id=None)

    assert ended.result == "two\n<image>\nlines"
