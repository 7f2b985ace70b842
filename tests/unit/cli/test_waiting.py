"""What `agentjobs wait` can wait for, and what it says when that does not come."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from agentjobs import errors
from agentjobs.api.conditions import ConditionType
from agentjobs.cli import waiting
from agentjobs.cli.failures import FAILURE, TIMED_OUT, Failure
from agentjobs.cli.options import Talk
from agentjobs.cli.targets import Target
from agentjobs.cli.waiting import CONDITIONS
from agentjobs.client.effects import Now, Send
from agentjobs.client.operations import Operations

TARGET = Target(Operations("default", retry_for=0.0), "hello")
AWAY = errors.Unavailable("connection refused")
NOW = datetime(2026, 1, 31, 12, 2, tzinfo=UTC)
ABSENT = errors.NotFound('agentjobs.agentjobs.dev "hello" not found')


class Servers:
    """An API server and a gateway that give these answers to reads and watches, in order; exceptions are raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.paths = []

    def request(self, method, path):
        return self._next(path)

    def watch(self, path, *, params, seconds):
        yield from self._next(path)

    def run(self, operation):
        outcome = None
        while True:
            try:
                effect = operation.throw(outcome) if isinstance(outcome, Exception) else operation.send(outcome)
            except StopIteration as end:
                return end.value
            try:
                outcome = self._next(effect.path) if isinstance(effect, Send) else 0.0 if effect == Now() else None
            except errors.AgentJobsError as error:
                outcome = error

    def _next(self, path):
        self.paths.append(path)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def a_job(uid="u", **conditions):
    found = [{"type": kind, "status": status} for kind, status in conditions.items()]
    metadata = {"namespace": "default", "name": "hello", "uid": uid, "creationTimestamp": "2026-01-31T12:00:00Z"}
    return {"metadata": {**metadata, "resourceVersion": "1"}, "status": {"conditions": found}}


def recorded(phase, *, finished="2026-01-31T12:01:00Z", deleted="2026-01-31T12:01:00Z"):
    """The answer of the gateway about a job."""
    job = {"uid": "u", "namespace": "default", "name": "hello", "phase": phase, "reason": "Because", "message": "said"}
    job |= {"created": "2026-01-31T12:00:00Z", "changed": None, "finished": finished, "deleted": deleted}
    return {"job": job | {"attempts": 1, "starts": 1}, "specHash": None, "starts": [], "transitions": []}


BEFORE_ITS_END = recorded("Deleted", finished=None)
NOT_YET = recorded("Running", finished=None, deleted=None)
DELETED = [{"type": "DELETED", "object": a_job()}]


def wait_for(servers, deadline=None, condition="Complete", status="True", now=NOW):
    talk = Talk(servers, TARGET.do, servers)
    return waiting._wait(talk, TARGET, condition, status, condition, "0", deadline, now=now)


def test_waiting_continues_after_an_outage_of_the_api_server(monkeypatch):
    monkeypatch.setattr(waiting, "_RETRY_SECONDS", 0.0)
    servers = Servers(a_job(), AWAY, AWAY, AWAY, a_job(), [], AWAY, a_job(Complete="True"))

    wait_for(servers)

    assert servers.answers == []


def test_a_time_out_during_an_outage_of_the_api_server_is_a_time_out(monkeypatch):
    monkeypatch.setattr(waiting, "_RETRY_SECONDS", 0.0)
    servers = Servers(a_job(), AWAY, *[AWAY] * 10_000)

    with pytest.raises(Failure) as failure:
        wait_for(servers, deadline=time.monotonic() + 0.001)
    assert failure.value.code == TIMED_OUT


def test_an_expired_watch_is_opened_again_after_a_pause(monkeypatch):
    pauses = []
    monkeypatch.setattr(waiting.time, "sleep", pauses.append)
    expired = [{"type": "ERROR", "object": {"code": 410}}]

    wait_for(Servers(a_job(), expired, a_job(), expired, a_job(Complete="True")))

    assert pauses == [waiting._RETRY_SECONDS] * 2


def test_the_first_answer_is_not_waited_for():
    servers = Servers(AWAY, a_job(Complete="True"))

    with pytest.raises(errors.Unavailable):
        wait_for(servers)
    assert len(servers.answers) == 1


def test_every_condition_of_a_job_can_be_waited_for():
    assert sorted(CONDITIONS) == sorted(ConditionType)


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([ABSENT, recorded("Succeeded")], id="before-the-first-request"),
        pytest.param([a_job(), [], ABSENT, recorded("Succeeded")], id="after-a-watch"),
        pytest.param([a_job(), [], a_job(uid="new"), recorded("Succeeded")], id="name-used-again"),
        pytest.param([a_job(), [], ABSENT, AWAY, recorded("Succeeded")], id="gateway-away-for-a-moment"),
        pytest.param([a_job(), [], ABSENT, NOT_YET, recorded("Succeeded")], id="recorded-late"),
        pytest.param(
            [a_job(), [{"type": "DELETED", "object": a_job(Complete="True", Finished="True")}]], id="in-the-last-event"
        ),
    ],
)
def test_a_job_that_was_deleted_after_its_success_has_succeeded(answers):
    servers = Servers(*answers)

    job = wait_for(servers)

    conditions = {each["type"]: each["status"] for each in job["status"]["conditions"]}
    assert conditions == {"Complete": "True", "Finished": "True"}
    assert servers.answers == []


@pytest.mark.parametrize("seen", [[], [a_job(), []]], ids=["never-seen", "seen"])
@pytest.mark.parametrize("phase", ["Failed", "Cancelled", "Skipped"])
def test_a_job_that_was_deleted_after_another_end_fails_the_wait(seen, phase):
    with pytest.raises(Failure, match=f"ended as {phase}.*: said") as failure:
        wait_for(Servers(*seen, ABSENT, recorded(phase)))

    assert failure.value.code == FAILURE


def test_any_end_in_history_is_an_end():
    for phase in ("Succeeded", "Failed", "Cancelled", "Skipped"):
        assert wait_for(Servers(ABSENT, recorded(phase)), condition="Finished")["status"]["phase"] == phase


@pytest.mark.parametrize(("condition", "status"), [("PodStarted", "True"), ("Suspended", "False")])
def test_a_condition_that_history_does_not_know_is_not_met_by_a_deleted_job(condition, status):
    with pytest.raises(Failure, match="ended as Succeeded"):
        wait_for(Servers(ABSENT, recorded("Succeeded")), condition=condition, status=status)


@pytest.mark.parametrize(
    "answers",
    [[ABSENT, BEFORE_ITS_END], [a_job(), [], ABSENT, BEFORE_ITS_END], [a_job(), DELETED]],
    ids=["never-seen", "seen", "event"],
)
def test_a_job_that_was_deleted_before_its_end_fails_the_wait(answers):
    with pytest.raises(Failure, match="agentjobs history hello"):
        wait_for(Servers(*answers), condition="Finished")


def test_an_old_job_of_the_same_name_is_not_the_one_that_is_waited_for():
    with pytest.raises(errors.NotFound, match="agentjobs result hello"):
        wait_for(Servers(ABSENT, recorded("Succeeded")), now=NOW + timedelta(minutes=10))


def test_an_end_from_history_is_announced(capsys):
    wait_for(Servers(ABSENT, recorded("Succeeded")))

    said = capsys.readouterr()
    assert said.out == ""
    assert all(word in said.err for word in ("hello", "history", "Succeeded"))


def test_a_job_that_history_does_not_have_either_is_not_found():
    with pytest.raises(errors.NotFound) as missing:
        wait_for(Servers(ABSENT, errors.NotFound("not in history")))

    assert missing.value is ABSENT


@pytest.mark.parametrize("why", [AWAY, errors.Misconfigured("no address"), errors.Denied("no")], ids=str)
def test_a_missing_job_is_not_found_if_history_cannot_be_read(why):
    with pytest.raises(errors.NotFound) as missing:
        wait_for(Servers(ABSENT, why))

    assert all(text in str(missing.value) for text in (str(ABSENT), "history", str(why)))
