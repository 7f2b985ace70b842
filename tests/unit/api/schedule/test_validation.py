from typing import Any

import pytest

from agentjobs.api.schedule.validation import validate_schedule

JOB: dict[str, Any] = {"agent": {"model": "m", "inline": {"instruction": "Be brief."}}, "input": {"message": "Hello."}}


def a_schedule(name: object = "brief", *, job: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    template = {"spec": JOB | (job or {})}
    return {"metadata": {"name": name}, "spec": {"schedule": "30 6 * * 1-5", "jobTemplate": template} | spec}


def problems(schedule: object) -> list[str]:
    return [str(problem) for problem in validate_schedule(schedule)]


def test_a_schedule_with_all_fields_is_valid() -> None:
    every = {
        "timeZone": "Europe/Berlin",
        "startingDeadlineSeconds": 3600,
        "concurrencyPolicy": "Replace",
        "suspend": True,
        "successfulJobsHistoryLimit": 0,
        "failedJobsHistoryLimit": 1000,
        "jitter": "2m",
        "catchUp": {"policy": "Latest", "limit": 10},
        "maxConsecutiveFailures": 3,
        "maxRuns": 1,
        "jobTemplate": {"metadata": {"labels": {"team": "a"}, "annotations": {"example.org/a": "b"}}, "spec": JOB},
    }
    assert problems(a_schedule("s" * 43, **every)) == []


def test_a_text_can_contain_the_schedules_times() -> None:
    message = "What happened between $(schedule.previousTime) and $(schedule.time)?"
    assert problems(a_schedule(job={"input": {"message": message}})) == []


def test_a_schedule_can_create_suspended_jobs() -> None:
    assert problems(a_schedule(job={"suspend": True, "cancel": False})) == []


WRONG = {
    "value of a label": (
        {"jobTemplate": {"metadata": {"labels": {"team": "not valid!"}}, "spec": JOB}},
        'spec.jobTemplate.metadata.labels.team: "not valid!" ',
        "label value",
    ),
    "key of a label": (
        {"jobTemplate": {"metadata": {"labels": {"my team": "a"}}, "spec": JOB}},
        "spec.jobTemplate.metadata.labels",
        "key of labels",
    ),
    "domain of an annotation": (
        {"jobTemplate": {"metadata": {"annotations": {"Example.org/a": "b"}}, "spec": JOB}},
        "spec.jobTemplate.metadata.annotations",
        "key of annotations",
    ),
    "key of slashes": (
        {"jobTemplate": {"metadata": {"annotations": {"a/b/c": "d"}}, "spec": JOB}},
        "spec.jobTemplate.metadata.annotations",
        "key of annotations",
    ),
    "seconds": (
        {"schedule": "0 0 6 * * *"},
        'spec.schedule: "0 0 6 * * *" ',
        "seconds",
    ),
    "never": (
        {"schedule": "0 0 30 2 *"},
        'spec.schedule: "0 0 30 2 *" ',
        "never",
    ),
    "zone": ({"timeZone": "berlin"}, 'spec.timeZone: "berlin" ', "Europe/Berlin"),
    "no-text": ({"schedule": 5}, "spec.schedule: 5 ", "quotes"),
    "deadline": (
        {"startingDeadlineSeconds": 9},
        "spec.startingDeadlineSeconds: 9 ",
        "10",
    ),
    "policy": ({"concurrencyPolicy": "Queue"}, 'spec.concurrencyPolicy: "Queue" ', "'Replace'"),
    "both": (
        {"catchUp": {"policy": "All"}, "concurrencyPolicy": "Replace"},
        'spec.catchUp.policy: "All" ',
        "concurrencyPolicy Replace",
    ),
    "limit": ({"catchUp": {"limit": 1001}}, "spec.catchUp.limit: 1001 ", "1000"),
    "runs": ({"maxRuns": 0}, "spec.maxRuns: 0 ", "1"),
    "jitter": ({"jitter": "soon"}, 'spec.jitter: "soon" ', "90s"),
    "typing-error": ({"schedul": "x"}, "spec.schedul: ", "did you mean schedule?"),
    "no-template": ({"jobTemplate": None}, "spec.jobTemplate: null ", "object"),
    "start-at": ({"job": {"startAt": "2026-12-01T09:00:00Z"}}, "spec.jobTemplate.spec.startAt: ", "schedule"),
    "start-after": (
        {"job": {"startAfter": "1h"}},
        'spec.jobTemplate.spec.startAfter: "1h" ',
        "schedule",
    ),
    "cancel": (
        {"job": {"cancel": True}},
        "spec.jobTemplate.spec.cancel: true ",
        "spec.suspend",
    ),
    "job": ({"job": {"priority": 12}}, "spec.jobTemplate.spec.priority: 12 ", "9"),
    "our-label": (
        {"jobTemplate": {"metadata": {"labels": {"agentjobs.dev/queue": "x"}}, "spec": JOB}},
        "spec.jobTemplate.metadata.labels",
        "reserved",
    ),
    "long-name": (
        {"name": "s" * 44},
        "metadata.name: ",
        "43",
    ),
}


@pytest.mark.parametrize(("changes", "place", "cure"), WRONG.values(), ids=WRONG)
def test_an_error_is_reported_once_with_field_value_and_solution(
    changes: dict[str, Any], place: str, cure: str
) -> None:
    (told,) = problems(a_schedule(**changes))

    assert told.startswith(place)
    assert cure in told


def test_all_problems_are_reported_together() -> None:
    told = problems(a_schedule(schedule="* * *", timeZone="x", maxRuns=0, job={"input": {}}))
    assert len(told) == 4


@pytest.mark.parametrize(
    "hostile",
    [
        None,
        [],
        {},
        {"metadata": None, "spec": None},
        {"metadata": {"name": 5}, "spec": []},
        a_schedule(schedule=None, timeZone=None, catchUp=[], jobTemplate=[]),
        a_schedule(schedule={}, jobTemplate={"metadata": 5, "spec": 5}),
        a_schedule(schedule="\0" * 300, timeZone="\0"),
        a_schedule(jobTemplate={"metadata": {"labels": {5: None}}, "spec": {"agent": 5, "input": {"state": [[[]]]}}}),
    ],
)
def test_validating_any_object_never_raises(hostile: object) -> None:
    assert problems(hostile) != []


@pytest.mark.parametrize(("name", "key"), [("s" * 43, "$(job.name)" * 5), ("s", "$(job.uid)" * 8)])
def test_a_key_that_is_too_long_in_every_job_is_reported_before_the_first_job(name: str, key: str) -> None:
    (problem,) = problems(a_schedule(name, job={"partitionKey": key}))

    assert "spec.jobTemplate.spec.partitionKey" in problem
    assert problems(a_schedule("s", job={"partitionKey": "$(job.name)" * 5})) == []
