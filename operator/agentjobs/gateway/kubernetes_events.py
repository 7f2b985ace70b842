"""The Kubernetes Events of a job and of the pods of its last starts. Pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from agentjobs.api.recorded_overview import KubernetesEvent
from agentjobs.contract import cut
from agentjobs.durations import instant

_MAX_TEXT: Final = 4096
"""Bytes. The API server accepts messages of 1 KiB, and longer ones through the older API."""
# Pods end within their grace period after the object of their job is deleted.
_LATE: Final = timedelta(minutes=1)
_FIRST: Final = datetime.fromtimestamp(0, UTC)


def readable(events: Iterable[Mapping[str, Any]]) -> list[KubernetesEvent]:
    """Return Events as users see them, oldest first."""
    return sorted(map(_read, events), key=lambda event: event.time or _FIRST)


def between(
    events: Iterable[Mapping[str, Any]], created: datetime, deleted: datetime | None
) -> list[Mapping[str, Any]]:
    """Leave out Events of pods of an earlier or later job with the same name; its pods have the same names, too."""
    return [
        event
        for event in events
        if (at := _time(event)) is not None and at >= created and (deleted is None or at <= deleted + _LATE)
    ]


def _read(event: Mapping[str, Any]) -> KubernetesEvent:
    about, source = _about(event), event.get("source") or {}
    series = event.get("series") or {}
    return KubernetesEvent(
        time=_time(event),
        type=_text(event.get("type")),
        reason=_text(event.get("reason")),
        message=_text(event.get("message")),
        count=_count(series.get("count") or event.get("count")),
        about=f"{_text(about.get('kind'))}/{_text(about.get('name'))}",
        source=_text(event.get("reportingComponent") or source.get("component")),
    )


def _about(event: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = event.get("involvedObject") or {}
    return found


def _time(event: Mapping[str, Any]) -> datetime | None:
    """Return when an Event happened last, in either of its two forms."""
    series = event.get("series") or {}
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return instant(last or event.get("firstTimestamp"))


def _text(value: object) -> str:
    return cut(value, _MAX_TEXT) if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 1
