"""The operator's process: kopf for watching and lifecycle, and nothing else of kopf.

Handlers do no I/O and return None; they feed the reconciler's caches. There is no other kind of handler on purpose:
each would write annotations or finalizers into users' objects. The only module that imports kopf.

Order of a life: probes, Lease, database, full lists, workers, watches; on the way out watches with workers, history,
Lease.
"""

import asyncio
import contextlib
import gc
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import aiohttp
import kopf
import uvloop

from agentjobs import authorities, tracing
from agentjobs.contract import GROUP, LABEL_JOB, VERSION
from agentjobs.core.pods.manifests import PodDefaults
from agentjobs.engine.background import Background, Died
from agentjobs.engine.clock import watch_clock
from agentjobs.engine.controller import Controller
from agentjobs.errors import AgentJobsError
from agentjobs.history.database import Database
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.retention import Retention
from agentjobs.history.writer import HistoryWriter
from agentjobs.kube.beginning import answered, check_crd, cluster_uid
from agentjobs.kube.client import KubeClient
from agentjobs.kube.elector import Elector, utc_now
from agentjobs.kube.listing import Known, listing_session
from agentjobs.kube.recorder import EventRecorder
from agentjobs.kube.resources import AGENTJOBS, AGENTSCHEDULES, PODS
from agentjobs.metrics import Metrics
from agentjobs.probes import measure_lag, serving
from agentjobs.reconcile import Key, Reconciler
from agentjobs.reconcile.lists import Lists
from agentjobs.reconcile.ports import Ports
from agentjobs.settings import OperatorSettings, host_and_port

logger = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 5.0
# Kopf gives its own tasks five.
KOPF_SECONDS: Final = 6.0


def run(settings: OperatorSettings, *, now: Callable[[], datetime] = utc_now) -> None:
    """Run the operator until a signal or a lost Lease ends it. Raises SystemExit(1) when it could not go on.

    `now` is the wall clock, which tests turn.
    """
    if settings.kubeconfig:
        # kopf's login reads it from there; our own client gets it as an argument.
        os.environ["KUBECONFIG"] = settings.kubeconfig
    gc.set_threshold(50_000, 20, 50)  # full collections over thousands of live dicts are the tail of every latency
    try:
        # A sixth less CPU a job than asyncio's own loop: most of it is reading watches and TLS.
        uvloop.run(Operator(settings, now).run())
    except (AgentJobsError, kopf.LoginError) as error:
        logger.error("operator.ended", extra={"error": str(error)})
        raise SystemExit(1) from error


class Operator:
    """One operator process, from settings to its end."""

    def __init__(self, settings: OperatorSettings, now: Callable[[], datetime] = utc_now) -> None:
        self._settings = settings
        self._now = now
        self._metrics = Metrics()
        self._spans = tracing.spans("agentjobs-operator", os.environ)
        self._stop = asyncio.Event()
        self._state = "starting"
        self._elector: Elector | None = None
        self._failure: AgentJobsError | None = None
        self._authorities: str | None = None

    async def run(self) -> None:
        """Run to the end.

        Raises:
            AgentJobsError: why the process could not go on; a signal is no error.
        """
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop.set)
        settings = self._settings
        if settings.gateway_ca_file is not None:
            self._authorities = authorities.read(settings.gateway_ca_file)
        identity = settings.identity or f"{socket.gethostname()}-{secrets.token_hex(4)}"
        probes = serving(
            host_and_port(settings.probe_address),
            metrics=self._metrics,
            health={"lease": self._lease_problem},
            ready={"operator": lambda: None if self._state in ("leading", "standby") else self._state},
        )
        connecting = KubeClient.connect(
            settings.kubeconfig, user_agent="agentjobs-operator", on_write=self._metrics.api_write
        )
        async with probes, connecting as client, Background(self._end) as background:
            background.start(measure_lag(self._metrics), "loop-lag")
            background.start(self._follow_authorities(), "authorities", may_return=True)
            try:
                await self._until_stopped(self._lead(client, identity))
            finally:
                await asyncio.to_thread(self._spans.close)
        if self._failure is not None:
            raise self._failure

    def _end(self, error: AgentJobsError) -> None:
        """End the process with an error: something that it cannot be without has died."""
        if not self._stop.is_set():
            self._failure = error
            self._stop.set()

    async def _until_stopped(self, work: Any) -> None:
        """Run `work` until it ends or somebody asks us to stop; then let it clean up."""
        task = asyncio.create_task(work, name="operator")
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self._state not in ("leading", "stopping"):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        finally:
            stopping.cancel()

    async def _follow_authorities(self) -> None:
        """Stop when pods should be made from newer certificates than ours: a fresh process reads them."""
        path = self._settings.gateway_ca_file
        if path is None or self._authorities is None:
            return
        await authorities.replaced(path, self._authorities)
        logger.info("authorities.changed")
        self._stop.set()

    def _lease_problem(self) -> str | None:
        if self._state == "leading" and self._elector is not None and not self._elector.leading:
            return "the Lease was not renewed in time"
        return None

    async def _lead(self, client: KubeClient, identity: str) -> None:
        settings = self._settings
        for kind in (AGENTJOBS, AGENTSCHEDULES):
            await check_crd(client, kind, settings.namespaces)
        if not settings.leader_elect:
            await self._work(client, identity)
            return
        self._elector = elector = Elector(
            client,
            namespace=settings.lease_namespace,
            name=settings.lease_name,
            identity=identity,
            duration=settings.lease_duration,
            deadline=settings.lease_deadline,
            retry=settings.lease_retry,
            now=self._now,
        )
        self._state = "standby"
        await elector.acquire()
        self._metrics.leader.set_function(lambda: float(elector.leading))
        try:
            async with Background(self._end) as background:
                # It ends when another may lead already. Every write is fenced from then on, and a fresh process stands
                # by.
                background.start(elector.run(), "lease")
                await self._work(client.with_check(elector.held), identity)
        finally:
            await elector.release()

    async def _work(self, client: KubeClient, identity: str) -> None:
        settings, metrics = self._settings, self._metrics
        self._state = "reading what there is"
        dsn = settings.database_url.get_secret_value()
        async with Database(dsn, application="agentjobs-operator", on_request=metrics.database.request) as database:
            metrics.database.pool(database.connections)
            cluster = await cluster_uid(client)
            history = OperatorWrites(database, cluster=cluster)
            writer = HistoryWriter(history)
            recorder = EventRecorder(client, instance=identity, on_dropped=metrics.events_dropped.inc)
            metrics.history_backlog.set_function(lambda: float(writer.backlog))
            ports = Ports(
                cluster=client,
                history=history,
                writer=writer,
                recorder=recorder,
                metrics=metrics,
                spans=self._spans,
                now=self._now,
            )
            reconciler = Reconciler(
                ports,
                pods=_pod_defaults(settings, self._authorities),
                queues={"agents": settings.queue_agents, "scheduled": settings.queue_scheduled},
            )
            database.breaker.on_back(writer.retry)
            database.breaker.on_back(reconciler.history_is_back)
            metrics.queue_depths(reconciler.state.slots.depths)
            metrics.workqueue_depth.set_function(lambda: float(len(reconciler.state.queue)))
            metrics.workqueue_oldest.set_function(lambda: reconciler.state.queue.oldest_seconds)
            lists = Lists(ports, reconciler.state, settings.namespaces)
            retention = Retention(
                database,
                cluster=cluster,
                namespaces=settings.namespaces,
                live=lists.live,
                keep_jobs=settings.history_retention or None,
                keep_events=settings.event_retention or None,
                on_pruned=metrics.history_pruned,
            )
            async with Background(self._end) as background:
                background.start(writer.run(), "history")
                background.start(recorder.run(), "events")
                try:
                    await self._watch(reconciler, lists, retention)
                finally:
                    await writer.flush(FLUSH_SECONDS)
                    await recorder.flush(seconds=1.0)

    async def _watch(self, reconciler: Reconciler, lists: Lists, retention: Retention) -> None:
        """Run kopf while leading. Tasks made inside it are cancelled by it; ours were made before."""
        settings = self._settings
        controller: Controller[Key] = Controller(
            reconciler.state.queue,
            reconciler.reconcile,
            workers=settings.workers,
            on_reconciled=self._metrics.reconciled,
        )
        await answered(lists.sync)
        gc.collect()
        gc.freeze()
        state = reconciler.state
        async with Background(self._end) as background:
            background.start(controller.run(), "controller", may_return=True)
            background.start(lists.repeat(settings.resync.total_seconds()), "lists")
            background.start(retention.run(), "retention")
            background.start(watch_clock(state.wake_all, wall=lambda: self._now().timestamp()), "clock")
            self._state = "leading"
            known = {"jobs": len(state.jobs), "pods": len(state.pods), "schedules": len(state.schedules)}
            logger.info("operator.leading", extra=known)
            try:
                await self._watch_until_stopped(reconciler, controller)
            finally:
                self._state = "stopping"
                await controller.stop()

    async def _watch_until_stopped(self, reconciler: Reconciler, controller: Controller[Key]) -> None:
        """Watch until the process is to stop, then let the workers finish."""
        handlers = registry(reconciler, self._metrics, self._stop)
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        watching = asyncio.create_task(_run_kopf(self._settings, handlers, self._stop), name="kopf")
        try:
            await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not self._stop.is_set():
                self._end(Died("kopf ended by itself"))  # what it raised, if it did, is raised below
            # The workers beside kopf, not after it: kopf takes seconds to end under load. A standby waits for our Lease
            # meanwhile, and without it every write is refused.
            stopped = asyncio.create_task(controller.stop(), name="stop-workers")
            await _end_of_kopf(watching)
            # Kopf cancels whatever was begun beside it and takes too long; the caller stops them then.
            await asyncio.wait({stopped})
        finally:
            stopping.cancel()


def registry(reconciler: Reconciler, metrics: Metrics, stop: asyncio.Event) -> kopf.OperatorRegistry:
    """The handlers: wiring only."""
    handlers = kopf.OperatorRegistry()

    def known(kind: str, obj: Mapping[str, Any]) -> bool:
        if not reconciler.state.knows(kind, obj):
            return False
        metrics.watched(kind)
        return True

    @kopf.on.login(registry=handlers)
    async def login(**kwargs: Any) -> Any:
        info = kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
        return info and Connection.make(info, known)

    @kopf.on.event(GROUP, VERSION, AGENTJOBS.plural, registry=handlers)
    async def job_event(event: Any, **_: Any) -> None:
        metrics.watched("AgentJob")
        reconciler.state.observe_job(event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, AGENTSCHEDULES.plural, registry=handlers)
    async def schedule_event(event: Any, **_: Any) -> None:
        metrics.watched("AgentSchedule")
        reconciler.state.observe_schedule(event["type"], event["object"])

    @kopf.on.event("v1", PODS.plural, labels={LABEL_JOB: kopf.PRESENT}, registry=handlers)
    async def pod_event(event: Any, **_: Any) -> None:
        metrics.watched("Pod")
        reconciler.state.observe_pod(event["type"], event["object"])

    @kopf.on.cleanup(registry=handlers)
    async def cleanup(**_: Any) -> None:
        # Without it kopf waits five seconds for its own waiter of the flag when a signal ended it.
        stop.set()

    return handlers


@dataclass(frozen=True, kw_only=True)
class Connection(kopf.AiohttpSession):
    """How kopf connects: as it would by itself, but that its lists leave out what is known.

    Equal when its credentials are: by that kopf notices, and ends, when a login brings those again that were refused.
    """

    aiohttp_session: aiohttp.ClientSession = field(compare=False)
    info: kopf.ConnectionInfo

    @classmethod
    def make(cls, info: kopf.ConnectionInfo, known: Known) -> "Connection":
        connector = aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context())
        session = listing_session(
            headers=info.as_http_headers(), connector=connector, proxy=info.proxy_url, known=known
        )
        return cls(
            aiohttp_session=session,
            info=info,
            server=info.server,
            priority=info.priority,
            default_namespace=info.default_namespace,
            expiration=info.expiration,
        )


class StatelessDiffBase(kopf.DiffBaseStorage):
    """kopf keeps a copy of every object to find differences; nobody asks for them here.

    None, not an empty one: that would be copied and searched for traces of handlers at every event.
    """

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:
        return None

    def fetch(self, *, body: Any) -> Any:
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        """Write nothing into users' objects."""


def kopf_settings() -> kopf.OperatorSettings:
    """kopf, tuned for event handlers only."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = StatelessDiffBase()
    settings.queueing.idle_timeout = 0.5  # workers of idle objects are most of the memory at 10,000 objects
    settings.watching.chunk_size = 500
    # A tuple: the key 'v1/pods' matches nothing, and every pod of the cluster would be streamed.
    settings.watching.label_selectors["v1", PODS.plural] = LABEL_JOB
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = [0.5, 1, 2, 5, 5, 5, 5, 5, 5, 5]
    for name in ("kopf.objects", "kopf.activities"):  # "Activity 'registry.<locals>.login' succeeded."
        logging.getLogger(name).setLevel(logging.WARNING)
    return settings


async def _run_kopf(settings: OperatorSettings, handlers: kopf.OperatorRegistry, stop: asyncio.Event) -> None:
    await kopf.operator(
        registry=handlers,
        settings=kopf_settings(),
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        stop_flag=stop,
    )


async def _end_of_kopf(watching: "asyncio.Task[None]") -> None:
    """Wait until kopf has ended.

    When one of its watchers fails, kopf cancels the others together with what would pause them. Which of the two comes
    first is chance: a watcher may take its end for a pause, watch on, and kopf waits for it without end. Cancelled
    alone it ends.

    Raises:
        Died: what kopf died of.
    """
    await asyncio.wait({watching}, timeout=KOPF_SECONDS)
    while not watching.done():
        for task in asyncio.all_tasks():
            if task.get_name().startswith("watcher for "):
                task.cancel()
        await asyncio.wait({watching}, timeout=1.0)
    try:
        await watching
    except kopf.LoginError:
        raise
    except Exception as error:
        raise Died(f"the watches of the API server ended: {type(error).__name__}: {error}") from error


def _pod_defaults(settings: OperatorSettings, gateway_authorities: str | None) -> PodDefaults:
    return PodDefaults(
        gateway_url=settings.gateway_url,
        gateway_ca=settings.gateway_ca,
        gateway_authorities=gateway_authorities,
        image=settings.runner_image,
        image_pull_policy=settings.runner_image_pull_policy,
        resources=settings.runner_resources,
        node_selector=settings.runner_node_selector,
        tolerations=settings.runner_tolerations,
        service_accounts=frozenset({"default", *settings.service_accounts}),
        gateway_egress=settings.gateway_egress,
        dns_egress=settings.dns_egress,
        images=settings.images,
        image_pull_secrets=settings.runner_image_pull_secrets,
        env=settings.runner_env,
    )
