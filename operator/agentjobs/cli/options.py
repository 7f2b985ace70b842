"""Options that many verbs share, spelled as kubectl spells them, and how they become a connection."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from agentjobs.cli.failures import USAGE, Failure

if TYPE_CHECKING:
    from agentjobs.cli.cluster import Cluster
    from agentjobs.client.effects import Operation, Stream
    from agentjobs.client.kubeconfig import Access
    from agentjobs.client.operations import Operations
    from agentjobs.client.transport import Blocking

T = TypeVar("T")

Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace; the context's by default.")]
Context = Annotated[
    str | None, typer.Option("--context", help="Context of the kubeconfig; its current one by default.")
]
Kubeconfig = Annotated[str | None, typer.Option("--kubeconfig", help="Kubeconfig file; $KUBECONFIG by default.")]
GatewayURL = Annotated[
    str | None,
    typer.Option("--gateway", envvar="AGENTJOBS_GATEWAY_URL", help="URL of the gateway; the kubeconfig's by default."),
]
GatewayCA = Annotated[
    str | None,
    typer.Option(
        "--gateway-ca", envvar="AGENTJOBS_GATEWAY_CA", help="PEM file the gateway's certificate is checked with."
    ),
]
Timeout = Annotated[str, typer.Option("--timeout", help="How long, such as 90s or 1h; 0 means for ever.")]


def complete_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the jobs whose names begin so, for the shell. Says nothing when they cannot be had: it is only a Tab."""
    given = context.params
    try:
        with talking(
            kubeconfig=given.get("kubeconfig"), context=given.get("context"), namespace=given.get("namespace")
        ) as talk:
            return [job.name for job in talk.run(talk.do.list(selector="")) if job.name.startswith(incomplete)]
    except Exception:  # whatever it is, the shell has no place for it
        return []


JobName = Annotated[str, typer.Argument(help="Name of the AgentJob.", metavar="NAME", autocompletion=complete_names)]


@dataclass(frozen=True, slots=True)
class Talk:
    """Both servers as one user: any request, and the client's operations on one namespace."""

    cluster: "Cluster"
    do: "Operations"
    transport: "Blocking"

    def run(self, operation: "Operation[T]") -> T:
        """Run an operation of the client."""
        return self.transport.run(operation)

    def iterate(self, stream: "Stream[T]") -> Iterator[T]:
        """Run a stream of the client's."""
        return self.transport.iterate(stream)


def seconds_of(timeout: str, *, option: str = "--timeout") -> float | None:
    """Return --timeout, or what the option is called, in seconds; None for 0, which is for ever or not at all."""
    from agentjobs.api.durations import parse_duration

    try:
        return None if timeout.strip() == "0" else parse_duration(timeout).total_seconds()
    except ValueError as error:
        raise Failure(f"{option}: {error}", code=USAGE) from None


def access_of(*, kubeconfig: str | None, context: str | None) -> "Access":
    """Read the kubeconfig."""
    from agentjobs.client.kubeconfig import load

    return load(kubeconfig, context=context, environ=os.environ)


@contextmanager
def connected(*, kubeconfig: str | None, context: str | None) -> Iterator["Cluster"]:
    """Open a connection to the cluster the options name."""
    access = access_of(kubeconfig=kubeconfig, context=context)
    from agentjobs.cli.cluster import connect

    with connect(access) as cluster:
        yield cluster


@contextmanager
def talking(
    *,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    url: str | None = None,
    ca: str | None = None,
) -> Iterator[Talk]:
    """Open both servers, each when it is first asked. Nothing is tried twice: the person at the terminal does."""
    access = access_of(kubeconfig=kubeconfig, context=context)
    from agentjobs.cli.cluster import Cluster
    from agentjobs.client.connection import Endpoint, api_server, gateway
    from agentjobs.client.effects import Server
    from agentjobs.client.operations import Operations
    from agentjobs.client.transport import Blocking

    def endpoint(server: Any) -> Endpoint:
        if server is Server.CLUSTER:
            return api_server(access)
        return gateway(access, url=url, ca=ca, environ=os.environ)

    transport = Blocking(endpoint)
    try:
        yield Talk(Cluster(access, transport), Operations(namespace or access.namespace, patience=0.0), transport)
    finally:
        transport.close()
