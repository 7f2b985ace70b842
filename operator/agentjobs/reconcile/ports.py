"""The ports of the reconciler: the protocols of what surrounds it, and one value that holds all of them.

`kube`, `history` and the event recorder implement the protocols; so do the fakes of the tests.
"""

import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from agentjobs.api_resource import Resource
from agentjobs.contract import Resolved
from agentjobs.core.job.observation import FinalResult
from agentjobs.history.records import JobRecord, Record, StartEnd, StartRecord, TransitionRecord
from agentjobs.kube.client import Listed
from agentjobs.metrics import Metrics
from agentjobs.tracing import Spans


class Cluster(Protocol):
    """Objects of one API server; see `kube.client.KubeClient` for the errors."""

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any]: ...

    def pages(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> AsyncIterator[Listed[dict[str, Any]]]: ...

    def metadata_pages(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str = ""
    ) -> AsyncIterator[Listed[dict[str, Any]]]: ...

    async def create(
        self,
        resource: Resource,
        namespace: str | None,
        body: dict[str, Any],
        *,
        strict: bool = False,
        dry_run: bool = False,
    ) -> dict[str, Any]: ...

    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: dict[str, Any],
        *,
        subresource: str | None = None,
    ) -> dict[str, Any]: ...

    async def replace(
        self, resource: Resource, namespace: str | None, name: str, body: dict[str, Any]
    ) -> dict[str, Any]: ...

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> dict[str, Any] | None: ...


class History(Protocol):
    """What was accepted and what happened; every method raises Unavailable while Postgres is away."""

    @property
    def away(self) -> bool:
        """Whether Postgres is known to be away, so that every question fails at once."""
        ...

    async def accept(self, job: JobRecord, start: StartRecord | None = None) -> Resolved: ...

    async def resolved(self, uid: str) -> Resolved | None: ...

    async def final_result(self, uid: str) -> FinalResult: ...

    async def silence(self, uid: str, start: int) -> timedelta | None: ...

    async def recorded(self, uid: str) -> str | None: ...

    async def clock(self) -> datetime: ...

    async def lacking(self, records: Sequence[TransitionRecord | StartEnd]) -> list[TransitionRecord | StartEnd]: ...

    async def close_vanished(
        self, lives: Callable[[str, str, str], bool], *, listed_at: datetime, namespaces: Collection[str] | None = None
    ) -> int: ...

    async def job_of(self, namespace: str, schedule: str, name: str, *, since: datetime) -> str | None: ...


class Writer(Protocol):
    """Takes records for the history; never blocks, never raises."""

    def put(self, record: Record) -> None: ...


class Recorder(Protocol):
    """Takes Kubernetes Events; never blocks, never raises."""

    def record(self, obj_ref: Mapping[str, Any], event_type: str, reason: str, message: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything outside of the process that a reconcile reads or writes, clocks included."""

    cluster: Cluster
    history: History
    writer: Writer
    recorder: Recorder
    metrics: Metrics
    spans: Spans = field(default_factory=Spans)
    """Traces; the default records none."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """The wall clock, for what users see and for what outlives the process."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds that no adjustment of the clock changes, for waits within the process."""
