"""The tree of a job, from objects and from history."""

from datetime import UTC, datetime, timedelta

import pytest

from agentjobs import errors
from agentjobs.api.recorded import RecordedTree
from agentjobs.client.job import Job
from agentjobs.client.lineage import document, tree_of

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


class Do:
    """Both servers; what history answers may be an error."""

    def __init__(self, objects=(), recorded=None):
        self.objects = {body["metadata"]["name"]: body for body in objects}
        self.recorded = recorded

    def recorded_tree(self, name):
        if isinstance(self.recorded, Exception):
            raise self.recorded
        if self.recorded is None:
            raise errors.NotFound(name)
        return RecordedTree.model_validate({"items": self.recorded})
        yield

    def get(self, name):
        if name not in self.objects:
            raise errors.NotFound(name)
        return Job.parse(self.objects[name])
        yield

    def list(self, *, selector):
        names = selector.partition("(")[2].rstrip(")").split(",")
        return [
            Job.parse(body)
            for body in self.objects.values()
            if body["metadata"]["labels"].get("agentjobs.dev/parent") in names
        ]
        yield


def an_object(name, parent="", minute=0, phase="Running"):
    labels = {"agentjobs.dev/parent": parent, "agentjobs.dev/follow-up": "next"} if parent else {}
    annotations = {"agentjobs.dev/parent-uid": f"uid-{parent}"} if parent else {}
    created = (NOW + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")
    meta = {"namespace": "default", "name": name, "uid": f"uid-{name}", "resourceVersion": "1"}
    return {
        "metadata": {**meta, "creationTimestamp": created, "labels": labels, "annotations": annotations},
        "spec": {},
        "status": {"phase": phase},
    }


def a_row(name, parent="", minute=0, **more):
    times = {"created": NOW + timedelta(minutes=minute), "changed": None, "finished": NOW, "deleted": None}
    said = {"phase": "Succeeded", "reason": "", "message": "", "attempts": 1, "starts": 1, "costUSD": "0.5"}
    place = {"uid": f"uid-{name}", "namespace": "default", "name": name}
    return {**place, **said, **times, "parentUid": f"uid-{parent}" if parent else "", **more}


def tree(do, name):
    operation = tree_of(do, name)
    with pytest.raises(StopIteration) as stop:
        next(operation)
    return stop.value.value


OBJECTS = [an_object("a"), an_object("b", "a", 1), an_object("c", "b", 2), an_object("x")]
ROWS = [a_row("a"), a_row("b", "a", 1), a_row("c", "b", 2)]


@pytest.mark.parametrize("name", ["a", "b", "c"])
@pytest.mark.parametrize(
    "do",
    [
        pytest.param(Do(OBJECTS, errors.Unavailable("away")), id="objects alone"),
        pytest.param(Do((), ROWS), id="history alone"),
        pytest.param(Do(OBJECTS[1:], ROWS), id="the first is gone"),
        pytest.param(Do(OBJECTS, ROWS[:2]), id="history is behind"),
    ],
)
def test_every_job_of_a_tree_finds_the_whole_tree(do, name):
    found = tree(do, name)
    assert [job.name for job in found.jobs] == ["a", "b", "c"]
    assert [job.name for job in found.roots] == ["a"]


def test_the_phase_comes_from_the_object_and_the_cost_from_history():
    (first, *_) = tree(Do(OBJECTS, ROWS), "a").jobs
    assert (first.phase, str(first.cost_usd), first.is_there) == ("Running", "0.5", True)


def test_deleted_jobs_are_marked():
    assert [one["exists"] for one in document(tree(Do(OBJECTS[1:], ROWS), "b"))["items"]] == [False, True, True]


def test_an_unavailable_history_is_reported():
    assert tree(Do(OBJECTS, errors.Unavailable("away")), "a").without_history == "away"


def test_another_job_of_the_parents_name_is_not_the_parent():
    stranger = an_object("a")
    stranger["metadata"]["uid"] = "another"
    found = tree(Do([stranger, *OBJECTS[1:]]), "b")
    assert [job.name for job in found.jobs] == ["b", "c"]


def test_an_unknown_job_is_an_error():
    with pytest.raises(errors.NotFound):
        next(tree_of(Do(), "nobody"))


def test_a_failed_lookup_of_a_job_is_another_error():
    with pytest.raises(errors.AgentJobsError):
        next(tree_of(Do((), errors.Unavailable("away")), "nobody"))
