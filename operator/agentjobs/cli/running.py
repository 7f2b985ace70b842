"""The verb that makes a job of a command line and sees it through: run."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from agentjobs import errors
from agentjobs.cli.failures import SKIPPED, TIMED_OUT, USAGE, Failure
from agentjobs.cli.options import Context, GatewayCA, GatewayURL, Kubeconfig, Namespace, Timeout, seconds_of, talking
from agentjobs.cli.parameters import Parameters, Template
from agentjobs.cli.printing import age, as_json, harmless, show, show_answer
from agentjobs.contract import EXIT_CODES, Verdict

if TYPE_CHECKING:
    from agentjobs.cli.job_builder import Work
    from agentjobs.cli.options import Talk
    from agentjobs.client.job import Job

# What a job's end means as a runner's verdict, for one table of exit codes.
_VERDICTS: Final = {"Succeeded": Verdict.SUCCEED, "Cancelled": Verdict.CANCEL}


def register(app: typer.Typer) -> None:
    """Add this module's verb."""
    app.command()(run)


def run(
    message: Annotated[
        str | None, typer.Argument(metavar="MESSAGE", help="The message to the agent (input.message).")
    ] = None,
    filename: Annotated[
        str | None, typer.Option("--filename", "-f", metavar="FILE", help="File with one AgentJob, or -.")
    ] = None,
    template: Template = None,
    parameters: Parameters = None,
    model: Annotated[str | None, typer.Option("--model", help="agent.model")] = None,
    instruction: Annotated[str | None, typer.Option("--instruction", help="agent.inline.instruction")] = None,
    tool: Annotated[
        list[str] | None, typer.Option("--tool", metavar="NAME", help="A name of agent.inline.tools; repeatable.")
    ] = None,
    module: Annotated[
        str | None, typer.Option("--module", metavar="REF", help="agent.module.ref: package.module:attribute")
    ] = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", metavar="KEY=VALUE", help="One entry of input.state; repeatable.")
    ] = None,
    app_name: Annotated[str | None, typer.Option("--app-name", help="session.appName")] = None,
    user_id: Annotated[str | None, typer.Option("--user-id", help="session.userId")] = None,
    session_id: Annotated[str | None, typer.Option("--session-id", help="session.sessionId")] = None,
    queue: Annotated[str | None, typer.Option("--queue", help="queue")] = None,
    priority: Annotated[
        int | None, typer.Option("--priority", metavar="0-9", help="priority: 0 is first, 9 is last")
    ] = None,
    start_after: Annotated[
        str | None, typer.Option("--start-after", metavar="DURATION", help="startAfter, such as 1h")
    ] = None,
    max_attempts: Annotated[
        int | None, typer.Option("--max-attempts", metavar="NUMBER", help="retry.maxAttempts")
    ] = None,
    image: Annotated[str | None, typer.Option("--image", help="runtime.image")] = None,
    ttl: Annotated[
        int | None,
        typer.Option(
            "--ttl-seconds-after-finished",
            metavar="SECONDS",
            help="ttlSecondsAfterFinished; by default a day, or what the template says.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the job; by default a random one.")] = None,
    local: Annotated[bool, typer.Option("--local", help="One start on this machine, without any server.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="With --local: continue at the step where the run before was killed.")
    ] = False,
    journal: Annotated[
        Path | None,
        typer.Option(
            "--journal",
            metavar="FILE",
            help="With --local: where steps are recorded, .agentjobs/JOB.sqlite by default.",
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Submit, print the job's name, and exit.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print verdict and result as JSON.")] = False,
    timeout: Timeout = "0",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Run an agent as a job and print its answer.

    Submits the job, shows its phases and logs on standard error, and prints the answer on standard output. With a name,
    from --name or the file, running the same command again shows the earlier run; `agentjobs rerun NAME` runs it again.
    With --local it records each step in a file, and --resume continues a run that was killed.

    Exits 0 when it succeeded, 77 when it was cancelled, 78 when it failed, 79 when it was skipped because another job
    has its unique key; with --local also 70 (would be tried again) and 75 (would be tried later).

    Examples:
        agentjobs run "Say hello." --model gemini-flash-latest --instruction Rhyme.
        agentjobs run -f examples/hello.yaml
        agentjobs run -f examples/hello.yaml --local
        agentjobs run -f examples/resume.yaml --local --resume
        agentjobs run -f base.yaml "Another message." --name another
        agentjobs run --template review -p repo=shop -p depth=deep
    """
    from agentjobs.cli.job_builder import pairs, work_of

    if local and detach:
        raise Failure("--local runs in this process; leave out --detach.", code=USAGE)
    if not local and (resume or journal):
        flag = "--resume" if resume else "--journal"
        raise Failure(f"{flag} goes with --local; a cluster continues a job by itself.", code=USAGE)
    fields: dict[tuple[str, ...], Any] = {
        ("templateRef", "name"): template,
        ("parameters",): pairs(parameters, "--parameter"),
        ("agent", "model"): model,
        ("agent", "inline", "instruction"): instruction,
        ("agent", "inline", "tools"): [{"name": each} for each in tool or ()],
        ("agent", "module", "ref"): module,
        ("input", "message"): message,
        ("input", "state"): pairs(state, "--state"),
        ("session", "appName"): app_name,
        ("session", "userId"): user_id,
        ("session", "sessionId"): session_id,
        ("queue",): queue,
        ("priority",): priority,
        ("startAfter",): start_after,
        ("retry", "maxAttempts"): max_attempts,
        ("runtime", "image"): image,
        ("ttlSecondsAfterFinished",): ttl,
    }
    work = work_of(filename, name=name, fields=fields)
    if local:
        _locally(work, resume=resume, journal=journal, json_=json_)
        return
    limit = seconds_of(timeout)
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace, url=gateway, ca=gateway_ca) as talk:
        job = _submitted(talk, work)
        if earlier := _earlier(job, now=datetime.now(UTC)):
            show(harmless(earlier), error=True)
        if detach:
            show(as_json({"name": job.name, "uid": job.uid}) if json_ else job.name)
            return
        _see_through(talk, job.name, json_=json_, timeout=limit)


def _locally(work: "Work", *, resume: bool, journal: Path | None, json_: bool) -> None:
    from agentjobs.cli.local import Recording, attempt

    try:
        ending = attempt(
            work, Recording(journal, resume), environ=os.environ, readable=sys.stderr.isatty() and not json_
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


def _submitted(talk: "Talk", work: "Work") -> "Job":
    """Apply what else the file holds, then submit the job."""
    from agentjobs.cli.manifests import Manifest
    from agentjobs.cli.resources import applied

    own = work.job["metadata"].get("namespace")
    if own and own != talk.do.namespace:
        raise Failure(f"the file has namespace {own!r}; add --namespace {own}.", code=USAGE)
    for body in work.others:
        show(applied(talk.cluster, Manifest(source="file", body=body), namespace=talk.do.namespace), error=True)
    metadata = work.job["metadata"]
    return talk.run(
        talk.do.submit(
            work.job["spec"],
            name=work.name or None,
            labels=metadata.get("labels"),
            annotations=metadata.get("annotations"),
        )
    )


def _earlier(job: "Job", *, now: datetime) -> str:
    """Return what to say of a job that was there already, and what runs the work again; nothing of a new one."""
    if job.status.phase is None:
        return ""
    ago = age(job.created.isoformat(), now=now)
    if job.finished:
        how = f"{job.phase} ({job.reason})" if job.reason else job.phase
        again = f"To run it again: agentjobs rerun {job.name}"
        return f"{job.name} was created {ago} ago and ended as {how}; this is that run. {again}"
    return f"{job.name} was created {ago} ago and is {job.phase}; this follows it."


def _see_through(talk: "Talk", name: str, *, json_: bool, timeout: float | None) -> None:
    from agentjobs.cli.log_lines import shown
    from agentjobs.client.logs import LogLine, follow

    job: Job | None = None
    try:
        for item in talk.iterate(follow(talk.do, name, timeout=timeout)):
            if isinstance(item, LogLine):
                if (text := shown(item.text, sys.stderr, raw=json_)) is not None:
                    show(text, error=True)
            else:
                job = item
                show(harmless(f"{name}: {job.phase} {job.message}".rstrip()), error=True)
    except KeyboardInterrupt:
        show(f"\n{name} runs on; to stop it: agentjobs cancel {name}", error=True)
        raise typer.Exit(130) from None
    except TimeoutError as error:
        raise Failure(str(error), code=TIMED_OUT) from None
    assert job is not None, "the stream begins with the job"
    if job.phase == "Skipped":
        raise typer.Exit(_skipped(job, json_=json_))
    verdict = _VERDICTS.get(job.phase, Verdict.FAIL)
    answer = _answer(talk, job) if job.succeeded else None
    if json_:
        ended = {"name": name, "verdict": verdict.value, "reason": job.reason, "message": job.message}
        show(as_json({**ended, "result": answer}))
    elif answer is not None:
        show_answer(answer)
    raise typer.Exit(EXIT_CODES[verdict])


def _skipped(job: "Job", *, json_: bool) -> int:
    """Say whose work it is; return the exit code."""
    twin = job.status.duplicate_of
    if json_:
        named = {"name": twin.name, "uid": twin.uid} if twin else None
        show(as_json({"name": job.name, "verdict": "Skip", "reason": job.reason, "duplicateOf": named, "result": None}))
    if twin and twin.name:
        show(harmless(f"To follow the job that counts: agentjobs wait {twin.name}"), error=True)
    return SKIPPED


def _answer(talk: "Talk", job: "Job") -> dict[str, Any]:
    """The whole answer; its head from the status where no gateway can be asked."""
    try:
        return talk.run(talk.do.result(job.uid)).model_dump(by_alias=True)
    except (errors.Misconfigured, errors.Unavailable, errors.Denied) as error:
        head = job.status.result
        if head is None:
            raise
        if head.truncated:
            show(harmless(f"only the beginning of the answer: {error}"), error=True)
        return {"text": head.summary, "structured": head.structured, "usage": {}}
