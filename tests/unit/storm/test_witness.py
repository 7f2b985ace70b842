"""What a storm's witness finds in watches: a session that runs twice, and an exceeded slot limit."""

import json

import pytest
from tests.storm.invariants import violations
from tests.storm.plan import Plan
from tests.storm.witness import Witness

from agentjobs.contract import ANNOTATION_SESSION, LABEL_JOB
from devcluster.client import Listing, WatchEvent


class Watches:
    """Says what is given, and ends."""

    def __init__(self, pods=(), jobs=()):
        self.said = {"pods": pods, "agentjobs": jobs}

    async def follow(self, resource, namespace, *, label_selector):
        for event in self.said[resource.plural]:
            yield event


async def limits_of(*, pods=(), jobs=()):
    """The broken limits, in words."""
    witness = Witness(Watches(pods, jobs), limit=2)
    await witness.run()
    plan = Plan(1, 60, "embedded", 1, (), ())
    return [one.what for one in violations(plan, witness.seen, refused={}) if one.promise == "limits hold"]


def pod(job, *, start=1, session="s", phase="Running", state=None):
    meta = {
        "name": f"{job}-{start}",
        "uid": f"pod-of-{job}-{start}",
        "resourceVersion": "7",
        "labels": {LABEL_JOB: job},
        "annotations": {ANNOTATION_SESSION: json.dumps(["app", "user", session])},
        "ownerReferences": [{"kind": "AgentJob", "uid": f"uid-{job}", "name": job, "controller": True}],
    }
    statuses = [{"name": "runner", "state": state or {"running": {}}}]
    return {"metadata": meta, "spec": {}, "status": {"phase": phase, "containerStatuses": statuses}}


def job(name, *, phase="Running", session=""):
    spec = {"session": {"sessionId": session}} if session else {}
    return {"metadata": {"name": name, "uid": name, "resourceVersion": "7"}, "spec": spec, "status": {"phase": phase}}


ENDED = {"phase": "Succeeded", "state": {"terminated": {"exitCode": 0}}}


async def test_two_live_pods_of_two_jobs_in_a_session_are_found():
    seen = [WatchEvent("ADDED", pod("one")), WatchEvent("ADDED", pod("two", phase="Pending"))]

    assert len(await limits_of(pods=seen)) == 1


@pytest.mark.parametrize(
    "second",
    [
        pytest.param([pod("two", session="t")], id="another-session"),
        pytest.param([pod("one", start=2)], id="the-same-job"),
        pytest.param([pod("one", **ENDED), pod("two")], id="the-first-has-ended"),
        pytest.param([pod("one", state={"terminated": {}}), pod("two")], id="a-sidecar-runs-on"),
    ],
)
async def test_allowed_concurrency_is_not_a_violation(second):
    seen = [WatchEvent("ADDED", pod("one")), *(WatchEvent("MODIFIED", obj) for obj in second)]

    assert await limits_of(pods=seen) == []


async def test_a_deleted_pod_frees_its_session():
    first = Listing([pod("one")])

    assert await limits_of(pods=[first, WatchEvent("DELETED", pod("one")), WatchEvent("ADDED", pod("two"))]) == []
    assert await limits_of(pods=[first, Listing([pod("two")])]) == []
    assert await limits_of(pods=[first, Listing([pod("two"), pod("one", **ENDED)])]) == []


async def test_an_exceeded_slot_limit_is_found():
    seen = [WatchEvent("ADDED", job(name)) for name in ("one", "two", "three")]

    assert len(await limits_of(jobs=seen)) == 1


async def test_two_running_jobs_of_a_session_are_found():
    seen = [WatchEvent("ADDED", job(name, session="s")) for name in ("one", "two")]

    assert len(await limits_of(jobs=seen)) == 1
