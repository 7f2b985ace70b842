"""The verb that creates a job from a command line and follows it: run."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from agentjobs.cli import run_flags as flags
from agentjobs.cli.options import Context, GatewayCA, GatewayURL, Kubeconfig, Namespace, Timeout, seconds_of, talking
from agentjobs.cli.parameters import Parameters, Template
from agentjobs.cli.printing import as_json, harmless, show, show_answer
from agentjobs.contract import EXIT_CODES, Verdict

if TYPE_CHECKING:
    from agentjobs.cli.job_builder import Work


def register(app: typer.Typer) -> None:
    """Add this module's verb."""
    app.command()(run)


def run(
    call: typer.Context,
    message: flags.Message = None,
    filename: flags.Filename = None,
    template: Template = None,
    parameters: Parameters = None,
    model: flags.Model = None,
    instruction: flags.Instruction = None,
    tool: flags.Tools = None,
    module: flags.Module = None,
    claude: flags.Claude = False,
    permission_mode: flags.PermissionMode = None,
    max_turns: flags.MaxTurns = None,
    schema: flags.Schema = None,
    git: flags.GitURL = None,
    ref: flags.GitRef = None,
    git_secret: flags.GitSecret = None,
    publish_branch: flags.PublishBranch = None,
    publish_secret: flags.PublishSecret = None,
    state: flags.State = None,
    app_name: flags.AppName = None,
    user_id: flags.UserId = None,
    session_id: flags.SessionId = None,
    queue: flags.Queue = None,
    priority: flags.Priority = None,
    start_after: flags.StartAfter = None,
    max_attempts: flags.MaxAttempts = None,
    image: flags.Image = None,
    ttl: flags.TTL = None,
    name: flags.Name = None,
    local: flags.Local = False,
    working_dir: flags.WorkingDir = None,
    resume: flags.Resume = False,
    journal: flags.JournalFile = None,
    detach: flags.Detach = False,
    json_: flags.AsJSON = False,
    timeout: Timeout = "0",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Run an agent as a job and print its answer.

    Submits the job, shows its phases and logs on standard error, and prints the answer on standard output. With a name,
    from --name or the file, the same command shows the earlier run; `agentjobs rerun NAME` runs it again. --local
    records each step in a file; --resume continues an interrupted local run.

    --claude runs Claude Code: with --working-dir in a folder of this machine, with your own login or the key in
    ANTHROPIC_API_KEY; with --git in a checkout on the cluster, whose changes --publish-branch pushes.

    Exits with 0 when the job succeeded, 77 when it was cancelled, 78 when it failed, 79 when it was skipped because
    another job has its unique key; with --local also 70 (would be retried) and 75 (would be retried later).

    Examples:
        agentjobs run "Say hello." --model gemini-flash-latest --instruction Rhyme.
        agentjobs run -f examples/hello.yaml
        agentjobs run -f examples/hello.yaml --local
        agentjobs run -f examples/resume.yaml --local --resume
        agentjobs run -f base.yaml "Another message." --name another
        agentjobs run --template review -p repo=shop -p depth=deep
        agentjobs run --claude "Explain the build." --working-dir . --json
        agentjobs run --claude "Fix it." --working-dir . --permission-mode AcceptEdits
        agentjobs run --claude "Explain it." --git https://git.example.com/shop.git
    """
    from agentjobs.cli.job_builder import work_of

    place = flags.place_of(call.params)
    work = work_of(filename, name=name, fields=flags.fields_of(call.params), kind=flags.kind_of(call.params))
    if place.local:
        _locally(work, place.folder, resume=resume, journal=journal, json_=json_)
        return
    from agentjobs.cli.run_following import on_cluster

    limit = seconds_of(timeout)
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace, url=gateway, ca=gateway_ca) as talk:
        on_cluster(talk, work, detach=detach, json_=json_, timeout=limit)


def _locally(work: "Work", folder: Path | None, *, resume: bool, journal: Path | None, json_: bool) -> None:
    from agentjobs.cli.local import Recording, attempt

    try:
        ending = attempt(
            work,
            Recording(journal, resume),
            environ=os.environ,
            folder=folder,
            readable=sys.stderr.isatty() and not json_,
        )
    except KeyboardInterrupt:
        show("interrupted", error=True)
        raise typer.Exit(130) from None
    result = ending["result"]
    if json_:
        show(as_json(ending))
    elif result is not None:
        show_answer(result)
    else:
        show(harmless(f"{ending['verdict']} {ending['reason']}: {ending['message']}"), error=True)
    raise typer.Exit(EXIT_CODES[Verdict(ending["verdict"])])
