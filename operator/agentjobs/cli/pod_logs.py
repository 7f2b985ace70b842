"""The verb that prints the output of a job's pods: logs."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.options import (
    Context,
    Everywhere,
    JobNames,
    Kubeconfig,
    Namespace,
    Selector,
    seconds_of,
    start_of,
    talking,
)
from agentjobs.cli.printing import harmless, show
from agentjobs.cli.targets import Choice, Target, attempted, looking_in, targets

if TYPE_CHECKING:
    from agentjobs.client.job import Job
    from agentjobs.client.logs import LogLine


def register(app: typer.Typer) -> None:
    """Add this module's verb."""
    app.command()(logs)


def logs(
    names: JobNames = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Stream new lines, also of later starts, until the job ends.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="NUMBER",
            help="This start, or `all`; by default the newest. With --follow: from this start on.",
        ),
    ] = None,
    tail: Annotated[
        int | None, typer.Option("--tail", min=0, metavar="LINES", help="Only the last lines; by default all.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DURATION", help="Only lines newer than this, such as 10m.")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FORMAT", help="json: the original lines on a terminal, too."),
    ] = None,
    selector: Selector = None,
    everywhere: Everywhere = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print the logs of a job's pod.

    Prints the newest start. --follow streams this start and all later ones; with --start from that start on, which may
    not have begun. --tail and --since select from the lines that each pod has already printed. A line on standard error
    marks where each start, or each of several jobs, begins. A terminal shows the runner's lines as sentences, a pipe
    gets JSON.

    Examples:
        agentjobs logs hello
        agentjobs logs -f --tail 20 hello
        agentjobs logs -f --since 10m hello
        agentjobs logs -f --start all hello
        agentjobs logs hello --start all
        agentjobs logs hello -o json
        agentjobs logs -l team=docs --tail 5
    """
    from agentjobs.client import logs as pod_logs

    choice = Choice(names or (), selector, everywhere=everywhere)
    if follow and len(choice.names) != 1:
        raise Failure("--follow follows one job; give exactly one NAME.", code=USAGE)
    if format_ not in (None, "json"):
        raise Failure(f"--output={format_} is not supported; use json.", code=USAGE)
    age = None if since is None else seconds_of(since, option="--since")
    part = pod_logs.Part(tail=tail, since=None if age is None else max(1, round(age)))
    wanted = start_of(start)
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:
        if follow:
            with looking_in(talk.do):
                changes = talk.iterate(pod_logs.follow(talk.do, choice.names[0], timeout=None, start=wanted, part=part))
                _print(changes, name=choice.names[0], begins=True, raw=format_ is not None)
            return
        chosen = targets(talk, choice)

        def printed(target: Target) -> None:
            lines = talk.iterate(pod_logs.logs(target.do, target.name, start=wanted, part=part))
            _print(lines, name=target.name, begins=wanted == "all" or len(chosen) > 1, raw=format_ is not None)

        attempted(chosen, printed)


def _print(items: "Iterable[Job | LogLine]", *, name: str, begins: bool, raw: bool) -> None:
    """Print lines, and report when the job waits, when it ends and where a start begins."""
    from agentjobs.cli.log_lines import shown
    from agentjobs.client.logs import LogLine

    begun = 0
    for item in items:
        if not isinstance(item, LogLine):
            show(harmless(f"{name}: {item.phase} {item.message}".rstrip()), error=True)
            continue
        if begins and item.start != begun:
            begun = item.start
            show(f"{name}: start {begun}", error=True)
        if (text := shown(item.text, sys.stdout, raw=raw)) is not None:
            show(text)
