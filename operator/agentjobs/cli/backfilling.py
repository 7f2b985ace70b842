"""How `agentjobs schedule backfill` works: find the times without a job, create those jobs a few at a time."""

import itertools
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import typer

from agentjobs import errors
from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.printing import show, shown_job

if TYPE_CHECKING:
    from agentjobs.cli.options import Talk
    from agentjobs.core.schedule.model import Plan, Schedule

# More than this is unreadable, and more than a schedule ever catches up.
MAX_BACKFILL: Final = 1000
_POLL_SECONDS: Final = 1.0


def make(talk: "Talk", schedule: "Schedule", plan: "Plan", times: Iterable[datetime], at_once: int) -> None:
    """Create the jobs of `times`, oldest first, with at most `at_once` unfinished."""
    from agentjobs.api.schedule.status import ActiveJob
    from agentjobs.core.schedule.job import scheduled_job, scheduled_name

    unfinished: set[str] = set()
    for at in times:
        while len(unfinished) >= at_once:
            unfinished = {job for job in unfinished if not _ended(talk, job)}
            if len(unfinished) >= at_once:
                time.sleep(_POLL_SECONDS)
        start = ActiveJob(
            scheduled_name(schedule.name, at), at, previous=plan.cron.latest_until(at - timedelta(microseconds=1))
        )
        job = scheduled_job(schedule, start)
        # Blocking a deletion is a right that users may lack; only the operator's jobs block it.
        job["metadata"]["ownerReferences"][0].pop("blockOwnerDeletion")
        try:
            talk.cluster.request("POST", jobs_path(schedule.namespace), body=job)
        except errors.AlreadyExists:
            show(f"{shown_job(start.name)} exists", error=True)
            continue
        unfinished.add(start.name)
        show(f"{shown_job(start.name)} created")


def _ended(talk: "Talk", name: str) -> bool:
    try:
        return talk.run(talk.do.get(name)).finished
    except errors.NotFound:
        return True


def ran(talk: "Talk", schedule: "Schedule") -> set[str]:
    """Names of the schedule's jobs that exist, are reserved, or are in history."""
    from agentjobs.api.job_filter import JobFilter
    from agentjobs.contract import LABEL_SCHEDULE

    names = {start.name for start in schedule.status.active}
    params = {"labelSelector": f"{LABEL_SCHEDULE}={schedule.name}"}
    found = talk.cluster.request("GET", jobs_path(schedule.namespace), params=params).get("items") or ()
    names |= {item["metadata"]["name"] for item in found}
    try:
        names |= {job.name for job in talk.iterate(talk.do.history(JobFilter(schedule=(schedule.name,))))}
    except (errors.Unavailable, errors.Misconfigured) as error:
        raise Failure(
            f"history is needed to find the times that already ran: {error} Start the gateway, or set --gateway."
        ) from None
    return names


def confirm(question: str) -> None:
    """Return whether the user confirms; fails without a terminal."""
    if not sys.stdin.isatty():
        raise Failure(f"{question} No terminal to answer on: use --yes, or --dry-run first.", code=USAGE)
    if not typer.confirm(question):
        raise typer.Exit(1)


def parsed(option: str, text: str) -> datetime:
    """Return the time of an option, which may have no zone.

    Raises:
        Failure: it is not a time.
    """
    from agentjobs.durations import is_usable

    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Failure(f"{option}={text} is not a time; use 2026-11-01, or 2026-11-01T06:00:00Z.", code=USAGE) from None
    if not is_usable(found):
        raise Failure(f"{option}={text} is too far in the past or future.", code=USAGE)
    return found


def instant(found: datetime, plan: "Plan") -> datetime:
    """Return a time as an instant; without a zone it is in the schedule's."""
    from agentjobs.api.schedule.cron import instant_of

    # A local time that the clock skips becomes the end of the gap, as for starts.
    return instant_of(found, plan.cron.zone) if found.tzinfo is None else found


def times_between(plan: "Plan", since: datetime, until: datetime) -> list[datetime]:
    """Return the times of a schedule from `since` to before `until`, both in the past."""
    now = datetime.now(UTC)
    if until > now:
        raise Failure("--to is in the future; the schedule will create the jobs of those times.", code=USAGE)
    if since >= until:
        raise Failure("--from must be before --to.", code=USAGE)
    tick = timedelta(microseconds=1)
    found = list(itertools.islice(plan.cron.between(since - tick, until - tick), MAX_BACKFILL + 1))
    if len(found) > MAX_BACKFILL:
        raise Failure(f"more than {MAX_BACKFILL} times in that range; use a shorter range.", code=USAGE)
    return found


def jobs_path(namespace: str) -> str:
    """Return the path of a namespace's AgentJobs."""
    from agentjobs.cli.cluster import AGENTJOBS

    return AGENTJOBS.path(namespace)
