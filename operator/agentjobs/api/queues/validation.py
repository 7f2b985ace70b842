"""Every rule that a queue must keep, checked by the operator whenever the spec changes; all problems at once.

The CRD says most of this at `kubectl apply`; older API servers and paths around it do not.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Final

from pydantic import ValidationError

from agentjobs.api.problems import MAX_PROBLEMS, Path, Problem, details, field_name, from_error, problem_at, shown
from agentjobs.api.queues.spec import MAX_QUEUE_NAME, AgentQueueSpec
from agentjobs.api.schedule.cron import parse_zone
from agentjobs.durations import format_duration

MIN_PERIOD: Final = timedelta(seconds=1)
MAX_PERIOD: Final = timedelta(days=1)
"""Starts are remembered that long, one row each."""
MIN_AGING: Final = timedelta(seconds=1)
MIN_QUEUE_TIMEOUT: Final = timedelta(seconds=1)


def read_queue(name: str, spec: object) -> AgentQueueSpec | list[Problem]:
    """Return the spec of a queue, or all that is wrong with it, at most `MAX_PROBLEMS`. Never raises."""
    if not isinstance(spec, Mapping | None):
        return [Problem("spec", shown(spec), "is not an object")]
    raw = spec or {}
    found = [] if len(name) <= MAX_QUEUE_NAME else [_long_name(name)]
    try:
        read = AgentQueueSpec.model_validate(raw)
    except ValidationError as refused:
        errors = details(refused)
        found += [from_error(error, AgentQueueSpec) for error in errors]
        broken = {part for error in errors for part in error["loc"][:1]}
        with suppress(ValidationError):  # of fields that are broken nothing more can be said
            found += _rule_problems(AgentQueueSpec.model_validate({k: v for k, v in raw.items() if k not in broken}))
        return found[:MAX_PROBLEMS]
    found += _rule_problems(read)
    return found[:MAX_PROBLEMS] or read


def _long_name(name: str) -> Problem:
    return Problem("metadata.name", shown(name), f"has {len(name)} characters; use at most {MAX_QUEUE_NAME}")


def _rule_problems(spec: AgentQueueSpec) -> Iterator[Problem]:
    if spec.rate_limit is not None:
        yield from _between(("rateLimit", "period"), spec.rate_limit.period, MIN_PERIOD, MAX_PERIOD)
    if spec.priority_aging is not None:
        yield from _between(("priorityAging",), spec.priority_aging, MIN_AGING, None)
    if spec.defaults.timeouts.queue is not None:
        # What no job may have fails every job.
        yield from _between(("defaults", "timeouts", "queue"), spec.defaults.timeouts.queue, MIN_QUEUE_TIMEOUT, None)
    for number, limit in enumerate(spec.model_limits):
        if not limit.requests_per_minute and not limit.tokens_per_minute and not limit.max_concurrent_calls:
            cure = "limits nothing; set requestsPerMinute, tokensPerMinute or maxConcurrentCalls"
            yield Problem(field_name(("modelLimits", number)), "", cure)
    yield from _budget_problems(spec)


def _budget_problems(spec: AgentQueueSpec) -> Iterator[Problem]:
    names = Counter(budget.name for budget in spec.budgets)
    for number, budget in enumerate(spec.budgets):
        place: Path = ("budgets", number)
        if names[budget.name] > 1:
            yield problem_at((*place, "name"), budget.name, "is the name of two budgets; give each its own")
        if budget.max_cost_usd is None and budget.max_tokens is None:
            yield Problem(field_name(place), "", "limits nothing; set maxCostUSD, maxTokens or both")
        try:
            parse_zone(budget.time_zone)
        except ValueError as error:
            yield problem_at((*place, "timeZone"), budget.time_zone, str(error))


def _between(place: Path, value: timedelta, least: timedelta, most: timedelta | None) -> Iterator[Problem]:
    text = format_duration(value)
    if value < least:
        yield problem_at(place, text, f"is too short; use at least {format_duration(least)}")
    elif most is not None and value > most:
        yield problem_at(place, text, f"is too long; use at most {format_duration(most)}")
