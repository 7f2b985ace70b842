"""What a user types and sees: rules at apply, kubectl's views, our plugin, logs."""

import json

import pytest

QUICK = {"starts": [[{"text": "Done."}]]}
SLOW = {"starts": [[{"delay": "10m", "text": "Too late."}]]}
SHORT_GRACE = {"terminationGracePeriodSeconds": 5}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"input": {}}, "message", id="no-message"),
        pytest.param({"agent": {"model": "gemini-x", "inline": {"name": "user"}}}, "user", id="reserved-name"),
        pytest.param(
            {"agent": {"model": "gemini-x", "inline": {"instruction": "x"}, "module": {"ref": "a.b:c"}}},
            "inline",
            id="two-members",
        ),
        pytest.param({"priority": 17}, "less than or equal to 9", id="range"),
        pytest.param({"taks": 1}, 'unknown field "spec.taks"', id="unknown-field"),
    ],
)
def test_a_mistake_is_refused_at_apply_with_a_clear_message(apply, a_job, change, words):
    with pytest.raises(Exception, match="exit 1") as refused:
        apply(*a_job("wrong", None, **change))

    assert words in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"input": {"message": "Something else."}}, id="input"),
        pytest.param({"agent": {"model": "scripted/other/script"}}, id="agent"),
    ],
)
def test_the_work_of_a_job_cannot_be_edited(kubectl, namespace, apply, a_job, change):
    apply(*a_job("fixed", QUICK, suspend=True))

    with pytest.raises(Exception, match="exit 1") as refused:
        kubectl.patch("agentjob", "fixed", {"spec": change}, namespace)

    assert "cannot change; create a new job instead" in str(refused.value)


def test_kubectl_lists_shows_explains_and_waits_for_jobs(kubectl, namespace, apply, a_job):
    apply(*a_job("shown", QUICK))
    kubectl("wait", "agentjob/shown", "--for=condition=Complete", "--timeout=180s", namespace=namespace)
    table = kubectl("get", "aj", namespace=namespace).splitlines()
    described = kubectl("describe", "agentjob", "shown", namespace=namespace)
    explained = kubectl("explain", "agentjob.spec.retry")

    assert table[0].split()[:2] == ["NAME", "PHASE"]
    assert table[1].split()[:2] == ["shown", "Succeeded"]
    assert "ResultAccepted" in described
    assert "maxAttempts" in explained


def test_a_runners_log_can_be_read_with_kubectl_and_by_job(kubectl, release, namespace, apply, a_job, jobs):
    apply(*a_job("told", QUICK))
    jobs.finished("told")

    by_pod = kubectl("logs", "told-1", namespace=namespace)
    by_job = release.agentjobs("logs", "told", "-n", namespace)

    assert "the agent answered" in by_pod
    assert "the agent answered" in by_job


def test_the_plugin_cancels_a_job_and_shows_it_and_its_history(kubectl, release, namespace, apply, a_job, jobs):
    apply(*a_job("stopped", SLOW, runtime=SHORT_GRACE))
    jobs.running("stopped")
    release.plugin("cancel", "stopped", "-n", namespace)
    status = jobs.finished("stopped")
    listed = release.plugin("get", "-n", namespace)
    jobs.job_history("stopped")
    kubectl("delete", "agentjob", "stopped", namespace=namespace)
    told = json.loads(release.plugin("history", "stopped", "-n", namespace, "-o", "json"))

    assert status["phase"] == "Cancelled"
    assert "stopped" in listed
    assert told["job"]["phase"] == "Cancelled"


def test_deleting_a_namespace_ends_its_jobs_immediately(kubectl, namespace, apply, a_job, jobs, wait_for):
    apply(*a_job("leaving", SLOW, runtime=SHORT_GRACE))
    jobs.running("leaving")
    kubectl("delete", "namespace", namespace, "--wait=false")

    wait_for(lambda: kubectl.get("namespace", namespace) is None, "the namespace is gone")
