"""All rules of a schedule, checked by the operator when the spec changes; returns all problems together.

The CRD checks most of them at `kubectl apply`; `job.validation` explains why they are repeated. The job's part is
checked by the rules of jobs.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agentjobs.api.job.pod_rules import RESERVED_DOMAINS
from agentjobs.api.job.spec import MAX_JOB_NAME
from agentjobs.api.job.team import as_object
from agentjobs.api.job.validation import validate_job
from agentjobs.api.problems import MAX_PROBLEMS, FieldProblem, details, from_error, name_problems, problem_at, shown
from agentjobs.api.schedule.cron import expand, parse_cron, parse_zone
from agentjobs.api.schedule.spec import MAX_SCHEDULE_NAME, MIN_DEADLINE_SECONDS, AgentScheduleSpec
from agentjobs.contract import ANNOTATION_PREVIOUS_TIME, ANNOTATION_SCHEDULED_TIME, GROUP

UID_CHARS: Final = 36
NEVER: Final = "never matches; change the day or the month"

# The API server's formats: a qualified name, and a label value.
_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_DOMAIN: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_NAMES: Final = "at most 63 letters, digits, -, _ and ., beginning and ending with a letter or digit"

_TEMPLATE: Final = ("jobTemplate", "spec")
_TIMES: Final = dict.fromkeys((ANNOTATION_SCHEDULED_TIME, ANNOTATION_PREVIOUS_TIME), "2026-01-01T00:00:00Z")


def validate_schedule(schedule: object) -> list[FieldProblem]:
    """Return all problems of a raw AgentSchedule; empty if it may run.

    At most `MAX_PROBLEMS`. Never raises.
    """
    body = as_object(schedule)
    name = as_object(body.get("metadata")).get("name")
    found = list(name_problems(name, most=MAX_SCHEDULE_NAME, because="its jobs' names add a dash and a time"))
    spec = body.get("spec")
    if not isinstance(spec, Mapping):
        return [
            *found,
            FieldProblem("spec", "" if spec is None else shown(spec), "is not an object; it needs schedule"),
        ]
    found += _model_problems(spec)
    found += timing_problems(spec)
    found += _rule_problems(spec)
    found += _template_problems(as_object(spec.get("jobTemplate")), as_object(body.get("metadata")).get("name"))
    return found[:MAX_PROBLEMS]


def timing_problems(spec: Mapping[str, Any]) -> Iterator[FieldProblem]:
    """Check the expression and the zone. Values of wrong types are skipped: the models report them."""
    schedule, zone = spec.get("schedule"), spec.get("timeZone", "UTC")
    if isinstance(zone, str):
        try:
            parse_zone(zone)
        except ValueError as error:
            yield problem_at(("timeZone",), zone, str(error))
    if isinstance(schedule, str):
        try:
            expand(schedule)
        except ValueError as error:
            yield problem_at(("schedule",), schedule, str(error))
        else:
            if not parse_cron(schedule).can_match:
                yield problem_at(("schedule",), schedule, NEVER)


def _model_problems(spec: Mapping[str, Any]) -> list[FieldProblem]:
    try:
        AgentScheduleSpec.model_validate(spec)
    except ValidationError as refused:
        errors = details(refused)
        own = [error for error in errors if not _is_reported_elsewhere(error)]
        return [from_error(error, AgentScheduleSpec) for error in own[:MAX_PROBLEMS]]
    return []


def _is_reported_elsewhere(error: ErrorDetails) -> bool:
    """Whether another check reports the same problem with a better message."""
    place = error["loc"]
    of_job = place[: len(_TEMPLATE)] == _TEMPLATE and len(place) > len(_TEMPLATE)
    ours = {("schedule", "string_pattern_mismatch"), ("startingDeadlineSeconds", "greater_than_equal")}
    return of_job or (*place[:1], error["type"]) in ours


def _rule_problems(spec: Mapping[str, Any]) -> Iterator[FieldProblem]:
    deadline = spec.get("startingDeadlineSeconds")
    if type(deadline) is int and deadline < MIN_DEADLINE_SECONDS:
        needs = f"is shorter than the {MIN_DEADLINE_SECONDS} s that the operator may need for a start"
        yield problem_at(("startingDeadlineSeconds",), deadline, f"{needs}; use at least {MIN_DEADLINE_SECONDS}")
    policy = as_object(spec.get("catchUp")).get("policy")
    if policy == "All" and spec.get("concurrencyPolicy") == "Replace":
        cure = "and concurrencyPolicy Replace exclude each other: each start would cancel the one before; use Latest"
        yield problem_at(("catchUp", "policy"), policy, cure)


def _template_problems(template: Mapping[str, Any], schedule: object) -> Iterator[FieldProblem]:
    for kind in ("labels", "annotations"):
        for key, value in as_object(as_object(template.get("metadata")).get(kind)).items():
            yield from _metadata_problems(kind, key, value)
    spec = template.get("spec")
    if not isinstance(spec, Mapping):
        return
    for field in ("startAt", "startAfter"):
        if spec.get(field) is not None:
            yield problem_at(
                (*_TEMPLATE, field), spec[field], "is not allowed here: the schedule sets the time; remove it"
            )
    if spec.get("cancel") is True:
        yield problem_at(
            (*_TEMPLATE, "cancel"), True, "would end each job immediately; use spec.suspend of the schedule"
        )
    for problem in validate_job({"metadata": stand_in(schedule), "spec": spec}):
        yield of_template(problem)


def of_template(problem: FieldProblem) -> FieldProblem:
    """Return a problem of a job as a problem of the schedule's job template."""
    return replace(problem, field=problem.field.replace("spec", "spec.jobTemplate.spec", 1))


def _metadata_problems(kind: str, key: object, value: object) -> Iterator[FieldProblem]:
    """Yield what the API server would refuse in the metadata of each job."""
    if not isinstance(key, str):
        return
    place = ("jobTemplate", "metadata", kind, key)
    domain, slash, name = key.rpartition("/")
    if (domain or name) in RESERVED_DOMAINS | {GROUP}:
        yield problem_at(place, key, "is reserved for AgentJobs; use your own domain")
    elif not _NAME.fullmatch(name) or (slash and not _DOMAIN.fullmatch(domain)):
        yield problem_at(place, key, f"is not a key of {kind}; use {_NAMES}, with or without a domain and / before it")
    elif kind == "labels" and isinstance(value, str) and value and not _NAME.fullmatch(value):
        yield problem_at(place, value, f"is not a label value; use {_NAMES}, or make it an annotation")


def stand_in(schedule: object) -> Mapping[str, Any]:
    """Return job metadata of maximum length, to check that texts with these values fit into their fields."""
    legal = isinstance(schedule, str) and 0 < len(schedule) <= MAX_SCHEDULE_NAME
    name = f"{schedule if legal else 'schedule'}-t00000000"[:MAX_JOB_NAME]
    return {"name": name, "uid": "0" * UID_CHARS, "annotations": _TIMES}
