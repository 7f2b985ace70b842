"""What people read of many jobs at once and of the installation itself: numbers, counted when they are asked for; which
jobs have changed; and what people did.
"""

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

    Times are covered by whole slices of round lengths (`slices`), at most 100: the first may begin before `since` and
    the last end after `until`, and so say the answers.
    """

    async def open_jobs(self, namespaces: Collection[str] | None = None) -> OpenCounts:
        """Return how many jobs have not ended, by namespace, queue, phase and reason; the most first."""
        ...

    async def activity(self, since: datetime, until: datetime, namespaces: Collection[str] | None = None) -> Activity:
        """Return what happened to jobs over time, and why jobs failed.

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
    """The processes of an installation, as they tell it themselves, and their database."""

    async def lives(self, presence: Presence) -> None:
        """Note that a process lives."""
        ...

    async def processes(self) -> list[Process]:
        """Return the operators, gateways and dashboards that were seen in the last minute, by kind and id."""
        ...

    async def database(self) -> DatabaseFacts:
        """Return what the database is and holds."""
        ...


class ActionLog(Protocol):
    """What people did: the gateway writes it, people read it."""

    async def record(self, action: Action) -> None:
        """Store an action with history's own time; twice is once."""
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
    """What pages are told of changes."""

    async def changes(self, mark: str | None, *, watched: Collection[str] = ()) -> Changes:
        """Return which jobs were written since a mark, and how far the watched ones are, by uid.

        Without a mark nothing has changed, and the answer says where to begin. Nothing is left out between two answers
        of which the second was asked with the mark of the first, however late a transaction commits.
        """
        ...
