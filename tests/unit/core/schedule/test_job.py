from datetime import UTC, datetime, timedelta

import pytest

from agentjobs.api.job.validation import validate_job
from agentjobs.api.schedule.status import ActiveJob
from agentjobs.core.schedule.job import scheduled_job, scheduled_name, triggered_name

TIME = datetime(2026, 11, 21, 9, 10, tzinfo=UTC)
START = ActiveJob("brief-29920870", TIME, previous=TIME - timedelta(minutes=10))


def test_a_name_follows_from_the_time_and_fits_until_2160() -> None:
    assert scheduled_name("brief", TIME) == "brief-29920870"
    assert len(scheduled_name("s" * 43, datetime(2159, 12, 31, tzinfo=UTC))) == 52


def test_times_of_different_minutes_have_different_names() -> None:
    names = {scheduled_name("brief", TIME + timedelta(minutes=minute)) for minute in range(3000)}
    assert len(names) == 3000


@pytest.mark.parametrize("schedule", ["brief", "s" * 42, "s" * 43])
def test_a_triggered_job_never_has_the_name_of_a_scheduled_one(schedule: str) -> None:
    name = triggered_name(schedule, "now")

    assert len(name) <= 52
    assert name[-10:-8] == "-t"
    assert name == triggered_name(schedule, "now") != triggered_name(schedule, "later")


def test_jobs_of_schedules_with_a_common_long_prefix_have_different_names() -> None:
    assert triggered_name("s" * 42 + "a", "now") != triggered_name("s" * 42 + "b", "now")


def test_a_job_belongs_to_its_schedule_and_is_valid(a_cluster) -> None:
    cluster = a_cluster()
    cluster.spec["jobTemplate"]["metadata"] = {"labels": {"team": "a"}, "annotations": {"example.org/a": "b"}}

    job = scheduled_job(cluster.seen(), START)

    metadata = job["metadata"]
    assert validate_job(job) == []
    assert metadata["ownerReferences"][0]["uid"] == cluster.seen().uid
    assert metadata["labels"] == {
        "team": "a",
        "agentjobs.dev/schedule": "brief",
        "app.kubernetes.io/managed-by": "agentjobs",
    }
    assert metadata["annotations"] == {
        "example.org/a": "b",
        "agentjobs.dev/schedule-generation": "1",
        "agentjobs.dev/scheduled-time": "2026-11-21T09:10:00Z",
        "agentjobs.dev/previous-time": "2026-11-21T09:00:00Z",
    }


def test_a_job_of_a_template_is_found_by_its_label(a_cluster) -> None:
    cluster = a_cluster()
    cluster.spec["jobTemplate"]["spec"] = {"templateRef": {"name": "cleanup"}}

    assert scheduled_job(cluster.seen(), START)["metadata"]["labels"]["agentjobs.dev/template"] == "cleanup"


@pytest.mark.parametrize(("own", "queue"), [({}, "scheduled"), ({"queue": "agents"}, "agents")], ids=["default", "own"])
def test_a_job_waits_in_the_queue_of_schedules_unless_it_names_one(a_cluster, own, queue) -> None:
    cluster = a_cluster()
    cluster.spec["jobTemplate"]["spec"] |= own

    assert scheduled_job(cluster.seen(), START)["spec"]["queue"] == queue


@pytest.mark.parametrize("sign", [".", "-", "--"])
@pytest.mark.parametrize("length", [40, 41, 42, 43])
def test_a_truncated_name_never_ends_in_a_dot_or_a_dash(sign, length) -> None:
    schedule = ("a" * (length - len(sign) - 1) + sign).ljust(42, "b")[:43]
    name = triggered_name(schedule, "now")

    assert len(name) <= 52
    assert all(part.strip("-") == part for part in name.split("."))
