"""Lists and watches, which the cache of a controller uses."""

import asyncio
import json
from urllib.parse import quote

import pytest


def types(events):
    return [(event["type"], event["object"]["metadata"].get("name")) for event in events]


async def test_a_watch_continues_after_the_list_it_follows(api, toys, toy):
    await api("POST", toys, toy("a"))
    revision = (await api("GET", toys)).body["metadata"]["resourceVersion"]
    await api("POST", toys, toy("b"))
    await api.merge(f"{toys}/a", {"spec": {"size": 2}})
    await api("DELETE", f"{toys}/b")

    events = await api.events(toys, f"resourceVersion={revision}")

    assert types(events) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert revisions == sorted(revisions)
    assert revisions[0] > int(revision)


async def test_a_watch_without_a_revision_begins_with_the_current_objects(api, toys, toy):
    await api("POST", toys, toy("a"))

    assert types(await api.events(toys, "")) == [("ADDED", "a")]


async def test_streamed_lists_end_in_a_marked_bookmark(api, toys, toy):
    await api("POST", toys, toy("a"))

    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    events = await api.events(toys, query)

    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_events_arrive_while_the_watch_is_open(api, toys, toy):
    async with api.session.get(
        f"{toys}?watch=true", headers={"Authorization": f"Bearer {api.server.token}"}
    ) as response:
        await api("POST", toys, toy("a"))
        event = json.loads(await response.content.readline())

    assert event["type"] == "ADDED"


async def test_an_expired_watch_is_an_event_in_an_answer_of_200(api, toys):
    answer = await api("GET", f"{toys}?watch=true&resourceVersion=1")

    event = json.loads(answer.text)
    assert (answer.code, event["type"]) == (200, "ERROR")
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


async def test_a_revision_of_a_later_server_is_expired_too(api, toys):
    events = await api.events(toys, "resourceVersion=9999999999999999")

    assert events[0]["object"]["code"] == 410


async def test_compaction_expires_earlier_revisions(api, toys, toy):
    old = (await api("POST", toys, toy("a"))).body["metadata"]["resourceVersion"]
    new = (await api("POST", toys, toy("b"))).body["metadata"]["resourceVersion"]
    api.server.compact()

    expired = await api.events(toys, f"resourceVersion={old}")
    current = await api.events(toys, f"resourceVersion={new}")

    assert expired[0]["object"]["code"] == 410
    assert current == []


async def test_history_is_bounded_by_bytes(tmp_path, toy):
    from devcluster.apiserver.store import Expired, Store

    store = Store(1000, history_bytes=10_000)
    for number in range(200):
        store.put("toys", ("default", "a"), toy(size=number))

    with pytest.raises(Expired):
        store.check(1100)
    store.check(1190)


async def test_an_object_that_leaves_a_selection_is_reported_as_deleted_in_its_last_selected_state(api, toys, toy):
    await api("POST", toys, toy("a", labels={"color": "red"}))
    revision = (await api("GET", toys)).body["metadata"]["resourceVersion"]
    moved = await api.merge(f"{toys}/a", {"metadata": {"labels": {"color": "blue"}}})

    query = f"resourceVersion={revision}&labelSelector=color%3D"
    red, blue = await api.events(toys, query + "red"), await api.events(toys, query + "blue")

    assert (red[0]["type"], red[0]["object"]["metadata"]["labels"]) == ("DELETED", {"color": "red"})
    assert red[0]["object"]["metadata"]["resourceVersion"] == moved.body["metadata"]["resourceVersion"]
    assert blue[0]["type"] == "ADDED"


async def test_a_watch_of_one_name_gets_only_its_events(api, toys, toy):
    for name in ("a", "b"):
        await api("POST", toys, toy(name))

    events = await api.events(toys, "fieldSelector=metadata.name%3Db")

    assert types(events) == [("ADDED", "b")]


async def test_removing_the_last_finalizer_deletes_the_object(api, toys, toy):
    await api("POST", toys, toy("a", finalizers=["example.dev/hold"]))
    revision = (await api("GET", toys)).body["metadata"]["resourceVersion"]
    await api("DELETE", f"{toys}/a")
    await api.merge(f"{toys}/a", {"metadata": {"finalizers": None}})

    events = await api.events(toys, f"resourceVersion={revision}")

    assert types(events) == [("MODIFIED", "a"), ("DELETED", "a")]


@pytest.mark.parametrize("query", ["sendInitialEvents=true", "resourceVersionMatch=NotOlderThan&resourceVersion=0"])
async def test_initial_events_require_a_resource_version_match_and_vice_versa(api, toys, query):
    assert (await api("GET", f"{toys}?watch=true&{query}")).code == 422


async def test_all_pages_show_the_state_at_the_time_of_the_first_page(api, toys, toy):
    for name in "abcde":
        await api("POST", toys, toy(name))

    first = (await api("GET", f"{toys}?limit=2")).body
    await api("DELETE", f"{toys}/c")
    second = (await api("GET", f"{toys}?limit=2&continue={quote(first['metadata']['continue'])}")).body
    third = (await api("GET", f"{toys}?limit=2&continue={quote(second['metadata']['continue'])}")).body

    names = [item["metadata"]["name"] for page in (first, second, third) for item in page["items"]]
    assert names == list("abcde")
    assert first["metadata"]["remainingItemCount"] == 3
    assert first["metadata"]["resourceVersion"] == third["metadata"]["resourceVersion"]
    assert "continue" not in third["metadata"]


async def test_an_expired_page_is_410(api, toys, toy):
    for name in "abc":
        await api("POST", toys, toy(name))
    token = (await api("GET", f"{toys}?limit=1")).body["metadata"]["continue"]
    api.server.compact()

    answer = await api("GET", f"{toys}?limit=1&continue={quote(token)}")

    assert (answer.code, answer.body["reason"]) == (410, "Expired")


async def test_a_list_at_a_future_revision_is_a_timeout(api, toys):
    answer = await api("GET", f"{toys}?resourceVersion=9999999999999999")

    assert (answer.code, answer.body["reason"]) == (504, "Timeout")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        pytest.param("labelSelector=color", ["a", "b"], id="exists"),
        pytest.param("labelSelector=color%3Dred", ["a"], id="equals"),
        pytest.param("labelSelector=color%20in%20(red,blue),color!%3Dred", ["b"], id="set"),
        pytest.param("labelSelector=!color", ["c"], id="absent"),
        pytest.param("fieldSelector=metadata.name%3Db", ["b"], id="field"),
    ],
)
async def test_a_list_is_filtered_by_label_and_field_selectors(api, toys, toy, query, names):
    for name, labels in (("a", {"color": "red"}), ("b", {"color": "blue"}), ("c", {})):
        await api("POST", toys, toy(name, labels=labels))

    found = await api("GET", f"{toys}?{query}")

    assert [item["metadata"]["name"] for item in found.body["items"]] == names


async def test_five_watchers_lose_nothing_under_load(api, toys, toy):
    revision = (await api("GET", toys)).body["metadata"]["resourceVersion"]
    admin = {"Authorization": f"Bearer {api.server.token}"}
    url = f"{toys}?watch=true&resourceVersion={revision}"
    watches = [await api.session.get(url, headers=admin) for _ in range(5)]

    await asyncio.gather(*(api("POST", toys, toy(f"n{number}")) for number in range(200)))
    api.server.close_watches()
    heard = [[json.loads(line) for line in (await watch.text()).splitlines()] for watch in watches]

    assert [len(events) for events in heard] == [200] * 5
    assert [len({event["object"]["metadata"]["name"] for event in events}) for events in heard] == [200] * 5


async def test_a_stopped_server_ends_its_watches(api, server, toys):
    admin = {"Authorization": f"Bearer {server.token}"}
    async with api.session.get(f"{toys}?watch=true", headers=admin) as watch:
        await server.stop()

        assert await watch.content.read() == b""
