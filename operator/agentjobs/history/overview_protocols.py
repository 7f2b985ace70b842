"""Protocols of overviews for people: numbers of jobs, the installation's processes, changed jobs, and actions."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal, Protocol

from agentjobs.api.recorded_overview import Activity, OpenCounts, Process, RecordedAction, UsageSeries
from agentjobs.history.action_records import Action
from agentjobs.history.change_records import Changes
from agentjobs.history.pages import DEFAULT_LIMIT, Page
from agentjobs.history.process_records import DatabaseFacts, Presence

SeriesBy = Literal["queue", "model", "partition"]


class OverviewHistory(Protocol):
    """The jobs of one cluster in numbers. `namespaces` are those to count; None for all there are.

        Times are covered by at most 100 whole slices of round lengths (`slices`): the first may begin before `since`
        and
    the last may end after `until`, as the result shows.
    """

    async def open_jobs(self, namespaces: Collection[str] | None = None) -> OpenCounts:
        """Return the number of unfinished jobs, by namespace, queue, phase and reason; largest first."""
        ...

    async def activity(self, since: datetime, until: datetime, namespaces: Collection[str] | None = None) -> Activity:
        """Return the activity of jobs over time, and reasons of failures.

        Raises:
            errors.Invalid: the time is not between an hour and 90 days long.
        """
        ...

    async def usage_series(
        self, by: SeriesBy, since: datetime, until: datetime, namespaces: Collection[str] | None = None
    ) -> UsageSeries:
        """Return what model calls that ended in that time used. Raises as `activity`."""
        ...


class ProcessHistory(Protocol):
    """The processes of an installation, as they report themselves, and their database."""

    async def lives(self, presence: Presence) -> None:
        """Record that a process is alive."""
        ...

    async def processes(self) -> list[Process]:
        """Return the operators, gateways and dashboards that were alive in the last minute, by kind and id."""
        ...

    async def database(self) -> DatabaseFacts:
        """Return facts about the database."""
        ...


class ActionLog(Protocol):
    """Actions of people: written by the gateway, read by people."""

    async def record(self, action: Action) -> None:
        """Store an action with history's own time; storing it again changes nothing."""
        ...

    async def actions(
        self,
        namespaces: Collection[str] | None,
        *,
        uid: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[RecordedAction]:
        """Return actions in these namespaces (None: in all), newest first; with `uid` only those to that job.

        Raises `errors.Invalid` for a wrong limit or cursor.
        """
        ...


class ChangeReads(Protocol):
    """Changes of jobs, for open pages."""

    async def changes(self, mark: str | None, *, watched: Collection[str] = ()) -> Changes:
        """Return which jobs were written since a mark, and how far the watched ones are, by uid.

        Without a mark, returns only the current mark. No change is missed between a result and the next one that is
        queried with its mark, even if a transaction commits late.
        """
        ...
