"""What `get -w` prints after the first table: a row for each change, also after the connection was broken.

It ends only with Ctrl-C, or when the server refuses the request. After a break it lists again, so that no change is
missed and none is printed twice.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from agentjobs import errors
from agentjobs.cli.failures import Failure
from agentjobs.cli.printing import harmless, server_table, server_widths, show

if TYPE_CHECKING:
    from agentjobs.cli.cluster import ClusterConnection

# A watch is reopened after this long without an event, in case a proxy dropped it silently.
WATCH_SECONDS: Final = 300.0
# The pause doubles, also when a server ends every watch immediately.
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 10.0
_NAMED: Final = 5

Row = Mapping[str, Any]


@dataclass
class WatchedTable:
    """The rows of a list, as last printed.

    Args:
        place: URL path of the list.
        params: its query parameters.
    """

    cluster: "ClusterConnection"
    place: str
    params: Mapping[str, str]
    wide: bool
    everywhere: bool
    _columns: Sequence[Mapping[str, Any]] = ()
    _widths: Sequence[int] = ()
    _version: str = ""
    _rows: dict[str, Row] = field(default_factory=dict)
    """By uid."""

    def begin(self, table: Mapping[str, Any]) -> None:
        """Print the first table."""
        self._remember(table)
        self._widths = server_widths(table, wide=self.wide, everywhere=self.everywhere)
        show(server_table(table, wide=self.wide, everywhere=self.everywhere))

    def follow(self) -> None:
        """Print changes until the server refuses the request.

        Raises:
            errors.AgentJobsError: it refused.
        """
        pause, lost = _FIRST_PAUSE_SECONDS, False
        while True:
            began = time.monotonic()
            try:
                if not self._version:
                    self._list_again(was_lost=lost)
                    lost = False
                for event in self._events():
                    self._print_change(event)
                    pause = _FIRST_PAUSE_SECONDS
            except errors.Gone:
                self._version = ""  # an old version is not an outage
            except (errors.Unavailable, errors.NotFound) as error:
                # NotFound: a restarted API server may serve custom resources a moment later than the rest.
                self._version = ""
                if not lost:
                    show(f"{harmless(str(error).rstrip('.'))}; trying again until Ctrl-C.", error=True)
                    lost = True
                if isinstance(error, errors.TooManyRequests):
                    pause = max(pause, min(error.retry_after, _LONGEST_PAUSE_SECONDS))
            if time.monotonic() - began < _FIRST_PAUSE_SECONDS or not self._version:
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _events(self) -> Iterator[Mapping[str, Any]]:
        """Yield the events of one watch.

        Raises:
            errors.Gone: the server no longer knows the version; list again.
        """
        from agentjobs.cli.cluster import TABLE

        params = {**self.params, "resourceVersion": self._version}
        for event in self.cluster.watch(self.place, params=params, accept=TABLE, seconds=WATCH_SECONDS):
            if event.get("type") == "ERROR":
                raise _error(event.get("object") or {})
            yield event

    def _print_change(self, event: Mapping[str, Any]) -> None:
        table = event["object"]
        rows = table.get("rows") or []
        self._columns = table.get("columnDefinitions") or self._columns
        self._version = _version_of(table, rows) or self._version
        if event["type"] not in {"ADDED", "MODIFIED", "DELETED"}:
            return
        self._print(rows)
        for row in rows:
            if event["type"] == "DELETED":
                self._rows.pop(_metadata(row).get("uid", ""), None)
            else:
                self._rows[_metadata(row).get("uid", "")] = row

    def _list_again(self, *, was_lost: bool) -> None:
        """Print what changed during a break. Deleted objects have no row any more: their names are reported."""
        from agentjobs.cli.cluster import TABLE

        table = self.cluster.request("GET", self.place, accept=TABLE, params=self.params)
        if was_lost:
            show("The API server answers again.", error=True)
        before = self._rows
        self._remember(table)
        self._print([row for uid, row in self._rows.items() if uid not in before or _is_newer(row, before[uid])])
        deleted = [str(_metadata(row).get("name")) for uid, row in before.items() if uid not in self._rows]
        if deleted:
            more = f" and {len(deleted) - _NAMED} more" if len(deleted) > _NAMED else ""
            show(harmless(f"Deleted meanwhile: {', '.join(deleted[:_NAMED])}{more}."), error=True)

    def _remember(self, table: Mapping[str, Any]) -> None:
        rows = table.get("rows") or []
        self._columns = table.get("columnDefinitions") or self._columns
        self._version = str((table.get("metadata") or {}).get("resourceVersion") or "")
        self._rows = {_metadata(row).get("uid", ""): row for row in rows}

    def _print(self, rows: Sequence[Row]) -> None:
        if rows:
            table = {"columnDefinitions": self._columns, "rows": rows}
            widths = server_widths(table, wide=self.wide, everywhere=self.everywhere)
            self._widths = list(map(max, self._widths, widths)) if len(self._widths) == len(widths) else widths
            show(server_table(table, wide=self.wide, everywhere=self.everywhere, header=False, widths=self._widths))


def _metadata(row: Row) -> Mapping[str, Any]:
    return (row.get("object") or {}).get("metadata") or {}


def _is_newer(row: Row, before: Row) -> bool:
    return _metadata(row).get("resourceVersion") != _metadata(before).get("resourceVersion")


def _version_of(table: Mapping[str, Any], rows: Sequence[Row]) -> str:
    metadata = (_metadata(rows[0]) if rows else None) or table.get("metadata") or {}
    return str(metadata.get("resourceVersion") or "")


def _error(status: Mapping[str, Any]) -> Exception:
    message = str(status.get("message") or "the watch failed")
    code = status.get("code")
    if code == 410:
        return errors.Gone(message)
    if code in {401, 403}:
        return errors.Denied(message)
    if not isinstance(code, int) or code >= 500 or code == 429:
        return errors.Unavailable(message)
    return Failure(f"the watch failed: {message}.")
