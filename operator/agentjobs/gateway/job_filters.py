"""The query parameters that filter lists of jobs, declared for OpenAPI; `JobFilter` parses them."""

from typing import Annotated

from fastapi import Depends, Query, Request

from agentjobs import errors
from agentjobs.api.job_filter import MAX_TEXT_CHARS, MAX_VALUE_CHARS, MAX_VALUES, JobFilter, JobOrder
from agentjobs.problem import Problem

_TIME_CHARS = 64
_DOLLAR_CHARS = 32


def _several(what: str) -> object:
    description = f"Only jobs {what}. Repeat it for alternatives, at most {MAX_VALUES}."
    return Query(description=description, max_length=MAX_VALUES)


def _single(what: str, chars: int, alias: str | None = None) -> object:
    return Query(alias=alias, description=f"Only jobs {what}.", max_length=chars)


Value = Annotated[str, Query(max_length=MAX_VALUE_CHARS)]
Values = list[Value] | None


async def filter_of(
    request: Request,
    name: Annotated[Values, _several("with this name")] = None,
    phase: Annotated[
        Values, _several("in this phase; Deleted for jobs whose object was deleted before they ended")
    ] = None,
    reason: Annotated[Values, _several("with this reason")] = None,
    outcome: Annotated[Values, _several("with this outcome")] = None,
    queue: Annotated[Values, _several("of this queue")] = None,
    schedule: Annotated[Values, _several("of this schedule")] = None,
    template: Annotated[Values, _several("of this template")] = None,
    partition: Annotated[Values, _several("with this partitionKey")] = None,
    model: Annotated[Values, _several("with this agent.model")] = None,
    label: Annotated[
        Values,
        Query(
            description="Only jobs with this label: key=value, or key for any value. "
            f"Repeat it for several labels that a job must all have, at most {MAX_VALUES}.",
            max_length=MAX_VALUES,
        ),
    ] = None,
    since: Annotated[
        str | None, _single("created at this time or later, such as 2026-11-29T08:00:00Z", _TIME_CHARS)
    ] = None,
    until: Annotated[str | None, _single("created before this time", _TIME_CHARS)] = None,
    ended_since: Annotated[str | None, _single("that ended at this time or later", _TIME_CHARS, "endedSince")] = None,
    ended_until: Annotated[str | None, _single("that ended before this time", _TIME_CHARS, "endedUntil")] = None,
    min_cost: Annotated[
        str | None,
        _single("whose model calls cost at least this many US dollars", _DOLLAR_CHARS, "minCost"),
    ] = None,
    max_cost: Annotated[
        str | None, _single("whose model calls cost at most this many US dollars", _DOLLAR_CHARS, "maxCost")
    ] = None,
    text: Annotated[
        str | None,
        _single("whose name, reason or message contain all these words; the last word may be a prefix", MAX_TEXT_CHARS),
    ] = None,
    order: Annotated[
        JobOrder,
        Query(
            description="`newest` or `oldest` by creation; `ended`: the last to end first, without unfinished jobs; "
            " `cost`: the most expensive first, without jobs that have no cost."
        ),
    ] = JobOrder.NEWEST,
) -> JobFilter:
    """Return the filter of the request.

    Raises:
        Problem: 400 with the name of the invalid parameter.
    """
    # They are declared for OpenAPI and for their size limits. Only JobFilter parses them.
    del name, phase, reason, outcome, queue, schedule, template, partition, model, label
    del since, until, ended_since, ended_until, min_cost, max_cost, text, order
    try:
        return JobFilter.parse(request.query_params.multi_items())
    except errors.Invalid as error:
        raise Problem(400, "BadRequest", f"The request is invalid: query.{error}.") from None


Chosen = Annotated[JobFilter, Depends(filter_of)]
