"""What the client does with AgentQueues, step by step, without a server."""

import pytest

from agentjobs import errors
from agentjobs.client.queue_operations import QueueOperations

DO = QueueOperations("default", retry_for=30.0)
NOW = "2026-11-21T09:00:00Z"
SPEC = {"concurrency": {"max": 4}}


def body(spec=SPEC, **metadata):
    """A queue as the API server answers it."""
    names = {"name": "brief", "namespace": "default", "uid": "u1", "resourceVersion": "7", "creationTimestamp": NOW}
    return {"metadata": names | metadata, "spec": spec}


def apply(spec=SPEC):
    return DO.apply("brief", spec, labels=None, annotations=None)


def test_a_queue_that_is_being_deleted_is_not_changed(world):
    with pytest.raises(errors.Conflict, match="being deleted"):
        world([body(deletionTimestamp=NOW), body()]).run(apply())


@pytest.mark.parametrize(("said", "stays"), [({}, "Hold"), ({"stopPolicy": "None"}, "None")])
def test_apply_keeps_a_queue_paused_unless_the_spec_sets_its_stop_policy(world, said, stays):
    there = world([body({**SPEC, "stopPolicy": "Hold"}), body()])

    there.run(apply({**SPEC, **said}))

    assert there.sent[1].body["spec"]["stopPolicy"] == stays


def test_jobs_of_queues_of_all_namespaces_are_counted_by_namespace(world, job_body):
    job = job_body(phase="Running", namespace="shop")
    job["status"]["queue"] = {"name": "brief"}
    there = world([{"items": [body()]}, {"items": [job]}])

    found = there.run(DO.in_use(everywhere=True))

    assert [(one.namespace, one.name, one.status.running, one.has_object) for one in found] == [
        ("default", "agents", 0, False),
        ("default", "brief", 0, True),
        ("default", "scheduled", 0, False),
        ("shop", "agents", 0, False),
        ("shop", "brief", 1, False),
        ("shop", "scheduled", 0, False),
    ]
    assert "namespaces" not in "".join(send.path for send in there.sent)


def test_checking_whether_a_queue_has_jobs_does_not_read_all_of_them(world):
    there = world([errors.NotFound("no queue"), body()])

    assert there.run(DO.stop("brief", "Hold", known=True))[1]
    assert [send.method for send in there.sent] == ["PATCH", "POST"]


def test_an_unknown_queue_is_not_created(world):
    there = world([errors.NotFound("no queue")])

    with pytest.raises(errors.NotFound, match="breif"):
        there.run(DO.scale("breif", 3, known=False))
    assert [send.method for send in there.sent] == ["PATCH"]
