"""The list of jobs: rows, addresses, and predefined views. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from agentjobs.api.conditions import AdmittedReason, CompleteReason, Phase
from agentjobs.api.recorded import RecordedJob
from agentjobs.dashboard.texts import link
from agentjobs.dashboard.views.bulk import target_of
from agentjobs.dashboard.views.charts import named
from agentjobs.dashboard.views.job_filters import ORDERS, PATH, Pairs, Wanted
from agentjobs.dashboard.views.urls import address, with_values

_WAITING: Final = (Phase.PENDING.value, Phase.SCHEDULED.value, Phase.QUEUED.value, Phase.RETRYING.value)
_NEVER_STARTED: Final = (Phase.PENDING.value, Phase.SCHEDULED.value, Phase.QUEUED.value, Phase.SKIPPED.value)
_MODEL: Final = 22
"""Characters of a model's name."""
_PLAIN: Final = frozenset({AdmittedReason.ADMITTED.value, CompleteReason.RESULT_ACCEPTED.value})

VIEWS: Final[tuple[tuple[str, tuple[tuple[str, str], ...]], ...]] = (
    ("All", ()),
    ("Running", (("phase", "Running"),)),
    ("Waiting", (*(("phase", phase) for phase in _WAITING), ("order", "oldest"))),
    ("Failed today", (("phase", "Failed"), ("endedWithin", "today"), ("order", "ended"))),
    ("Costly this week", (("within", "7d"), ("order", "cost"))),
    ("Suspended", (("phase", "Suspended"),)),
)
"""Predefined lists, by the parameters of their URLs."""


@dataclass(frozen=True, slots=True)
class View:
    """A link to a list with a name."""

    name: str
    address: str
    is_shown: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A job of the list."""

    job: RecordedJob
    token: str
    """Identifies the job in forms (bulk.py)."""
    took: timedelta | None
    """From creation to end, or until now; None for a job that has not started."""
    reason: str
    """Empty where the phase is enough."""
    message: str
    """Likewise."""
    model: str
    """Shortened."""
    source: tuple[str, str, str] | None
    """Kind, name and address of its schedule or template."""


def rows(jobs: Sequence[RecordedJob], now: datetime) -> tuple[Row, ...]:
    """Return the rows for jobs, in their order."""
    return tuple(
        Row(
            job=job,
            token=target_of(job).token,
            took=_took(job, now),
            reason="" if job.reason in _PLAIN else job.reason,
            message="" if job.reason in _PLAIN else job.message,
            model=named(job.model, _MODEL),
            source=_source(job),
        )
        for job in jobs
    )


def _took(job: RecordedJob, now: datetime) -> timedelta | None:
    if job.phase in _NEVER_STARTED:
        return None
    return (job.finished or job.deleted or now) - job.created


def _source(job: RecordedJob) -> tuple[str, str, str] | None:
    if job.schedule:
        return "schedule", job.schedule, link("schedules", job.namespace, job.schedule)
    if job.template:
        return "template", job.template, link("templates", job.namespace, job.template)
    return None


def views(query: Pairs, namespaces: Sequence[str]) -> tuple[View, ...]:
    """Return the predefined views for the namespaces of the page."""
    now = {(name, value) for name, value in query if name not in ("namespace", "cursor")}
    places = [("namespace", namespace) for namespace in namespaces]
    return tuple(View(name, address(PATH, [*places, *words]), set(words) == now) for name, words in VIEWS)


def orders(query: Pairs, current: Wanted) -> tuple[View, ...]:
    """Return the same list in each order."""
    return tuple(
        View(words, with_values(PATH, query, order=order.value), order == current.order)
        for order, words in ORDERS.items()
    )


def next_page(query: Pairs, cursor: str | None) -> str | None:
    """Return the address of the next page; None on the last one."""
    if cursor is None:
        return None
    return address(PATH, [*first(query), ("cursor", cursor)])


def first(query: Pairs) -> list[tuple[str, str]]:
    """Return the parameters of the first page."""
    return [(name, value) for name, value in query if name != "cursor" and value]
