"""The parameters by which lists of jobs are filtered, as `JobFilter` reads them; here they are told in OpenAPI."""

from typing import Annotated

from fastapi import Depends, Query, Request

from agentjobs import errors
from agentjobs.api.job_filter import MAX_TEXT_CHARS, MAX_VALUE_CHARS, MAX_VALUES, JobFilter, JobOrder
from agentjobs.problem import Problem

_TIME_CHARS = 64
_DOLLAR_CHARS = 32


def _several(what: str) -> object:
    said = f"Only jobs {what}. Repeated for alternatives, at most {MAX_VALUES}."
    return Query(description=said, max_length=MAX_VALUES)


def _one(what: str, chars: int) -> object:
    return Query(description=f"Only jobs {what}.", max_length=chars)


Value = Annotated[str, Query(max_length=MAX_VALUE_CHARS)]
Values = list[Value] | None


async def filter_of(
    request: Request,
    name: Annotated[Values, _several("of this name")] = None,
    phase: Annotated[
        Values, _several("in this phase; Deleted for those whose object vanished before they ended")
    ] = None,
    reason: Annotated[Values, _several("whose phase has this reason")] = None,
    outcome: Annotated[Values, _several("whose final answer decided this")] = None,
    queue: Annotated[Values, _several("in this queue, or that were in it")] = None,
    schedule: Annotated[Values, _several("that this schedule made")] = None,
    template: Annotated[Values, _several("of this template")] = None,
    partition: Annotated[Values, _several("with this partitionKey")] = None,
    model: Annotated[Values, _several("whose agent.model is this")] = None,
    label: Annotated[
        Values,
        Query(
            description="Only jobs that were accepted with this label: key=value, or key for any value. "
            f"Repeated for labels that all must be there, at most {MAX_VALUES}.",
            max_length=MAX_VALUES,
        ),
    ] = None,
    since: Annotated[str | None, _one("created then or later: 2026-11-29T08:00:00Z", _TIME_CHARS)] = None,
    until: Annotated[str | None, _one("created before then", _TIME_CHARS)] = None,
    ended_since: Annotated[
        str | None,
        Query(alias="endedSince", description="Only jobs that ended then or later.", max_length=_TIME_CHARS),
    ] = None,
    ended_until: Annotated[
        str | None, Query(alias="endedUntil", description="Only jobs that ended before then.", max_length=_TIME_CHARS)
    ] = None,
    min_cost: Annotated[
        str | None,
        Query(
            alias="minCost",
            description="Only jobs whose model calls cost so many US dollars or more so far.",
            max_length=_DOLLAR_CHARS,
        ),
    ] = None,
    max_cost: Annotated[
        str | None,
        Query(
            alias="maxCost",
            description="Only jobs whose model calls cost so many US dollars or less so far.",
            max_length=_DOLLAR_CHARS,
        ),
    ] = None,
    text: Annotated[
        str | None,
        _one("whose name, reason or message have all these words; the last one may be a beginning", MAX_TEXT_CHARS),
    ] = None,
    order: Annotated[
        JobOrder,
        Query(
            description="newest or oldest by creation; ended: those that ended last first, without those that go on; "
            "cost: the costliest first, without those that have no cost."
        ),
    ] = JobOrder.NEWEST,
) -> JobFilter:
    """Return the filter that the request's parameters say.

    Raises:
        Problem: 400, with the name of the parameter that cannot be read.
    """
    # They are declared for OpenAPI and for their sizes; what they mean is for one place to say.
    del name, phase, reason, outcome, queue, schedule, template, partition, model, label
    del since, until, ended_since, ended_until, min_cost, max_cost, text, order
    try:
        return JobFilter.parse(request.query_params.multi_items())
    except errors.Invalid as error:
        raise Problem(400, "BadRequest", f"The request was not understood: query.{error}.") from None


Chosen = Annotated[JobFilter, Depends(filter_of)]
