"""The verb that shows a job in detail: show. It reads both servers and changes nothing."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from agentjobs import errors
from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.options import (
    Context,
    Everywhere,
    GatewayCA,
    GatewayURL,
    JobNames,
    Kubeconfig,
    Namespace,
    Selector,
    checked,
    output,
    start_of,
    talking,
)
from agentjobs.cli.shown_job import SHOWN_ENTRIES, JobCalls, JobStep, JobSteps, Shown, WholeJob, time_of
from agentjobs.cli.targets import Choice, Target, documents, each, heading, targets

if TYPE_CHECKING:
    from agentjobs.api.recorded import JobHistory, RecordedEntry, RecordedStep
    from agentjobs.api.recorded_usage import JobModelUsage
    from agentjobs.cli.options import Talk


def register(app: typer.Typer) -> None:
    """Add this module's verbs."""
    app.command("show")(show_)


def show_(
    names: JobNames = None,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="NUMBER", help="Entries of this start, or `all`; by default the last start."),
    ] = None,
    steps: Annotated[
        bool, typer.Option("--steps", help="The recorded steps: which start ran each, and which were replayed.")
    ] = False,
    step: Annotated[
        int | None, typer.Option("--step", min=1, max=2**31 - 1, metavar="NUMBER", help="The result of this step.")
    ] = None,
    calls: Annotated[bool, typer.Option("--calls", help="Each model call: how it ended, its usage and cost.")] = False,
    full: Annotated[bool, typer.Option("--full", help="All entries, with complete texts.")] = False,
    selector: Selector = None,
    everywhere: Everywhere = False,
    format_: Annotated[str | None, output("json", "yaml")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Show everything about a job on one page.

    Shows the object, its starts and phases, the entries of its last start, its Events and the beginning of its answer.
    Deleted jobs are shown from history; without a gateway only the object is shown. Times are UTC.

    --steps shows the recorded steps, --calls the model calls, of all starts or of the one given by --start.

    Examples:
        agentjobs show hello
        agentjobs show hello --steps
        agentjobs show hello --step 12
        agentjobs show hello --calls
        agentjobs show hello --start 1 --full
        agentjobs show hello --start all -o json
        agentjobs show -l team=docs
    """
    checked(format_, "json", "yaml")
    if steps + calls + (step is not None) > 1:
        raise Failure("--steps, --step and --calls exclude each other; use one of them.", code=USAGE)
    wanted = start_of(start)
    choice = Choice(names or (), selector, everywhere=everywhere)
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace, url=gateway, ca=gateway_ca) as talk:
        chosen = targets(talk, choice)

        def read(target: Target, *, every_entry: bool) -> Shown:
            at = replace(talk, do=target.do)
            if step is not None:
                return JobStep(talk.run(at.do.step(target.name, step)))
            if steps:
                return _recorded(at, target.name, wanted)
            if calls:
                return _called(at, target.name, wanted)
            return _whole_job(at, target.name, wanted, every_entry=every_entry)

        if format_:
            documents(chosen, choice, lambda target: read(target, every_entry=True).document(), format_)
        else:
            each(chosen, lambda target: heading(target, chosen) + read(target, every_entry=full).page(full=full))


def _whole_job(talk: "Talk", name: str, wanted: int | str | None, *, every_entry: bool) -> WholeJob:
    """Return a job's data; at least one of object and history is there."""
    body, absent = _object(talk, name)
    try:
        job_history, no_history = talk.run(talk.do.job_history(name)), ""
    except (errors.AgentJobsError, Failure) as error:
        if body is None:
            raise absent or error from None
        job_history, no_history = None, str(error)
    entries = _entries(talk, name, job_history, wanted, every_entry=every_entry) if job_history else {}
    steps: list[RecordedStep] = []
    with suppress(errors.NotFound):  # an older gateway, without recorded steps
        steps = list(talk.iterate(talk.do.steps(name, start=None))) if job_history else []
    return WholeJob(
        name=name,
        body=body,
        history=job_history,
        no_history=no_history,
        steps=steps,
        models=_models(talk, name) if job_history else (),
        entries=entries,
        events=_events(talk, body) if body else (),
    )


def _models(talk: "Talk", name: str) -> "Sequence[JobModelUsage]":
    from agentjobs.client.model_operations import ModelOperations

    with suppress(errors.NotFound):  # an older gateway, without model calls
        return talk.run(ModelOperations(talk.do.namespace, talk.do.retry_for).of_job(name))
    return ()


def _recorded(talk: "Talk", name: str, wanted: int | str | None) -> JobSteps:
    """Return a job's history and its steps; only steps of start `wanted`, if that is a number."""
    job_history = talk.run(talk.do.job_history(name))
    start = wanted if isinstance(wanted, int) else None
    _check_start(name, job_history, [start] if start else [])
    return JobSteps(job_history, list(talk.iterate(talk.do.steps(name, start=start))))


def _called(talk: "Talk", name: str, wanted: int | str | None) -> JobCalls:
    """Return a job's history and its model calls; only those of start `wanted`, if that is a number."""
    from agentjobs.client.model_operations import ModelOperations

    job_history = talk.run(talk.do.job_history(name))
    start = wanted if isinstance(wanted, int) else None
    _check_start(name, job_history, [start] if start else [])
    made = talk.iterate(ModelOperations(talk.do.namespace, talk.do.retry_for).calls(name))
    return JobCalls(job_history, [call for call in made if start in (None, call.start)])


def _object(talk: "Talk", name: str) -> "tuple[Mapping[str, Any] | None, errors.NotFound | None]":
    from agentjobs.cli.cluster import AGENTJOBS

    try:
        return talk.cluster.request("GET", AGENTJOBS.path(talk.do.namespace, name)), None
    except errors.NotFound as error:
        return None, error


def _entries(
    talk: "Talk", name: str, job_history: "JobHistory", wanted: int | str | None, *, every_entry: bool
) -> "dict[int, Sequence[RecordedEntry]]":
    there = [each.start for each in job_history.starts]
    chosen = there if wanted == "all" else [wanted] if isinstance(wanted, int) else there[-1:]
    _check_start(name, job_history, chosen)
    # A long run has a hundred thousand entries.
    return {
        number: list(talk.iterate(talk.do.events(name, start=number, follow=False)))
        if every_entry
        else talk.run(talk.do.newest_events(name, start=number, count=SHOWN_ENTRIES))
        for number in chosen
    }


def _check_start(name: str, job_history: "JobHistory", chosen: Sequence[int]) -> None:
    there = [each.start for each in job_history.starts]
    if missing := [number for number in chosen if number not in there]:
        known = f"it has {', '.join(map(str, there))}" if there else "it has not started"
        raise Failure(f"{name} has no start {missing[0]}; {known}.", code=USAGE)


def _events(talk: "Talk", body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    metadata = body["metadata"]
    path = f"/api/v1/namespaces/{quote(metadata['namespace'], safe='')}/events"
    try:
        found = talk.cluster.request("GET", path, params={"fieldSelector": f"involvedObject.uid={metadata['uid']}"})
    except errors.Denied:
        return ()  # the user may read jobs, but not Events
    return sorted(found.get("items") or (), key=time_of)
