"""Whether a job matches a filter, as the statements of `listing` decide it in SQL, for `MemoryHistory`. Pure."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from agentjobs.api.job_filter import JobFilter
from agentjobs.api.recorded import RecordedJob
from agentjobs.history.labels import label_words
from agentjobs.history.pages import place_of
from agentjobs.history.sanitize import clean_text
from agentjobs.history.words import has_words


def has(job: RecordedJob, chosen: JobFilter) -> bool:
    """Whether a job matches a filter, and has a value for its order."""
    return place_of(chosen.order, job) is not None and all(_answers(job, chosen))


def _answers(job: RecordedJob, chosen: JobFilter) -> Iterator[bool]:
    yield _is_one_of(job.name, chosen.name)
    yield _is_one_of(job.phase, chosen.phase)
    yield _is_one_of(job.reason, chosen.reason)
    yield _is_one_of(job.outcome, chosen.outcome)
    yield _is_one_of(job.queue, chosen.queue)
    yield _is_one_of(job.schedule, chosen.schedule)
    yield _is_one_of(job.template, chosen.template)
    yield _is_one_of(job.partition_key, tuple(map(clean_text, chosen.partition)))
    yield _is_one_of(job.model, chosen.model)
    yield set(chosen.label) <= set(label_words(job.labels.items()))
    yield _is_since(job.created, chosen.since, chosen.until)
    yield _is_since(job.finished or job.deleted, chosen.ended_since, chosen.ended_until)
    yield _is_within(job.cost_usd, chosen.min_cost, chosen.max_cost)
    yield not chosen.text or has_words((job.name, job.reason, job.message), chosen.text)


def _is_one_of(value: str | None, values: tuple[str, ...]) -> bool:
    return not values or (value or None) in values


def _is_since(time: datetime | None, since: datetime | None, until: datetime | None) -> bool:
    if time is None:
        return since is None and until is None
    return (since is None or time >= since) and (until is None or time < until)


def _is_within(cost: Decimal | None, least: Decimal | None, most: Decimal | None) -> bool:
    if cost is None:
        return least is None and most is None
    return (least is None or cost >= least) and (most is None or cost <= most)
