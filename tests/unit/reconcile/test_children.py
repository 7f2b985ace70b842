"""A parent creates each of its children exactly once, despite crashes, delays, losses and deletions.

The parent and the child are made-up kinds, so that only the protocol is tried: a batch reserves as many items as its
spec says, and an item runs once it is in the ledger, which survives every process.
"""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentjobs.api_resource import Resource
from agentjobs.core import children as core
from agentjobs.engine.kinds import Kind
from agentjobs.errors import Denied, Unavailable
from agentjobs.reconcile.children import Children, Pass, controller_uid
from agentjobs.reconcile.kinds import KINDS

BATCHES = Resource("example.org", "v1", "batches", "Batch")
ITEMS = Resource("example.org", "v1", "items", "Item")
ACTIONS = (
    "hear",
    "hear-shuffled",
    "work",
    "look",
    "die-before",
    "die-after",
    "restart",
    "relist",
    "delete-item",
    "withdraw",
    "refuse",
    "allow",
    "lose-ledger",
    "find-ledger",
)


@dataclass(frozen=True)
class Entry:
    name: str
    uid: str = ""


@dataclass(frozen=True)
class Batch:
    key: tuple[str, str]
    uid: str
    resource_version: str
    wanted: int
    withdrawn: bool
    reserved: int
    entries: tuple[Entry, ...]
    given_up: tuple[str, ...]


@dataclass(frozen=True)
class Item:
    key: tuple[str, str]
    name: str
    uid: str
    batch: str
    finished: bool = False


def parse_batch(obj):
    meta, spec, status = obj["metadata"], obj.get("spec", {}), obj.get("status") or {}
    entries = tuple(Entry(one["name"], one.get("uid", "")) for one in status.get("items", ()))
    key = meta["namespace"], meta["name"]
    withdrawn, reserved = spec.get("withdrawn", False), status.get("reserved", 0)
    given_up = tuple(status.get("givenUp", ()))
    return Batch(
        key, meta["uid"], meta["resourceVersion"], spec.get("items", 0), withdrawn, reserved, entries, given_up
    )


def parse_item(obj):
    meta = obj["metadata"]
    finished = bool((obj.get("status") or {}).get("finished"))
    return Item((meta["namespace"], meta["name"]), meta["name"], meta["uid"], controller_uid(obj) or "", finished)


class Batches:
    def __init__(self, setup):
        self._informers = setup.state.informers
        self._ledger = setup.ports.history
        self._children = Children(
            setup,
            parent=BATCHES,
            child=ITEMS,
            kind="batch",
            controller=lambda item: item.batch,
            created_before=lambda batch, name: self._ledger.ran(name),
        )

    async def reconcile(self, name):
        seen = Pass()
        while (batch := self._informers.cache(BATCHES).get(name)) is not None:
            if not await self._step(batch, seen):
                return

    async def _step(self, batch, seen):
        found = self._informers.cache(ITEMS).by("batch", batch.uid)
        known = {item.name for item in found}
        for entry, uid in self._children.deleted_again(batch, batch.entries, known, seen):
            found.append(Item(batch.key, entry.name, uid, batch.uid, finished=True))
        children = core.Children(
            entries=batch.entries,
            found=found,
            absent=seen.absent,
            refused=seen.refusals,
            is_fresh=seen.fresh == batch.resource_version,
            is_expired=lambda entry: batch.withdrawn,
        )
        match children.next_step():
            case core.Refresh(names):
                reserved = [one.name for one in batch.entries if not one.uid and one.name not in known]
                return await self._children.refresh(batch, reserved, names, seen)
            case core.Create(entry):
                await self._children.create(batch, body_of(batch, entry.name), seen)
                return True
        return await self._write(batch, children.retire(), seen)

    async def _write(self, batch, retired, seen):
        entries = [{"name": entry.name, **({"uid": item.uid} if item else {})} for entry, item in retired.active]
        wanted = batch.reserved if batch.withdrawn else batch.wanted
        entries += [{"name": f"{batch.key[1]}-{number}"} for number in range(batch.reserved, wanted)]
        before = [{"name": one.name, **({"uid": one.uid} if one.uid else {})} for one in batch.entries]
        if (entries, wanted) == (before, batch.reserved):
            return False
        given_up = [*batch.given_up, *(entry.name for entry in retired.expired)]
        await self._children.write(batch, {"items": entries, "reserved": wanted, "givenUp": given_up}, seen)
        return True


def body_of(batch, name):
    owner = {"kind": "Batch", "name": batch.key[1], "uid": batch.uid, "controller": True}
    return {"kind": "Item", "metadata": {"namespace": batch.key[0], "name": name, "ownerReferences": [owner]}}


class Items:
    """Runs an item: it is in the ledger from then on, and never another one of its name."""

    def __init__(self, setup):
        self._setup = setup

    async def reconcile(self, name):
        item = self._setup.state.informers.cache(ITEMS).get(name)
        if item is not None and not item.finished:
            await self._setup.ports.history.run(item)
            body = {"metadata": {"uid": item.uid}, "status": {"finished": True}}
            answer = await self._setup.ports.cluster.patch(ITEMS, *name, body, subresource="status")
            self._setup.state.observe(ITEMS, None, answer)


class Ledger:
    """What has run, by name; away now and then."""

    def __init__(self):
        self.away = False
        self.uids = {}

    async def ran(self, name):
        self._available()
        return self.uids.get(name)

    async def run(self, item):
        self._available()
        assert self.uids.setdefault(item.name, item.uid) == item.uid, "ran twice"

    def _available(self):
        if self.away:
            raise Unavailable("ledger")


ROWS = (
    Kind(resource=BATCHES, parse=parse_batch, reconciler=lambda setup: Batches(setup).reconcile, access={}),
    Kind(
        resource=ITEMS,
        parse=parse_item,
        indexes={"batch": lambda item: [item.batch]},
        wakes=lambda before, after: [BATCHES.key((one.key[0], "b")) for one in (before, after) if one],
        reconciler=lambda setup: Items(setup).reconcile,
        access={},
    ),
)


class Player:
    """Acts on a world with one batch, and checks what was created after each act."""

    def __init__(self, world, operators):
        self.world = world
        self.ledger = Ledger()
        world.operators.clear()
        for _ in range(operators):
            world.join(history=self.ledger)
        world._put(("Batch", "default", "b"), "ADDED", {"metadata": {"namespace": "default", "name": "b"}, "spec": {}})
        self.wanted = 0
        self.deleted_unrun = Counter()

    @property
    def status(self):
        return self.world.objects["Batch", "default", "b"].get("status") or {}

    def items(self):
        return [key[2] for key in self.world.objects if key[0] == "Item"]

    def check(self):
        created = Counter(name for kind, _, name in self.world.created if kind == "Item")
        for name, times in created.items():
            assert times <= 1 + self.deleted_unrun[name], f"{name} was created {times} times"

    async def act(self, action, draw, number):  # noqa: C901  one flat branch an action
        world = self.world
        operator = world.operators[number]
        if action.startswith("hear"):
            heard = draw // 2 % (1 + len(operator.news))
            operator.news, late = operator.news[: heard or None], operator.news[heard or len(operator.news) :]
            world.tell(number, shuffled=action == "hear-shuffled")
            operator.news += late
        elif action == "work":
            operator.reconciler.state.informers.wake_all()
            await world.settle(number)
        elif action == "look":
            await world.act(number, seconds=1)
        elif action in ("die-before", "die-after"):
            world.die_at, world.die_after = len(world.writes) + 1 + draw // 2 % 4, action == "die-after"
            await world.act(number, seconds=1)
        elif action == "restart":
            world.restart(number)
        elif action == "relist":
            world.list(number)
        elif action == "more":
            self.wanted += 1 + draw % 2
            world.edit("b", kind="Batch", items=self.wanted)
        elif action == "delete-item" and self.items():
            name = self.items()[draw % len(self.items())]
            self.deleted_unrun[name] += name not in self.ledger.uids
            world.remove(name, kind="Item")
        elif action == "withdraw":
            world.edit("b", kind="Batch", withdrawn=True)
        elif action == "refuse":
            world.refuse["create", "Item"] = Denied("quota")
        elif action == "allow":
            world.refuse.clear()
        elif action in ("lose-ledger", "find-ledger"):
            self.ledger.away = action == "lose-ledger"

    async def finish(self):
        """With all well again, every item that was reserved has run, was deleted, or was withdrawn."""
        self.ledger.away, self.world.die_at = False, None
        self.world.refuse.clear()
        for _ in range(4):
            for number in range(len(self.world.operators)):
                self.world.list(number)
                await self.world.act(number, seconds=1)
                self.check()
        assert self.status.get("items", []) == [], "an entry stays for ever"
        given_up = self.status.get("givenUp", [])
        for number in range(self.status.get("reserved", 0)):
            name = f"b-{number}"
            assert (name in self.ledger.uids) != (name in given_up) or self.deleted_unrun[name], name
        withdrawn = self.world.objects["Batch", "default", "b"]["spec"].get("withdrawn")
        assert withdrawn or self.status.get("reserved", 0) == self.wanted


async def play(world, died, script, operators):
    player = Player(world, operators)
    for action, draw in script:
        number = draw % operators
        try:
            await player.act(action, draw, number)
        except died:
            world.die_at = None
            world.restart(number)
        player.check()
    await player.finish()


def script_of(actions):
    return st.lists(st.tuples(st.sampled_from(("more", *sorted(actions))), st.integers(0, 63)), max_size=40)


# Few kinds of action in one script: the rare orders are then not drowned by the others.
scripts = st.sets(st.sampled_from(ACTIONS), min_size=2, max_size=6).flatmap(script_of)
quiet = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.mark.parametrize("operators", [1, 2], ids=["one-operator", "two-operators"])
@quiet
@given(script=scripts)
async def test_each_child_is_created_once_and_no_entry_remains(worlds, died, operators, script):
    await play(worlds(kinds=(*KINDS, *ROWS)), died, script, operators)


async def looks(world, times):
    for _ in range(times):
        await world.act(seconds=1)


@pytest.mark.parametrize("after", [False, True], ids=["before-the-write", "after-the-write"])
@pytest.mark.parametrize("write", range(1, 8))
async def test_the_next_operator_completes_the_work_after_a_crash_at_any_write(worlds, died, write, after):
    world = worlds(kinds=(*KINDS, *ROWS))
    player = Player(world, 1)
    await player.act("more", 1, 0)
    world.die_at, world.die_after = write, after
    with pytest.raises(died):
        await looks(world, 2)
    world.restart()
    await player.finish()

    assert [name for kind, _, name in world.created if kind == "Item"] == ["b-0", "b-1"]
    assert sorted(player.ledger.uids) == ["b-0", "b-1"]


@pytest.fixture
async def reserved(worlds, died):
    """A batch of one item whose operator died after so many writes: reserving is the first, creating the second.

    A second operator has heard nothing of it.
    """

    async def prepare(writes):
        world = worlds(kinds=(*KINDS, *ROWS))
        player = Player(world, 2)
        await player.act("more", 0, 0)
        world.die_at, world.die_after = writes, True
        with pytest.raises(died):
            await looks(world, 1)
        world.die_at = None
        world.restart()
        return player

    return prepare


async def test_an_operator_with_an_outdated_entry_reads_before_it_creates(reserved):
    player = await reserved(1)
    player.world.tell(1)
    await looks(player.world, 2)
    await player.act("delete-item", 0, 0)
    await player.act("work", 0, 1)

    assert len(player.world.created) == 1


async def test_a_child_that_ran_and_was_deleted_is_not_created_again(reserved):
    player = await reserved(2)
    await player.ledger.run(parse_item(player.world.objects["Item", "default", "b-0"]))
    await player.act("delete-item", 0, 0)
    for number in (0, 1):
        player.world.restart(number)
    await player.finish()

    assert len(player.world.created) == 1


async def test_an_entry_is_abandoned_only_if_it_certainly_has_no_child(reserved):
    player = await reserved(2)
    await player.act("withdraw", 0, 1)
    player.world.operators[1].news = [news for news in player.world.operators[1].news if news[0] == "Batch"]
    await player.act("look", 0, 1)
    await player.finish()

    assert (player.status["givenUp"], list(player.ledger.uids)) == ([], ["b-0"])
