"""For any order of events: no time starts twice, and each starts once if nothing prevents it.

Two operators that hear of things late and partly, and die between any two writes; jobs that end, are deleted by their
TTL or by hand; people who suspend, edit and ask for jobs; a clock that goes back.
"""

import contextlib
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from agentjobs.api.conditions import Phase

OPERATORS = st.integers(0, 1)
ACTS = st.one_of(
    st.tuples(st.just("tick"), OPERATORS, st.sampled_from([1, 2, 99])),
    st.tuples(st.just("tick"), OPERATORS, st.just(99)),
    st.tuples(st.just("pass"), st.integers(1, 400)),
    st.tuples(st.just("hear"), OPERATORS, st.sampled_from(["schedule", "jobs", "all"])),
    st.tuples(st.just("look"), OPERATORS, st.sampled_from([0, 1, 2, 3, 99])),
    st.tuples(st.just("end"), st.sampled_from([Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED])),
    st.tuples(st.just("ttl")),
    st.tuples(st.just("delete")),
)
PEOPLE = st.one_of(
    st.tuples(st.just("back"), st.integers(1, 600)),
    st.tuples(st.just("trigger")),
    st.tuples(st.just("resume")),
    st.tuples(st.just("suspend"), st.booleans()),
    st.tuples(st.just("cron"), st.sampled_from(["* * * * *", "*/2 * * * *", "*/3 * * * *", "broken"])),
    st.tuples(st.just("zone"), st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"])),
)
SPECS = st.fixed_dictionaries(
    {
        "concurrencyPolicy": st.sampled_from(["Allow", "Forbid", "Replace"]),
        "successfulJobsHistoryLimit": st.sampled_from([0, 1, 3]),
        "failedJobsHistoryLimit": st.sampled_from([0, 1]),
    },
    optional={
        "catchUp": st.sampled_from([{"policy": "None"}, {"policy": "Latest"}, {"policy": "All", "limit": 3}]),
        "startingDeadlineSeconds": st.sampled_from([10, 90]),
        "jitter": st.sampled_from(["20s", "10m"]),
        "maxRuns": st.sampled_from([1, 4]),
        "maxConsecutiveFailures": st.just(1),
    },
)


class History:
    """Plays acts on a cluster with two operators."""

    def __init__(self, cluster, operator, died, clash):
        self.cluster, self.died, self.clash = cluster, died, clash
        self.operators = [operator(cluster), operator(cluster)]
        self.triggers = 0

    def play(self, acts):
        for name, *arguments in acts:
            getattr(self, f"_{name}")(*arguments)

    def _pass(self, seconds):
        self.cluster.now += timedelta(seconds=seconds)

    def _back(self, seconds):
        self.cluster.now -= timedelta(seconds=seconds)

    def _hear(self, who, what):
        self.operators[who].hear(schedule=what != "jobs", jobs=what != "schedule")

    def _tick(self, who, die_after):
        """Half a minute later an operator hears everything and works."""
        self.cluster.now += timedelta(seconds=35)
        self.operators[who].hear()
        self._look(who, die_after)

    def _look(self, who, die_after):
        try:
            with contextlib.suppress(self.clash):
                self.operators[who].look(die_after=die_after)
        except self.died:
            for operator in self.operators:
                operator.hear()  # the next one begins with complete lists, and the other has heard this much

    def _end(self, phase):
        for job in [job for job in self.cluster.jobs.values() if not job.finished][:1]:
            self.cluster.end(job.name, phase)

    def _ttl(self):
        """The operator deletes a finished job, though never one whose start is not retired."""
        self._remove(job for job in self.cluster.jobs.values() if job.finished)

    def _delete(self):
        """Someone deletes a job, though not in the seconds before it is retired, which the docs say."""
        self._remove(iter(self.cluster.jobs.values()))

    def _remove(self, jobs):
        job = next((job for job in jobs if job.name not in self.cluster.reserved), None)
        if job is not None:
            del self.cluster.jobs[job.name]

    def _trigger(self):
        self.triggers += 1
        self.cluster.annotate(trigger=str(self.triggers))

    def _resume(self):
        self.triggers += 1
        self.cluster.annotate(resume=str(self.triggers))

    def _suspend(self, suspend):
        self.cluster.edit(suspend=suspend)

    def _cron(self, schedule):
        self.cluster.edit(schedule=schedule)

    def _zone(self, zone):
        self.cluster.edit(timeZone=zone)


def legal(spec):
    both = spec.get("catchUp", {}).get("policy") == "All" and spec["concurrencyPolicy"] == "Replace"
    return {**spec, "catchUp": {"policy": "Latest"}} if both else spec


@given(spec=SPECS.map(legal), acts=st.lists(ACTS | PEOPLE, max_size=60))
def test_no_time_starts_twice(a_cluster, a_scheduler, died, clash, spec, acts):
    cluster = a_cluster("* * * * *", **spec)
    history = History(cluster, a_scheduler, died, clash)

    history.play(acts)

    assert sorted(cluster.made) == sorted(set(cluster.made))
    assert cluster.parsed.runs + history.triggers >= len(cluster.made)


@given(acts=st.lists(ACTS, max_size=60), limit=st.sampled_from([0, 3]))
def test_every_time_starts_once_if_nothing_prevents_it(a_cluster, a_scheduler, died, clash, acts, limit):
    catch_up = {"policy": "All", "limit": 1000}
    spec = {"concurrencyPolicy": "Allow", "catchUp": catch_up, "successfulJobsHistoryLimit": limit}
    cluster = a_cluster("* * * * *", **spec)
    history = History(cluster, a_scheduler, died, clash)

    history.play(acts)
    history.operators[0].run(minutes=12, lasting=timedelta(seconds=1))

    due = range(int(cluster.created.timestamp()) // 60 + 1, int(cluster.now.timestamp()) // 60 + 1)
    assert sorted(cluster.made) == [f"brief-{minute}" for minute in due]
    assert (cluster.parsed.runs, cluster.parsed.missed) == (len(due), 0)


@given(acts=st.lists(ACTS, max_size=60))
def test_forbid_never_has_two_jobs_unfinished(a_cluster, a_scheduler, died, clash, acts):
    cluster = a_cluster("* * * * *")
    history = History(cluster, a_scheduler, died, clash)

    for act in acts:
        history.play([act])
        assert sum(not job.finished for job in cluster.jobs.values()) <= 1


@given(
    acts=st.lists(ACTS, max_size=40),
    policy=st.sampled_from(["None", "Latest", "All"]),
    deadline=st.none() | st.sampled_from([10, 300]),
)
def test_a_schedule_always_recovers_to_starting_on_time(a_cluster, a_scheduler, died, clash, acts, policy, deadline):
    spec = {} if deadline is None else {"startingDeadlineSeconds": deadline}
    cluster = a_cluster("* * * * *", catchUp={"policy": policy}, **spec)
    history = History(cluster, a_scheduler, died, clash)
    history.play(acts)
    history.operators[0].run(minutes=15, lasting=timedelta(seconds=1))

    made = len(cluster.made)
    history.operators[0].run(minutes=10, lasting=timedelta(seconds=1))

    assert len(cluster.made) - made == 10
    missed_and_made = cluster.parsed.missed + cluster.parsed.runs
    elapsed = (cluster.now - datetime(2026, 11, 21, 9, 0, tzinfo=UTC)) // timedelta(minutes=1)
    assert missed_and_made == elapsed
