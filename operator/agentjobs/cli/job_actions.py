"""Verbs that change jobs: cancel, suspend, resume, rerun. Finished jobs are not changed."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from agentjobs.cli import run_flags as flags
from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.options import (
    All,
    Context,
    Everywhere,
    GatewayCA,
    GatewayURL,
    JobNames,
    Kubeconfig,
    Namespace,
    Selector,
    checked,
    new_name,
    output,
    talking,
)
from agentjobs.cli.parameters import Parameters
from agentjobs.cli.printing import shown_job
from agentjobs.cli.targets import Choice, Done, Target, report, targets

if TYPE_CHECKING:
    from agentjobs.client.effects import Operation
    from agentjobs.client.job import Job

T = TypeVar("T")

Output = Annotated[str | None, output("json", "yaml", "name")]


def register(app: typer.Typer) -> None:
    """Add this module's verbs."""
    for verb in (cancel, suspend, resume, rerun):
        app.command()(verb)


def cancel(
    names: JobNames = None,
    selector: Selector = None,
    all_: All = False,
    everywhere: Everywhere = False,
    format_: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Stop jobs for good.

    Sets spec.cancel. A running pod gets its grace period, and the job ends as Cancelled. A finished job is not changed:
    the exit code is 0 if it was cancelled, else 1, and standard error shows how it ended.

    Examples:
        agentjobs cancel hello
        agentjobs cancel -l team=docs
        agentjobs cancel --all
    """

    def cancelled(target: Target, job: "Job") -> str:
        if job.finished and job.phase == "Cancelled":
            return f"{shown_job(target.name)} was already cancelled"
        if job.finished:
            raise _ended(target, job, "be cancelled")
        return f"{shown_job(target.name)} cancel requested"

    choice = Choice(names or (), selector, all_, everywhere)
    _order(choice, lambda target: target.do.cancel(target.name), cancelled, format_, namespace, context, kubeconfig)


def suspend(
    names: JobNames = None,
    selector: Selector = None,
    all_: All = False,
    everywhere: Everywhere = False,
    format_: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Stop jobs until they are resumed.

    Sets spec.suspend. A running pod gets its grace period; the job then holds neither a pod nor a slot of its queue.

    Examples:
        agentjobs suspend hello
    """
    choice = Choice(names or (), selector, all_, everywhere)
    _order(
        choice,
        lambda target: target.do.suspend(target.name),
        lambda target, job: _result_sentence(target, job, "suspend requested", "be suspended"),
        format_,
        namespace,
        context,
        kubeconfig,
    )


def resume(
    names: JobNames = None,
    selector: Selector = None,
    all_: All = False,
    everywhere: Everywhere = False,
    format_: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let suspended jobs continue.

    Works for jobs suspended by spec.suspend or by a rule of resultPolicy. A job whose budget is used up continues when
    spec.budget is raised; until then the exit code is 1. It is 1 too for a job that has ended or is being cancelled. A
    job that is not suspended is reported, with exit code 0.

    Examples:
        agentjobs resume hello
    """

    def ordered(target: Target) -> "Operation[tuple[Job, bool]]":
        before = yield from target.do.get(target.name)
        # Its operator may not have stopped it yet.
        was_suspended = before.phase == "Suspended" or before.spec.get("suspend") is True
        return (yield from target.do.resume(target.name, uid=before.uid)), was_suspended

    def resumed(target: Target, found: "tuple[Job, bool]") -> str:
        job, was_suspended = found
        sentence = _result_sentence(target, job, "resumed" if was_suspended else "is not suspended", "be resumed")
        if (job.phase, job.reason) == ("Suspended", "BudgetExceeded"):
            patch = """'{"spec":{"budget":{"FIELD":VALUE}}}'"""
            cure = f"raise the limit: kubectl patch agentjob {target.name} --type merge -p {patch}"
            raise Failure(f"{target.name} cannot be resumed: its budget is used up; {cure}")
        queue = job.status.queue.name if job.status.queue else ""
        if (job.phase, job.reason) == ("Suspended", "QueueDrained"):
            cure = f"resume its queue: agentjobs queue resume {queue}"
            raise Failure(f"{target.name} cannot be resumed: queue {queue} is drained; {cure}")
        if (job.phase, job.reason) == ("Suspended", "QueueBudgetExceeded"):
            cure = "it continues in the next period, or when that budget is raised"
            raise Failure(f"{target.name} cannot be resumed: a budget of queue {queue} is used up; {cure}")
        return sentence

    choice = Choice(names or (), selector, all_, everywhere)
    _order(choice, ordered, resumed, format_, namespace, context, kubeconfig)


def rerun(
    names: JobNames = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the new job; by default NAME and random digits.", callback=new_name),
    ] = None,
    message: Annotated[
        str | None, typer.Option("--message", help="input.message of the new job; by default the old one.")
    ] = None,
    parameters: Parameters = None,
    model: flags.Model = None,
    max_attempts: flags.MaxAttempts = None,
    budget: Annotated[
        list[str] | None,
        typer.Option("--budget", metavar="LIMIT=VALUE", help="One limit of budget, e.g. maxCostUSD=2.50; repeatable."),
    ] = None,
    selector: Selector = None,
    all_: All = False,
    everywhere: Everywhere = False,
    format_: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Run the same work again, optionally changed.

    The new job starts from the beginning; the old job does not change. spec.cancel, spec.suspend, start times and
    labels of other tools are not copied. With changes, a job with a template is made from the template as it is now.

    Examples:
        agentjobs rerun hello
        agentjobs rerun hello --name hello-again
        agentjobs rerun hello --message "Say hello in French."
        agentjobs rerun review-1 -p depth=deep
        agentjobs rerun -l team=docs -o name
    """
    checked(format_, "json", "yaml", "name")
    choice = Choice(names or (), selector, all_, everywhere)
    if name and len(choice.names) != 1:
        raise Failure("--name is the name of one new job; give exactly one NAME.", code=USAGE)
    from agentjobs.cli.cluster import AGENTJOBS
    from agentjobs.cli.job_builder import pairs
    from agentjobs.client.rerunning import Edits

    changed = pairs(parameters, "--parameter")
    edits = Edits(message=message, parameters=changed, model=model, max_attempts=max_attempts, budget=limits_of(budget))
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace, url=gateway, ca=gateway_ca) as talk:

        def again(target: Target) -> Done:
            job = talk.run(target.do.rerun(target.name, new_name_=name, edits=edits))
            return Done(Target(target.do, job.name), f"{shown_job(job.name)} created")

        report(talk, choice, again, format_, chosen=targets(talk, choice), kind=AGENTJOBS)


def limits_of(texts: Sequence[str] | None) -> dict[str, int | str]:
    """Return the limits of `--budget LIMIT=VALUE`. The server judges all other texts."""
    from agentjobs.cli.job_builder import pairs

    return {
        limit: int(value) if limit != "maxCostUSD" and re.fullmatch("[0-9]{1,18}", value) else value
        for limit, value in pairs(texts, "--budget", form="LIMIT=VALUE").items()
    }


def _order(
    choice: Choice,
    give: "Callable[[Target], Operation[T]]",
    describe: Callable[[Target, T], str],
    format_: str | None,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    checked(format_, "json", "yaml", "name")
    from agentjobs.cli.cluster import AGENTJOBS

    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:
        report(
            talk,
            choice,
            lambda target: Done(target, describe(target, talk.run(give(target)))),
            format_,
            chosen=targets(talk, choice),
            kind=AGENTJOBS,
        )


def _result_sentence(target: Target, job: "Job", done: str, refused: str) -> str:
    if job.finished:
        raise _ended(target, job, refused)
    if job.cancelled or job.deleting:
        raise Failure(f"{target.name} cannot {refused}: it is being {'deleted' if job.deleting else 'cancelled'}.")
    return f"{shown_job(target.name)} {done}"


def _ended(target: Target, job: "Job", refused: str) -> Failure:
    return Failure(f"{target.name} cannot {refused}: it has already ended as {job.phase}.")
