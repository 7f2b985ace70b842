"""All rules of a queue, checked by the operator when the spec changes; returns all problems together.

The CRD checks most of them at `kubectl apply`, but not on API servers without CEL or for older stored objects.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Final

from pydantic import ValidationError

from agentjobs.api.problems import MAX_PROBLEMS, FieldProblem, Path, details, field_name, from_error, problem_at, shown
from agentjobs.api.queues.spec import MAX_QUEUE_NAME, AgentQueueSpec
from agentjobs.api.schedule.cron import parse_zone
from agentjobs.durations import format_duration

MIN_PERIOD: Final = timedelta(seconds=1)
MAX_PERIOD: Final = timedelta(days=1)
"""Starts are kept that long, one row each."""
MIN_AGING: Final = timedelta(seconds=1)
MIN_QUEUE_TIMEOUT: Final = timedelta(seconds=1)


def read_queue(name: str, spec: object) -> AgentQueueSpec | list[FieldProblem]:
    """Return the spec of a queue, or its problems, at most `MAX_PROBLEMS`. Never raises."""
    if not isinstance(spec, Mapping | None):
        return [FieldProblem("spec", shown(spec), "is not an object")]
    raw = spec or {}
    found = [] if len(name) <= MAX_QUEUE_NAME else [_long_name(name)]
    try:
        read = AgentQueueSpec.model_validate(raw)
    except ValidationError as refused:
        errors = details(refused)
        found += [from_error(error, AgentQueueSpec) for error in errors]
        broken = {part for error in errors for part in error["loc"][:1]}
        with suppress(ValidationError):  # invalid fields cannot be checked further
            found += _rule_problems(AgentQueueSpec.model_validate({k: v for k, v in raw.items() if k not in broken}))
        return found[:MAX_PROBLEMS]
    found += _rule_problems(read)
    return found[:MAX_PROBLEMS] or read


def _long_name(name: str) -> FieldProblem:
    return FieldProblem("metadata.name", shown(name), f"has {len(name)} characters; use at most {MAX_QUEUE_NAME}")


def _rule_problems(spec: AgentQueueSpec) -> Iterator[FieldProblem]:
    if spec.rate_limit is not None:
        yield from _between(("rateLimit", "period"), spec.rate_limit.period, MIN_PERIOD, MAX_PERIOD)
    if spec.priority_aging is not None:
        yield from _between(("priorityAging",), spec.priority_aging, MIN_AGING, None)
    if spec.defaults.timeouts.queue is not None:
        # A default that is invalid for a job would fail every job.
        yield from _between(("defaults", "timeouts", "queue"), spec.defaults.timeouts.queue, MIN_QUEUE_TIMEOUT, None)
    for number, limit in enumerate(spec.model_limits):
        if not limit.requests_per_minute and not limit.tokens_per_minute and not limit.max_concurrent_calls:
            cure = "has no limit; set requestsPerMinute, tokensPerMinute or maxConcurrentCalls"
            yield FieldProblem(field_name(("modelLimits", number)), "", cure)
    yield from _budget_problems(spec)


def _budget_problems(spec: AgentQueueSpec) -> Iterator[FieldProblem]:
    names = Counter(budget.name for budget in spec.budgets)
    for number, budget in enumerate(spec.budgets):
        place: Path = ("budgets", number)
        if names[budget.name] > 1:
            yield problem_at((*place, "name"), budget.name, "is the name of two budgets; use each name once")
        if budget.max_cost_usd is None and budget.max_tokens is None:
            yield FieldProblem(field_name(place), "", "has no limit; set maxCostUSD, maxTokens or both")
        try:
            parse_zone(budget.time_zone)
        except ValueError as error:
            yield problem_at((*place, "timeZone"), budget.time_zone, str(error))


def _between(place: Path, value: timedelta, least: timedelta, most: timedelta | None) -> Iterator[FieldProblem]:
    text = format_duration(value)
    if value < least:
        yield problem_at(place, text, f"is too short; use at least {format_duration(least)}")
    elif most is not None and value > most:
        yield problem_at(place, text, f"is too long; use at most {format_duration(most)}")
