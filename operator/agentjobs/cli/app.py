"""The program: its verbs, its exit codes, how it fails.

Each verb's module is light and imports heavy packages only when it runs.
"""

import functools
import io
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
    job_actions,
    models,
    notifications,
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

Exit codes: 0 success; 1 failure; 2 wrong command line; 124 timeout; 130 Ctrl-C; `run` has more, see its help.
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
        "History, including deleted jobs": ("history", "result", "tree"),
        "Sessions, which outlive their jobs": ("sessions", "artifacts"),
        "Models and what they cost": ("models", "usage"),
        "Notifications": ("notifications",),
        "Templates and schedules": ("template", "schedule"),
        "Queues": ("queue",),
        "Development": ("dev", "demo", "conformance"),
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
    job_actions,
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
    """Do nothing: `Verbs` passes the flags before the verb on to it."""


@functools.cache
def program() -> Any:
    """Return the command of all verbs, made once: making it takes 0.1 s, and tests run many verbs in a process."""
    return get_command(app)


def run(arguments: Sequence[str] | None = None) -> None:
    """Run one verb and exit with SystemExit. When the code is not 0, standard error has the reason."""
    _make_writable()
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
        # `agentjobs get -w | head`: the reader has closed the pipe. Python would fail on flush at exit.
        sys.stdout = None  # no reader remains
        sys.exit(FAILURE)
    except UnicodeEncodeError as error:  # bytes of the command line
        _leave(f"{ascii(error.object)[:80]} is not UTF-8 text.", USAGE)
    except OSError as error:
        sys.stdout = None  # or Python fails again at exit
        _leave(f"{error.filename or 'cannot write'}: {error.strerror or error}.", FAILURE)
    except Exception as error:
        message_and_code = complaint(error)
        if message_and_code is None:
            raise
        _leave(*message_and_code)
    sys.exit(code if isinstance(code, int) else 0)


def _make_writable() -> None:
    """Let any text be printed: to closed streams, and in locales other than UTF-8."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the caller closed it: only the output is lost
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _leave(message: str, code: int) -> None:
    complain(message)
    sys.exit(code)
