"""The program: its verbs, its exit codes, how it fails.

Every verb's module is light; what is heavy it imports when it runs.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import agentjobs
from agentjobs import errors
from agentjobs.cli import looking, objects, past, processes, running, schedules
from agentjobs.cli.failures import FAILURE, USAGE, Failure
from agentjobs.cli.printing import harmless

HELP = """Durable background jobs for AI agents on Kubernetes.

Exit codes: 0 it worked, 1 it did not, 2 the command line is wrong, 124 time ran out.
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)
for module in (processes, running, objects, looking, past, schedules):
    module.register(app)


@app.command()
def version() -> None:
    """Print the version of this program."""
    typer.echo(agentjobs.__version__)


@app.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)
    ] = False,
) -> None:
    if show_version:
        typer.echo(agentjobs.__version__)
        raise typer.Exit


def run(arguments: Sequence[str] | None = None) -> None:
    """Run one verb; ends by SystemExit, with standard error saying why when the code is not 0."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us: what is said is lost, and nothing else
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    try:
        app(args=arguments and list(arguments), prog_name="kubectl agentjobs" if plugin else "agentjobs")
    except Failure as failure:
        _leave(str(failure), failure.code)
    except errors.Misconfigured as error:
        _leave(str(error), USAGE)
    except errors.AgentJobsError as error:
        _leave(str(error), FAILURE)
    except BrokenPipeError:
        # `agentjobs get -w | head`: the reader has enough. Python would complain at exit while flushing.
        sys.stdout = None  # there is nobody left to write to
        sys.exit(FAILURE)
    except OSError as error:
        sys.stdout = None  # or Python complains again at exit
        _leave(f"{error.filename or 'cannot write'}: {error.strerror or error}.", FAILURE)


def _leave(message: str, code: int) -> None:
    typer.secho(f"error: {harmless(message)}", err=True, fg="red" if sys.stderr.isatty() else None)
    sys.exit(code)
