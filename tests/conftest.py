"""Resources for every test: a real PostgreSQL, API servers and a whole cluster, made when a test needs them.

And the option that says which API server the tests run on.
"""

import asyncio
import functools
import gc
import itertools
import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Literal

import httpx
import psycopg
import pytest
import pytest_asyncio
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from psycopg import sql
from sqlalchemy.engine import make_url
from tests.runnerpods import Cluster, Story

from agentjobs.api.generate.crd import FILES
from agentjobs.dev import backends
from agentjobs.dev.backends import Backend, Server, place_of
from agentjobs.dev.crds import apply_crds
from agentjobs.dev.shared import named_access
from agentjobs.dev.up import DevCluster, up
from agentjobs.errors import Misconfigured
from agentjobs.history import migrate
from agentjobs.history.database import Database
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.schema import SCHEMA
from agentjobs_runner.import_trim import UNUSED
from devcluster.client import CONFIG_MAPS, PODS, ApiError, Client, Resource
from devcluster.envtest import ASSETS
from devcluster.forkserver import SUPPORTED, ForkServer, ForkServers
from devcluster.postgres import EmbeddedPostgres

ROOT = Path(__file__).parents[1]
AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
AGENTSCHEDULES = Resource("agentjobs.dev", "v1alpha1", "agentschedules", "AgentSchedule")
PROGRAMS = [
    "agentjobs.cli.app",
    "agentjobs.operator_process",
    *(f"agentjobs.{process}.serve" for process in ("gateway", "proxy", "notifier", "dashboard")),
]
# With the clients of providers, which take a runner two seconds to import.
RUNNER = [
    "agentjobs_runner.attempt",
    *(f"agentjobs_runner.adk.{name}" for name in ("engine", "openai_compatible", "anthropic_api")),
]
EMPTIED = (AGENTSCHEDULES, AGENTJOBS, PODS, CONFIG_MAPS)

# looptime asks for the current event loop around every test. On Python 3.11 asking makes one where none was ever set,
# as in a synchronous test that runs first; no one closes it, and its ResourceWarning fails the whole run.
asyncio.set_event_loop(None)

# What is drawn at random is drawn in full by `make properties`. No deadlines: other work of the machine is not a
# finding.
for _profile, _examples in {"short": 30, "full": int(os.environ.get("EXAMPLES", "200"))}.items():
    settings.register_profile(
        _profile, max_examples=_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile("short")

_TEMPLATE = "migrated"
_DISCONNECT = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE datname = {}"
_numbers = itertools.count(1)
# The others' rows go with these.
_EMPTIED = (
    *("jobs", "artifact_chunks", "artifacts", "states", "turns", "scopes"),
    *("proxies", "model_usage", "limit_slices", "limit_running", "closed_keys", "exhausted_models"),
    *("queue_usage", "queue_spend", "queue_limits", "queue_starts", "processes", "actions"),
)
_free: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--apiserver",
        choices=("embedded", "envtest", "kubeconfig"),
        default="embedded",
        help="API server of the tests: ours, the real one and etcd in the folder KUBEBUILDER_ASSETS, or "
        "that of the cluster KUBECONFIG names, in namespaces and on nodes of the tests' own.",
    )


def pytest_configure(config: pytest.Config) -> None:
    chosen = config.getoption("--apiserver")
    if chosen == "envtest" and not os.environ.get(ASSETS):
        raise pytest.UsageError(f"--apiserver=envtest needs {ASSETS}, the folder of kube-apiserver and etcd")
    if chosen == "kubeconfig":
        try:
            named_access(os.environ)
        except Misconfigured as error:
            raise pytest.UsageError(str(error)) from error
    config.addinivalue_line("markers", "stops_the_server: the test stops its API server, so it gets one of its own")
    config.addinivalue_line("markers", "alone(why): the test cannot run on a cluster that serves others, too")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep the garbage collector from modules and tests, which stay: to look through them takes it half a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before `-m alone` chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("stops_the_server"):
            item.add_marker(pytest.mark.alone("a cluster of others is not stopped for a test"))
        alone = item.get_closest_marker("alone")
        if alone and config.getoption("--apiserver") == "kubeconfig":
            item.add_marker(pytest.mark.skip(reason=alone.args[0]))


def pytest_report_header(config: pytest.Config) -> str:
    return _which_server(config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.get_verbosity() < 0:  # no header then
        terminalreporter.write_line(_which_server(config))


def _which_server(config: pytest.Config) -> str:
    chosen = config.getoption("--apiserver")
    if chosen == "kubeconfig":
        return f"API server: {named_access(os.environ).server}, context {named_access(os.environ).context}"
    if chosen == "envtest":
        return f"API server: kube-apiserver and etcd of {os.environ[ASSETS]}"
    judges = (
        f"the real one of {os.environ[ASSETS]} judges beside it" if os.environ.get(ASSETS) else f"{ASSETS} is unset"
    )
    return f"API server: embedded ({judges})"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres() -> AsyncIterator[EmbeddedPostgres]:
    """A running PostgreSQL with a migrated database to clone. Its data is gone afterwards."""
    async with EmbeddedPostgres(
        Path(tempfile.mkdtemp(prefix="agentjobs-test-")), ephemeral=True, user="agentjobs"
    ) as server:
        _execute(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
        migrate.upgrade(_dsn(server, _TEMPLATE))
        yield server


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """DSN of a database of the test's own without any tables."""
    name = _create(postgres, template="template0")
    yield _dsn(postgres, name)
    _execute(postgres, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """DSN of a migrated, empty database of the test's own. Rows it leaves are removed; tables it must not alter."""
    name = _free.pop() if _free else _create(postgres, template=_TEMPLATE)
    yield _dsn(postgres, name)
    # Emptying takes a millisecond; a clone copies three hundred files.
    _execute(postgres, sql.SQL(_DISCONNECT).format(sql.Literal(name)))
    with psycopg.connect(_dsn(postgres, name)) as connection:
        for table in _EMPTIED:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(SCHEMA, table)))
    _free.append(name)


def _create(server: EmbeddedPostgres, *, template: str) -> str:
    name = f"test_{next(_numbers)}"
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    _execute(server, statement.format(sql.Identifier(name), sql.Identifier(template)))
    return name


def _execute(server: EmbeddedPostgres, statement: sql.Composed) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(statement)


def _dsn(server: EmbeddedPostgres, name: str) -> str:
    return make_url(server.dsn).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Backend:
    """The API server that `--apiserver` chose."""
    chosen: Backend = request.config.getoption("--apiserver")
    return chosen


@pytest.fixture(scope="session")
def make_server(backend: Backend) -> Callable[[Path], Server]:
    """Make an API server in a folder, not yet started."""
    return functools.partial(backends.make_server, backend)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def real_server(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A real API server that serves AgentJobs, once a session: it takes seconds to start."""
    chosen: Backend = "envtest" if backend == "embedded" else backend
    async with backends.make_server(chosen, tmp_path_factory.mktemp("apiserver")) as server:
        place = backends.place_of(server)
        async with Client(server.url, token=server.token, ca=server.ca) as client:
            await apply_crds(client, update=not place.shared)
            await _served(client, place.namespace)
        yield server


async def _served(client: Client, namespace: str) -> None:
    # Established is said before the paths are served, and the first answers may still be 404.
    for _ in range(300):
        try:
            await client.list(AGENTJOBS, namespace)
        except ApiError as error:
            if error.code not in (404, 429, 503):
                raise
        else:
            return
        await asyncio.sleep(0.1)
    pytest.fail("the CRD is not served 30 s after it was made")


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServers | None]:
    """Starts runners and programs from processes that have imported their modules: not for tests of their start."""
    if not SUPPORTED:
        yield None
        return
    runners = ForkServer("agentjobs_runner", preload=RUNNER, without=UNUSED)
    programs = ForkServer("agentjobs.cli", preload=PROGRAMS)
    servers = ForkServers(runners, programs)
    yield servers
    servers.close()


def _as_long_as_its_namespace(fixture_name: str, config: pytest.Config) -> Literal["module", "session"]:
    # In a cluster of others there is one namespace, in which names of two modules could meet.
    return "module" if config.getoption("--apiserver") == "kubeconfig" else "session"


@pytest.fixture(scope=_as_long_as_its_namespace)
def shared_cluster(
    backend: Backend, forks: ForkServers | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DevCluster]:
    """A cluster for tests that break nothing of it. It runs in a thread of its own: tests' event loops come and go."""
    folder = tmp_path_factory.mktemp("cluster")
    cluster = up(folder, apiserver=backend, working_folder=ROOT, forks=forks)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(cluster) as running:
        yield running


@pytest.fixture
def shared_server(request, backend):
    """The session's real API server, or None where the test gets one of its own."""
    own = backend == "embedded" or request.node.get_closest_marker("stops_the_server")
    return None if own else request.getfixturevalue("real_server")


@pytest.fixture
async def apiserver(shared_server, make_server, tmp_path):
    """An API server of the test's own; a real one is shared and emptied, for it takes seconds to start."""
    if shared_server is None:
        async with make_server(tmp_path / "apiserver") as server:
            yield server
        return
    server = shared_server
    namespace = place_of(server).namespace
    yield server
    async with Client(server.url, token=server.token, ca=server.ca) as client:
        for resource in EMPTIED:
            items, _ = await client.list(resource, namespace)
            for item in items:
                try:
                    await client.delete(resource, namespace, item["metadata"]["name"], grace_seconds=0)
                except ApiError as error:
                    if error.code != 404:  # a garbage collector was sooner
                        raise


@pytest.fixture
async def cluster(apiserver):
    trust = ssl.create_default_context(cafile=str(apiserver.ca))
    headers = {"Authorization": f"Bearer {apiserver.token}"}
    async with httpx.AsyncClient(base_url=apiserver.url, verify=trust, headers=headers, trust_env=False) as http:
        cluster = Cluster(http=http, server=apiserver)
        for file, definition in FILES.items():
            made = await http.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=definition())
            assert made.status_code in (201, 409), made.text
            for _ in range(500):
                # The kind is served a moment after its CRD is stored.
                if (await http.get(f"/apis/agentjobs.dev/v1alpha1/{Path(file).stem}")).status_code == 200:
                    break
                await asyncio.sleep(0.01)
        accounts = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts"
        if (await http.get(f"{accounts}/default")).status_code == 404:
            await cluster.create(accounts, {"metadata": {"name": "default"}})
        yield cluster


@pytest.fixture
async def story(database, cluster):
    async with Database(database) as connection:
        yield Story(OperatorWrites(connection, cluster=await cluster.uid()), cluster.namespace)
