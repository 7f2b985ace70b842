"""The API servers of a development cluster, with one interface."""

from pathlib import Path
from typing import Literal

from agentjobs.dev.identity import identity
from agentjobs.dev.shared import Place, SharedCluster
from devcluster.apiserver import ApiServer
from devcluster.envtest import EnvTest

Backend = Literal["embedded", "envtest", "kubeconfig"]
Server = ApiServer | EnvTest | SharedCluster


def make_server(backend: Backend, folder: Path, *, port: int = 0, context: str | None = None) -> Server:
    """Return a server that has not been started; entering its context starts it.

    Args:
        port: to listen on; 0 is a free port.
        context: of the kubeconfig, for an existing cluster.
    """
    match backend:
        case "embedded":
            return ApiServer(folder, port=port, cluster=identity(folder))
        case "envtest":
            return EnvTest(folder, port=port)
        case "kubeconfig":
            return SharedCluster(folder, context=context)


def place_of(server: Server) -> Place:
    """Return the namespaces and the node to use on a server."""
    return server.place if isinstance(server, SharedCluster) else Place()
