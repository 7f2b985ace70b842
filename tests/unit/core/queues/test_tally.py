"""Counts of queues equal those of a scan over all jobs after any changes."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from agentjobs.api.conditions import Phase
from agentjobs.api.job.status import AgentJobStatus, QueuePlace
from agentjobs.core.job.observation import Job
from agentjobs.core.queues.tally import Place, Tally

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
PHASES = {
    Phase.RUNNING: Place.RUNNING,
    Phase.QUEUED: Place.WAITING,
    Phase.SCHEDULED: Place.SCHEDULED,
    Phase.RETRYING: Place.SCHEDULED,
    Phase.SUSPENDED: Place.SUSPENDED,
    Phase.PENDING: None,
}
NAMES = ("a", "b", "c", "d")
QUEUES = ("agents", "fast")


def a_job(name, queue, phase, age):
    place = QueuePlace(queue, NOW - timedelta(minutes=age))
    status = AgentJobStatus(phase=phase, queue=place)
    return Job("default", name, name, "1", 1, NOW, False, "", {}, status, {})


CHANGES = st.tuples(
    st.sampled_from(NAMES),
    st.none() | st.tuples(st.sampled_from(QUEUES), st.sampled_from(list(PHASES)), st.integers(0, 3)),
)


@given(st.lists(CHANGES, max_size=60))
def test_counts_and_the_oldest_job_equal_those_of_a_scan(changes):
    tally, jobs = Tally(), {}
    for name, state in changes:
        job = None if state is None else a_job(name, *state)
        jobs[name] = job
        changed = tally.take(("default", name), job)
        for queue in QUEUES:
            counts, oldest = _walk(jobs, queue)
            assert {place: tally.count(("default", queue), place) for place in Place} == counts
            assert tally.oldest(("default", queue)) == oldest
        assert all(namespace == "default" for namespace, _ in changed)


def _walk(jobs, queue):
    counts, waits = dict.fromkeys(Place, 0), []
    for job in jobs.values():
        place = PHASES[job.status.phase] if job and job.status.queue.name == queue else None
        if place is not None:
            counts[place] += 1
        if place is Place.WAITING:
            waits.append(job.status.queue.since)
    return counts, min(waits, default=None)


def test_a_change_without_effect_wakes_no_queue():
    tally = Tally()
    assert tally.take(("default", "a"), a_job("a", "fast", Phase.QUEUED, 1)) == {("default", "fast")}

    assert tally.take(("default", "a"), a_job("a", "fast", Phase.QUEUED, 1)) == set()


def test_a_move_wakes_both_queues():
    tally = Tally()
    tally.take(("default", "a"), a_job("a", "fast", Phase.QUEUED, 1))

    moved = tally.take(("default", "a"), a_job("a", "agents", Phase.QUEUED, 1))

    assert moved == {("default", "fast"), ("default", "agents")}


def test_jobs_that_come_and_go_behind_an_old_one_take_no_memory():
    tally = Tally()
    tally.take(("default", "old"), a_job("old", "fast", Phase.QUEUED, 100))
    for number in range(1000):
        tally.take(("default", f"{number}"), a_job(f"{number}", "fast", Phase.QUEUED, 1))
        tally.take(("default", f"{number}"), None)

    assert len(tally._waits["default", "fast"]) < 100
    tally.take(("default", "old"), None)
    assert not tally._waits
    assert not tally._counts
