"""The client's operations on statistics and on the installation (effects.py)."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, Literal, TypeVar

from pydantic import BaseModel

from agentjobs import errors
from agentjobs.api.recorded_overview import (
    Activity,
    Change,
    Installation,
    OpenCounts,
    RecordedAction,
    RecordedActions,
    UsageSeries,
)
from agentjobs.client.effects import Emit, Listen, NextLine, Now, Operation, Send, Server, Sleep, Stream
from agentjobs.client.requests import PAGE, KindOperations, paged

_Model = TypeVar("_Model", bound=BaseModel)


# The gateway sends a keep-alive every 15 s.
QUIET_SECONDS: Final = 45.0
REOPEN_SECONDS: Final = 1.0
_EVENTS: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class OverviewOperations(KindOperations):
    """The operations for the jobs of one namespace, or of all that the user may read."""

    plural: ClassVar[str] = "agentjobs"

    def open_jobs(self, *, everywhere: bool = False) -> Operation[OpenCounts]:
        """Read running and waiting jobs."""
        return (yield from self._read(OpenCounts, "/v1/counts", self._place(everywhere)))

    def activity(
        self, since: datetime | None = None, until: datetime | None = None, *, everywhere: bool = False
    ) -> Operation[Activity]:
        """Read counts of jobs over time."""
        params = self._place(everywhere) | _times(since, until)
        return (yield from self._read(Activity, "/v1/activity", params))

    def usage(
        self,
        by: Literal["queue", "model", "partition"],
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        everywhere: bool = False,
    ) -> Operation[UsageSeries]:
        """Read usage of model calls over time."""
        params = self._place(everywhere) | _times(since, until) | {"by": by}
        return (yield from self._read(UsageSeries, "/v1/usage/series", params))

    def installation(self) -> Operation[Installation]:
        """Read the running processes and the state of the database."""
        return (yield from self._read(Installation, "/v1/installation", {}))

    def actions(self, *, uid: str = "", everywhere: bool = False) -> Stream[RecordedAction]:
        """Emit actions of users through REST and the dashboard, newest first; with `uid` only on that job."""
        params = {"limit": str(PAGE)} | self._place(everywhere) | ({"uid": uid} if uid else {})
        return paged(self._page_of_actions, RecordedActions.model_validate, params)

    def changes(self, *, job: str = "", every: float, everywhere: bool = False) -> Stream[Change]:
        """Emit a value for each change of jobs, until the caller stops.

        A stream ends after a minute or two and is resumed where it ended, so no change is missed.
        """
        about = {"job": f"{self.namespace}/{job}"} if job else self._place(everywhere)
        params, last_id = {"every": f"{every:g}", **about}, ""
        deadline = (yield Now()) + self.retry_for
        while True:
            since = {"Last-Event-ID": last_id} if last_id else {}
            try:
                yield Listen("/v1/changes", params, QUIET_SECONDS, _EVENTS, Server.GATEWAY, since)
            except errors.Unavailable:
                if (yield Now()) > deadline:
                    raise
            else:
                last_id = yield from _stream(last_id)
                deadline = (yield Now()) + self.retry_for
            yield Sleep(REOPEN_SECONDS)

    def _page_of_actions(self, params: dict[str, str]) -> Operation[Any]:
        return (yield from self._sent(Send("GET", "/v1/actions", params=params, server=Server.GATEWAY)))

    def _place(self, everywhere: bool) -> dict[str, Any]:
        return {} if everywhere else {"namespace": self.namespace}

    def _read(self, model: type[_Model], path: str, params: dict[str, str | Sequence[str]]) -> Operation[_Model]:
        answer = yield from self._sent(Send("GET", path, params=params, server=Server.GATEWAY))
        return model.model_validate(answer)


def _stream(last_id: str) -> Generator[Any, Any, str]:
    """Emit the changes of the open stream of server-sent events; return the last id."""
    event = data = ""
    while (line := (yield NextLine())) is not None:
        name, _, value = line.rstrip("\r").partition(":")
        match name, value.removeprefix(" "):
            case "event", text:
                event = text
            case "data", text:
                data = text
            case "id", text:
                last_id = text
            case "", "" if event == "change":
                yield Emit(Change.model_validate_json(data))
                event = data = ""
    return last_id


def _times(since: datetime | None, until: datetime | None) -> dict[str, Any]:
    given = {"since": since, "until": until}
    return {name: time.isoformat() for name, time in given.items() if time is not None}
