"""Verbs that run something: dev, demo, operator, gateway, migrate, release-pods.

Each imports what it runs when it runs, and says which extra brings it when it is not installed.
"""

import gc
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.options import Timeout, seconds_of
from agentjobs.cli.printing import show


def register(app: typer.Typer) -> None:
    """Add this module's verbs."""
    for verb in (dev, demo, operator, gateway, migrate, release_pods):
        app.command(verb.__name__.replace("_", "-"))(verb)


def dev(
    command: Annotated[
        list[str] | None,
        typer.Argument(help="After `--`: run this with KUBECONFIG set, stop everything when it ends, exit as it did."),
    ] = None,
    apiserver: Annotated[
        str,
        typer.Option(
            envvar="AGENTJOBS_DEV_APISERVER",
            show_envvar=True,
            help="`embedded`, `envtest` for the kube-apiserver and etcd in $KUBEBUILDER_ASSETS, or `kubeconfig` for a "
            "cluster that is there, named by $KUBECONFIG or --context.",
        ),
    ] = "embedded",
    context: Annotated[
        str | None, typer.Option(help="With --apiserver=kubeconfig: which context of the kubeconfig.")
    ] = None,
) -> None:
    """Run a whole cluster on this machine for development: API server, PostgreSQL, node, operator, gateway."""
    with _extra("dev"):
        from agentjobs.dev import up
    raise typer.Exit(up.dev(command, apiserver=apiserver, context=context))


def demo() -> None:
    """Run the examples in a development cluster and show them live until they end."""
    with _extra("dev"):
        from agentjobs.dev import demo as examples
    raise typer.Exit(examples.demo())


def operator() -> None:
    """Run the operator; settings are environment variables that begin with AGENTJOBS_."""
    with _extra("operator"):
        from agentjobs import handlers, logs
        from agentjobs.settings import operator_settings
    settings = operator_settings()
    logs.configure(settings.log_level, settings.log_format)
    handlers.run(settings)


def gateway() -> None:
    """Run the gateway; settings are environment variables that begin with AGENTJOBS_."""
    with _extra("gateway"):
        from agentjobs import logs
        from agentjobs.gateway import serve
        from agentjobs.settings import gateway_settings
    settings = gateway_settings()
    logs.configure(settings.log_level, settings.log_format)
    serve.run(settings)


def migrate(
    database_url: Annotated[
        str | None,
        typer.Option(
            "--database-url",
            envvar="AGENTJOBS_DATABASE_URL",
            show_envvar=True,
            help="postgresql://… of the history; better in the environment, where `ps` does not show it.",
        ),
    ] = None,
    wait: Annotated[
        str, typer.Option("--wait", metavar="DURATION", help="How long to wait for a server that is not there yet.")
    ] = "0s",
) -> None:
    """Bring the database of the history to the version this program needs; harmless when it is there already."""
    if not database_url:
        raise Failure("no database: set AGENTJOBS_DATABASE_URL=postgresql://user:password@host/database.", code=USAGE)
    with _extra("database"):
        from agentjobs.history.migrate import upgrade
    patience = seconds_of(wait, option="--wait") or 0.0
    show(f"the database is at version {upgrade(database_url, patience=patience)}")


def release_pods(
    lease: Annotated[
        str, typer.Option("--lease", metavar="NAMESPACE/NAME", help="The Lease of the operator that is gone.")
    ],
    namespaces: Annotated[
        list[str] | None, typer.Option("--namespace", "-n", help="Namespace it served; repeat it. All by default.")
    ] = None,
    kubeconfig: Annotated[
        str | None,
        typer.Option("--kubeconfig", envvar="KUBECONFIG", help="Kubeconfig file; in a pod its service account."),
    ] = None,
    timeout: Timeout = "2m",
) -> None:
    """Let go of the pods of jobs when no operator will: without it they, and their namespace, could not be deleted."""
    lease_namespace, slash, lease_name = lease.partition("/")
    if not (lease_namespace and slash and lease_name):
        raise Failure(f"--lease: expected NAMESPACE/NAME, got {lease!r}", code=USAGE)
    patience = seconds_of(timeout)
    with _extra("operator"):
        import asyncio

        from agentjobs import logs
        from agentjobs.kube.client import KubeClient
        from agentjobs.kube.held_pods import release_pods as release
    logs.configure("INFO", "json")

    async def work() -> int:
        async with KubeClient.connect(kubeconfig, user_agent="agentjobs-release-pods") as client:
            return await release(
                client,
                namespaces=namespaces or (),
                lease_namespace=lease_namespace,
                lease_name=lease_name,
                identity=f"release-pods-{secrets.token_hex(4)}",
                patience=patience,
            )

    show(f"let go of {asyncio.run(work())} pods; jobs and their pods stay as they are")


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Import what a process runs. Turn the absence of an optional dependency into the command that installs it."""
    gc.disable()  # a thousand modules leave no garbage, and looking for it takes an eighth of their time
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "agentjobs":
            raise
        cure = f"pip install 'agentjobs[{name}]'"
        raise Failure(f"this needs {error.name}, which is not installed. Type: {cure}", code=USAGE) from error
    finally:
        gc.enable()
