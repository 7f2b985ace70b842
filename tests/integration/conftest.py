"""What all tests here share: the API server they run on, as `--apiserver` chose it, and one whole cluster."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from anyio.from_thread import start_blocking_portal

from agentjobs.dev import backends
from agentjobs.dev.backends import Backend, Server
from agentjobs.dev.crds import apply_crds
from agentjobs.dev.up import DevCluster, up
from agentjobs_runner.import_trim import UNUSED
from devcluster.client import ApiError, Client, Resource
from devcluster.forkserver import SUPPORTED, ForkServer

ROOT = Path(__file__).parents[2]
AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")

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
def forks() -> Iterator[ForkServer | None]:
    """Starts runners from a process that has imported ADK: for tests that are not about a runner's start or death."""
    if not SUPPORTED:
        yield None
        return
    preload = ["agentjobs_runner.attempt", "agentjobs_runner.adk.engine"]
    server = ForkServer("agentjobs_runner", preload=preload, without=UNUSED)
    yield server
    server.close()


def _as_long_as_its_namespace(fixture_name: str, config: pytest.Config) -> Literal["module", "session"]:
    # In a cluster of others there is one namespace, in which names of two modules could meet.
    return "module" if config.getoption("--apiserver") == "kubeconfig" else "session"


@pytest.fixture(scope=_as_long_as_its_namespace)
def shared_cluster(
    backend: Backend, forks: ForkServer | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DevCluster]:
    """A cluster for tests that break nothing of it. It runs in a thread of its own: tests' event loops come and go."""
    folder = tmp_path_factory.mktemp("cluster")
    cluster = up(folder, apiserver=backend, working_folder=ROOT, forks=forks)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(cluster) as running:
        yield running
