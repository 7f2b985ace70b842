"""Verbs that run something: dev, demo, operator, gateway, migrate.

Each imports what it runs when it runs, and says which extra brings it when it is not installed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.options import seconds_of
from agentjobs.cli.printing import show


def register(app: typer.Typer) -> None:
    """Add this module's verbs."""
    for verb in (dev, demo, operator, gateway, migrate):
        app.command()(verb)


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


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Turn the absence of an optional dependency into the command that installs it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "agentjobs":
            raise
        cure = f"pip install 'agentjobs[{name}]'"
        raise Failure(f"this needs {error.name}, which is not installed. Type: {cure}", code=USAGE) from error
