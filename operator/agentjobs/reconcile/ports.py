"""What the reconciler needs of its surroundings. `kube`, `history` and the recorder fit; so do the tests' fakes."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from agentjobs.contract import Resolved
from agentjobs.history.records import JobRecord, JobYield, Record, StartRecord
from agentjobs.kube.resources import Resource


class Cluster(Protocol):
    """Objects of one API server; see `kube.client.KubeClient` for the errors."""

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any]: ...

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
        """Whether Postgres is known to be away: whatever is asked fails at once."""
        ...

    async def accept(self, job: JobRecord, start: StartRecord | None = None) -> Resolved: ...

    async def resolved(self, uid: str) -> Resolved | None: ...

    async def yielded(self, uid: str) -> JobYield: ...

    async def silence(self, uid: str, start: int) -> timedelta | None: ...

    async def recorded(self, uid: str) -> str | None: ...

    async def job_of(self, namespace: str, schedule: str, name: str, *, since: datetime) -> str | None: ...


class Writer(Protocol):
    """Takes records for the history; never blocks, never raises."""

    def put(self, record: Record) -> None: ...


class Recorder(Protocol):
    """Takes Kubernetes Events; never blocks, never raises."""

    def record(self, obj_ref: Mapping[str, Any], event_type: str, reason: str, message: str) -> None: ...
