"""The two clients: `Client` blocks, `AsyncClient` is for asyncio. Each method runs one operation.

The implementation is in operations.py; here are signatures for people, type checkers and documentation.
"""

import os
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, TypeVar, Unpack

from agentjobs.api.job_filter import JobFilter
from agentjobs.api.recorded import JobHistory, RecordedEntry, RecordedJob, RecordedStep, Result, StepContent
from agentjobs.client.completion import completed
from agentjobs.client.connection import Endpoint, api_server, gateway
from agentjobs.client.effects import Server
from agentjobs.client.job import Job, Spec
from agentjobs.client.job_filters import JobFields, filter_of
from agentjobs.client.kubeconfig import Access, load
from agentjobs.client.lineage import Tree
from agentjobs.client.model_operations import ModelOperations
from agentjobs.client.models import AsyncModels, Models
from agentjobs.client.notification_operations import NotificationOperations
from agentjobs.client.notifications import AsyncNotifications, Notifications
from agentjobs.client.operations import Operations, of_template
from agentjobs.client.overview import AsyncOverview, Overview
from agentjobs.client.overview_operations import OverviewOperations
from agentjobs.client.queue_operations import QueueOperations
from agentjobs.client.queues import AsyncQueues, Queues
from agentjobs.client.requests import RETRY_FOR_SECONDS
from agentjobs.client.rerunning import Edits
from agentjobs.client.schedule_operations import ScheduleOperations
from agentjobs.client.schedules import AsyncSchedules, Schedules
from agentjobs.client.session_operations import SessionOperations
from agentjobs.client.sessions import AsyncSessions, Sessions
from agentjobs.client.transport import Blocking, Endpoints, Nonblocking

T = TypeVar("T")


def _endpoints(access: Access, *, gateway_url: str | None, gateway_ca: str | None) -> Endpoints:
    def endpoint(server: Server) -> Endpoint:
        if server is Server.CLUSTER:
            return api_server(access)
        return gateway(access, url=gateway_url, ca=gateway_ca, environ=os.environ)

    return endpoint


class Client:
    """AgentJobs of one namespace, with blocking calls.

    Uses the kubeconfig's user; in a pod without a kubeconfig, the pod's service account. It connects at the first
    request. Use it as a context manager, or call `close`. Not thread-safe.

    Args:
        namespace: by default the context's, or the pod's.
        kubeconfig: path; by default $KUBECONFIG, else ~/.kube/config.
        context: of the kubeconfig; by default the current one.
        gateway_url: by default $AGENTJOBS_GATEWAY_URL, else from the kubeconfig.
        gateway_ca: path of a PEM file; by default $AGENTJOBS_GATEWAY_CA, else from the kubeconfig.
        retry_for: how many seconds a request is retried while a server is unavailable.

    Raises:
        Misconfigured: the kubeconfig is missing or invalid.
    """

    def __init__(
        self,
        *,
        namespace: str | None = None,
        kubeconfig: str | None = None,
        context: str | None = None,
        gateway_url: str | None = None,
        gateway_ca: str | None = None,
        retry_for: float = RETRY_FOR_SECONDS,
    ) -> None:
        access = load(kubeconfig, context=context, environ=os.environ)
        self._do = Operations(namespace or access.namespace, retry_for)
        self._transport = Blocking(_endpoints(access, gateway_url=gateway_url, gateway_ca=gateway_ca))

    @property
    def namespace(self) -> str:
        """The namespace of all calls."""
        return self._do.namespace

    @property
    def queues(self) -> Queues:
        """The queues of the namespace."""
        return Queues(QueueOperations(self._do.namespace, self._do.retry_for), self._transport)

    @property
    def schedules(self) -> Schedules:
        """The AgentSchedules of the namespace."""
        return Schedules(ScheduleOperations(self._do.namespace, self._do.retry_for), self._transport)

    @property
    def sessions(self) -> Sessions:
        """The sessions of the namespace, with their artifacts."""
        return Sessions(SessionOperations(self._do.namespace, self._do.retry_for), self._transport)

    @property
    def models(self) -> Models:
        """The models that the namespace may use, and what they cost."""
        return Models(ModelOperations(self._do.namespace, self._do.retry_for), self._transport)

    @property
    def notifications(self) -> Notifications:
        """Notifications about the jobs of the namespace."""
        return Notifications(NotificationOperations(self._do.namespace, self._do.retry_for), self._transport)

    @property
    def overview(self) -> Overview:
        """Statistics of the namespace's jobs and of the installation; read through the gateway."""
        return Overview(OverviewOperations(self._do.namespace, self._do.retry_for), self._transport)

    def submit(
        self,
        spec: Spec,
        *,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Job:
        """Create a job, or return the existing one of that name with the same work: submitting twice runs it once.

        Args:
            spec: a mapping as in YAML, or an `AgentJobSpec`.
            name: by default random.

        Raises:
            AlreadyExists: a job of that name has other work; the message lists the fields.
            Invalid: the API server rejected the spec.
        """
        return self._transport.run(self._do.submit(spec, name=name, labels=labels, annotations=annotations))

    def run(
        self,
        template: str,
        parameters: Mapping[str, str] | None = None,
        *,
        message: str | None = None,
        spec: Mapping[str, Any] | None = None,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Job:
        """Create a job of an AgentTemplate, or return the existing one of that name with the same work: see `submit`.

        Args:
            template: the template's name.
            parameters: values of the template's parameters.
            message: for the agent, instead of the template's message.
            spec: other fields of the job, as in YAML.
            name: by default random.

        Raises:
            AlreadyExists: a job of that name has other work; the message lists the fields.
            Invalid: the API server rejected the spec.
        """
        whole = of_template(template, parameters, message=message, spec=spec)
        return self.submit(whole, name=name, labels=labels, annotations=annotations)

    def get(self, name: str) -> Job:
        """Return the current job. Raises NotFound."""
        return self._transport.run(self._do.get(name))

    def wait(self, name: str, *, timeout: float | None = None) -> Job:
        """Return the job after it has ended in any way; see `Job.succeeded`.

        Args:
            timeout: seconds; None waits forever.

        Raises:
            TimeoutError: it has not ended in time; it continues to run.
            NotFound: the job does not exist, was deleted before its end, or was deleted and history cannot be read.
        """
        return self._transport.run(self._do.wait(name, timeout=timeout))

    def wait_all(self, names: Iterable[str], *, timeout: float | None = None) -> Sequence[Job]:
        """Return the jobs after all have ended in any way, in the order of the names given. Raises as `wait`."""
        wanted = list(names)
        ended = {job.name: job for job in self.as_completed(wanted, timeout=timeout)}
        return [ended[name] for name in wanted]

    def as_completed(self, names: Iterable[str], *, timeout: float | None = None) -> Generator[Job]:
        """Yield each of these jobs when it has ended, in the order in which they end. Raises as `wait`.

        Args:
            timeout: seconds for all of them; None waits forever.
        """
        yield from self._transport.iterate(completed(self._do, names, timeout=timeout))

    def watch(self, name: str, *, timeout: float | None = None) -> Generator[Job]:
        """Yield the current job and each change, until it has ended. Raises as `wait`."""
        yield from self._transport.iterate(self._do.watch(name, timeout=timeout))

    def result(self, name: str) -> Result:
        """Return the answer, from history, also for a deleted job; `name` may be a uid.

        Raises:
            NoResult: it has no result (yet).
            NotFound: history does not have the job.
        """
        return self._transport.run(self._do.result(name))

    def cancel(self, name: str) -> Job:
        """Cancel a job permanently. A running pod gets its grace period; a finished job is returned unchanged.

        Raises NotFound.
        """
        return self._transport.run(self._do.cancel(name))

    def suspend(self, name: str) -> Job:
        """Suspend a job: it gives up its pod until it is resumed. Raises NotFound."""
        return self._transport.run(self._do.suspend(name))

    def resume(self, name: str) -> Job:
        """Let a suspended job continue. Raises NotFound."""
        return self._transport.run(self._do.resume(name))

    def rerun(
        self,
        name: str,
        *,
        new_name: str | None = None,
        message: str | None = None,
        parameters: Mapping[str, str] | None = None,
        model: str | None = None,
        max_attempts: int | None = None,
        budget: Mapping[str, str | int] | None = None,
    ) -> Job:
        """Submit the same work as a new job, from the beginning, optionally with changes.

        Args:
            new_name: its name; by default the old one with random digits.
            message: replaces `input.message` or `input.messageFrom`.
            parameters: replaces these parameters of a job with a template.
            model: replaces `agent.model`.
            max_attempts: replaces `retry.maxAttempts`.
            budget: replaces these limits of `budget`, such as `{"maxCostUSD": "2.50"}`.

        Raises:
            NotFound, AlreadyExists, Invalid: the last if the job cannot have a changed value.
        """
        edits = Edits(
            message=message,
            parameters=parameters or {},
            model=model,
            max_attempts=max_attempts,
            budget=budget or {},
        )
        return self._transport.run(self._do.rerun(name, new_name_=new_name, edits=edits))

    def delete(self, name: str) -> None:
        """Delete a job and its pods, if it exists; its history stays."""
        self._transport.run(self._do.delete(name))

    def events(self, name: str, *, start: int | None = None, follow: bool = False) -> Generator[RecordedEntry]:
        """Yield the entries of a job's timelines from history: model calls, tool calls, texts, errors.

        Args:
            start: only those of this start.
            follow: continue until the job has ended, about a second behind.
        """
        yield from self._transport.iterate(self._do.events(name, start=start, follow=follow))

    def steps(self, name: str, *, start: int | None = None) -> Generator[RecordedStep]:
        """Yield a job's recorded steps in recording order, without their results; from history.

        Args:
            start: only steps that this start ran.
        """
        yield from self._transport.iterate(self._do.steps(name, start=start))

    def step(self, name: str, number: int) -> StepContent:
        """Return one recorded step of a job with its result. `name` may be a uid. Raises NotFound."""
        return self._transport.run(self._do.step(name, number))

    def job_history(self, name: str) -> JobHistory:
        """Return a job from history: its starts and phases. `name` may be a uid. Raises NotFound."""
        return self._transport.run(self._do.job_history(name))

    def tree(self, name: str) -> Tree:
        """Return the jobs before a job and all its follow-ups, including deleted ones. `name` may be a uid.

        Raises:
            NotFound: neither the cluster nor history has the job.
        """
        return self._transport.run(self._do.tree(name))

    def history(
        self, chosen: JobFilter | None = None, *, everywhere: bool = False, **fields: Unpack[JobFields]
    ) -> Generator[RecordedJob]:
        """Yield jobs from history, including deleted ones; newest first, or by `order`.

        Args:
            chosen: filter and order; alternatively its fields as keywords.
            everywhere: in all namespaces that the user may read.
            fields: such as `schedule="brief"`, `phase=["Failed", "Cancelled"]`, `since=…`, `order="cost"`.

        Raises:
            Invalid: a field has an invalid value.
        """
        do = self._do.history(chosen or filter_of(fields), everywhere=everywhere)
        yield from self._transport.iterate(do)

    def set_config_map(self, name: str, data: Mapping[str, str]) -> None:
        """Create a ConfigMap, or set these keys of an existing one: for texts and scripts that jobs refer to."""
        self._transport.run(self._do.set_config_map(name, data))

    def list(self, *, selector: str = "") -> Sequence[Job]:
        """Return the existing jobs; `selector` filters by labels, such as `team=docs,stage!=test`."""
        return self._transport.run(self._do.list(selector=selector))

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """AgentJobs of one namespace, for asyncio. It has `Client`'s methods; tasks may share it."""

    def __init__(
        self,
        *,
        namespace: str | None = None,
        kubeconfig: str | None = None,
        context: str | None = None,
        gateway_url: str | None = None,
        gateway_ca: str | None = None,
        retry_for: float = RETRY_FOR_SECONDS,
    ) -> None:
        access = load(kubeconfig, context=context, environ=os.environ)
        self._do = Operations(namespace or access.namespace, retry_for)
        self._transport = Nonblocking(_endpoints(access, gateway_url=gateway_url, gateway_ca=gateway_ca))

    @property
    def namespace(self) -> str:
        """The namespace of all calls."""
        return self._do.namespace

    @property
    def queues(self) -> AsyncQueues:
        """The queues of the namespace."""
        return AsyncQueues(QueueOperations(self._do.namespace, self._do.retry_for), self._transport)

    @property
    def schedules(self) -> AsyncSchedules:
        """The AgentSchedules of the namespace."""
        return AsyncSchedules(ScheduleOperations(self._do.namespace, self._do.retry_for), self._transport)

    @property
    def sessions(self) -> AsyncSessions:
        """The sessions of the namespace, with their artifacts."""
        return AsyncSessions(SessionOperations(self._do.namespace, self._do.retry_for), self._transport)

    @property
    def models(self) -> AsyncModels:
        """See `Client.models`."""
        return AsyncModels(ModelOperations(self._do.namespace, self._do.retry_for), self._transport)

    @property
    def notifications(self) -> AsyncNotifications:
        """See `Client.notifications`."""
        return AsyncNotifications(NotificationOperations(self._do.namespace, self._do.retry_for), self._transport)

    @property
    def overview(self) -> AsyncOverview:
        """See `Client.overview`."""
        return AsyncOverview(OverviewOperations(self._do.namespace, self._do.retry_for), self._transport)

    async def submit(
        self,
        spec: Spec,
        *,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Job:
        """See `Client.submit`."""
        return await self._transport.run(self._do.submit(spec, name=name, labels=labels, annotations=annotations))

    async def run(
        self,
        template: str,
        parameters: Mapping[str, str] | None = None,
        *,
        message: str | None = None,
        spec: Mapping[str, Any] | None = None,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Job:
        """See `Client.run`."""
        whole = of_template(template, parameters, message=message, spec=spec)
        return await self.submit(whole, name=name, labels=labels, annotations=annotations)

    async def get(self, name: str) -> Job:
        """See `Client.get`."""
        return await self._transport.run(self._do.get(name))

    async def wait(self, name: str, *, timeout: float | None = None) -> Job:
        """See `Client.wait`."""
        return await self._transport.run(self._do.wait(name, timeout=timeout))

    async def wait_all(self, names: Iterable[str], *, timeout: float | None = None) -> Sequence[Job]:
        """See `Client.wait_all`."""
        wanted = [*names]
        ended = {job.name: job async for job in self.as_completed(wanted, timeout=timeout)}
        return [ended[name] for name in wanted]

    async def as_completed(self, names: Iterable[str], *, timeout: float | None = None) -> AsyncGenerator[Job]:
        """See `Client.as_completed`."""
        async with aclosing(self._transport.iterate(completed(self._do, names, timeout=timeout))) as jobs:
            async for job in jobs:
                yield job

    async def watch(self, name: str, *, timeout: float | None = None) -> AsyncGenerator[Job]:
        """See `Client.watch`."""
        async with aclosing(self._transport.iterate(self._do.watch(name, timeout=timeout))) as states:
            async for job in states:
                yield job

    async def result(self, name: str) -> Result:
        """See `Client.result`."""
        return await self._transport.run(self._do.result(name))

    async def cancel(self, name: str) -> Job:
        """See `Client.cancel`."""
        return await self._transport.run(self._do.cancel(name))

    async def suspend(self, name: str) -> Job:
        """See `Client.suspend`."""
        return await self._transport.run(self._do.suspend(name))

    async def resume(self, name: str) -> Job:
        """See `Client.resume`."""
        return await self._transport.run(self._do.resume(name))

    async def rerun(
        self,
        name: str,
        *,
        new_name: str | None = None,
        message: str | None = None,
        parameters: Mapping[str, str] | None = None,
        model: str | None = None,
        max_attempts: int | None = None,
        budget: Mapping[str, str | int] | None = None,
    ) -> Job:
        """See `Client.rerun`."""
        edits = Edits(
            message=message,
            parameters=parameters or {},
            model=model,
            max_attempts=max_attempts,
            budget=budget or {},
        )
        return await self._transport.run(self._do.rerun(name, new_name_=new_name, edits=edits))

    async def delete(self, name: str) -> None:
        """See `Client.delete`."""
        await self._transport.run(self._do.delete(name))

    async def events(
        self, name: str, *, start: int | None = None, follow: bool = False
    ) -> AsyncGenerator[RecordedEntry]:
        """See `Client.events`."""
        async with aclosing(self._transport.iterate(self._do.events(name, start=start, follow=follow))) as entries:
            async for event in entries:
                yield event

    async def steps(self, name: str, *, start: int | None = None) -> AsyncGenerator[RecordedStep]:
        """See `Client.steps`."""
        async with aclosing(self._transport.iterate(self._do.steps(name, start=start))) as steps:
            async for step in steps:
                yield step

    async def step(self, name: str, number: int) -> StepContent:
        """See `Client.step`."""
        return await self._transport.run(self._do.step(name, number))

    async def job_history(self, name: str) -> JobHistory:
        """See `Client.job_history`."""
        return await self._transport.run(self._do.job_history(name))

    async def tree(self, name: str) -> Tree:
        """See `Client.tree`."""
        return await self._transport.run(self._do.tree(name))

    async def history(
        self, chosen: JobFilter | None = None, *, everywhere: bool = False, **fields: Unpack[JobFields]
    ) -> AsyncGenerator[RecordedJob]:
        """See `Client.history`."""
        do = self._do.history(chosen or filter_of(fields), everywhere=everywhere)
        async with aclosing(self._transport.iterate(do)) as jobs:
            async for job in jobs:
                yield job

    async def set_config_map(self, name: str, data: Mapping[str, str]) -> None:
        """See `Client.set_config_map`."""
        await self._transport.run(self._do.set_config_map(name, data))

    async def list(self, *, selector: str = "") -> Sequence[Job]:
        """See `Client.list`."""
        return await self._transport.run(self._do.list(selector=selector))

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
