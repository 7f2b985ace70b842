"""For any order of events: every time of a schedule becomes one job or one missed start, and never two."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentjobs.contract import Verdict

PERIOD = timedelta(minutes=10)
ACTIONS = (
    "look",
    "look-shuffled",
    "look-at-AgentSchedule-only",
    "look-at-AgentJob-only",
    "look-at-Pod-only",
    "die-before",
    "die-after",
    "restart",
    "relist",
    "end-jobs",
    "fail-jobs",
    "delete-job",
    "next-minute",
    "next-start",
    "downtime",
    "trigger",
    "lose-history",
    "find-history",
)
POLICIES = (
    {"concurrencyPolicy": "Forbid"},
    {"concurrencyPolicy": "Allow", "catchUp": {"policy": "All", "limit": 3}},
    {"concurrencyPolicy": "Replace"},
    {"concurrencyPolicy": "Forbid", "catchUp": {"policy": "None"}},
    {"concurrencyPolicy": "Forbid", "catchUp": {"policy": "All"}, "jitter": "3m"},
)


class Watcher:
    """Counts what was made, and checks it after every action."""

    def __init__(self, world, policy):
        self.world = world
        self.policy = policy
        self.uid = world.apply_schedule(
            successfulJobsHistoryLimit=0, failedJobsHistoryLimit=0, maxConsecutiveFailures=1000, **policy
        )["metadata"]["uid"]
        self.created = world.now
        self.triggers = set()
        self.told = 0
        self.seen = set()
        self.ran = {}

    def check(self):
        self.seen = {name for _, name in self.world.made}
        # A job that was deleted before an operator accepted it has not run, and may be created again.
        for name, uid in self.world.ran:
            assert self.ran.setdefault(name, uid) == uid, "ran twice"
        status = self.world.schedule()
        # A reserved start that is given up was not a run: it is missed.
        told = status.get("runs", 0) + status.get("missed", 0)
        assert told >= self.told
        self.told = told
        if self.policy["concurrencyPolicy"] != "Allow":
            unfinished = [name for name in self.world.jobs() if not self._ended(name)]
            assert len([name for name in unfinished if "-t" not in name]) <= 1, "two at once"

    def _ended(self, name):
        phase = self.world.status(name).phase
        return phase is not None and phase.is_terminal

    def settled(self):
        """With all well again and nothing due: the times since creation are made or missed, each once."""
        status = self.world.schedule()
        until = self.world.now - self.created
        scheduled = [name for name in self.seen if "-t" not in name]
        assert len(scheduled) == status["runs"], "a reservation without a job, or a job without a reservation"
        assert status["runs"] + status["missed"] == until // PERIOD
        assert len(self.seen) - len(scheduled) <= len(self.triggers)


async def act(world, action, draw, number, watcher):  # noqa: C901  one flat branch an action
    if action == "look":
        await world.act(number, seconds=1)
    elif action == "look-shuffled":
        await world.act(number, shuffled=True, seconds=1)
    elif action.startswith("look-at-"):
        operator = world.operators[number]
        held = [news for news in operator.news if news[0] != action.split("-")[2]]
        operator.news = [news for news in operator.news if news[0] == action.split("-")[2]]
        await world.act(number, seconds=1)
        operator.news = held + operator.news
    elif action in ("die-before", "die-after"):
        world.die_at, world.die_after = len(world.writes) + 1 + draw % 6, action == "die-after"
    elif action == "restart":
        world.restart(number)
    elif action == "relist":
        world.list(number)
    elif action in ("end-jobs", "fail-jobs"):
        if action == "end-jobs":
            world.end_jobs()
        else:
            world.end_jobs(Verdict.FAIL, "ConfigInvalid", 78)
        await world.act(number, seconds=1)
    elif action == "delete-job" and world.jobs():
        world.remove(world.jobs()[draw % len(world.jobs())])
    elif action == "next-minute":
        await world.act(number, minutes=1)
    elif action == "next-start":
        await world.act(number, minutes=10)
    elif action == "downtime":
        world.now += timedelta(minutes=draw % 90)
        world.restart(number)
    elif action == "trigger":
        watcher.triggers.add(value := str(draw % 3))
        world.edit("brief", kind="AgentSchedule", annotations={"agentjobs.dev/trigger": value})
    elif action in ("lose-history", "find-history"):
        world.history_away = action == "lose-history"


async def finish(world, operators, watcher):
    """With everything well again, what is due is made and ends; then half a period passes without a start."""
    world.history_away, world.die_at = False, None
    world.now += PERIOD - (world.now - watcher.created) % PERIOD + timedelta(minutes=4)
    for _ in range(40):
        for number in range(operators):
            world.list(number)
            await world.act(number, seconds=2)
            watcher.check()
        world.end_jobs()
        if not world.jobs() and not world.schedule().get("active"):
            break
    assert not world.jobs()


async def play(world, died, script, operators, policy):
    for _ in range(operators - 1):
        world.join()
    watcher = Watcher(world, policy)
    for action, draw in script:
        number = draw % operators
        try:
            await act(world, action, draw, number, watcher)
        except died:
            world.die_at = None
            world.restart(number)
        watcher.check()
    await finish(world, operators, watcher)
    watcher.settled()


scripts = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1000)), max_size=40)
quiet = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.mark.parametrize("operators", [1, 2], ids=["one-operator", "two-operators"])
@quiet
@given(script=scripts, policy=st.sampled_from(POLICIES))
async def test_each_time_is_created_or_missed_once(worlds, died, operators, script, policy):
    await play(worlds(), died, script, operators, policy)


async def test_a_job_that_was_deleted_before_it_was_accepted_is_created_again_once(worlds, died):
    before = [("die-before", 50), ("downtime", 10), ("trigger", 0), ("look", 0), ("delete-job", 0)]
    await play(worlds(), died, [*before, ("look-at-AgentSchedule-only", 1)], 2, {"concurrencyPolicy": "Forbid"})


async def test_a_trigger_used_by_a_crashed_operator_creates_no_second_job(worlds, died):
    before = [("trigger", 2), ("look", 0), ("end-jobs", 0), ("trigger", 0), ("die-before", 0), ("look", 0)]
    script = [*before, ("look", 0), ("trigger", 2)]
    await play(worlds(), died, script, 1, {"concurrencyPolicy": "Forbid"})
