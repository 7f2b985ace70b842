"""What `agentjobs wait` can wait for, and what it says when that does not come."""

import time

import pytest

from agentjobs import errors
from agentjobs.api.conditions import ConditionType
from agentjobs.cli import waiting
from agentjobs.cli.failures import TIMED_OUT, Failure
from agentjobs.cli.targets import Target
from agentjobs.cli.waiting import CONDITIONS
from agentjobs.client.operations import Operations

TARGET = Target(Operations("default", retry_for=0.0), "hello")
AWAY = errors.Unavailable("connection refused")


class Cluster:
    """An API server that gives these answers to reads and watches, in order; exceptions are raised."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def request(self, method, path):
        return self._next()

    def watch(self, path, *, params, seconds):
        yield from self._next()

    def _next(self):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def a_job(**conditions):
    found = [{"type": kind, "status": status} for kind, status in conditions.items()]
    metadata = {"namespace": "default", "name": "hello", "uid": "u", "creationTimestamp": "2026-01-31T12:00:00Z"}
    return {"metadata": {**metadata, "resourceVersion": "1"}, "status": {"conditions": found}}


def wait_for(cluster, deadline=None):
    waiting._wait(cluster, TARGET, "Complete", "True", "Complete", "0", deadline)


def test_waiting_continues_after_an_outage_of_the_api_server(monkeypatch):
    monkeypatch.setattr(waiting, "_RETRY_SECONDS", 0.0)
    cluster = Cluster(a_job(), AWAY, AWAY, AWAY, a_job(), [], AWAY, a_job(Complete="True"))

    wait_for(cluster)

    assert cluster.answers == []


def test_a_time_out_during_an_outage_of_the_api_server_is_a_time_out(monkeypatch):
    monkeypatch.setattr(waiting, "_RETRY_SECONDS", 0.0)
    cluster = Cluster(a_job(), AWAY, *[AWAY] * 10_000)

    with pytest.raises(Failure) as failure:
        wait_for(cluster, deadline=time.monotonic() + 0.001)
    assert failure.value.code == TIMED_OUT


def test_the_first_answer_is_not_waited_for():
    cluster = Cluster(AWAY, a_job(Complete="True"))

    with pytest.raises(errors.Unavailable):
        wait_for(cluster)
    assert len(cluster.answers) == 1


def test_every_condition_of_a_job_can_be_waited_for():
    assert sorted(CONDITIONS) == sorted(ConditionType)
