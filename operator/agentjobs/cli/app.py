"""The program: its verbs, its exit codes, how it fails.

Every verb's module is light; what is heavy it imports when it runs.
"""

import functools
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from typer.main import get_command

import agentjobs
from agentjobs import errors
from agentjobs.cli import (
    getting,
    history,
    models,
    notifications,
    orders,
    pod_logs,
    queues,
    resources,
    running,
    schedules,
    serve,
    sessions,
    show,
    templates,
    tree,
    validating,
    waiting,
)
from agentjobs.cli.conformance import verb as conformance
from agentjobs.cli.failures import FAILURE, USAGE, Failure
from agentjobs.cli.grammar import Program, Verbs, complaint
from agentjobs.cli.options import Context, GatewayCA, GatewayURL, Kubeconfig, Namespace
from agentjobs.cli.printing import complain

HELP = """Durable background jobs for AI agents on Kubernetes.

Exit codes: 0 it worked; 1 it did not; 2 the command line is wrong; 124 time ran out; 130 Ctrl-C; `run` has more, see
its help.
"""


class _Root(Verbs):
    """The program's verbs."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "describe": "show",
        "status": "show",
        "list": "get",
        "ls": "get",
        "schedules": "schedule",
        "templates": "template",
        "queues": "queue",
        "session": "sessions",
        "artifact": "artifacts",
        "model": "models",
        "cost": "usage",
        "costs": "usage",
    }
    sections: ClassVar[Mapping[str, Sequence[str]]] = {
        "Jobs": (
            *("run", "validate", "create", "apply", "get", "show", "logs", "wait"),
            *("cancel", "suspend", "resume", "rerun", "delete"),
        ),
        "History, also of jobs that are gone": ("history", "result", "tree"),
        "Sessions, which outlive their jobs": ("sessions", "artifacts"),
        "Models and what they cost": ("models", "usage"),
        "What sinks are told": ("notifications",),
        "Templates and schedules": ("template", "schedule"),
        "Queues": ("queue",),
        "Development on this machine": ("dev", "demo", "conformance"),
        "Servers and installations": (
            "operator",
            "gateway",
            "dashboard",
            "proxy",
            "notifier",
            "migrate",
            "release-pods",
        ),
        "Other": ("help", "version"),
    }


app = Program(cls=_Root, help=HELP)
for module in (
    running,
    resources,
    getting,
    show,
    pod_logs,
    waiting,
    orders,
    history,
    sessions,
    models,
    notifications,
    schedules,
    templates,
    validating,
    queues,
    serve,
    tree,
    conformance,
):
    module.register(app)


@app.command()
def version() -> None:
    """Print the version of this program.

    Examples:
        agentjobs version
    """
    typer.echo(agentjobs.__version__)


@app.command("help")
def help_(
    context: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="[VERB...]", help="A verb.")] = None,
) -> None:
    """Show the help of a verb.

    Examples:
        agentjobs help get
        agentjobs help schedule backfill
    """
    root = context.find_root()
    command: Any = root.command
    at: Any = root
    for word in words or ():
        if not isinstance(command, Verbs):
            break
        name, command, _ = command.resolve_command(at, [word])
        at = typer.Context(command, info_name=name, parent=at)
    typer.echo(command.get_help(at))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(agentjobs.__version__)
        raise typer.Exit


@app.callback()
def _root(
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """The flags before the verb are the verb's; `Verbs` hands them on."""


@functools.cache
def program() -> Any:
    """Return the command of all verbs, made once: making it takes 0.1 s, and tests run many verbs in a process."""
    return get_command(app)


def run(arguments: Sequence[str] | None = None) -> None:
    """Run one verb; ends by SystemExit, with standard error saying why when the code is not 0."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us: what is said is lost, and nothing else
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = program()(args=words, prog_name="kubectl agentjobs" if plugin else "agentjobs", standalone_mode=False)
    except Failure as failure:
        _leave(str(failure), failure.code)
    except errors.Misconfigured as error:
        _leave(str(error), USAGE)
    except errors.AgentJobsError as error:
        _leave(str(error), FAILURE)
    except typer.Abort:
        _leave("stopped.", FAILURE)
    except BrokenPipeError:
        # `agentjobs get -w | head`: the reader has enough. Python would complain at exit while flushing.
        sys.stdout = None  # there is nobody left to write to
        sys.exit(FAILURE)
    except OSError as error:
        sys.stdout = None  # or Python complains again at exit
        _leave(f"{error.filename or 'cannot write'}: {error.strerror or error}.", FAILURE)
    except Exception as error:
        told = complaint(error)
        if told is None:
            raise
        _leave(*told)
    sys.exit(code if isinstance(code, int) else 0)


def _leave(message: str, code: int) -> None:
    complain(message)
    sys.exit(code)
