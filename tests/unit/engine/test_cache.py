"""The cache is correct for any order of events."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.engine.cache import Cache

Value = tuple[str, int, str]


def value_of(obj: Mapping[str, Any]) -> Value:
    metadata = obj["metadata"]
    return metadata["uid"], int(metadata["resourceVersion"]), metadata.get("labels", {}).get("job", "")


@pytest.fixture
def cache() -> Cache[Value]:
    return Cache(value_of, {"job": lambda value: [value[2]] if value[2] else []})


def take(cache: Cache[Value], objects: Iterable[Mapping[str, Any]], version: str, *, namespace: str | None = None):
    """Take in a complete list; return the names whose object changed or vanished."""
    changed = set()
    listing = cache.listing(namespace, changed=lambda name, before, after: changed.add(name))
    for one in objects:
        listing.take(one)
    listing.end(version)
    return changed


def version(cache: Cache[Value], name: str) -> int | None:
    value = cache.get(("ns", name))
    return None if value is None else value[1]


def test_a_newer_version_replaces_an_older_one(cache, obj):
    assert cache.apply("ADDED", obj("a", 1))
    assert cache.apply("MODIFIED", obj("a", 2))

    assert version(cache, "a") == 2


@pytest.mark.parametrize("stale", [1, 2])
def test_outdated_and_repeated_events_change_nothing(cache, obj, stale):
    cache.apply(None, obj("a", 2))

    assert not cache.apply("MODIFIED", obj("a", stale))

    assert version(cache, "a") == 2


def test_only_versions_of_answers_to_writes_are_remembered(cache, obj):
    cache.apply("ADDED", obj("a", 1))
    cache.apply(None, obj("a", 2))

    assert [number for number in (1, 2, 3) if cache.was_answered(str(number))] == [2]


def test_the_version_of_an_answer_is_forgotten_with_its_object(cache, obj):
    """An object whose label was removed and restored is deleted and added for a watch that selects it by the label."""
    cache.apply("ADDED", obj("a", 1))
    cache.apply(None, obj("a", 12))
    cache.apply("DELETED", obj("a", 11))

    assert not cache.was_answered("12")
    assert cache.apply("ADDED", obj("a", 12))


def test_versions_are_compared_as_numbers(cache, obj):
    cache.apply("ADDED", obj("a", 9))

    assert cache.apply("MODIFIED", obj("a", 10))


def test_an_event_older_than_the_answer_to_a_write_is_ignored(cache, obj):
    cache.apply("ADDED", obj("a", 1))
    cache.apply(None, obj("a", 5))

    assert not cache.apply("MODIFIED", obj("a", 3))

    assert version(cache, "a") == 5


def test_a_late_event_does_not_restore_a_deleted_object(cache, obj):
    cache.apply("ADDED", obj("a", 1))
    assert cache.apply("DELETED", obj("a", 3))

    assert not cache.apply("MODIFIED", obj("a", 2))
    assert not cache.apply(None, obj("a", 3))

    assert len(cache) == 0


def test_an_object_that_only_left_the_watched_selection_can_return(cache, obj):
    cache.apply("ADDED", obj("a", 1))
    cache.apply("DELETED", obj("a", 3))
    cache.apply("DELETED", obj("a", 2))

    assert not cache.apply("MODIFIED", obj("a", 3))
    assert cache.apply("ADDED", obj("a", 4))


def test_a_deletion_received_before_the_object_is_kept(cache, obj):
    assert not cache.apply("DELETED", obj("a", 3))

    assert not cache.apply("ADDED", obj("a", 1))


def test_a_new_object_replaces_the_previous_one_of_its_name(cache, obj):
    cache.apply("ADDED", obj("a", 1, uid="old"))

    assert cache.apply("ADDED", obj("a", 7, uid="new"))

    assert cache.get(("ns", "a")) == ("new", 7, "")


def test_replacing_an_object_by_another_of_its_name_is_two_changes(cache, obj):
    old, new = obj("a", 1, uid="old"), obj("a", 7, uid="new")
    first, then = cache.apply("ADDED", old), cache.apply("ADDED", new)

    assert first == [(("ns", "a"), None, value_of(old))]
    assert then == [(("ns", "a"), value_of(old), None), (("ns", "a"), None, value_of(new))]


def test_a_deletion_with_a_newer_state_is_an_update_and_a_deletion(cache, obj):
    known, last = value_of(obj("a", 1)), value_of(obj("a", 3, job="x"))
    cache.apply("ADDED", obj("a", 1))

    assert cache.apply("DELETED", obj("a", 3, job="x")) == [(("ns", "a"), known, last), (("ns", "a"), last, None)]


def test_a_deletion_without_a_newer_state_is_one_change(cache, obj):
    cache.apply("ADDED", obj("a", 1))

    assert cache.apply("DELETED", {"metadata": obj("a", 1)["metadata"]}) == [(("ns", "a"), value_of(obj("a", 1)), None)]


@pytest.mark.parametrize("event", ["MODIFIED", "DELETED"])
def test_late_events_of_the_previous_object_of_a_name_change_nothing(cache, obj, event):
    cache.apply("ADDED", obj("a", 7, uid="new"))

    assert not cache.apply(event, obj("a", 5, uid="old"))

    assert cache.get(("ns", "a")) == ("new", 7, "")


def test_objects_are_found_by_index(cache, obj):
    cache.apply("ADDED", obj("a", 1, job="x"))
    cache.apply("ADDED", obj("b", 2, job="x"))
    cache.apply("ADDED", obj("c", 3))

    assert [value[0] for value in cache.by("job", "x")] == ["uid-a", "uid-b"]
    assert cache.by("job", "y") == []


def test_the_index_follows_changes_and_deletions(cache, obj):
    cache.apply("ADDED", obj("a", 1, job="x"))
    cache.apply("MODIFIED", obj("a", 2, job="y"))
    assert (len(cache.by("job", "x")), len(cache.by("job", "y"))) == (0, 1)

    cache.apply("DELETED", obj("a", 3, job="y"))

    assert cache.by("job", "y") == []
    assert cache._index["job"] == {}  # nothing is kept for values that no one has


def test_an_unknown_index_is_an_error(cache):
    with pytest.raises(KeyError, match="jbo"):
        cache.by("jbo", "x")


def test_a_list_removes_objects_that_it_does_not_contain(cache, obj):
    cache.apply("ADDED", obj("gone", 1))
    cache.apply("ADDED", obj("stays", 2))

    changed = take(cache, [obj("stays", 2), obj("new", 4)], "5")

    assert changed == {("ns", "gone"), ("ns", "new")}
    assert set(cache.keys()) == {("ns", "stays"), ("ns", "new")}


def test_a_list_keeps_objects_created_after_it(cache, obj):
    cache.apply(None, obj("new", 6))

    assert take(cache, [], "5") == set()

    assert version(cache, "new") == 6


def test_a_list_does_not_restore_objects_deleted_after_it(cache, obj):
    cache.apply("ADDED", obj("a", 1))
    cache.apply("DELETED", obj("a", 6))

    assert take(cache, [obj("a", 1)], "5") == set()

    assert len(cache) == 0


def test_an_item_of_a_list_does_not_undo_a_newer_event(cache, obj):
    cache.apply("ADDED", obj("gone", 1))
    listing = cache.listing()
    for name, number in (("gone", 2), ("moved", 3), ("still", 4)):
        listing.take(obj(name, number))
    cache.apply("DELETED", obj("gone", 6))
    cache.apply("MODIFIED", obj("moved", 7))

    listing.end("5")

    assert [version(cache, name) for name in ("gone", "moved", "still")] == [None, 7, 4]


def test_an_older_list_that_ends_later_removes_nothing_that_the_newer_list_has(cache, obj):
    cache.apply("ADDED", obj("a", 1))
    older, newer = cache.listing(), cache.listing()
    older.take(obj("a", 1))
    newer.take(obj("a", 1))

    older.end("5")

    assert version(cache, "a") == 1


def test_another_value_of_the_same_version_replaces_it_in_the_index_too(cache, obj):
    cache.apply("ADDED", obj("a", 1, job="x"))

    cache.revise(("ns", "a"), ("uid-a", 1, "y"))

    assert (cache.by("job", "x"), cache.by("job", "y")) == ([], [("uid-a", 1, "y")])
    assert not cache.apply("MODIFIED", obj("a", 1))


def test_a_known_object_in_a_list_is_not_parsed_again(obj):
    parsed = []
    cache = Cache(lambda body: parsed.append(body) or body)
    cache.apply("ADDED", obj("a", 1))

    take(cache, [obj("a", 1)], "5")

    assert len(parsed) == 1
    assert len(cache) == 1


def test_after_a_list_older_events_of_unknown_objects_are_ignored(cache, obj):
    take(cache, [], "5")

    assert not cache.apply("ADDED", obj("a", 4))
    assert cache.apply("ADDED", obj("a", 6))


def test_a_list_of_one_namespace_does_not_affect_others(cache, obj):
    cache.apply("ADDED", obj("a", 1, namespace="other"))
    cache.apply("ADDED", obj("b", 2, namespace="mine"))

    assert take(cache, [], "5", namespace="mine") == {("mine", "b")}
    assert cache.apply("ADDED", obj("c", 3, namespace="other"))


def test_old_tombstones_are_removed(obj):
    cache = Cache(value_of, tombstones=2)
    for name in "abc":
        cache.apply("DELETED", obj(name, 3))

    assert cache.apply("ADDED", obj("a", 2))
    assert not cache.apply("ADDED", obj("c", 2))


@pytest.mark.parametrize("metadata", [{}, {"name": "a", "uid": "u"}, {"name": "a", "uid": "u", "resourceVersion": "x"}])
def test_an_object_without_uid_or_version_is_refused_with_a_message(cache, metadata):
    with pytest.raises(ValueError, match="resourceVersion"):
        cache.apply("ADDED", {"kind": "Thing", "metadata": metadata})


Change = tuple[str, str, dict[str, Any]]


@st.composite
def histories(draw: st.DrawFn, obj: Any) -> tuple[list[Change], dict[str, dict[str, Any]], int]:
    """A true history of three names on one server: its events in order, the objects at its end, the last version."""
    alive: dict[str, dict[str, Any]] = {}
    events: list[Change] = []
    made = 0
    steps = draw(
        st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.sampled_from(["", "x", "y"])), max_size=25)
    )
    for number, (name, delete, job) in enumerate(steps, start=1):
        if name not in alive:
            made += 1
            kind, uid = "ADDED", f"uid-{made}"
        else:
            kind, uid = ("DELETED" if delete else "MODIFIED"), alive[name]["metadata"]["uid"]
        body = obj(name, number, uid=uid, job=job)
        events.append((kind, name, body))
        if kind == "DELETED":
            del alive[name]
        else:
            alive[name] = body
    return events, alive, len(steps)


@given(data=st.data())
def test_any_order_of_events_and_lists_converges_to_the_servers_state(obj, data):
    events, alive, last = data.draw(histories(obj))
    news = data.draw(st.lists(st.sampled_from(events), max_size=40)) if events else []
    late = data.draw(st.lists(st.sampled_from(events), max_size=10)) if events else []
    cache: Cache[Value] = Cache(value_of, {"job": lambda value: [value[2]] if value[2] else []})

    for event_type, _, body in news:
        cache.apply(event_type, body)
    take(cache, alive.values(), str(last))
    for event_type, _, body in late:
        cache.apply(event_type, body)

    assert {name: cache.get(("ns", name)) for name in "abc"} == {
        name: value_of(alive[name]) if name in alive else None for name in "abc"
    }
    for job in "xy":
        indexed = sorted(cache.by("job", job))
        assert indexed == sorted(value for value in cache.values() if value[2] == job)


@given(data=st.data())
def test_a_list_does_not_undo_later_events(obj, data):
    events, alive, last = data.draw(histories(obj))
    at = data.draw(st.integers(min_value=0, max_value=last))
    then: dict[str, dict[str, Any]] = {}
    for kind, name, body in events[:at]:
        then[name] = body
        if kind == "DELETED":
            del then[name]
    after = data.draw(st.permutations(events[at:]))
    cut = data.draw(st.integers(min_value=0, max_value=len(after)))
    cache: Cache[Value] = Cache(value_of)

    listing = cache.listing()
    bodies = list(then.values())
    early = data.draw(st.integers(min_value=0, max_value=len(bodies)))
    for body in bodies[:early]:
        listing.take(body)
    for event_type, _, body in after[:cut]:
        cache.apply(event_type, body)
    for body in bodies[early:]:
        listing.take(body)
    listing.end(str(at))
    for event_type, _, body in after[cut:]:
        cache.apply(event_type, body)

    assert {name[1]: value for name in set(cache.keys()) if (value := cache.get(name))} == {
        name: value_of(body) for name, body in alive.items()
    }
