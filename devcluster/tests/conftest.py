"""The API server that tests run on, as `--apiserver` chose it."""

import asyncio
import os
import pkgutil
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
        default="embedded",
        metavar="embedded|envtest|MODULE:CLASS",
        help="API server of the node's and controllers' tests: ours, the real one and etcd in the folder "
        "KUBEBUILDER_ASSETS, or any other that a class starts for a folder.",
    )


def pytest_configure(config: pytest.Config) -> None:
    chosen = config.getoption("--apiserver")
    if chosen not in {"embedded", "envtest"} and ":" not in chosen:
        raise pytest.UsageError(f"--apiserver={chosen} is unknown; use embedded, envtest, or MODULE:CLASS")
    if chosen == "envtest" and not os.environ.get(ASSETS):
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
    made: Callable[[Path], Any] = pkgutil.resolve_name(backend)
    return made
