"""What routes need, made once for the application and handed to them by FastAPI's dependencies.

Order matters in a route's signature: who asks comes first, so that a stranger is refused before anything else happens.
The routes that runners use all the time take it by a `with` block instead (`asking`, `recording`): a dependency costs
them as much as a statement does.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from agentjobs.auth import AnswerCache, Authenticator, Reviewer, RunnerIdentity, cluster_uid
from agentjobs.capacity import Capacity
from agentjobs.gateway.change_feed import ChangeFeed
from agentjobs.gateway.limits import (
    AS_CALLERS_AT_ONCE,
    PATIENCE_SECONDS,
    REFUSALS,
    REFUSALS_A_SECOND,
    STEP_READS_AT_ONCE,
    Intake,
    Rates,
)
from agentjobs.gateway.metrics import GatewayMetrics
from agentjobs.gateway.shared_reads import SharedReads, Unshared
from agentjobs.gateway.triggers.answering import SignedCalls
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
    """The history of one cluster, by who uses it."""

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
    """The application's collaborators.

    Args:
        history: makes the history of the cluster with the given uid; called once that is known.
    """

    def __init__(
        self,
        *,
        history: Callable[[str], GatewayHistory],
        kube: Reviewer,
        authenticator: Authenticator,
        metrics: GatewayMetrics,
        spans: Spans,
        intake: Intake,
        callers: Callers | None,
        signed_calls: SignedCalls,
        changes: ChangeFeed,
        streams: Streams,
        user_limits: UserLimits,
        clock: Callable[[], float],
        reads_at_once: int,
    ) -> None:
        self.authenticator = authenticator
        self.metrics = metrics
        self.spans = spans
        self.intake = intake
        self.reads = Capacity(reads_at_once, patience=PATIENCE_SECONDS)
        self.step_reads = Capacity(STEP_READS_AT_ONCE, patience=PATIENCE_SECONDS)
        self.refusals = Rates(a_second=REFUSALS_A_SECOND, burst=REFUSALS)
        self.as_callers = Capacity(AS_CALLERS_AT_ONCE, patience=PATIENCE_SECONDS)
        self.kube = kube
        self.signed_calls = signed_calls
        self.changes = changes
        self.streams = streams
        self.shared = SharedReads()
        self.user_limits = user_limits
        self.scopes: AnswerCache[tuple[str, ...]] = AnswerCache(clock=clock)
        """The namespaces that a user may read, by the user's key; each is asked about again whenever it counts."""
        self._callers = callers
        self._make_history = history
        self._history: GatewayHistory | None = None
        self._cluster: str | None = None

    @property
    def callers(self) -> Callers:
        """Makes clients that act as who calls."""
        assert self._callers is not None, "this application was made without"
        return self._callers

    async def history(self) -> GatewayHistory:
        """Return this cluster's history; the first call asks the API server which cluster this is.

        Raises:
            errors.Unavailable, errors.Denied: it cannot be asked yet, or not by us; the next call asks again.
        """
        if self._history is None:
            self._history = self._make_history(await self.cluster())
        return self._history

    async def cluster(self) -> str:
        """Return the uid of this cluster's namespace kube-system. Raises as `history`."""
        if self._cluster is None:
            self._cluster = await cluster_uid(self.kube)
        return self._cluster

    async def change_reads(self) -> ChangeReads:
        """Return what streams are told of this cluster's history. Raises as `history`."""
        return (await self.history()).changes

    async def check_api_server(self) -> None:
        """Return when the API server answers what we ask of it. Raises as `history`."""
        await self.history()
        await self.authenticator.check()


def services_of(request: Request) -> Services:
    """Return what `create_app` put into the application."""
    services: Services = request.app.state.services
    return services


async def runner_of(request: Request) -> AsyncIterator[RunnerIdentity]:
    """Give the runner that asks; 401 or 403 for any other caller, 429 for one that asks too much, before a byte of the
    body is read."""
    services = services_of(request)
    runner = await _runner(request)
    services.intake.rates.count(runner.pod_uid)
    with services.intake.per_pod.taken(runner.pod_uid):
        yield runner


asking = asynccontextmanager(runner_of)
"""`runner_of` for a `with` block; what is held for the runner is given back before the answer goes out."""


@asynccontextmanager
async def recording(request: Request) -> AsyncIterator[RunnerIdentity]:
    """Give the runner that records steps, as `asking`; how often it may is for `Intake.body` to say."""
    runner = await _runner(request)
    with services_of(request).intake.per_pod.taken(runner.pod_uid):
        yield runner


async def _runner(request: Request) -> RunnerIdentity:
    address = request.client.host if request.client else None
    return await services_of(request).authenticator.runner(request.headers.get("authorization"), address)


async def writes_of(request: Request) -> RunnerHistory:
    """Return what runners write of this cluster's history."""
    return (await services_of(request).history()).runners


async def sessions_of(request: Request) -> RunnerSessions:
    """Return the sessions of this cluster's jobs, as their runners use them."""
    return (await services_of(request).history()).sessions


async def artifacts_of(request: Request) -> RunnerArtifacts:
    """Return the artifacts of this cluster's jobs, as their runners use them."""
    return (await services_of(request).history()).artifacts


async def files_of(request: Request) -> RunnerFiles:
    """Return the files that the runners of this cluster's jobs keep for later starts."""
    return (await services_of(request).history()).files


async def user_sessions_of(request: Request) -> UserSessionHistory:
    """Return what people read and delete of sessions and artifacts."""
    return (await services_of(request).history()).user_sessions


async def reports_of(request: Request) -> ModelReports:
    """Return what people read of model calls."""
    return (await services_of(request).history()).reports


async def overview_of(request: Request) -> OverviewHistory:
    """Return what people read of many jobs at once."""
    return (await services_of(request).history()).overview


async def processes_of(request: Request) -> ProcessHistory:
    """Return what is known of the installation's processes and database."""
    return (await services_of(request).history()).processes


async def notifications_of(request: Request) -> NotificationReads:
    """Return what people see of notifications, and try again."""
    return (await services_of(request).history()).notifications


async def actions_of(request: Request) -> ActionLog:
    """Return what people did."""
    return (await services_of(request).history()).actions


async def history_of(request: Request) -> ReadHistory:
    """Return what people read of this cluster's history."""
    return (await services_of(request).history()).people


async def read_budget_of(request: Request) -> Capacity:
    """Return what bounds the reading of users, so that it leaves runners their connections."""
    return services_of(request).reads


async def shared_of(request: Request) -> SharedReads | Unshared:
    """Return what makes one question of what many ask at once, if they say that an answer may be old."""
    return services_of(request).shared.for_request(request.headers.get("cache-control", ""))


async def step_budget_of(request: Request) -> Capacity:
    """Return what bounds the reading of steps by runners."""
    return services_of(request).step_reads


async def intake_of(request: Request) -> Intake:
    """Return what takes in the bodies of runners."""
    return services_of(request).intake


async def spans_of(request: Request) -> Spans:
    """Return what takes the application's spans."""
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
