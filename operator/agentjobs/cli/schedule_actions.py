"""Verbs that change schedules: trigger, suspend, resume. Each is one patch as the user."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

import typer

from agentjobs.cli.failures import TIMED_OUT, Failure
from agentjobs.cli.options import (
    AllSchedules,
    Context,
    Everywhere,
    Kubeconfig,
    Namespace,
    ScheduleNames,
    ScheduleSelector,
    checked,
    output,
    talking,
)
from agentjobs.cli.printing import show, shown_job
from agentjobs.cli.targets import Choice, Done, Target, report, schedules

if TYPE_CHECKING:
    from agentjobs.client.effects import Operation
    from agentjobs.client.schedule import Schedule
    from agentjobs.client.schedule_operations import ScheduleOperations

# An operator creates a job immediately; a standby may first have to take over.
_TRIGGER_SECONDS: Final = 20.0


Output = Annotated[str | None, output("json", "yaml", "name")]


def trigger(
    names: ScheduleNames = None,
    value: Annotated[
        str | None,
        typer.Option(
            "--value", help="Value of the annotation: the same value does not create a second job; by default random."
        ),
    ] = None,
    selector: ScheduleSelector = None,
    all_: AllSchedules = False,
    everywhere: Everywhere = False,
    format_: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Create a job now and print its name.

    Works while the schedule is suspended, too. Does not affect the schedule's times, counts or concurrencyPolicy. Waits
    up to 20 seconds for the job, and prints why there is none. If an earlier trigger with the same --value created the
    job, it is printed as already existing, and the exit code is 0 too.

    Examples:
        agentjobs schedule trigger morning-brief
        agentjobs schedule trigger morning-brief --value release-7
        agentjobs schedule trigger -l team=docs
    """
    from agentjobs.cli.cluster import AGENTJOBS

    checked(format_, "json", "yaml", "name")
    choice = Choice(names or (), selector, all_, everywhere)
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:

        def triggered(target: Target) -> Done:
            do = _do(target)
            before = talk.run(do.triggered(target.name, value=value)) if value else None
            try:
                job = talk.run(do.trigger(target.name, value=value, timeout=_TRIGGER_SECONDS))
            except TimeoutError as error:
                raise Failure(str(error), code=TIMED_OUT) from None
            if before is None or before.uid != job.uid:
                return Done(Target(target.do, job.name), f"{shown_job(job.name)} created")
            words = f"{shown_job(job.name)} already existed, created by an earlier trigger with the same --value"
            if format_ is not None:  # standard output has only the object or its name
                show(words, error=True)
            return Done(Target(target.do, job.name), words)

        report(talk, choice, triggered, format_, chosen=schedules(talk, choice), kind=AGENTJOBS)


def suspend(
    names: ScheduleNames = None,
    selector: ScheduleSelector = None,
    all_: AllSchedules = False,
    everywhere: Everywhere = False,
    format_: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Create no more jobs until resumed.

    Sets spec.suspend. Running jobs continue; times that pass meanwhile are not caught up.

    Examples:
        agentjobs schedule suspend morning-brief
        agentjobs schedule suspend --all
    """
    choice = Choice(names or (), selector, all_, everywhere)
    _order(
        choice, lambda target: _do(target).suspend(target.name), "suspended", format_, namespace, context, kubeconfig
    )


def resume(
    names: ScheduleNames = None,
    selector: ScheduleSelector = None,
    all_: AllSchedules = False,
    everywhere: Everywhere = False,
    format_: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Create jobs again.

    Works if spec.suspend or too many failures stopped the schedule.

    Examples:
        agentjobs schedule resume morning-brief
        agentjobs schedule resume --all
    """
    choice = Choice(names or (), selector, all_, everywhere)
    _order(choice, lambda target: _do(target).resume(target.name), "resumed", format_, namespace, context, kubeconfig)


def shown_schedule(name: str) -> str:
    """Return `agentschedule.agentjobs.dev/brief`, as kubectl prints it."""
    return f"agentschedule.agentjobs.dev/{name}"


def _order(
    choice: Choice,
    give: "Callable[[Target], Operation[Schedule]]",
    done: str,
    format_: str | None,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    checked(format_, "json", "yaml", "name")
    from agentjobs.cli.cluster import AGENTSCHEDULES

    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:

        def ordered(target: Target) -> Done:
            talk.run(give(target))
            return Done(target, f"{shown_schedule(target.name)} {done}")

        report(talk, choice, ordered, format_, chosen=schedules(talk, choice), kind=AGENTSCHEDULES)


def _do(target: Target) -> "ScheduleOperations":
    from agentjobs.client.schedule_operations import ScheduleOperations

    return ScheduleOperations(target.do.namespace, target.do.retry_for)
