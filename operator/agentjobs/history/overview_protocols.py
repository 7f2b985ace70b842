"""What people read of many jobs at once, and of the installation itself: numbers, counted when they are asked for."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal, Protocol

from agentjobs.api.recorded_overview import Activity, OpenCounts, Process, UsageSeries
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
