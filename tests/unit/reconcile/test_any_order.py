"""For any order of events: a terminal phase is final, a start has one claimed pod, attempts are consecutive.

A job's budget is never used up when it starts, and raising it is enough for it to continue. No job starts whose model
has been at its limit for more than two seconds. A queue's slots are never exceeded, a session never runs twice at the
same time, a deleted job starts nothing, and a job that an operator cannot read after a rollback continues after the
upgrade. A time-out without a new step is charged. `make properties` tries more than the usual histories.
"""

import copy
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentjobs.api.conditions import Phase, primary_condition
from agentjobs.contract import ANNOTATION_SESSION, Verdict
from agentjobs.core.job.observation import Job
from agentjobs.errors import NotFound
from agentjobs.reconcile.job.exhausted import LOAD_SECONDS

JOBS = ("one", "two", "three", "four")
SLOTS = 2
MODEL = "gemini-of-four"
SESSION = {"appName": "a", "sessionId": "s"}

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
    "record-steps",
    "end-pods",
    "call-models",
    "raise-budget",
    "change-budget",
    "exhaust-model",
    "replenish-model",
    "time-out-pods",
    "crash-pods",
    "delete-pod",
    "lose-node",
    "lose-history",
    "find-history",
    "cancel",
    "suspend",
    "steer-queue",
    "resume",
    "delete-job",
    "roll-back",
    "upgrade",
    "upgrade-others",
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


ASK = {"name": "ask", "onErrors": ["ToolError"], "action": "AskHuman"}


class Older:
    """History as an operator of the version before reads it: what a newer one accepted has a value it does not know."""

    def __init__(self, world, uid):
        self.world = world
        self.uid = uid

    def __getattr__(self, name):
        return getattr(self.world, name)

    async def accept(self, asked):
        answer = await self.world.accept(asked)
        return replace(answer, resolved=self._read(asked.job.job.uid, answer.resolved))

    async def resolved(self, uid):
        return self._read(uid, await self.world.resolved(uid))

    def _read(self, uid, stored):
        if uid != self.uid or stored is None:
            return stored
        return {**stored, "spec": {**stored["spec"], "resultPolicy": {"rules": [ASK]}}}


class Watcher:
    """Remembers what must never change, and checks it after every action."""

    def __init__(self, world, *, alone=True):
        """`alone`: one operator acts at a time, which sessions rely on."""
        self.world = world
        self.alone = alone
        self.finals = {}
        self.seen = {}
        self.deleted = {}
        self.claimed = {}

    def check(self):
        for key, obj in self.world.objects.items():
            if key[0] == "AgentJob":
                status = self.world.status(key[2])
                self._check_job(obj["metadata"]["uid"], status)
                if key[2] != "four":  # at times no operator can read it
                    self._check_time_outs(status)
                self._check_deletion(obj["metadata"], self.world.status(key[2]))
        newest = {}
        for uid, start, pod in self.world.granted:
            assert self.claimed.setdefault((uid, start), pod) == pod, "two pods claimed a start"
            assert newest.get(uid, 0) <= start, "an older start was claimed after a newer one"
            newest[uid] = start
        for pod in self.world.pods():
            of = pod["metadata"]["ownerReferences"][0]["uid"], int(pod["metadata"]["name"].rpartition("-")[2])
            assert of in self.world.starts, "a pod of a start that was never recorded"
        for operator in self.world.operators:
            assert counted(operator.reconciler.state) == in_caches(operator.reconciler.state), (
                "what is held is miscounted"
            )
        self._check_slots()
        if self.alone:
            self._check_sessions()

    def _check_slots(self):
        held = self.world.history.slots.held
        assert len(held) <= self.world.slots, "history gave more slots than the queue has"
        for key, obj in self.world.objects.items():
            if key[0] == "AgentJob" and is_active(self.world.status(key[2])):
                slot, last = held.get(obj["metadata"]["uid"]), self.world.status(key[2]).attempt_history[-1]
                assert (slot and slot.start) == last.start, "a start is under way without a slot"

    def _check_sessions(self):
        sessions = defaultdict(set)
        for pod in self.world.living_pods():
            owner = pod["metadata"]["ownerReferences"][0]["uid"]
            sessions[pod["metadata"]["annotations"][ANNOTATION_SESSION]].add(owner)
        assert all(len(owners) == 1 for owners in sessions.values()), "two jobs run in a session"

    def _check_deletion(self, meta, status):
        if "deletionTimestamp" in meta:
            starts = self.deleted.setdefault(meta["uid"], status.starts)
            assert status.starts == starts, "a deleted job was started"

    def _check_job(self, uid, status):
        before = self.seen.get(uid)
        if before is not None:
            assert status.starts >= before.starts
            assert status.transitions >= before.transitions
            assert status.attempts - before.attempts in (0, 1), "an attempt was skipped"
            assert status.starts - before.starts in (0, 1), "a start was skipped"
            assert step_of(status) >= step_of(before), "the checkpoint went back"
            if status.starts > before.starts:
                self._check_budget(uid, status)
        if status.starts > (before.starts if before is not None else 0):
            self._check_model(uid)
        self.seen[uid] = status
        said = primary_condition(status.conditions)
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
            assert (uid, record.start) in self.world.starts, "a claim of a start that was never recorded"

    def _check_budget(self, uid, status):
        """The budget is that of now: a claim is refused when the object was edited since it was read."""
        (budget,) = (job.get("spec", {}).get("budget") for job in self._jobs() if job["metadata"]["uid"] == uid)
        if budget:
            attempt = status.attempts if budget.get("scope") == "Attempt" else None
            used = self.world.used_by(uid, attempt).llm_calls
            assert used < budget["maxLLMCalls"], "a job was started whose budget is used up"

    def _jobs(self):
        return [obj for key, obj in self.world.objects.items() if key[0] == "AgentJob"]

    def _check_model(self, uid):
        (model,) = (job["spec"]["agent"]["model"] for job in self._jobs() if job["metadata"]["uid"] == uid)
        since = self.world.exhausted_since.get(model)
        known = since is not None and self.world.now - since > timedelta(seconds=LOAD_SECONDS)
        still = self.world.exhausted.get(model, self.world.now) > self.world.now
        assert not (known and still), "a job was started whose model is at its limit"

    def _check_time_outs(self, status):
        for record in status.attempt_history:
            if record.reason == "AttemptTimeout" and record.to_step is not None:
                told = (record.verdict, record.to_step > record.from_step)
                assert told in (("Snooze", True), ("Retry", False)), "a time-out was judged without its steps"
                goes_on = status.phase is not Phase.CANCELLED  # no attempt is left to charge
                assert told[1] or record.charged or not goes_on, "a time-out without a step was free"


def step_of(status):
    return status.checkpoint.step if status.checkpoint else 0


def counted(state):
    """What admission counts, of all but reservations: by source the job, its session, and the slot's queue."""
    queues = state.slots._queues.get("default")
    held = queues._holdings.items() if queues else ()
    return {source: (one.uid, one.session, one.queue) for source, one in held if source[0] != "reservation"}


def in_caches(state):
    """The same, looked up in everything that is known."""
    held = {}
    for job in state.jobs.values():
        if isinstance(job, Job) and job.active:
            held["claim", job.key] = job.uid, state.specs.lock(job), job.status.queue.name
    for pod in state.pods.values():
        job = state.jobs.get((pod.namespace, pod.job))
        if not pod.ended and pod.owner_uid is not None:
            held["pod", pod.key] = pod.owner_uid, pod.session, None if job and job.uid == pod.owner_uid else pod.queue
    return held


def is_active(status):
    """Whether a start is claimed and has not ended."""
    last = status.attempt_history[-1:]
    return bool(last) and last[0].ended is None


async def play(world, died, script, operators):
    watcher = Watcher(world, alone=operators == 1)
    for _ in range(operators - 1):
        world.join()
    kept = {"maxLLMCalls": 1, "onExceeded": "Suspend"}
    world.apply("one", retry={"maxAttempts": 3, "backoff": {"initial": "1s"}}, budget=kept)
    rules = [{"name": "again", "onOutcomes": ["unsure"], "action": "Retry", "delay": "1s", "limit": 1}]
    world.apply(
        "two",
        priority=1,
        retry={"maxAttempts": 2, "maxSnoozes": 1},
        session=SESSION,
        output={"schema": {"type": "object"}},
        resultPolicy={"rules": rules},
    )
    world.apply("three", session=SESSION, priority=0, budget={"maxLLMCalls": 2, "scope": "Attempt"})
    world.apply("four", retry={"backoff": {"initial": "1s"}}, agent={"model": MODEL, "inline": {"instruction": "x"}})
    for name in JOBS:
        world.job(name)["metadata"]["finalizers"] = ["example.com/hold"]
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
    live = world.living_pods()
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
    elif action == "record-steps":
        for pod in live:
            world.record_steps(pod, draw % 3)
    elif action == "call-models":
        for pod in live:
            world.call_model(pod)
    elif action == "exhaust-model":
        world.exhaust(MODEL, 1 + draw % 100)
    elif action == "replenish-model":
        world.exhausted.clear()
    elif action in ("raise-budget", "change-budget"):
        name = ("one", "three")[draw % 2]
        budget = world.job(name)["spec"]["budget"] if ("AgentJob", "default", name) in world.objects else None
        if budget:
            most = budget["maxLLMCalls"] + 1 if action == "raise-budget" else 1 + draw % 3
            world.edit(name, budget={**budget, "maxLLMCalls": most})
    elif action == "time-out-pods":
        for pod in live:
            if world.run_pod(pod):
                world.end_pod(pod, Verdict.RETRY, reason="AttemptTimeout", code=70)
    elif action == "crash-pods":
        for pod in live:
            world.end_pod(pod, code=137)
    elif action == "delete-pod" and live:
        key = ("Pod", "default", live[draw % len(live)]["metadata"]["name"])
        if draw % 2:
            world._drop(key)
        else:
            world._delete(key)
    elif action == "lose-node":
        # Its pods are told to stop, and no one hears of them again until someone looks in the end.
        for pod in live:
            world.run_pod(pod)
            world._delete(("Pod", "default", pod["metadata"]["name"]))
        await world.act(number, seconds=1)
        await world.act(number, minutes=2)
    elif action in ("lose-history", "find-history"):
        world.history_away = action == "lose-history"
    elif action == "cancel" and draw % 7 == 0:
        world.edit("two", cancel=True)
    elif action == "delete-job" and draw % 5 == 0:
        world.remove(JOBS[draw % len(JOBS)])
    elif action in ("roll-back", "upgrade"):
        turn(world, newer=action == "roll-back")
    elif action == "upgrade-others":
        stay_behind(world, number)
    elif action in ("suspend", "resume"):
        world.edit("one", suspend=action == "suspend")
    elif action == "steer-queue":
        steer_queue(world, draw)
    elif action == "relist":
        world.list(number)
    elif action == "wait":
        await world.act(number, minutes=20)


def steer_queue(world, draw):
    """The queue of the jobs gets an object, is stopped, broken, narrowed, opened, or loses its object."""
    ways = ({}, {"stopPolicy": "Hold"}, {"stopPolicy": "HoldAndDrain"}, {"concurrency": {"max": "many"}})
    if draw % 6 == 5:
        world.remove("agents", kind="AgentQueue")
        return
    spec = {"stopPolicy": "None", "concurrency": {"max": draw % 3}, **ways[draw % len(ways)]}
    if ("AgentQueue", "default", "agents") in world.objects:
        world.edit("agents", kind="AgentQueue", **spec)
    else:
        world.apply_queue("agents", **spec)


def turn(world, *, newer):
    """What was accepted of a job holds a value that these operators do not know, or no longer; they begin again."""
    if stored := world.accepted.get(world.job("four")["metadata"]["uid"]):
        stored["spec"]["resultPolicy"] = {"rules": [ASK] if newer else []}
        world.job("four")["spec"]["resultPolicy"] = stored["spec"]["resultPolicy"]
    for number, operator in enumerate(world.operators):
        operator.history = world
        world.restart(number)


def stay_behind(world, number):
    """All operators but this one are of the newer version, and read what they accepted; all begin again.

    No operator here can read the object itself; the newer ones go by what is stored, as after an edit.
    """
    turn(world, newer=False)
    job = world.job("four")
    if job["metadata"]["uid"] in world.accepted:
        job["spec"]["resultPolicy"] = {"rules": [ASK]}
        world.operators[number].history = Older(world, job["metadata"]["uid"])
        for each in range(len(world.operators)):
            world.restart(each)


async def finish(world, operators):
    """With everything well again, every job comes to its end."""
    world.history_away, world.die_at = False, None
    world.remove("agents", kind="AgentQueue")
    turn(world, newer=False)
    world.edit("one", suspend=False, budget={"maxLLMCalls": 1000, "onExceeded": "Suspend"})
    for _ in range(60):
        for number in range(operators):
            world.list(number)
            await world.act(number, seconds=40)
        world.end_jobs()
        if all(world.status(name).phase.is_terminal for name in JOBS):
            for number in range(operators):
                await world.act(number, seconds=5)
            break
    assert all(world.status(name).phase.is_terminal for name in JOBS)
    for name in JOBS:
        said = {one["observedGeneration"] for one in world.job(name)["status"]["conditions"]}
        assert said == {world.job(name)["metadata"]["generation"]}, "a condition speaks of an older generation"
    assert all(not pod["metadata"].get("finalizers") for pod in world.pods()), "a pod is held for ever"


script = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1000)), max_size=40)
quiet = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@quiet
@given(script=script)
async def test_one_operator_satisfies_all_invariants(worlds, died, script):
    await play(worlds(slots=SLOTS), died, script, operators=1)


@quiet
@given(script=script)
async def test_two_simultaneous_operators_satisfy_all_invariants(worlds, died, script):
    await play(worlds(slots=SLOTS), died, script, operators=2)


async def test_a_failure_that_an_older_operator_cannot_decide_is_left_to_a_newer_one(worlds):
    world = worlds(slots=SLOTS)
    world.join()
    world.apply("four", retry={"backoff": {"initial": "1s"}})
    await world.act(0)
    await world.act(1, seconds=1)
    stay_behind(world, 1)
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(1, seconds=5)
    older = world.status("four")
    await world.act(0, minutes=1)

    assert (older.reason, older.starts) == ("SpecUnreadable", 1)
    assert (world.status("four").phase, world.status("four").starts) == (Phase.RUNNING, 2)


async def test_the_checks_find_a_terminal_phase_that_changes(world):
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


async def test_the_checks_find_a_second_pod_that_claims_a_start(worlds, died):
    world = worlds(slots=SLOTS)
    world.claim = lambda uid, start, pod: world.granted.append((uid, start, pod)) or True  # a fence that lets all pass
    script = [("look", 0), ("start-pods", 0), ("delete-pod", 1), ("look", 0), ("start-pods", 0)]

    with pytest.raises(AssertionError, match="two pods claimed a start"):
        await play(world, died, script, operators=1)


async def test_the_checks_find_a_pod_of_an_older_start_that_continues(worlds, died):
    world = worlds(slots=SLOTS)
    world.claim = lambda uid, start, pod: world.granted.append((uid, start, pod)) or True  # a fence that lets all pass
    watcher = Watcher(world)
    world.apply("one", retry={"backoff": {"initial": "1s"}})
    await world.act()
    (first,) = world.pods()
    world.run_pod(first)
    world.end_pod(first, code=137)
    await world.act(seconds=1)
    await world.act(minutes=1)
    (second,) = world.living_pods()
    world.run_pod(second)
    watcher.check()
    world.run_pod(first)

    with pytest.raises(AssertionError, match="older start"):
        watcher.check()


async def test_the_checks_find_a_pod_of_an_unrecorded_start(worlds, died):
    world = worlds(slots=SLOTS)
    watcher = await play(world, died, [], operators=1)
    world.starts.clear()

    with pytest.raises(AssertionError, match="never recorded"):
        watcher.check()


async def two_running(world):
    watcher = Watcher(world)
    world.apply("one")
    world.apply("two")
    await world.act()
    watcher.check()
    return watcher


async def test_the_checks_find_a_start_with_a_used_up_budget(worlds):
    world = worlds(slots=SLOTS)
    watcher = Watcher(world)
    world.apply("one", budget={"maxLLMCalls": 1, "onExceeded": "Suspend"}, retry={"backoff": {"initial": "1s"}})
    await world.act()
    world.call_model(world.pods()[0])
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=1)
    watcher.check()
    calls, world.calls = world.calls, type(world.calls)(int)  # what history has forgotten
    await world.act(minutes=1)
    world.calls = calls

    with pytest.raises(AssertionError, match="budget is used up"):
        watcher.check()


async def test_the_checks_find_a_start_with_a_model_at_its_limit(world):
    watcher = Watcher(world)
    world.apply("one", agent={"model": MODEL, "inline": {"instruction": "x"}})
    await world.act()
    world.exhaust(MODEL, 60)
    world.now += timedelta(seconds=5)

    with pytest.raises(AssertionError, match="at its limit"):
        watcher.check()


async def test_the_checks_find_an_exceeded_slot_limit(world):
    watcher = await two_running(world)
    world.slots = 1

    with pytest.raises(AssertionError, match="slots"):
        watcher.check()


async def test_the_checks_find_a_claim_that_is_not_counted(world):
    watcher = await two_running(world)
    world.reconciler.state.slots.hold("default", ("claim", ("default", "one")), None)

    with pytest.raises(AssertionError, match="miscounted"):
        watcher.check()


async def test_the_checks_find_two_jobs_in_a_session(world):
    watcher = await two_running(world)
    for pod in world.living_pods():
        pod["metadata"]["annotations"][ANNOTATION_SESSION] = '["a", "default", "s"]'

    with pytest.raises(AssertionError, match="two jobs run in a session"):
        watcher.check()


async def test_the_checks_find_a_deleted_job_that_is_started(world):
    watcher = Watcher(world)
    world.apply("one")
    world.job("one")["metadata"] |= {"finalizers": ["example.com/hold"], "deletionTimestamp": "2026-11-21T09:00:00Z"}
    watcher.check()
    world.job("one")["status"] = {"starts": 1}

    with pytest.raises(AssertionError, match="a deleted job was started"):
        watcher.check()


async def test_the_world_refuses_a_write_to_a_deleted_object(world):
    with pytest.raises(NotFound):
        world._delete(("Pod", "default", "nobody"))
