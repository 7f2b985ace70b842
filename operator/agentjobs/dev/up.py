"""Combines the development cluster and the product: `async with up(folder) as cluster`.

API server, controllers and process node run in this process; PostgreSQL and the programs are children. All parts
start at the same time, because most of the time is spent on imports. Used by `agentjobs dev`, `agentjobs demo` and the
integration tests.
"""

import asyncio
import base64
import contextlib
import datetime
import functools
import importlib
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from agentjobs import rbac
from agentjobs.client.kubeconfig import GATEWAY_EXTENSION
from agentjobs.dev import accounts
from agentjobs.dev.backends import Backend, Server, make_server, place_of
from agentjobs.dev.crds import apply_crds
from agentjobs.dev.identity import adopt, is_kept
from agentjobs.dev.nodes import Nodes
from agentjobs.dev.parts import Part, PartEnded, all_of, first_failure, unless_broken
from agentjobs.dev.programs import Programs
from agentjobs.dev.shared import Place, SharedCluster
from devcluster.certificates import Authority
from devcluster.client import NAMESPACES, Client, Object
from devcluster.controllers import ClaimBinder, DefaultAccounts, GarbageCollector, NamespaceController, Scheduler
from devcluster.files import kubeconfig, write_kubeconfig
from devcluster.node import Instant, ProcessNode
from devcluster.ports import free_port
from devcluster.postgres import EmbeddedPostgres
from devcluster.process import Forks

_READY_SECONDS = 60.0
_POLL_SECONDS = 0.02


@dataclass(slots=True)
class DevCluster:
    """A running development cluster. Paths are absolute."""

    folder: Path
    backend: Backend
    url: str
    token: str
    ca: Path
    kubeconfig: Path
    place: Place
    """The namespaces and the node."""
    client: Client
    """A client with an administrator's rights."""
    dsn: str
    gateway_url: str
    gateway_ca: Path
    operator_url: str
    """Base URL of the operator's `/readyz` and `/metrics`."""
    dashboard_url: str | None
    """None without a dashboard."""
    links: Path
    """Folder of the single-use sign-in links."""
    parts: dict[str, Part]
    """`gateway`, `operator`, `operator-2`, `dashboard` …, which tests may end and start."""
    phases: dict[str, float]
    """Seconds from the beginning to the end of each step of the start; the last is `ready`."""
    server: Server
    kept: bool
    """Whether the database stays in `folder`."""
    nodes: Nodes = field(repr=False)
    databases: list[EmbeddedPostgres] = field(repr=False)
    """All PostgreSQL servers so far; the last one runs."""
    failure: "asyncio.Task[BaseException | None]" = field(repr=False)
    """Fails when a part ends unexpectedly."""

    @property
    def postgres(self) -> EmbeddedPostgres:
        return self.databases[-1]

    @property
    def node(self) -> ProcessNode:
        return self.nodes.current

    async def restart_node(self) -> None:
        """Kill the node and all its processes, as a power failure does, and start it again with its files."""
        await self.nodes.restart()

    async def restart_postgres(self) -> None:
        """Start the database again after it was killed, with its data and address."""
        again = _database(self.folder, keep=self.kept)
        self.databases.append(again)
        await again.start()
        if again.dsn != self.dsn:
            raise RuntimeError(f"PostgreSQL has moved from {self.dsn} to {again.dsn}: use a folder with a shorter path")

    def sign_in_link(self) -> str:
        """Return an address that signs in to the dashboard as the administrator, once."""
        from agentjobs.dashboard.sign_in.links import Links  # most clusters have no dashboard

        secret = Links(self.links).make(self.token, datetime.datetime.now(datetime.UTC))
        return f"{self.dashboard_url}/sign-in/link/{secret}"

    async def until_broken(self) -> None:
        """Raise when the cluster breaks; never return."""
        error = await asyncio.shield(self.failure)
        raise error or RuntimeError("every part of the cluster has ended")


@contextlib.asynccontextmanager
async def up(
    folder: Path,
    *,
    apiserver: Backend = "embedded",
    port: int = 0,
    context: str | None = None,
    inherit_env: Mapping[str, str] | None = None,
    providers: Mapping[str, str] | None = None,
    working_folder: Path | None = None,
    settings: Mapping[str, str] | None = None,
    operators: int = 1,
    operator_command: Sequence[str] = (),
    keep: bool = False,
    sinks: Path | None = None,
    triggers: Path | None = None,
    dashboard: bool = False,
    dashboard_port: int = 0,
    instant: Callable[[Object], Instant | None] = lambda pod: None,
    forks: Forks | None = None,
) -> AsyncIterator[DevCluster]:
    """Run a whole cluster in `folder` until the context ends. No part outlives this process.

    Args:
        apiserver: `embedded`, `envtest` for the binaries of KUBEBUILDER_ASSETS, or `kubeconfig` for an existing
            cluster, with new namespaces and a new node, which are removed at the end.
        port: of the API server; 0 is a free port.
        context: for `kubeconfig`; by default the current context of the file KUBECONFIG.
        inherit_env: variables for every runner pod, such as settings of an HTTP proxy.
        providers: the models file, or variables with keys and addresses of providers (see `programs`), only for the
            model proxy; without any, no model of a provider can be called.
        working_folder: of runner pods, also in their PYTHONPATH; by default the current one.
        settings: additional variables for operator and gateway, such as AGENTJOBS_QUEUES.
        operators: the number of operators; one of them leads.
        operator_command: the command of the operator; by default `agentjobs operator`.
        keep: keep the database in `folder` for the next start.
        sinks: the sinks file; with it a notifier runs, and jobs may use its sinks.
        triggers: the triggers file; with it the gateway accepts signed webhooks, and may create jobs in their
            namespaces.
        dashboard: whether the dashboard runs too.
        dashboard_port: of the dashboard; 0 is a free port.
        instant: see `ProcessNode`.
        forks: starts the commands of parts and pods that it takes, instead of exec.

    Raises:
        PartEnded: a part ended during the start.
        TimeoutError: not ready within a minute.
        Misconfigured: no cluster is named for `kubeconfig`, or it cannot be used.
    """
    folder = _made(folder)
    adopting = apiserver == "embedded" and not is_kept(folder / "apiserver")
    server = make_server(apiserver, folder / "apiserver", port=port, context=context)
    programs = Programs(
        folder,
        place_of(server),
        dict(settings or {}),
        dict(providers or {}),
        operator_command,
        sinks,
        triggers,
        dashboard,
        forks,
    )
    start = _Start(
        programs=programs,
        backend=apiserver,
        server=server,
        operators=operators,
        keep=keep,
        adopting=adopting,
        dashboard_url=f"http://127.0.0.1:{dashboard_port or free_port()}" if dashboard else None,
        inherit_env=inherit_env or {},
        working_folder=working_folder,
        instant=instant,
    )
    async with contextlib.AsyncExitStack() as stack:
        yield await start.run(stack)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder.absolute()


@dataclass(frozen=True, slots=True)
class _Gateway:
    """Where the gateway listens."""

    port: int
    certificate: Path
    key: Path
    ca: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        return {
            "AGENTJOBS_HOST": "127.0.0.1",
            "AGENTJOBS_PORT": str(self.port),
            "AGENTJOBS_TLS_CERT": str(self.certificate),
            "AGENTJOBS_TLS_KEY": str(self.key),
            "AGENTJOBS_GATEWAY_CA": str(self.ca),
        }


@dataclass(slots=True, kw_only=True)
class _Start:
    """One start, step by step; the stack ends the parts in the opposite order."""

    programs: Programs
    backend: Backend
    server: Server
    operators: int
    keep: bool
    adopting: bool
    dashboard_url: str | None
    inherit_env: Mapping[str, str]
    working_folder: Path | None
    instant: Callable[[Object], Instant | None]
    _began: float = field(default_factory=time.monotonic)
    _phases: dict[str, float] = field(default_factory=dict)
    _tasks: "list[asyncio.Task[None]]" = field(default_factory=list)

    @property
    def _folder(self) -> Path:
        return self.programs.folder

    @property
    def _place(self) -> Place:
        return self.programs.place

    async def run(self, stack: contextlib.AsyncExitStack) -> DevCluster:
        server = self.server
        await stack.enter_async_context(server)
        self._note("apiserver")
        fresh = not (self._folder / "postgres").exists()
        databases, listening = await self._start_postgres(stack)
        dsn = databases[0].dsn
        client = await stack.enter_async_context(Client(server.url, token=server.token, ca=server.ca))
        await apply_crds(client, update=not self._place.shared)
        self._note("crds")
        gateway = self._gateway()
        config = self._write_kubeconfig(gateway)
        await self._sign_in(client)
        probes = [f"127.0.0.1:{free_port()}" for _ in range(self.operators)]
        parts = self._start_parts(stack, dsn, gateway, probes)
        nodes = Nodes(functools.partial(self._node, client, gateway))
        self._serve(client, nodes)
        importing = asyncio.create_task(asyncio.to_thread(_import_migration, fresh=fresh))
        await listening
        self._note("postgres")
        await importing
        self._tasks.append(asyncio.create_task(_watch_postgres(databases[0])))
        failure = asyncio.create_task(first_failure(self._tasks))
        stack.callback(failure.cancel)
        await unless_broken(self._migrate(dsn, client), failure)
        await unless_broken(self._all_ready(gateway, probes, nodes), failure)
        self._note("ready")
        return DevCluster(
            folder=self._folder,
            backend=self.backend,
            url=server.url,
            token=server.token,
            ca=server.ca,
            kubeconfig=config,
            place=self._place,
            client=client,
            dsn=dsn,
            gateway_url=gateway.url,
            gateway_ca=gateway.ca,
            operator_url=f"http://{probes[0]}",
            dashboard_url=self.dashboard_url,
            links=self.programs.links,
            parts=parts,
            phases=self._phases,
            server=server,
            kept=self.keep,
            nodes=nodes,
            databases=databases,
            failure=failure,
        )

    async def _start_postgres(
        self, stack: contextlib.AsyncExitStack
    ) -> "tuple[list[EmbeddedPostgres], asyncio.Task[None]]":
        """Start the database, and return it, first in the list, with the task that ends when it listens."""
        databases = [_database(self._folder, keep=self.keep)]
        stack.push_async_callback(_stop_all, databases)
        listening = asyncio.create_task(databases[0].start())
        stack.push_async_callback(_abandon, listening)  # a start that failed does not wait for it
        # Its first step chooses the folder of the socket, so the address is known before the server listens.
        await asyncio.sleep(0)
        return databases, listening

    def _gateway(self) -> _Gateway:
        port = free_port()
        authority = Authority(self._folder, name="gateway-ca", now=datetime.datetime.now(datetime.UTC))
        pair = authority.server("gateway")
        return _Gateway(port, pair.certificate, pair.key, authority.certificate)

    def _start_parts(
        self, stack: contextlib.AsyncExitStack, dsn: str, gateway: _Gateway, probes: Sequence[str]
    ) -> dict[str, Part]:
        parts = self.programs.parts(dsn, gateway.url, gateway.variables, probes, self.dashboard_url)
        stack.push_async_callback(_end_all, parts)
        stack.push_async_callback(self._cancel)  # ended first: the pods' processes end with the node
        for part in parts.values():
            part.start()
            self._tasks.append(asyncio.create_task(part.watch(), name=part.name))
        return parts

    def _node(self, client: Client, gateway: _Gateway) -> ProcessNode:
        place = self._place
        return ProcessNode(
            client,
            name=place.node,
            folder=self._folder / "node",
            tls=self.server.node_tls,
            # Not in the operator's settings: there a path is one inside the container, and below /tmp, where temporary
            # folders are, one in its emptyDir.
            inherited={"AGENTJOBS_GATEWAY_CA": str(gateway.ca), **self.inherit_env},
            working_folder=self.working_folder,
            instant=self.instant,
            forks=self.programs.forks,
            **place.node_options,
        )

    def _serve(self, client: Client, nodes: Nodes) -> None:
        services = {"process node": nodes.run()}
        if not self._place.shared:  # a whole cluster has controllers of its own
            services |= {
                "garbage collector": GarbageCollector(client).run(),
                "namespace controller": NamespaceController(client).run(),
                "claims": ClaimBinder(client).run(),
                "scheduler": Scheduler(client).run(),
                "service accounts": DefaultAccounts(client, ca=self.server.ca.read_text()).run(),
            }
        self._tasks += [asyncio.create_task(service, name=name) for name, service in services.items()]

    def _write_kubeconfig(self, gateway: _Gateway) -> Path:
        server = self.server
        config = kubeconfig(server.url, server.ca, server.token, name="agentjobs")
        certificate = base64.b64encode(gateway.ca.read_bytes()).decode()
        extension = {"url": gateway.url, "certificate-authority-data": certificate}
        config["clusters"][0]["cluster"]["extensions"] = [{"name": GATEWAY_EXTENSION, "extension": extension}]
        if self._place.shared:
            config["contexts"][0]["context"]["namespace"] = self._place.namespace
        path = self._folder / "kubeconfig"
        write_kubeconfig(path, config)
        return path

    async def _sign_in(self, client: Client) -> None:
        """Create the accounts of the programs, with their roles in a cluster."""
        server, system = self.server, self._place.system
        await accounts.apply(client, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": system}}])
        for part in self.programs.accounts:
            objects = rbac.objects(part, namespace=system)
            if isinstance(server, SharedCluster):
                objects = [server.labelled(obj) for obj in accounts.renamed(objects, self._place.namespace)]
            await accounts.apply(client, objects)
            token = await accounts.token(client, system, f"agentjobs-{part}")
            config = kubeconfig(server.url, server.ca, token, name="agentjobs", user=f"agentjobs-{part}")
            write_kubeconfig(self.programs.credentials(part), config)
        await accounts.apply(client, self.programs.trigger_roles())
        self._note("accounts")

    async def _migrate(self, dsn: str, client: Client) -> None:
        from agentjobs.history.migrate import upgrade

        await asyncio.to_thread(upgrade, dsn)
        if self.adopting:
            namespace = await client.get(NAMESPACES, None, "kube-system")
            await asyncio.to_thread(adopt, dsn, namespace["metadata"]["uid"])
        self._note("migrated")

    async def _all_ready(self, gateway: _Gateway, probes: Sequence[str], nodes: Nodes) -> None:
        """Wait until all parts and the node are ready; of the operators, one."""
        pages = [self._until_ready("dashboard", f"{self.dashboard_url}/readyz")] if self.dashboard_url else []
        await all_of(
            self._until_ready("gateway", f"{gateway.url}/readyz", ca=gateway.ca),
            self._until_ready("operator", *(f"http://{address}/readyz" for address in probes)),
            nodes.current.ready.wait(),
            *pages,
        )

    async def _until_ready(self, name: str, *urls: str, ca: Path | None = None) -> None:
        """Wait until one of the addresses is ready. With `ca` they have a certificate of that CA."""
        deadline = time.monotonic() + _READY_SECONDS
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=ca))
        async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
            answer = "no answer"
            while time.monotonic() < deadline:
                for url in urls:
                    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                        async with session.get(url, timeout=aiohttp.ClientTimeout(total=5)) as response:
                            if response.status == 200:
                                self._note(name)
                                return
                            answer = (await response.text()).strip()
                await asyncio.sleep(_POLL_SECONDS)
        raise TimeoutError(f"{name} was not ready after {_READY_SECONDS:.0f} s: {answer}")

    def _note(self, phase: str) -> None:
        self._phases[phase] = time.monotonic() - self._began

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _database(folder: Path, *, keep: bool) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder / "postgres", ephemeral=not keep, user="agentjobs")


def _import_migration(*, fresh: bool) -> None:
    """Import the modules of the migration while PostgreSQL starts. Takes half a second."""
    importlib.import_module("agentjobs.history.migrate")
    if fresh:
        importlib.import_module("alembic.command")


async def _stop_all(databases: Sequence[EmbeddedPostgres]) -> None:
    for database in reversed(databases):
        await database.stop()


async def _abandon(task: "asyncio.Task[None]") -> None:
    """Cancel a task and ignore its outcome."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _end_all(parts: Mapping[str, Part]) -> None:
    await asyncio.gather(*(part.end() for part in parts.values()))


async def _watch_postgres(postgres: EmbeddedPostgres) -> None:
    await postgres.wait()
    raise PartEnded("PostgreSQL", "ended", postgres.log)


def dev(
    command: Sequence[str] | None = None,
    *,
    apiserver: str | None = None,
    context: str | None = None,
    sinks: str | None = None,
    triggers: str | None = None,
) -> int:
    """Run `agentjobs dev`, or `agentjobs dev -- COMMAND`, and return the exit status.

    Args:
        apiserver: None uses the environment's.
        context: of the kubeconfig, for `kubeconfig`.
        sinks: path of the sinks file.
        triggers: path of the triggers file.
    """
    from agentjobs.dev.session import run

    return run(
        list(command or []), environ=os.environ, apiserver=apiserver, context=context, sinks=sinks, triggers=triggers
    )
