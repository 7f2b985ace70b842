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
        'spec.jobTemplate.metadata.labels.team: "not valid!" is not a label value; use at most 63 letters',
    ),
    "key of a label": (
        {"jobTemplate": {"metadata": {"labels": {"my team": "a"}}, "spec": JOB}},
        "is not a key of labels; use at most 63 letters",
    ),
    "domain of an annotation": (
        {"jobTemplate": {"metadata": {"annotations": {"Example.org/a": "b"}}, "spec": JOB}},
        "is not a key of annotations; use at most 63 letters",
    ),
    "key of slashes": (
        {"jobTemplate": {"metadata": {"annotations": {"a/b/c": "d"}}, "spec": JOB}},
        "is not a key of annotations",
    ),
    "seconds": (
        {"schedule": "0 0 6 * * *"},
        'spec.schedule: "0 0 6 * * *" has 6 fields instead of five; remove the se',
    ),
    "never": (
        {"schedule": "0 0 30 2 *"},
        'spec.schedule: "0 0 30 2 *" never matches; change the day or',
    ),
    "zone": ({"timeZone": "berlin"}, 'spec.timeZone: "berlin" is not a time zone; did you mean Europe/Berlin?'),
    "no-text": ({"schedule": 5}, "spec.schedule: 5 is not a string; write it in quotes"),
    "deadline": (
        {"startingDeadlineSeconds": 9},
        "spec.startingDeadlineSeconds: 9 is shorter than the 10 s that the op",
    ),
    "policy": ({"concurrencyPolicy": "Queue"}, 'spec.concurrencyPolicy: "Queue" is not allowed; use'),
    "both": (
        {"catchUp": {"policy": "All"}, "concurrencyPolicy": "Replace"},
        'spec.catchUp.policy: "All" and concurrencyPolicy Replace exclude each other',
    ),
    "limit": ({"catchUp": {"limit": 1001}}, "spec.catchUp.limit: 1001 is too large; use at most 1000"),
    "runs": ({"maxRuns": 0}, "spec.maxRuns: 0 is too small; use at least 1"),
    "jitter": ({"jitter": "soon"}, "spec.jitter: 'soon' is not a duration"),
    "typing-error": ({"schedul": "x"}, "spec.schedul: is an unknown field; did you mean schedule?"),
    "no-template": ({"jobTemplate": None}, "spec.jobTemplate: null is not an object"),
    "start-at": ({"job": {"startAt": "2026-12-01T09:00:00Z"}}, "spec.jobTemplate.spec.startAt: "),
    "start-after": (
        {"job": {"startAfter": "1h"}},
        'spec.jobTemplate.spec.startAfter: "1h" is not allowed here: the sch',
    ),
    "cancel": (
        {"job": {"cancel": True}},
        "spec.jobTemplate.spec.cancel: true would end each job immediately; use spec.sus",
    ),
    "job": ({"job": {"priority": 12}}, "spec.jobTemplate.spec.priority: 12 is too large; use at most 9"),
    "our-label": (
        {"jobTemplate": {"metadata": {"labels": {"agentjobs.dev/queue": "x"}}, "spec": JOB}},
        "is reserved for AgentJobs; use your own domain",
    ),
    "long-name": (
        {"name": "s" * 44},
        "has 44 characters; use at most 43, because its jobs' names add a dash and a time",
    ),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_an_error_is_reported_once_with_field_value_and_solution(changes: dict[str, Any], message: str) -> None:
    (told,) = problems(a_schedule(**changes))
    assert message in told


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
