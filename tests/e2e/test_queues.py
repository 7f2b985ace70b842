"""Queues with an object on a real cluster: limits hold by the pods' own times, and kubectl shows them."""

import datetime

import pytest

CROWD = [f"crowd-{number}" for number in range(6)]
LIMIT = 2
BRIEF = {"starts": [[{"delay": "2s", "text": "Done."}]]}


@pytest.fixture
def queue(apply):
    """Apply an AgentQueue."""
    return lambda name, **spec: apply(
        {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentQueue", "metadata": {"name": name}, "spec": spec}
    )


def at(text):
    return datetime.datetime.fromisoformat(text)


def most_at_once(pods):
    """How many of these pods, which have ended, were there at one time.

    Times are cut to seconds, which moves none of two times past the other: an end that was before a beginning stays so.
    """
    moments = []
    for pod in pods:
        ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        moments += [(at(pod["metadata"]["creationTimestamp"]), 1), (at(ended["finishedAt"]), -1)]
    there, most = 0, 0
    for _, change in sorted(moments):
        there += change
        most = max(most, there)
    return most


def test_a_limit_is_not_exceeded_when_the_leader_is_killed(
    release, kubectl, node, queue, apply, a_job, jobs, namespace
):
    queue("narrow", concurrency={"max": LIMIT})
    for name in CROWD:
        apply(*a_job(name, BRIEF, queue="narrow"))
    jobs.running(CROWD[0])
    leader = release.leader()
    node.kill(kubectl.get("pod", leader, release.namespace), "operator")
    ends = [jobs.finished(name) for name in CROWD]
    pods = kubectl.list("pods", namespace, labels="agentjobs.dev/job")

    assert [(end["phase"], end["starts"]) for end in ends] == [("Succeeded", 1)] * len(CROWD)
    assert (len(pods), most_at_once(pods)) == (len(CROWD), LIMIT)


def test_kubectl_lists_and_explains_queues_and_templates(kubectl, queue, apply, namespace, wait_for):
    template = {"agent": {"model": "scripted/none/none", "inline": {"instruction": "x"}}, "description": "Looks at it."}
    queue("shown", concurrency={"max": 3}, rateLimit={"starts": 5, "period": "1m"})
    apply(a_template("shown", **template))

    def row(kind):
        names, row = (line.split() for line in kubectl("get", kind, namespace=namespace).splitlines())
        return names, row

    wait_for(lambda: row("agenttemplates")[1][-2] == "True", "the template is judged")
    wait_for(lambda: row("agentqueues")[1][2] == "3", "the queue is counted")
    assert row("agentqueues")[0][:5] == ["NAME", "RUNNING", "MAX", "WAITING", "OLDEST"]
    assert row("agenttemplates")[0] == ["NAME", "MODEL", "DESCRIPTION", "VALID", "AGE"]
    assert "starts" in kubectl("explain", "agentqueue.spec.rateLimit")
    assert "followUps" in kubectl("explain", "agenttemplate.spec")


def a_template(name, **spec):
    return {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentTemplate", "metadata": {"name": name}, "spec": spec}
