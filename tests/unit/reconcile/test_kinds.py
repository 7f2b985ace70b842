"""A kind is one row: lists, watches, indexes, wake-ups, reconciles and rights follow from it."""

from dataclasses import dataclass, field

import pytest

from agentjobs.api_resource import Resource
from agentjobs.engine.kinds import Kind
from agentjobs.errors import Invalid, NotFound
from agentjobs.kopf_adapter import kopf_settings
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.metrics import Metrics
from agentjobs.operator_process import check_served, watches
from agentjobs.rbac import roles
from agentjobs.reconcile.kinds import KINDS
from agentjobs.reconcile.lists import Lists

NOTES = Resource("example.org", "v1", "notes", "Note")
LABEL = "example.org/note"


@dataclass(frozen=True)
class Note:
    name: str
    about: tuple[str, str]
    """The job that it is about: namespace and name."""
    read: bool


def parse_note(obj):
    meta = obj["metadata"]
    return Note(meta["name"], (meta["namespace"], obj["spec"]["job"]), bool(obj.get("status", {}).get("read")))


class Readers:
    """Marks notes as read."""

    def __init__(self, setup):
        self._setup = setup

    async def reconcile(self, name):
        note = self._setup.state.informers.cache(NOTES).get(name)
        if note is not None and not note.read:
            body = {"metadata": {}, "status": {"read": True}}
            answer = await self._setup.ports.cluster.patch(NOTES, *name, body, subresource="status")
            self._setup.state.observe(NOTES, None, answer)


ROW = Kind(
    resource=NOTES,
    parse=parse_note,
    selector=LABEL,
    indexes={"job": lambda note: [note.about]},
    wakes=lambda before, after: [AGENTJOBS.key(note.about) for note in (before, after) if note],
    is_idle=lambda note, informers: note.read,
    reconciler=lambda setup: Readers(setup).reconcile,
    access={"": ("get", "list", "watch"), "status": ("patch",)},
)


def a_note(name="hint", job="hello", version="1000", labels=LABEL):
    meta = {"namespace": "default", "name": name, "uid": name, "resourceVersion": version, "labels": {labels: ""}}
    return {"kind": "Note", "metadata": meta, "spec": {"job": job}}


def write(world, *notes):
    for note in notes:
        world._put(("Note", "default", note["metadata"]["name"]), "ADDED", note)


@dataclass
class Server:
    """An API server that has these notes, and serves no other kind."""

    notes: list = field(default_factory=list)

    async def pages(self, resource, namespace, *, label_selector="", field_selector=""):
        notes = self.notes if resource == NOTES else []
        yield [note for note in notes if label_selector in note["metadata"]["labels"]], "2000"

    async def list(self, resource, *_, **__):
        if resource == NOTES:
            raise NotFound(resource.plural)


class EmptyHistory:
    async def clock(self):
        return None

    async def lacking(self, records):
        return records


@pytest.fixture
def world(worlds):
    return worlds(kinds=(*KINDS, ROW))


@pytest.fixture
def informers(world):
    return world.reconciler.state.informers


async def test_objects_of_an_added_kind_are_listed_by_label_and_found_by_index(world, informers):
    ports = world.ports(cluster=Server([a_note(), a_note("other", labels="foreign")]), history=EmptyHistory())
    await Lists(ports, world.reconciler.state, ()).start()

    assert informers.cache(NOTES).by("job", ("default", "hello")) == [Note("hint", ("default", "hello"), False)]
    assert len(informers.cache(NOTES)) == 1


async def test_an_added_kind_is_watched_by_label_and_counted_by_name(world, informers):
    metrics = Metrics()
    *_, watch = found = watches(informers, Lists(world.ports(), world.reconciler.state, ()), metrics)
    watch.observe("ADDED", a_note())

    assert (watch.resource, watch.selector) == (NOTES, LABEL)
    assert kopf_settings(found).watching.label_selectors["example.org", "v1", "notes"] == LABEL
    assert informers.cache(NOTES).get(("default", "hint")) is not None
    assert metrics.watch_age("Note") < 60


async def test_a_change_of_an_added_kind_wakes_the_object_and_related_ones(informers):
    informers.observe(NOTES, "ADDED", a_note())

    keys = {await informers.queue.get() for _ in range(2)}

    assert keys == {("Note", "default", "hint"), ("AgentJob", "default", "hello")}


async def test_an_added_kind_is_reconciled_concurrently_with_jobs(world, informers):
    world.apply()
    write(world, a_note())
    await world.act()

    assert world.objects["Note", "default", "hint"]["status"] == {"read": True}
    assert world.status().starts == 1


async def test_an_idle_object_waits_behind_all_others(world, informers):
    write(world, a_note("read") | {"status": {"read": True}}, a_note("unread"))
    world.restart()
    queue = world.reconciler.state.queue

    waits = {key[2]: wait.low_priority for key, wait in queue._waiting.items() if key[0] == "Note"}
    assert waits == {"read": True, "unread": False}


async def test_the_operator_does_not_start_if_the_kind_is_not_served():
    with pytest.raises(Invalid, match=r"notes\.example\.org; apply crds/notes\.yaml"):
        await check_served(Server(), (*KINDS, ROW), ())


def test_the_operators_role_has_the_permissions_of_the_kind():
    before, after = ([rule for role in made for rule in role["rules"]] for made in (roles("operator"), with_row()))

    assert [rule for rule in after if rule not in before] == [
        {"apiGroups": ["example.org"], "resources": ["notes"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["example.org"], "resources": ["notes/status"], "verbs": ["patch"]},
    ]


def with_row():
    return roles("operator", kinds=(*KINDS, ROW))
