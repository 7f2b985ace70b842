"""Full lists close the history of what is gone, at the start and while the operator works."""

import asyncio

import pytest

from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.errors import Gone, Invalid, Unavailable
from agentjobs.history.records import Acceptance, Deletion
from agentjobs.metrics import Metrics
from agentjobs.reconcile import Reconciler
from agentjobs.reconcile.lists import Lists
from agentjobs.reconcile.ports import Ports


class Server:
    """An API server that lists what there is."""

    def __init__(self):
        self.jobs = []
        self.version = 10
        self.selects = True
        self.lists = []
        self.got = []

    async def pages(self, resource, namespace, *, field_selector="", **_):
        self.version += 1
        self.lists.append((resource.kind, field_selector))
        if field_selector and not self.selects:
            raise Invalid("field label not supported: status.phase")
        for job in list(self.jobs) if resource.kind == "AgentJob" else ():
            if not field_selector or f"phase!={job.get('status', {}).get('phase')}" not in field_selector:
                yield [job], str(self.version)
        yield [], str(self.version)

    async def metadata_pages(self, resource, namespace, **_):
        async for items, version in self.pages(resource, namespace):
            yield [{"kind": "PartialObjectMetadata", "metadata": item["metadata"]} for item in items], version

    async def get(self, resource, namespace, name):
        self.got.append(name)
        return next(job for job in self.jobs if job["metadata"]["name"] == name)


async def sync(lists):
    await lists.start()
    await lists.complete()


class Records(list):
    put = list.append


@pytest.fixture
def lists(operator):
    server, records, metrics = Server(), Records(), Metrics()
    ports = Ports(cluster=server, history=operator, writer=records, recorder=None, metrics=metrics)

    def start():
        reconciler = Reconciler(ports, pods=PodDefaults(gateway_url="", image="i"), queues={"agents": 1})
        return Lists(ports, reconciler.state, ())

    made = start()
    made.server, made.records, made.restarted = server, records, start
    return made


def an_object(name, **status):
    ended = {"attempt": 1, "start": 1, "pod": f"{name}-1", "ended": "2026-01-31T12:01:00Z", "verdict": "Succeed"}
    meta = {"namespace": "default", "name": name, "uid": name, "resourceVersion": "5", "generation": 1}
    return {"metadata": meta | {"creationTimestamp": "2026-01-31T12:00:00Z"}, "spec": {}} | (
        {"status": {"starts": 1, "attemptHistory": [ended], **status}} if status else {}
    )


async def test_a_job_that_vanished_during_a_gap_of_the_watch_is_closed_by_the_next_list(lists, operator, a_job):
    lists.server.jobs = [an_object("forced"), an_object("there")]
    await operator.write([a_job(name, name=name).transition(1, "Running") for name in ("forced", "there")])
    await sync(lists)
    assert await operator.recorded("forced") is None

    lists.server.jobs = [an_object("there")]  # and no watch tells
    await sync(lists)

    assert [await operator.recorded(name) for name in ("forced", "there")] == ["Deleted", None]
    assert [record.job.uid for record in lists.records if isinstance(record, Deletion)] == ["forced"]
    assert lists.lives("there", "default", "there")
    assert not lists.lives("forced", "default", "forced")


async def test_a_job_that_exists_only_in_history_is_closed_by_a_later_list_too(lists, operator, a_job):
    await sync(lists)
    await operator.write([a_job("unseen").transition(1, "Running")])

    await sync(lists)

    assert await operator.recorded("unseen") == "Deleted"


async def test_at_its_start_the_operator_writes_only_what_history_lacks(lists, operator, a_job):
    whole, half = a_job("whole"), a_job("half")
    await operator.write([*(each.transition(2, "Succeeded", finished=True) for each in (whole, half)), whole.end(1)])
    await operator.accept(Acceptance(half.job(), half.start(1)))
    lists.server.jobs = [an_object(name, transitions=2, phase="Succeeded") for name in ("whole", "half", "unheard")]

    await sync(lists)

    assert {(type(one).__name__, one.job.uid) for one in lists.records} == {
        ("StartEnd", "half"),
        ("StartEnd", "unheard"),
        ("TransitionRecord", "unheard"),
    }
    await operator.write(lists.records)
    lists.records.clear()
    await sync(lists.restarted())
    assert lists.records == []


async def test_ended_jobs_wait_while_the_database_is_unavailable(lists):
    lists.server.jobs = [an_object("one", transitions=2, phase="Succeeded")]

    async def away(_records):
        raise Unavailable("away")

    lists._history.lacking = away
    await sync(lists)

    assert len(lists.records) == 2


async def test_a_list_whose_snapshot_expires_restarts(lists):
    pages, cut = lists.server.pages, iter([True, False])
    lists.server.jobs = [an_object("there")]

    async def expiring(resource, namespace, **selected):
        async for page in pages(resource, namespace, **selected):
            yield page
            if resource.kind == "AgentJob" and next(cut, False):
                lists.server.jobs = [an_object("there"), an_object("new")]
                raise Gone("expired")

    lists.server.pages = expiring

    await sync(lists)

    assert [lists.lives(name, "default", name) for name in ("new", "there")] == [True, True]


FIRST = ("AgentJob", "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Cancelled,status.phase!=Skipped")


def finished(name):
    return an_object(name, transitions=2, phase="Succeeded", conditions=[{"type": "Finished", "status": "True"}])


def jobs_row(lists):
    return next(kind for kind in lists._state.informers.kinds if kind.resource.kind == "AgentJob")


async def test_decisions_begin_before_jobs_that_have_ended_are_listed(lists):
    lists.server.jobs = [finished("old"), an_object("waits")]

    await lists.start()
    known = [job.name for job in lists._state.jobs.values()]
    begun = lists._state._begun
    await lists.complete()

    assert (known, begun) == (["waits"], True)
    assert lists.lives("old", "default", "old")
    assert lists.server.lists[-2:] == [FIRST, ("AgentJob", "")]


async def test_all_jobs_are_listed_first_if_the_server_cannot_filter_them(lists):
    lists.server.selects = False
    lists.server.jobs = [finished("old"), an_object("waits")]

    await lists.start()

    assert lists.lives("old", "default", "old")
    assert lists.server.lists[-2:] == [FIRST, ("AgentJob", "")]
    await lists.complete()
    assert lists.server.lists[-1] == ("AgentJob", "")
    assert [kind for kind, _ in lists.server.lists].count("AgentJob") == 2


async def test_a_watch_continues_after_the_first_list_and_a_gap_leads_to_a_list_of_all_jobs(lists):
    lists.server.jobs = [finished("old"), an_object("waits")]
    await sync(lists)
    row = jobs_row(lists)

    first = await lists.begin(row, None)
    lists.server.jobs = [an_object("new")]
    lists.server.jobs[0]["metadata"]["resourceVersion"] = "50"
    after_a_gap = await lists.begin(row, None)
    gone_later = lists.lives("old", "default", "old")
    await lists.complete()

    assert int(after_a_gap) == int(first) + 2
    assert (gone_later, lists.lives("old", "default", "old")) == (True, False)
    assert lists.lives("new", "default", "new")


async def test_no_job_is_closed_before_the_list_of_all_is_complete(lists, operator, a_job):
    lists.server.jobs = [finished("old")]
    await operator.write([a_job("old", name="old").transition(1, "Running")])

    await lists.start()
    early = await operator.recorded("old")
    await lists.complete()
    await operator.write(lists.records)

    assert (early, await operator.recorded("old")) == (None, "Succeeded")


async def test_a_comparison_reads_only_jobs_that_differ(lists):
    lists.server.jobs = [an_object(name) for name in ("same", "changed", "gone")]
    await sync(lists)
    changed, new = an_object("changed"), an_object("new")
    for one in (changed, new):
        one["metadata"] |= {"resourceVersion": "50", "generation": 2}
    lists.server.jobs = [an_object("same"), changed, new]

    await lists.compare()

    assert lists.server.got == ["changed", "new"]
    known = {job.name: job.generation for job in lists._state.jobs.values()}
    assert known == {"same": 1, "changed": 2, "new": 2}
    lists.server.got.clear()
    await lists.compare()
    assert lists.server.got == []


async def test_a_comparison_writes_the_missing_rows_of_a_job(lists):
    await sync(lists)
    unseen = an_object("unseen", transitions=2, phase="Succeeded")
    unseen["metadata"]["resourceVersion"] = "50"
    lists.server.jobs = [unseen]

    await lists.compare()

    assert {type(one).__name__ for one in lists.records} == {"StartEnd", "TransitionRecord"}


async def test_a_waiting_list_has_no_task_that_delays_kopfs_shutdown(lists):
    await lists.start()
    before = asyncio.all_tasks()
    running = asyncio.create_task(lists.run(60))
    await lists.completed.wait()
    await asyncio.sleep(0.05)
    beside = asyncio.all_tasks() - before - {running}
    running.cancel()

    assert [task for task in beside if "Event.wait" in repr(task)] == []
