"""A schedule on a real clock: it creates jobs at its times and by trigger, and none while suspended."""

import datetime

import pytest

RUNS = 300.0  # the next full minute, and a busy node


@pytest.fixture
def schedule(apply, a_job):
    """Apply a schedule whose jobs are done immediately."""

    def build(name, cron, **spec):
        script, job = a_job(name, {"starts": [[{"text": "Done."}]]})
        body = {
            "apiVersion": "agentjobs.dev/v1alpha1",
            "kind": "AgentSchedule",
            "metadata": {"name": name},
            "spec": {"schedule": cron, "jobTemplate": {"spec": job["spec"]}, **spec},
        }
        apply(script, body)

    return build


@pytest.fixture
def status(kubectl, namespace):
    return lambda name: kubectl.get("agentschedule", name, namespace).get("status") or {}


def test_a_schedule_creates_one_job_at_its_time(schedule, status, kubectl, namespace, jobs, wait_for):
    schedule("minutely", "* * * * *", maxRuns=1)
    wait_for(lambda: status("minutely").get("runs"), "the schedule fires", seconds=RUNS)
    # A start is claimed in the schedule's status before its job is made.
    (job,) = wait_for(lambda: kubectl.list("agentjobs", namespace), "its job is there")
    ended = jobs.finished(job["metadata"]["name"])
    due = datetime.datetime.fromisoformat(status("minutely")["lastScheduleTime"])

    assert ended["phase"] == "Succeeded"
    assert due.second == 0
    assert job["metadata"]["ownerReferences"][0]["kind"] == "AgentSchedule"


def test_a_trigger_creates_one_job_before_the_next_time(schedule, status, kubectl, namespace, jobs, wait_for):
    schedule("yearly", "@yearly")
    wait_for(lambda: status("yearly").get("nextScheduleTime"), "the schedule is seen")
    for _ in range(2):  # the same value twice is one wish
        kubectl("annotate", "agentschedule", "yearly", "agentjobs.dev/trigger=now", "--overwrite", namespace=namespace)
    wait_for(lambda: status("yearly").get("lastTrigger") == "now", "the trigger is handled")
    (job,) = wait_for(lambda: kubectl.list("agentjobs", namespace), "its job is there")

    assert jobs.finished(job["metadata"]["name"])["phase"] == "Succeeded"


def test_a_suspended_schedule_has_a_condition(schedule, condition, status, kubectl, namespace, wait_for):
    schedule("resting", "* * * * *", suspend=True)
    wait_for(lambda: condition(status("resting"), "Active") == "False", "the schedule is seen")

    assert condition(status("resting"), "Active", "reason") == "Suspended"
    assert kubectl.list("agentjobs", namespace) == []
