"""Options that many verbs share, spelled as kubectl spells them, and how they become a connection."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agentjobs.cli.cluster import Cluster
    from agentjobs.client.kubeconfig import Access

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
