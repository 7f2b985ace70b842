"""No queue has more starts in progress than it allows, and no slot is lost, for any events of two operators.

Each operator writes history late, as the real one does, and loses what it has not written when it dies. The answer to
an acceptance may be lost, too, after it was stored.
"""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.reconcile.conftest import Died, World, at_once

from agentjobs.api.conditions import Phase
from agentjobs.contract import Verdict
from agentjobs.core.job.observation import parse_job
from agentjobs.errors import Unavailable
from agentjobs.reconcile.job.rows import records_from_status
from agentjobs.reconcile.state import QUEUE

LIMITS = {"agents": 2, "fast": 1}
JOBS = tuple("abcdef")
ACTIONS = (
    "look",
    "look",
    "look-shuffled",
    "write",
    "die-before",
    "die-after",
    "die-in-accept",
    "lose-accept",
    "restart",
    "end-pods",
    "fail-pods",
    "crash-pods",
    "lose-history",
    "find-history",
    "suspend",
    "resume",
    "move",
    "cancel",
    "delete",
    "wait",
)


class LateWriter:
    """Keeps what an operator puts until it is told to write."""

    def __init__(self):
        self.pending = []

    def put(self, record):
        self.pending.append(record)


class SlotWorld(World):
    """A world whose operators each have a writer of their own."""

    def __init__(self):
        self.writers = []
        self.fate = None
        super().__init__(slots=LIMITS["agents"])
        self.apply_queue("fast", concurrency={"max": LIMITS["fast"]})
        self.join(1)
        for number in (0, 1):
            self.list(number)

    def ports(self, **others):
        return super().ports(**{"writer": self.writers[-1], **others})

    def join(self, number=0, history=None):
        """It reads all objects, and puts what history may lack of them."""
        self.writers.append(LateWriter())
        writer = self.writers[-1]
        super().join(number, history)
        self.operators[number].writer = writer
        for key, obj in self.objects.items():
            if key[0] == "AgentJob":
                writer.pending += records_from_status(parse_job(obj))
        uids = {obj["metadata"]["uid"] for obj in self.objects.values()}
        at_once(self.history.close_vanished(lambda uid, *_: uid in uids, listed_at=self.now))

    def write_history(self, number):
        writer = self.operators[number].writer
        if not self.history_away:
            pending, writer.pending = writer.pending, []
            at_once(self.history.write(pending))

    async def accept(self, asked):
        answer, fate = await super().accept(asked), self.fate
        self.fate = None
        if fate == "die-in-accept":
            raise Died
        if fate == "lose-accept":
            raise Unavailable("the answer is lost")
        return answer

    async def look(self, number, **passed):
        await self.act(number, **passed)
        for queue in LIMITS:  # their timers
            self.operators[number].reconciler.state.queue.add((QUEUE, "default", queue))
        await self.settle(number)
        self.tell(number)
        await self.settle(number)

    def running(self):
        """The jobs whose status has a start in progress: uid, queue and start."""
        for key, obj in self.objects.items():
            if key[0] == "AgentJob":
                status = self.status(key[2])
                if status.attempt_history and status.attempt_history[-1].ended is None:
                    yield obj["metadata"]["uid"], status.queue.name, status.attempt_history[-1].start

    def check(self):
        held = self.history.slots.held
        taken = Counter(slot.queue for slot in held.values())
        assert all(taken[queue] <= limit for queue, limit in LIMITS.items()), "history gave a slot too many"
        running = list(self.running())
        used = Counter(queue for _, queue, _ in running)
        assert all(used[queue] <= limit for queue, limit in LIMITS.items()), "a start too many is under way"
        for uid, queue, start in running:
            slot = held.get(uid)
            assert (slot and (slot.queue, slot.start)) == (queue, start), "a start has no slot"


async def act(world, action, draw, number):  # noqa: C901  one flat branch an action
    name = JOBS[draw % len(JOBS)]
    live = world.living_pods()
    if action == "look":
        await world.look(number, seconds=1)
    elif action == "look-shuffled":
        await world.look(number, shuffled=True, seconds=1)
    elif action == "write":
        world.write_history(number)
    elif action in ("die-before", "die-after"):
        world.die_at, world.die_after = len(world.writes) + 1 + draw % 4, action == "die-after"
    elif action in ("die-in-accept", "lose-accept"):
        world.fate = action
    elif action == "restart":
        world.restart(number)
    elif action == "end-pods":
        world.end_jobs()
    elif action == "fail-pods":
        for pod in live[: 1 + draw % 3]:
            if world.run_pod(pod):
                verdict = (Verdict.RETRY, Verdict.SNOOZE)[draw % 2]
                world.end_pod(pod, verdict, reason="ToolError", code=70, delay=1 if draw % 2 else None)
    elif action == "crash-pods":
        for pod in live:
            world.end_pod(pod, code=137)
    elif action in ("lose-history", "find-history"):
        world.history_away = action == "lose-history"
    elif action in ("suspend", "resume"):
        edit(world, name, suspend=action == "suspend")
    elif action == "move":
        edit(world, name, queue=("agents", "fast")[draw // 7 % 2])
    elif action == "cancel" and draw % 3 == 0:
        edit(world, name, cancel=True)
    elif action == "delete" and draw % 3 == 0:
        world.remove(name)
    elif action == "wait":
        await world.look(number, minutes=2)


def edit(world, name, **spec):
    if ("AgentJob", "default", name) in world.objects:
        world.edit(name, **spec)


async def play(world, script):
    for position, name in enumerate(JOBS):
        retry = {"maxAttempts": 3, "backoff": {"initial": "1s"}}
        world.apply(name, priority=position % 3, queue=("agents", "fast")[position % 2], retry=retry)
    for action, draw in script:
        try:
            await act(world, action, draw, draw % 2)
        except Died:
            world.die_at = None
            world.restart(draw % 2)
        world.check()
    await finish(world)


async def finish(world):
    """With everything well again, every job comes to its end, and no slot is held."""
    world.history_away, world.die_at, world.fate = False, None, None
    for name in JOBS:
        edit(world, name, suspend=False)
    for _ in range(40):
        for number in (0, 1):
            world.list(number)
            await world.look(number, seconds=40)
            world.check()
            world.write_history(number)
        world.end_jobs()
        if all(world.status(name).phase in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED) for name in world.jobs()):
            break
    else:
        raise AssertionError({name: world.status(name).reason for name in world.jobs()})
    for number in (0, 1):
        await world.look(number, seconds=1)
        world.write_history(number)
    assert not world.history.slots.held


script = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1000)), max_size=40)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(script=script)
async def test_two_operators_never_start_more_than_the_queues_allow(script):
    await play(SlotWorld(), script)


async def test_the_checks_find_an_exceeded_limit():
    world = SlotWorld()
    for name in "abc":
        world.apply(name)
    await world.look(0)
    world.slots = LIMITS["agents"]
    world.history.slots.held.clear()
    await world.look(1)

    with pytest.raises(AssertionError, match="start"):
        world.check()
