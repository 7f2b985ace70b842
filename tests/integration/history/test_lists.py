"""Full lists close the history of what is gone, at the start and while the operator works."""

import pytest

from agentjobs.core.pods.manifests import PodDefaults
from agentjobs.errors import Gone, Unavailable
from agentjobs.history.records import Deletion
from agentjobs.metrics import Metrics
from agentjobs.reconcile import Reconciler
from agentjobs.reconcile.lists import Lists
from agentjobs.reconcile.ports import Ports


class Server:
    """An API server that lists what there is."""

    def __init__(self):
        self.jobs = []
        self.version = 10

    async def pages(self, resource, namespace, **_):
        self.version += 1
        for job in self.jobs if resource.kind == "AgentJob" else ():
            yield [job], str(self.version)
        yield [], str(self.version)


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


async def test_a_job_that_vanished_while_the_watch_was_cut_is_closed_by_the_next_list(lists, operator, a_job):
    lists.server.jobs = [an_object("forced"), an_object("there")]
    await operator.write([a_job(name).transition(1, "Running") for name in ("forced", "there")])
    await lists.sync()
    assert await operator.recorded("forced") is None

    lists.server.jobs = [an_object("there")]  # and no watch tells
    await lists.sync()

    assert [await operator.recorded(name) for name in ("forced", "there")] == ["Deleted", None]
    assert [record.job.uid for record in lists.records if isinstance(record, Deletion)] == ["forced"]
    assert lists.live() == ["there"]


async def test_a_job_that_only_history_knows_is_closed_by_a_later_list_too(lists, operator, a_job):
    await lists.sync()
    await operator.write([a_job("unseen").transition(1, "Running")])

    await lists.sync()

    assert await operator.recorded("unseen") == "Deleted"


async def test_a_start_feeds_history_with_what_it_lacks_and_nothing_else(lists, operator, a_job):
    whole, half = a_job("whole"), a_job("half")
    await operator.write([*(each.transition(2, "Succeeded", finished=True) for each in (whole, half)), whole.end(1)])
    await operator.accept(half.job(), half.start(1))
    lists.server.jobs = [an_object(name, transitions=2, phase="Succeeded") for name in ("whole", "half", "unheard")]

    await lists.sync()

    assert {(type(one).__name__, one.job.uid) for one in lists.records} == {
        ("StartEnd", "half"),
        ("StartEnd", "unheard"),
        ("TransitionRecord", "unheard"),
    }
    await operator.write(lists.records)
    lists.records.clear()
    await lists.restarted().sync()
    assert lists.records == []


async def test_while_the_database_is_away_all_of_the_past_waits(lists):
    lists.server.jobs = [an_object("one", transitions=2, phase="Succeeded")]

    async def away(_records):
        raise Unavailable("away")

    lists._history.lacking = away
    await lists.sync()

    assert len(lists.records) == 2


async def test_a_list_whose_snapshot_expires_is_begun_anew(lists):
    pages, cut = lists.server.pages, iter([True, False])
    lists.server.jobs = [an_object("there")]

    async def expiring(resource, namespace, **selected):
        async for page in pages(resource, namespace, **selected):
            yield page
            if resource.kind == "AgentJob" and next(cut, False):
                lists.server.jobs = [an_object("there"), an_object("new")]
                raise Gone("expired")

    lists.server.pages = expiring

    await lists.sync()

    assert sorted(lists.live()) == ["new", "there"]
