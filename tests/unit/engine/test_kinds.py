"""The effects of a change of one kind: subscribers, woken objects, and untouched ones."""

from datetime import UTC, datetime

import pytest

from agentjobs.api_resource import Resource
from agentjobs.engine.kinds import Informers, Kind

BOXES = Resource("example.org", "v1", "boxes", "Box")
STICKERS = Resource("example.org", "v1", "stickers", "Sticker")


async def _work(_name):
    return None


def a_row(resource, **fields):
    return Kind(
        resource=resource, parse=lambda obj: obj["metadata"].get("labels", {}).get("job", ""), access={}, **fields
    )


@pytest.fixture
def informers():
    rows = (
        a_row(BOXES, reconciler=lambda _: _work, is_idle=lambda job, _: job == "done"),
        a_row(STICKERS, wakes=lambda before, after: [BOXES.key(("ns", job)) for job in (before, after) if job]),
    )
    return Informers(rows, now=lambda: datetime(2026, 11, 21, tzinfo=UTC))


async def waiting(informers):
    """The keys that wait, those of idle objects last."""
    queue, found = informers.queue, []
    while len(queue):
        found.append(await queue.get(low_priority=all(wait.low_priority for wait in queue._waiting.values())))
        queue.done(found[-1])
    return [(kind, name) for kind, _, name in found]


async def test_a_change_wakes_the_object_if_its_kind_has_a_reconciler(informers, obj):
    informers.observe(BOXES, "ADDED", obj("a", 1))
    informers.observe(STICKERS, "ADDED", obj("s", 2))

    assert await waiting(informers) == [("Box", "a")]


async def test_a_change_wakes_previously_and_currently_related_objects(informers, obj):
    informers.observe(STICKERS, "ADDED", obj("s", 1, job="x"))
    await waiting(informers)
    informers.observe(STICKERS, "MODIFIED", obj("s", 2, job="y"))

    assert await waiting(informers) == [("Box", "x"), ("Box", "y")]


async def test_outdated_events_wake_nothing(informers, obj):
    informers.observe(BOXES, "ADDED", obj("a", 2))
    await waiting(informers)
    informers.observe(BOXES, "MODIFIED", obj("a", 1))

    assert await waiting(informers) == []


async def test_subscribers_get_changes_of_their_kind_before_a_key_is_queued(informers, obj):
    heard = []
    informers.subscribe(BOXES, lambda *change: heard.append((*change, len(informers.queue))))
    informers.observe(BOXES, "ADDED", obj("a", 1, job="x"))
    informers.observe(STICKERS, "ADDED", obj("s", 2))

    assert heard == [(("ns", "a"), None, "x", 0)]


async def test_objects_missing_from_a_list_are_reported_as_deleted(informers, obj):
    informers.observe(BOXES, "ADDED", obj("a", 1, job="x"))
    heard = []
    informers.subscribe(BOXES, lambda *change: heard.append(change))
    informers.listing(BOXES).end("5")

    assert heard == [(("ns", "a"), "x", None)]


async def test_idle_objects_wait_behind_all_others(informers, obj):
    for number, (name, job) in enumerate([("a", "done"), ("b", "open")]):
        informers.observe(BOXES, "ADDED", obj(name, number + 1, job=job))

    assert await waiting(informers) == [("Box", "b"), ("Box", "a")]


async def test_all_or_only_active_objects_can_be_woken(informers, obj):
    for number, (name, job) in enumerate([("a", "done"), ("b", "open")]):
        informers.observe(BOXES, "ADDED", obj(name, number + 1, job=job))
    informers.observe(STICKERS, "ADDED", obj("s", 3))
    await waiting(informers)

    informers.wake_active()
    active = await waiting(informers)
    informers.wake_all()

    assert active == [("Box", "b")]
    assert await waiting(informers) == [("Box", "b"), ("Box", "a")]
