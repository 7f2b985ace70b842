"""The collaborators of routes, created once for the application, and FastAPI's dependencies that return them.

The order in a route's signature matters: the caller comes first, so that unknown callers are refused before anything
else happens. The most frequent routes of runners use `with` blocks (`admitted`, `recording`), because a dependency
costs as much as an SQL statement.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from agentjobs.auth import AnswerCache, Authenticator, Reviewer, RunnerIdentity, cluster_uid
from agentjobs.capacity import Capacity
from agentjobs.gateway.change_feed import ChangeFeed
from agentjobs.gateway.limits import (
    CONCURRENT_CALLER_REQUESTS,
    CONCURRENT_READS,
    CONCURRENT_STEP_READS,
    REFUSALS,
    REFUSALS_PER_SECOND,
    WAIT_SECONDS,
    Intake,
    Rates,
)
from agentjobs.gateway.metrics import GatewayMetrics
from agentjobs.gateway.shared_reads import SharedReads, Unshared
from agentjobs.gateway.triggers.answering import SignedCalls
from agentjobs.gateway.triggers.file import Triggers
from agentjobs.gateway.user_limits import Streams, UserLimits
from agentjobs.history.model_protocols import ModelReports
from agentjobs.history.overview_protocols import ActionLog, ChangeReads, OverviewHistory, ProcessHistory
from agentjobs.history.protocols import (
    NotificationReads,
    ReadHistory,
    RunnerArtifacts,
    RunnerFiles,
    RunnerHistory,
    RunnerSessions,
    UserSessionHistory,
)
from agentjobs.kube.callers import Callers
from agentjobs.tracing import Spans


@dataclass(frozen=True, slots=True)
class GatewayHistory:
    """The history of one cluster, by audience."""

    runners: RunnerHistory
    people: ReadHistory
    sessions: RunnerSessions
    artifacts: RunnerArtifacts
    files: RunnerFiles
    user_sessions: UserSessionHistory
    reports: ModelReports
    notifications: NotificationReads
    overview: OverviewHistory
    processes: ProcessHistory
    changes: ChangeReads
    actions: ActionLog


class Services:
    """The collaborators of the application.

    Args:
        history: creates the history of the cluster with the given uid; called once the uid is known.
        metrics: the metrics; `/metrics` shows their registry.
        spans: takes requests of runners as parts of their jobs' traces; None for no traces.
        clock: seconds, monotonic; cached identities expire by it.
        check_addresses: whether a runner's token is valid only from the address of its pod.
        callers: creates clients with the credentials of callers.
        signed_calls: handles signed calls of triggers; None to accept none.
        changes: the source of streams of changes; its creator closes it when the process stops.
        streams: the limits on the number and duration of streams; None for the defaults.
        user_limits: the limits on the requests of users; None for the defaults.
        concurrent_reads: the number of concurrent reads of users; the connection pool must be larger.
    """

    def __init__(
        self,
        history: Callable[[str], GatewayHistory],
        kube: Reviewer,
        *,
        metrics: GatewayMetrics,
        spans: Spans | None = None,
        clock: Callable[[], float] = time.monotonic,
        check_addresses: bool = True,
        callers: Callers | None = None,
        signed_calls: SignedCalls | None = None,
        changes: ChangeFeed | None = None,
        streams: Streams | None = None,
        user_limits: UserLimits | None = None,
        concurrent_reads: int = CONCURRENT_READS,
    ) -> None:
        self.authenticator = Authenticator(kube, clock=clock, check_addresses=check_addresses)
        self.clock = clock
        self.metrics = metrics
        self.spans = spans or Spans()
        self.intake = Intake(clock)
        self.reads = Capacity(concurrent_reads, timeout=WAIT_SECONDS)
        self.step_reads = Capacity(CONCURRENT_STEP_READS, timeout=WAIT_SECONDS)
        self.refusals = Rates(per_second=REFUSALS_PER_SECOND, burst=REFUSALS)
        self.as_callers = Capacity(CONCURRENT_CALLER_REQUESTS, timeout=WAIT_SECONDS)
        self.kube = kube
        self.signed_calls = signed_calls or SignedCalls(Triggers(None), clock=clock)
        self.changes = changes or ChangeFeed()
        self.streams = streams or Streams()
        self.shared = SharedReads()
        self.user_limits = user_limits or UserLimits(clock)
        self.scopes: AnswerCache[tuple[str, ...]] = AnswerCache(clock=clock)
        """The namespaces that a user may read, by the user's key; rights are checked again before anything is read."""
        self._callers = callers
        self._make_history = history
        self._history: GatewayHistory | None = None
        self._cluster: str | None = None

    @property
    def callers(self) -> Callers:
        """Creates clients with the credentials of callers."""
        assert self._callers is not None, "this application has no callers"
        return self._callers

    async def history(self) -> GatewayHistory:
        """Return this cluster's history. The first call asks the API server for the uid of the cluster.

        Raises:
            errors.Unavailable, errors.Denied: the API server is unavailable or refuses; the next call tries again.
        """
        if self._history is None:
            self._history = self._make_history(await self.cluster())
        return self._history

    async def cluster(self) -> str:
        """Return the uid of the namespace kube-system. Raises as `history`."""
        if self._cluster is None:
            self._cluster = await cluster_uid(self.kube)
        return self._cluster

    async def change_reads(self) -> ChangeReads:
        """Return the source of streams of changes. Raises as `history`."""
        return (await self.history()).changes

    async def check_api_server(self) -> None:
        """Return if the API server responds and the gateway has its rights. Raises as `history`."""
        await self.history()
        await self.authenticator.check()


def services_of(request: Request) -> Services:
    """Return the collaborators of the application."""
    services: Services = request.app.state.services
    return services


async def runner_of(request: Request) -> AsyncIterator[RunnerIdentity]:
    """Yield the runner that calls, before its body is read; 401 or 403 for other callers, 429 for too many
    requests."""
    services = services_of(request)
    runner = await _runner(request)
    services.intake.rates.count(runner.pod_uid)
    with services.intake.per_pod.taken(runner.pod_uid):
        yield runner


admitted = asynccontextmanager(runner_of)
"""`runner_of` for a `with` block: the share of the limits is released before the response is sent."""


@asynccontextmanager
async def recording(request: Request) -> AsyncIterator[RunnerIdentity]:
    """Yield the runner that records steps, as `admitted`; `Intake.body` limits the rate."""
    runner = await _runner(request)
    with services_of(request).intake.per_pod.taken(runner.pod_uid):
        yield runner


async def _runner(request: Request) -> RunnerIdentity:
    address = request.client.host if request.client else None
    return await services_of(request).authenticator.runner(request.headers.get("authorization"), address)


async def writes_of(request: Request) -> RunnerHistory:
    """Return the part of history that runners write."""
    return (await services_of(request).history()).runners


async def sessions_of(request: Request) -> RunnerSessions:
    """Return the sessions for runners."""
    return (await services_of(request).history()).sessions


async def artifacts_of(request: Request) -> RunnerArtifacts:
    """Return the artifacts for runners."""
    return (await services_of(request).history()).artifacts


async def files_of(request: Request) -> RunnerFiles:
    """Return the kept files for runners."""
    return (await services_of(request).history()).files


async def user_sessions_of(request: Request) -> UserSessionHistory:
    """Return the sessions and artifacts for users."""
    return (await services_of(request).history()).user_sessions


async def reports_of(request: Request) -> ModelReports:
    """Return the reports of model calls for users."""
    return (await services_of(request).history()).reports


async def overview_of(request: Request) -> OverviewHistory:
    """Return the statistics of jobs for users."""
    return (await services_of(request).history()).overview


async def processes_of(request: Request) -> ProcessHistory:
    """Return the processes and the database of the installation."""
    return (await services_of(request).history()).processes


async def notifications_of(request: Request) -> NotificationReads:
    """Return the notifications for users."""
    return (await services_of(request).history()).notifications


async def actions_of(request: Request) -> ActionLog:
    """Return the log of actions."""
    return (await services_of(request).history()).actions


async def history_of(request: Request) -> ReadHistory:
    """Return the history of jobs for users."""
    return (await services_of(request).history()).people


async def read_budget_of(request: Request) -> Capacity:
    """Return the limit on concurrent reads of users, which leaves connections for runners."""
    return services_of(request).reads


async def shared_of(request: Request) -> SharedReads | Unshared:
    """Return the shared reads if the request allows an older answer, else unshared ones."""
    return services_of(request).shared.for_request(request.headers.get("cache-control", ""))


async def step_budget_of(request: Request) -> Capacity:
    """Return the limit on concurrent reads of steps by runners."""
    return services_of(request).step_reads


async def intake_of(request: Request) -> Intake:
    """Return the reader of runners' bodies."""
    return services_of(request).intake


async def spans_of(request: Request) -> Spans:
    """Return the traces."""
    return services_of(request).spans


Runner = Annotated[RunnerIdentity, Depends(runner_of)]
Writes = Annotated[RunnerHistory, Depends(writes_of)]
Sessions = Annotated[RunnerSessions, Depends(sessions_of)]
Artifacts = Annotated[RunnerArtifacts, Depends(artifacts_of)]
Files = Annotated[RunnerFiles, Depends(files_of)]
UserSessions = Annotated[UserSessionHistory, Depends(user_sessions_of)]
Reports = Annotated[ModelReports, Depends(reports_of)]
Numbers = Annotated[OverviewHistory, Depends(overview_of)]
Installed = Annotated[ProcessHistory, Depends(processes_of)]
Notified = Annotated[NotificationReads, Depends(notifications_of)]
ActionsDone = Annotated[ActionLog, Depends(actions_of)]
History = Annotated[ReadHistory, Depends(history_of)]
Shared = Annotated[SharedReads | Unshared, Depends(shared_of)]
ReadBudget = Annotated[Capacity, Depends(read_budget_of)]
StepBudget = Annotated[Capacity, Depends(step_budget_of)]
Bodies = Annotated[Intake, Depends(intake_of)]
Traces = Annotated[Spans, Depends(spans_of)]
