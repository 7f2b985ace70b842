"""The ports of the reconciler: protocols of its external dependencies, and one value that contains all of them.

`kube`, `history`, the event recorder and the tests' fakes implement the protocols.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from agentjobs.api_resource import Resource
from agentjobs.history.protocols import OperatorHistory
from agentjobs.history.records import Record
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


class Models(Protocol):
    """The model proxies' shared limits; see `history.model_protocols.ModelLimits`."""

    async def exhausted_models(self) -> Mapping[str, datetime]: ...


class Writer(Protocol):
    """Accepts records for history; never blocks, never raises."""

    def put(self, record: Record) -> None: ...


class Recorder(Protocol):
    """Accepts Kubernetes Events; never blocks, never raises."""

    def record(self, obj_ref: Mapping[str, Any], event_type: str, reason: str, message: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything outside the process that a reconcile reads or writes, including clocks."""

    cluster: Cluster
    history: OperatorHistory
    models: Models | None = None
    """None if limits are not tracked: then jobs do not wait for them."""
    writer: Writer
    recorder: Recorder
    metrics: Metrics
    spans: Spans = field(default_factory=Spans)
    """Traces; the default records none."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """The wall clock, for values that users see or that outlive the process."""
    monotonic: Callable[[], float] = time.monotonic
    """The monotonic clock in seconds, for waits within the process."""
