"""The API server that tests run on, as `--apiserver` chose it."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devcluster.apiserver import ApiServer
from devcluster.envtest import ASSETS, EnvTest

# looptime asks for the current event loop around every test. On Python 3.11 asking makes one where none was ever set,
# as in a synchronous test that runs first; it is never closed, and its ResourceWarning fails the whole run.
asyncio.set_event_loop(None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--apiserver",
        choices=("embedded", "envtest", "kubeconfig"),
        default="embedded",
        help="API server of the node's and controllers' tests: ours, the real one and etcd in the folder "
        "KUBEBUILDER_ASSETS, or that of the cluster KUBECONFIG names, in namespaces and on nodes of the tests' own.",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--apiserver") == "envtest" and not os.environ.get(ASSETS):
        raise pytest.UsageError(f"--apiserver=envtest needs {ASSETS}, the folder of kube-apiserver and etcd")


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    """The API server that `--apiserver` chose."""
    chosen: str = request.config.getoption("--apiserver")
    return chosen


@pytest.fixture(scope="session")
def make_server(backend: str) -> Callable[[Path], Any]:
    """Make an API server in a folder, not yet started."""
    match backend:
        case "embedded":
            return ApiServer
        case "envtest":
            return EnvTest
    # Sessions on a cluster that others use are part of AgentJobs' development mode, in the same repository.
    from agentjobs.dev.shared import SharedCluster

    return SharedCluster
