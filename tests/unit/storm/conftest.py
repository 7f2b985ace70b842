"""A storm's evidence as it looks when every promise held; each test breaks one thing in it."""

import pytest
from tests.storm.plan import Plan, Wish
from tests.storm.witness import Evidence, Rows, SeenJob, SeenPod

RECORD = {"start": 1, "attempt": 1, "verdict": "Succeed", "reason": "", "ended": "2026-11-21T09:00:03Z"}


@pytest.fixture
def plan():
    return Plan(1, 60, "embedded", 3, (), (Wish(0, "ok-1", "ok"),))


@pytest.fixture
def seen():
    status = {
        "phase": "Succeeded",
        "starts": 1,
        "attempts": 1,
        "transitions": 2,
        "attemptHistory": [RECORD],
        "completionTime": "2026-11-21T09:00:03Z",
    }
    row = {"uid": "u", "start": 1, "attempt": 1, "pod_uid": "p", "verdict": "Succeed", "reason": "", "ended_at": "then"}
    transitions = [
        {"transition": 1, "phase": "Running", "finished": False},
        {"transition": 2, "phase": "Succeeded", "finished": True},
    ]
    job = {"uid": "u", "name": "ok-1", "phase": "Succeeded", "transition": 2, "deleted_at": None, "schedule": ""}
    return Evidence(
        jobs={"u": SeenJob("ok-1", "u", status, final=status)},
        pods={"p": SeenPod("ok-1-1", "p", "u", 1, "Succeeded")},
        rows={"u": Rows(job, [row], transitions, [{"uid": "u", "start": 1}])},
        leases=["agentjobs-operator"],
    )
