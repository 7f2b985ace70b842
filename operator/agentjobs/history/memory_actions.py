"""Actions in memory, for tests."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from agentjobs.api.recorded_overview import RecordedAction
from agentjobs.history.action_records import Action
from agentjobs.history.actions import page_of_rows, place_in
from agentjobs.history.pages import DEFAULT_LIMIT, Page, checked_limit


class MemoryActions:
    """What `Actions` promises."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._rows: dict[Any, dict[str, Any]] = {}

    async def record(self, action: Action) -> None:
        """Store an action; twice is once."""
        row = {**action.stored(), "time": self._now()}
        self._rows.setdefault(action.id, row | {"user": row["user_name"]})

    async def actions(
        self,
        namespaces: Collection[str] | None,
        *,
        uid: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[RecordedAction]:
        """Return actions, newest first."""
        limit = checked_limit(limit)
        found = [
            row
            for row in self._rows.values()
            if (namespaces is None or row["namespace"] in namespaces)
            and (uid is None or (row["uid"] == uid and uid != ""))
        ]
        found.sort(key=lambda row: (row["time"], row["id"]), reverse=True)
        if cursor is not None:
            before = place_in(cursor)
            found = [row for row in found if (row["time"], row["id"]) < before]
        return page_of_rows(found[: limit + 1], limit)
