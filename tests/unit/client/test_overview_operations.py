"""What the client asks about many jobs at the same time, step by step, without a server."""

import json

import pytest

from agentjobs import errors
from agentjobs.client.overview_operations import OverviewOperations

DO = OverviewOperations("docs", retry_for=30.0)
ACTION = {"time": "2026-11-21T09:00:00Z", "user": "ada", "namespace": "docs", "kind": "AgentJob", "status": 200}


def action(name):
    return ACTION | {"name": name, "action": "cancel"}


def test_actions_are_read_in_pages(world):
    there = world([{"items": [action("b")], "cursor": "next"}, {"items": [action("a")], "cursor": None}])

    there.run(DO.actions(uid="u1"))

    assert [one.name for one in there.emitted] == ["b", "a"]
    asked = {"limit": "500", "namespace": "docs", "uid": "u1"}
    assert [dict(send.params) for send in there.sent] == [asked, asked | {"cursor": "next"}]


def test_a_request_for_all_namespaces_names_none(world):
    there = world([{"items": [], "cursor": None}])

    there.run(DO.actions(everywhere=True))

    assert dict(there.sent[0].params) == {"limit": "500"}


def change(name, number):
    data = {"namespace": "docs", "name": name, "uid": "u1", "what": "job", "changes": 1}
    return ["event: change", f"data: {json.dumps(data)}", f"id: b-{number}", ""]


def test_changes_continue_where_a_stream_was_interrupted(world):
    first = ["retry: 1000", "id: b-1", "", *change("a", 2), ": still here", "event: away", "data: {}", ""]
    there = world(streams=[first, [*change("b", 3), errors.Denied("no longer")]])

    with pytest.raises(errors.Denied):
        there.run(DO.changes(every=2.0))

    assert [one.name for one in there.emitted] == ["a", "b"]
    assert [listen.headers for listen in there.sent] == [{}, {"Last-Event-ID": "b-2"}]


def test_a_request_for_changes_of_a_job_has_no_separate_namespace(world):
    there = world(streams=[[errors.Denied("not you")]])

    with pytest.raises(errors.Denied):
        there.run(DO.changes(job="hello", every=5.0))

    assert there.sent[0].params == {"every": "5", "job": "docs/hello"}
