"""The API servers a development cluster can run on, behind one face. Called by `up` and the tests."""

from pathlib import Path
from typing import Literal

from agentjobs.dev.identity import identity
from agentjobs.dev.shared import Place, SharedCluster
from devcluster.apiserver import ApiServer
from devcluster.envtest import EnvTest

Backend = Literal["embedded", "envtest", "kubeconfig"]
Server = ApiServer | EnvTest | SharedCluster


def make_server(backend: Backend, folder: Path, *, port: int = 0, context: str | None = None) -> Server:
    """Return a server that is not started yet; entering it as a context does that.

    Args:
        port: where it shall listen; 0 takes a free port.
        context: of the kubeconfig, for a cluster that is there.
    """
    match backend:
        case "embedded":
            return ApiServer(folder, port=port, cluster=identity(folder))
        case "envtest":
            return EnvTest(folder, port=port)
        case "kubeconfig":
            return SharedCluster(folder, context=context)


def place_of(server: Server) -> Place:
    """Return where on a server one may work."""
    return server.place if isinstance(server, SharedCluster) else Place()
