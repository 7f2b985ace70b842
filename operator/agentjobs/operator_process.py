"""The operator's process, from its settings to its end.

It starts in this order: probes, database, Lease, full lists, workers, watches. It stops watches and workers first, then
writes the remaining history, then releases the Lease.
"""

import asyncio
import contextlib
import gc
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import uvloop

import agentjobs
from agentjobs import auth, ca_bundle, kopf_adapter, tracing
from agentjobs.api.job.workspace import DEFAULT_SIZE
from agentjobs.core.pods.defaults import PodDefaults, Storage
from agentjobs.engine.background import Background, Died
from agentjobs.engine.clock import watch_clock
from agentjobs.engine.controller import Controller
from agentjobs.engine.kinds import Informers, Key, Kind
from agentjobs.errors import AgentJobsError, Misconfigured
from agentjobs.history.database import Database
from agentjobs.history.model_limits import ModelLimits
from agentjobs.history.model_reports import ModelReports
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.process_records import Presence
from agentjobs.history.processes import of_cluster, write_heartbeats
from agentjobs.history.queue_models import QueueModels
from agentjobs.history.retention import Retention
from agentjobs.history.session_retention import SessionRetention
from agentjobs.history.writer import HistoryWriter
from agentjobs.kube.client import KubeClient
from agentjobs.kube.elector import Elector, utc_now
from agentjobs.kube.recorder import EventRecorder
from agentjobs.kube.startup import answered, check_crd, cluster_uid
from agentjobs.metrics import Metrics
from agentjobs.models import config
from agentjobs.models.environment import from_environment
from agentjobs.probes import measure_lag, serving
from agentjobs.reconcile import Reconciler
from agentjobs.reconcile.kinds import KINDS
from agentjobs.reconcile.lists import Lists
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.queues.feed import QueueFeed
from agentjobs.settings import OperatorSettings, host_and_port

logger = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 5.0


def run(settings: OperatorSettings, *, now: Callable[[], datetime] = utc_now) -> None:
    """Run the operator until a signal or a lost Lease ends it.

    Raises SystemExit if it cannot continue: 2 for wrong settings, else 1. `now` is the wall clock, which tests set.
    """
    if settings.kubeconfig:
        # kopf's login reads it from there; our own client gets it as an argument.
        os.environ["KUBECONFIG"] = settings.kubeconfig
    gc.set_threshold(50_000, 20, 50)  # full collections over thousands of dicts cause the longest pauses
    try:
        # Takes a sixth less CPU per job than asyncio's own loop, mostly for watches and TLS.
        uvloop.run(Operator(settings, now).run())
    except AgentJobsError as error:
        logger.error("operator.ended", extra={"error": str(error)})
        raise SystemExit(2 if isinstance(error, Misconfigured) else 1) from error


class Operator:
    """One operator process, from its settings to its end.

    Raises:
        Misconfigured: the models file cannot be used.
    """

    def __init__(self, settings: OperatorSettings, now: Callable[[], datetime] = utc_now) -> None:
        self._settings = settings
        self._now = now
        self._metrics = Metrics(settings.queues)
        self._spans = tracing.spans("agentjobs-operator", os.environ)
        self._stop = asyncio.Event()
        self._state = "starting"
        self._elector: Elector | None = None
        self._failure: AgentJobsError | None = None
        self._ca_bundle: str | None = None
        path = settings.models_file
        self._models_text = "" if path is None else config.text_of(path)
        self._models = from_environment({}) if path is None else config.parse(self._models_text, str(path))

    async def run(self) -> None:
        """Run to the end.

        Raises:
            AgentJobsError: the process cannot continue. A signal is not an error.
        """
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop.set)
        settings = self._settings
        if settings.gateway_ca_file is not None:
            self._ca_bundle = ca_bundle.read(settings.gateway_ca_file)
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
            background.start(self._follow_ca_bundle(), "ca_bundle", may_return=True)
            background.start(self._follow_models(), "models", may_return=True)
            try:
                await self._until_stopped(self._lead(client, identity))
            finally:
                await asyncio.to_thread(self._spans.close)
        if self._failure is not None:
            raise self._failure

    def _end(self, error: AgentJobsError) -> None:
        """End the process with an error, because an essential task has died."""
        if not self._stop.is_set():
            self._failure = error
            self._stop.set()

    async def _until_stopped(self, work: Any) -> None:
        """Run `work` until it ends or the process must stop; then let it clean up."""
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

    async def _follow_ca_bundle(self) -> None:
        """Stop when the file of certificates has changed, so that a new process reads it for new pods."""
        path = self._settings.gateway_ca_file
        if path is None or self._ca_bundle is None:
            return
        await ca_bundle.replaced(path, self._ca_bundle)
        logger.info("certificates.changed")
        self._stop.set()

    async def _follow_models(self) -> None:
        """Stop when the models file has changed and is valid, so that a new process uses it for all jobs."""
        path, known = self._settings.models_file, self._models_text
        while path is not None:
            await asyncio.sleep(ca_bundle.POLL_SECONDS)
            try:
                text = config.text_of(path)
                if text == known:
                    continue
                config.parse(text, str(path))
            except AgentJobsError as error:
                logger.warning("models.unreadable", extra={"error": str(error)})
                continue
            logger.info("models.changed")
            self._stop.set()
            return

    def _lease_problem(self) -> str | None:
        if self._state == "leading" and self._elector is not None and not self._elector.leading:
            return "the Lease was not renewed in time"
        return None

    async def _lead(self, client: KubeClient, identity: str) -> None:
        settings = self._settings
        await check_served(client, KINDS, settings.namespaces)
        dsn, metrics = settings.database_url.get_secret_value(), self._metrics
        async with (
            Database(dsn, application="agentjobs-operator", on_request=metrics.database.request) as database,
            Background(self._end) as background,
        ):
            metrics.database.pool(database.connections)
            processes = of_cluster(database, lambda: auth.cluster_uid(client))
            background.start(write_heartbeats(processes, lambda: self._presence(identity)), "presence")
            if settings.leader_elect:
                await self._stand_by(client, identity, database)
            else:
                await self._work(client, identity, database)

    def _presence(self, identity: str) -> Presence:
        return Presence("operator", identity, agentjobs.__version__, leads=self._state == "leading")

    async def _stand_by(self, client: KubeClient, identity: str, database: Database) -> None:
        """Wait for the Lease, and work with it."""
        settings = self._settings
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
                # It ends when another process may already lead. Every write is fenced from then on, and a new process
                # becomes a standby.
                background.start(elector.run(), "lease")
                await self._work(client.with_check(elector.held), identity, database)
        finally:
            await elector.release()

    async def _work(self, client: KubeClient, identity: str, database: Database) -> None:
        settings, metrics = self._settings, self._metrics
        self._state = "listing objects"
        cluster = await cluster_uid(client)
        history = OperatorWrites(database, cluster=cluster)
        writer = HistoryWriter(history)
        recorder = EventRecorder(client, instance=identity, on_dropped=metrics.events_dropped.inc)
        metrics.history_backlog.set_function(lambda: float(writer.backlog))
        ports = Ports(
            cluster=client,
            history=history,
            models=ModelLimits(database, cluster=cluster),
            writer=writer,
            recorder=recorder,
            metrics=metrics,
            spans=self._spans,
            now=self._now,
        )
        reconciler = self._reconciler(ports)
        database.breaker.on_back(writer.retry)
        database.breaker.on_back(reconciler.history_is_back)
        feed = QueueFeed(
            QueueModels(database, cluster=cluster),
            ModelReports(database, cluster=cluster),
            reconciler.state,
            settings.namespaces,
        )
        lists = Lists(ports, reconciler.state, settings.namespaces)
        sweeps = self._sweeps(database, cluster, lists)
        async with Background(self._end) as background:
            background.start(writer.run(), "history")
            background.start(recorder.run(), "events")
            try:
                await self._watch(reconciler, lists, feed, *sweeps)
            finally:
                await writer.flush(FLUSH_SECONDS)
                await recorder.flush(seconds=1.0)

    def _reconciler(self, ports: Ports) -> Reconciler:
        """Return the reconciler by the settings; metrics read its queues."""
        settings, metrics = self._settings, self._metrics
        reconciler = Reconciler(
            ports,
            pods=pod_defaults(settings, self._models, gateway_ca_bundle=self._ca_bundle),
            models=self._models,
            queues=settings.queues,
            sinks=settings.sinks,
            follow_up_depth=settings.follow_up_depth,
        )
        metrics.queue_depths(reconciler.state.slots.depths)
        metrics.workqueue_depth.set_function(lambda: float(len(reconciler.state.queue)))
        metrics.workqueue_oldest.set_function(lambda: reconciler.state.queue.oldest_seconds)
        return reconciler

    def _sweeps(self, database: Database, cluster: str, lists: Lists) -> tuple[Retention, SessionRetention]:
        """Return the tasks that delete old jobs and unused sessions."""
        retention = Retention(
            database,
            cluster=cluster,
            namespaces=self._settings.namespaces,
            lives=lists.lives,
            keep_jobs=self._settings.history_retention or None,
            keep_events=self._settings.event_retention or None,
            on_pruned=self._metrics.history_pruned,
        )
        sessions = SessionRetention(
            database,
            cluster=cluster,
            namespaces=self._settings.namespaces,
            keep=self._settings.session_retention or None,
            on_pruned=self._metrics.history_pruned,
        )
        return retention, sessions

    async def _watch(
        self,
        reconciler: Reconciler,
        lists: Lists,
        feed: QueueFeed,
        retention: Retention,
        sessions: SessionRetention,
    ) -> None:
        """Work while leading. kopf cancels tasks that are created inside it, so ours are created before."""
        settings = self._settings
        controller: Controller[Key] = Controller(
            reconciler.state.queue,
            reconciler.reconcile,
            workers=settings.workers,
            on_reconciled=self._metrics.reconciled,
        )
        await answered(lists.start)
        gc.collect()
        gc.freeze()
        informers = reconciler.state.informers
        async with Background(self._end) as background:
            background.start(controller.run(), "controller", may_return=True)
            background.start(lists.run(settings.resync.total_seconds()), "lists")
            background.start(feed.run(), "queues")
            background.start(_prune(lists, retention), "retention")
            background.start(sessions.run(), "session-retention")
            background.start(reconciler.state.expire(), "expiries")
            background.start(watch_clock(informers.wake_all, wall=lambda: self._now().timestamp()), "clock")
            self._state = "leading"
            listed = {kind.resource.plural: len(informers.cache(kind.resource)) for kind in informers.kinds}
            logger.info("operator.leading", extra=listed)
            try:
                await self._watch_until_stopped(reconciler, lists, controller)
            finally:
                self._state = "stopping"
                await controller.stop()

    async def _watch_until_stopped(self, reconciler: Reconciler, lists: Lists, controller: Controller[Key]) -> None:
        """Watch until the process must stop, then let the workers finish."""
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        watching = asyncio.create_task(self._run_watches(reconciler.state.informers, lists), name="kopf")
        try:
            await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not self._stop.is_set():
                self._end(Died("kopf ended unexpectedly"))  # an error of kopf is raised below
            # Workers end at the same time as kopf and not after it: kopf takes seconds to end under load, while a
            # standby waits for our Lease.
            stopped = asyncio.create_task(controller.stop(), name="stop-workers")
            await kopf_adapter.ended(watching)
            # kopf cancels other tasks that take too long; then the caller stops the workers.
            await asyncio.wait({stopped})
        finally:
            stopping.cancel()

    async def _run_watches(self, informers: Informers, lists: Lists) -> None:
        found = watches(informers, lists, self._metrics)
        await kopf_adapter.watch(found, namespaces=self._settings.namespaces, stop=self._stop)


async def _prune(lists: Lists, retention: Retention) -> None:
    """Prune history once the existing objects are listed."""
    await lists.completed.wait()
    # Objects until now are long-lived, so garbage collection can skip them.
    gc.collect()
    gc.freeze()
    await retention.run()


def pod_defaults(settings: OperatorSettings, models: config.Models, *, gateway_ca_bundle: str | None) -> PodDefaults:
    """Return the pod defaults from the settings and the models file."""
    return PodDefaults(
        gateway_url=settings.gateway_url,
        gateway_ca=settings.gateway_ca,
        gateway_ca_bundle=gateway_ca_bundle,
        image=settings.runner_image,
        image_pull_policy=settings.runner_image_pull_policy,
        resources=settings.runner_resources,
        node_selector=settings.runner_node_selector,
        tolerations=settings.runner_tolerations,
        service_accounts=frozenset({"default", *settings.service_accounts}),
        gateway_egress=settings.gateway_egress,
        models_url=settings.models_url,
        models_egress=settings.models_egress,
        model_aliases=models.aliases,
        max_llm_calls=models.max_llm_calls,
        dns_egress=settings.dns_egress,
        images=settings.images,
        image_pull_secrets=settings.runner_image_pull_secrets,
        env=settings.runner_env,
        worktrees=Storage(DEFAULT_SIZE, settings.worktree_storage_class, settings.worktree_access_modes),
        git_cache=None
        if settings.git_cache_size is None
        else Storage(settings.git_cache_size, settings.git_cache_storage_class, settings.git_cache_access_modes),
    )


def watches(informers: Informers, lists: Lists, metrics: Metrics) -> tuple[kopf_adapter.Watch, ...]:
    """Return a watch for each kind, which feeds its cache."""

    def watch(kind: Kind[Any, Any]) -> kopf_adapter.Watch:
        async def begin(namespace: str | None) -> str:
            metrics.watched(kind.resource.kind)
            return await lists.begin(kind, namespace)

        def observe(event: str | None, obj: Mapping[str, Any]) -> None:
            metrics.watched(kind.resource.kind)
            informers.observe(kind.resource, event, obj)

        def is_known(version: str) -> bool:
            metrics.watched(kind.resource.kind)
            return informers.was_answered(kind.resource, version)

        return kopf_adapter.Watch(kind.resource, observe, begin, is_known, kind.selector)

    return tuple(watch(kind) for kind in informers.kinds)


async def check_served(client: KubeClient, kinds: Iterable[Kind[Any, Any]], namespaces: tuple[str, ...]) -> None:
    """Return if the API server serves every custom kind.

    Raises:
        Invalid: it does not serve one; the message names the cure.
    """
    for resource in sorted((kind.resource for kind in kinds), key=lambda resource: resource.plural):
        if resource.is_custom:
            await check_crd(client, resource, namespaces)
