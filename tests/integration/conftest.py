"""What all tests here share: the API server they run on, as `--apiserver` chose it, and one whole cluster."""

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
import pytest_asyncio
from anyio.from_thread import start_blocking_portal
from tests.runnerpods import Cluster, Story

from agentjobs.api.generate.crd import FILES
from agentjobs.dev import backends
from agentjobs.dev.backends import Backend, Server, place_of
from agentjobs.dev.crds import apply_crds
from agentjobs.dev.up import DevCluster, up
from agentjobs.history.database import Database
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs_runner.import_trim import UNUSED
from devcluster.client import CONFIG_MAPS, PODS, ApiError, Client, Resource
from devcluster.forkserver import SUPPORTED, ForkServer, ForkServers

ROOT = Path(__file__).parents[2]
AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
AGENTSCHEDULES = Resource("agentjobs.dev", "v1alpha1", "agentschedules", "AgentSchedule")
PROGRAMS = [
    "agentjobs.cli.app",
    "agentjobs.operator_process",
    *(f"agentjobs.{process}.serve" for process in ("gateway", "proxy", "notifier", "dashboard")),
]
EMPTIED = (AGENTSCHEDULES, AGENTJOBS, PODS, CONFIG_MAPS)

# looptime asks for the current event loop around every test. On Python 3.11 asking makes one where none was ever set,
# as in a synchronous test that runs first; nobody closes it, and its ResourceWarning fails the whole run.
asyncio.set_event_loop(None)


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
    preload = ["agentjobs_runner.attempt", "agentjobs_runner.adk.engine"]
    runners = ForkServer("agentjobs_runner", preload=preload, without=UNUSED)
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
