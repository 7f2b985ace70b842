"""Verbs that run servers and tools: dev, demo, operator, gateway, dashboard, proxy, notifier, migrate, release-pods.

Each imports its modules when it runs, and names the extra to install if they are missing.
"""

import gc
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from agentjobs.cli.failures import USAGE, Failure, installs
from agentjobs.cli.options import Timeout, seconds_of
from agentjobs.cli.printing import counted, show

if TYPE_CHECKING:
    from agentjobs.settings import GatewaySettings


def register(app: typer.Typer) -> None:
    """Add this module's verbs."""
    for verb in (dev, demo, operator, gateway, dashboard, proxy, notifier, migrate, release_pods):
        app.command(verb.__name__.replace("_", "-"))(verb)


def dev(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- COMMAND...]",
            help="Run this with KUBECONFIG set, stop everything when it ends, and exit with its code.",
        ),
    ] = None,
    apiserver: Annotated[
        str,
        typer.Option(
            envvar="AGENTJOBS_DEV_APISERVER",
            metavar="SERVER",
            help="embedded (the default); envtest: kube-apiserver and etcd from $KUBEBUILDER_ASSETS; kubeconfig: "
            "the cluster of $KUBECONFIG or --context. Also set by $AGENTJOBS_DEV_APISERVER.",
        ),
    ] = "embedded",
    context: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --apiserver=kubeconfig: context of the kubeconfig."),
    ] = None,
    sinks: Annotated[
        str | None,
        typer.Option("--sinks", metavar="FILE", help="Sinks file: also run the notifier, with these sinks."),
    ] = None,
    triggers: Annotated[
        str | None,
        typer.Option("--triggers", metavar="FILE", help="Triggers file: accept signed webhooks that create jobs."),
    ] = None,
) -> None:
    """Run a complete cluster on this machine.

    Runs API server, PostgreSQL, node, operator, gateway and model proxy, for development and tests. Prints the
    KUBECONFIG to use, and runs until Ctrl-C.

    Examples:
        agentjobs dev
        GOOGLE_API_KEY=your-key agentjobs dev
        AGENTJOBS_MODELS_FILE=models.yaml agentjobs dev
        agentjobs dev --sinks sinks.yaml
        agentjobs dev -- pytest -q
    """
    with _extra("dev"):
        from agentjobs.dev import up
    raise typer.Exit(up.dev(command, apiserver=apiserver, context=context, sinks=sinks, triggers=triggers))


def demo() -> None:
    """Run the examples and show them live.

    Uses its own development cluster until all have ended. Exits with 0 only if each example ended as expected.

    Examples:
        agentjobs demo
    """
    with _extra("dev"):
        from agentjobs.dev import demo as examples
    raise typer.Exit(examples.demo())


def operator() -> None:
    """Run the operator.

    It is configured by environment variables that begin with AGENTJOBS_.

    Examples:
        AGENTJOBS_DATABASE_URL=postgresql://… agentjobs operator
    """
    with _extra("operator"):
        from agentjobs import logs, operator_process
        from agentjobs.settings import operator_settings
    settings = operator_settings()
    logs.configure(settings.log_level, settings.log_format)
    operator_process.run(settings)


def gateway(
    models: Annotated[
        bool, typer.Option("--models", help="Also run the model proxy, on its own port; for development.")
    ] = False,
    models_port: Annotated[
        int, typer.Option("--models-port", metavar="PORT", min=0, max=65535, help="Port of the model proxy.")
    ] = 8444,
) -> None:
    """Run the gateway.

    It is configured by environment variables that begin with AGENTJOBS_.

    Examples:
        AGENTJOBS_DATABASE_URL=postgresql://… agentjobs gateway
    """
    with _extra("gateway"):
        from agentjobs import logs
        from agentjobs.gateway import serve
        from agentjobs.settings import gateway_settings
    settings = gateway_settings()
    logs.configure(settings.log_level, settings.log_format)
    if models:
        _gateway_and_proxy(settings, models_port)
    else:
        serve.run(settings)


def dashboard() -> None:
    """Run the dashboard.

    It serves web pages and the gateway's routes for users. It is configured by environment variables that begin with
    AGENTJOBS_.

    Examples:
        AGENTJOBS_DATABASE_URL=postgresql://… agentjobs dashboard
    """
    with _extra("dashboard"):
        from agentjobs import logs
        from agentjobs.dashboard import serve
        from agentjobs.dashboard.settings import dashboard_settings
    settings = dashboard_settings()
    logs.configure(settings.log_level, settings.log_format)
    serve.run(settings)


def proxy() -> None:
    """Run the model proxy.

    It has the providers' keys, and calls the providers for the jobs' pods. It is configured by environment variables
    that begin with AGENTJOBS_.

    Examples:
        AGENTJOBS_MODELS_FILE=models.yaml agentjobs proxy
    """
    with _extra("proxy"):
        from agentjobs import logs
        from agentjobs.proxy import serve
        from agentjobs.settings import proxy_settings
    settings = proxy_settings()
    logs.configure(settings.log_level, settings.log_format)
    serve.run(settings)


def notifier() -> None:
    """Run the notifier.

    It sends notifications about jobs to the installation's sinks. It is configured by environment variables that begin
    with AGENTJOBS_.

    Examples:
        AGENTJOBS_SINKS_FILE=sinks.yaml agentjobs notifier
    """
    with _extra("proxy"):
        from agentjobs import logs
        from agentjobs.notifier import serve
        from agentjobs.settings import notifier_settings
    settings = notifier_settings()
    logs.configure(settings.log_level, settings.log_format)
    serve.run(settings)


def migrate(
    database_url: Annotated[
        str | None,
        typer.Option(
            "--database-url",
            envvar="AGENTJOBS_DATABASE_URL",
            metavar="URL",
            help="postgresql://… of the history; prefer $AGENTJOBS_DATABASE_URL, which `ps` does not show.",
        ),
    ] = None,
    wait: Annotated[
        str, typer.Option("--wait", metavar="DURATION", help="How long to wait for the server to become available.")
    ] = "0s",
) -> None:
    """Create or upgrade the tables of the history.

    Does nothing if the tables are up to date. Several may run at the same time.

    Examples:
        AGENTJOBS_DATABASE_URL=postgresql://… agentjobs migrate
    """
    if not database_url:
        raise Failure(
            "no database address: set AGENTJOBS_DATABASE_URL=postgresql://user:password@host/database.", code=USAGE
        )
    with _extra("database"):
        from agentjobs.history.migrate import upgrade
    max_wait = seconds_of(wait, option="--wait") or 0.0
    show(f"the database is at version {upgrade(database_url, max_wait=max_wait)}")


def release_pods(
    lease: Annotated[str, typer.Option("--lease", metavar="NAMESPACE/NAME", help="Lease of the removed operator.")],
    namespaces: Annotated[
        list[str] | None,
        typer.Option("--namespace", "-n", metavar="NAME", help="Namespace it served; repeatable; by default all."),
    ] = None,
    kubeconfig: Annotated[
        str | None,
        typer.Option(
            "--kubeconfig",
            metavar="FILE",
            envvar="KUBECONFIG",
            help="Kubeconfig; by default the pod's service account.",
        ),
    ] = None,
    timeout: Timeout = "2m",
) -> None:
    """Remove the finalizer from pods of jobs.

    Use it after removing the operator: otherwise its pods and their namespaces cannot be deleted. Jobs and pods remain.

    Examples:
        agentjobs release-pods --lease agentjobs-system/agentjobs-operator
    """
    lease_namespace, slash, lease_name = lease.partition("/")
    if not (lease_namespace and slash and lease_name):
        raise Failure(f"--lease: expected NAMESPACE/NAME, got {lease!r}", code=USAGE)
    seconds = seconds_of(timeout)
    with _extra("operator"):
        import asyncio

        from agentjobs import logs
        from agentjobs.kube.client import KubeClient
        from agentjobs.kube.finalizer_cleanup import release_pods as release
    logs.configure("INFO", "json")

    async def work() -> int:
        async with KubeClient.connect(kubeconfig, user_agent="agentjobs-release-pods") as client:
            return await release(
                client,
                namespaces=namespaces or (),
                lease_namespace=lease_namespace,
                lease_name=lease_name,
                identity=f"release-pods-{secrets.token_hex(4)}",
                timeout=seconds,
            )

    show(f"finalizer removed from {counted(asyncio.run(work()), 'pod')}; jobs and pods are unchanged")


def _gateway_and_proxy(settings: "GatewaySettings", port: int) -> None:
    """Run both in one process. They share only the database."""
    with _extra("proxy"):
        import asyncio

        from agentjobs.gateway.serve import serving as gateway_serving
        from agentjobs.listening import OnDeath, until_signalled
        from agentjobs.proxy.serve import serving as proxy_serving
        from agentjobs.settings import proxy_settings
    models = proxy_settings(port=port)

    @asynccontextmanager
    async def both(on_death: OnDeath) -> AsyncIterator[None]:
        async with gateway_serving(settings, on_death=on_death), proxy_serving(models, on_death=on_death):
            yield

    asyncio.run(until_signalled(both))


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Import what a process runs; if an optional dependency is missing, fail with the command that installs it."""
    gc.disable()  # importing a thousand modules leaves no garbage, and collecting takes an eighth of the time
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "agentjobs":
            raise
        raise Failure(f"{error.name} is not installed. Run: {installs(name)}", code=USAGE) from error
    finally:
        gc.enable()
