"""Whatever happens in whatever order: terminal is final, a start has one claimed pod, attempts never skip."""

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentjobs.api.conditions import Phase, telling
from agentjobs.contract import Verdict
from agentjobs.errors import NotFound

ACTIONS = (
    "look",
    "look-shuffled",
    "look-at-old-news",
    "look-at-pods-only",
    "look-at-jobs-only",
    "die-before",
    "die-after",
    "restart",
    "start-pods",
    "end-pods",
    "crash-pods",
    "delete-pod",
    "lose-history",
    "find-history",
    "cancel",
    "suspend",
    "resume",
    "relist",
    "wait",
)
ENDINGS = (
    (Verdict.SUCCEED, "", 0),
    (Verdict.RETRY, "ToolError", 70),
    (Verdict.SNOOZE, "ModelRateLimited", 75),
    (Verdict.FAIL, "ConfigInvalid", 78),
    (Verdict.CANCEL, "Cancelled", 77),
)


class Watcher:
    """Remembers what must never change, and checks it after every action."""

    def __init__(self, world):
        self.world = world
        self.finals = {}
        self.seen = {}

    def check(self):
        for key, obj in self.world.objects.items():
            if key[0] == "AgentJob":
                self._check_job(obj["metadata"]["uid"], self.world.status(key[2]))
        by_start = {}
        for (uid, start), pod_uid in self.world.claims.items():
            assert by_start.setdefault((uid, start), pod_uid) == pod_uid
            assert (uid, start) in self.world.starts, "a pod claimed a start that was never recorded"

    def _check_job(self, uid, status):
        before = self.seen.get(uid)
        if before is not None:
            assert status.starts >= before.starts
            assert status.transitions >= before.transitions
            assert status.attempts - before.attempts in (0, 1), "an attempt was skipped"
            assert status.starts - before.starts in (0, 1), "a start was skipped"
        self.seen[uid] = status
        said = telling(status.conditions)
        assert status.reason == (said.reason if said else None)
        if uid in self.finals:
            assert status.phase is self.finals[uid], "a terminal phase changed"
        elif status.phase is not None and status.phase.is_terminal:
            self.finals[uid] = status.phase
        if uid in self.world.settled:
            assert status.starts == self.world.settled[uid], "a job ran on after its answer had become final"
        charged = [record.charged for record in status.attempt_history]
        assert sum(charged) <= 3
        for record in status.attempt_history:
            assert (uid, record.start) in self.world.starts


async def play(world, died, script, operators):
    watcher = Watcher(world)
    for _ in range(operators - 1):
        world.join()
    world.apply("one", retry={"maxAttempts": 3, "backoff": {"initial": "1s"}})
    rules = [{"name": "again", "onOutcomes": ["unsure"], "action": "Retry", "delay": "1s", "limit": 1}]
    world.apply(
        "two",
        retry={"maxAttempts": 2, "maxSnoozes": 1},
        session={"appName": "a", "sessionId": "s"},
        output={"schema": {"type": "object"}},
        resultPolicy={"rules": rules},
    )
    for action, draw in script:
        number = draw % operators
        try:
            await act(world, action, draw, number)
        except died:
            world.die_at = None
            world.restart(number)
        watcher.check()
    await finish(world, operators)
    watcher.check()
    return watcher


async def act(world, action, draw, number):  # noqa: C901  one flat branch an action
    live = [pod for pod in world.pods() if pod["status"].get("phase") in ("Pending", "Running")]
    if action == "look":
        await world.act(number, seconds=1)
    elif action == "look-shuffled":
        await world.act(number, shuffled=True, seconds=1)
    elif action.startswith("look-at-"):
        told = {"pods": "Pod", "jobs": "AgentJob"}.get(action.split("-")[2])
        operator = world.operators[number]
        held = [news for news in operator.news if news[0] != told]
        operator.news = [news for news in operator.news if news[0] == told]
        await world.act(number, seconds=1)
        operator.news = held + operator.news
    elif action in ("die-before", "die-after"):
        world.die_at, world.die_after = len(world.writes) + 1 + draw % 5, action == "die-after"
    elif action == "restart":
        world.restart(number)
    elif action == "start-pods":
        for pod in live:
            world.run_pod(pod)
    elif action == "end-pods":
        for index, pod in enumerate(live):
            if world.run_pod(pod):
                verdict, reason, code = ENDINGS[(draw + index) % len(ENDINGS)]
                delay, outcome = 1 if verdict is Verdict.SNOOZE else None, ("unsure", None)[draw % 2]
                world.end_pod(pod, verdict, reason=reason, code=code, delay=delay, outcome=outcome)
            else:
                world.end_pod(pod, code=76)
    elif action == "crash-pods":
        for pod in live:
            world.end_pod(pod, code=137)
    elif action == "delete-pod" and live:
        key = ("Pod", "default", live[draw % len(live)]["metadata"]["name"])
        if draw % 2:
            world._drop(key)
        else:
            world._delete(key)
    elif action in ("lose-history", "find-history"):
        world.history_away = action == "lose-history"
    elif action == "cancel" and draw % 7 == 0:
        world.edit("two", cancel=True)
    elif action in ("suspend", "resume"):
        world.edit("one", suspend=action == "suspend")
    elif action == "relist":
        world.list(number)
    elif action == "wait":
        await world.act(number, minutes=20)


async def finish(world, operators):
    """With everything well again, every job comes to its end."""
    world.history_away, world.die_at = False, None
    world.edit("one", suspend=False)
    for _ in range(60):
        for number in range(operators):
            world.list(number)
            await world.act(number, seconds=40)
        for pod in world.pods():
            if pod["status"].get("phase") in ("Pending", "Running"):
                claimed = world.run_pod(pod)
                world.end_pod(pod, Verdict.SUCCEED if claimed else None, code=0 if claimed else 76)
        if all(world.status(name).phase.is_terminal for name in ("one", "two")):
            for number in range(operators):
                await world.act(number, seconds=5)
            break
    assert all(world.status(name).phase.is_terminal for name in ("one", "two"))
    assert all(not pod["metadata"].get("finalizers") for pod in world.pods()), "a pod is held for ever"


script = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1000)), max_size=40)
quiet = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@quiet
@given(script=script)
async def test_one_operator_keeps_its_promises(worlds, died, script):
    await play(worlds(), died, script, operators=1)


@quiet
@given(script=script)
async def test_two_operators_at_once_keep_them_too(worlds, died, script):
    await play(worlds(), died, script, operators=2)


async def test_the_checks_see_a_terminal_phase_that_changes(world):
    watcher = Watcher(world)
    world.apply()
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    watcher.check()
    broken = copy.deepcopy(world.job())
    broken["status"]["phase"] = Phase.RUNNING.value
    world.objects["AgentJob", "default", "hello"] = broken

    with pytest.raises(AssertionError, match="terminal"):
        watcher.check()


async def test_the_world_refuses_a_write_to_what_is_gone(world):
    with pytest.raises(NotFound):
        world._delete(("Pod", "default", "nobody"))
