"""What the client asks about many jobs at once, step by step, without a server."""

from agentjobs.client.overview_operations import OverviewOperations

DO = OverviewOperations("docs", patience=30.0)
ACTION = {"time": "2026-11-21T09:00:00Z", "user": "ada", "namespace": "docs", "kind": "AgentJob", "status": 200}


def action(name):
    return ACTION | {"name": name, "action": "cancel"}


def test_what_people_did_is_read_page_by_page(world):
    there = world([{"items": [action("b")], "cursor": "next"}, {"items": [action("a")], "cursor": None}])

    there.run(DO.actions(uid="u1"))

    assert [one.name for one in there.emitted] == ["b", "a"]
    asked = {"limit": "500", "namespace": "docs", "uid": "u1"}
    assert [dict(send.params) for send in there.sent] == [asked, asked | {"cursor": "next"}]


def test_everywhere_names_no_namespace(world):
    there = world([{"items": [], "cursor": None}])

    there.run(DO.actions(everywhere=True))

    assert dict(there.sent[0].params) == {"limit": "500"}
