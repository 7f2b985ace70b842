"""Processes and pods are killed on a real node; each job still ends once, and history agrees with the object."""

import concurrent.futures

import pytest

SLOW = {"starts": [[{"delay": "8s", "text": "Done at last."}]]}
# The first start never ends by itself, however late a busy machine ends it.
ENDLESS = {"starts": [[{"delay": "10m", "text": "Too late."}], [{"text": "Done."}]]}


@pytest.fixture
def running(apply, a_job, jobs):
    """Apply a job and return its pod as soon as its runner has claimed it."""

    def build(name, script=SLOW, **spec):
        apply(*a_job(name, script, **spec))
        return jobs.running(name)

    return build


@pytest.fixture
def judged(jobs):
    """Wait for the job's end and compare its status with history: (phase, starts, attempts, reasons of the starts)."""

    def build(name):
        status = jobs.finished(name)
        told = jobs.job_history(name)
        ends = [entry for entry in told["transitions"] if entry["phase"] == status["phase"]]
        assert (told["job"]["phase"], len(ends)) == (status["phase"], 1), told
        assert [start["start"] for start in told["starts"]] == list(range(1, status["starts"] + 1)), told
        reasons = [entry["reason"] for entry in status["attemptHistory"]]
        return status["phase"], status["starts"], status["attempts"], reasons

    return build


def test_a_deleted_pod_uses_up_no_attempt(kubectl, namespace, running, judged):
    running("deleted", ENDLESS, runtime={"terminationGracePeriodSeconds": 6})
    kubectl("delete", "pod", "deleted-1", "--wait=false", namespace=namespace)

    assert judged("deleted") == ("Succeeded", 2, 1, ["RunnerLost", ""])


def test_a_killed_process_uses_up_an_attempt(node, running, judged):
    node.kill(running("killed", ENDLESS, retry={"backoff": {"initial": "1s"}}), "runner")

    assert judged("killed") == ("Succeeded", 2, 2, ["RunnerCrashed", ""])


@pytest.mark.disturbs
def test_a_short_outage_of_the_kubelet_has_no_effect(node, running, judged):
    running("frozen")
    node.freeze_agent(15)

    assert judged("frozen") == ("Succeeded", 1, 1, [""])


@pytest.mark.disturbs
def test_a_job_waits_for_killed_gateways(release, node, running, judged):
    running("unheard")
    pods = release.pods("gateway")
    with concurrent.futures.ThreadPoolExecutor() as hands:
        list(hands.map(lambda pod: node.kill(pod, "gateway"), pods))
    release.ready()

    assert len(pods) == 2
    assert judged("unheard") == ("Succeeded", 1, 1, [""])


@pytest.mark.disturbs
def test_a_crash_of_the_database_loses_and_repeats_nothing(release, node, apply, a_job, running, judged):
    running("before")
    node.kill(release.pods("postgresql")[0], "postgresql")
    apply(*a_job("during", {"starts": [[{"text": "Done."}]]}))

    assert judged("before") == ("Succeeded", 1, 1, [""])
    assert judged("during") == ("Succeeded", 1, 1, [""])
