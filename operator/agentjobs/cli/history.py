"""Verbs on history: history, result. They also work for deleted jobs."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import typer

from agentjobs.amounts import dollars
from agentjobs.cli import history_filters
from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.history_text import ShownTexts, job_head, phase_words, phases_table, starts_table, took
from agentjobs.cli.options import (
    Context,
    Everywhere,
    GatewayCA,
    GatewayURL,
    Kubeconfig,
    Namespace,
    Selector,
    access_of,
    bare_name,
    bare_names,
    checked,
    complete_names,
    output,
    talking,
)
from agentjobs.cli.printing import (
    NARROW,
    age,
    formatted,
    harmless,
    published_words,
    show,
    show_answer,
    show_cut,
    shown_job,
    table,
)
from agentjobs.cli.targets import Choice, Target, attempted, documents, heading, targets

if TYPE_CHECKING:
    from agentjobs.api.job_filter import JobFilter
    from agentjobs.client.kubeconfig import Access
    from agentjobs.client.transport import Blocking

# The gateway's page size is limited to this.
PAGE: Final = 500
DEFAULT_LIMIT: Final = 50


def register(app: typer.Typer) -> None:
    """Add this module's verbs."""
    for verb in (history, result):
        app.command()(verb)


def history(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Name or uid of one job; by default all jobs.",
            metavar="NAME",
            autocompletion=complete_names,
            callback=lambda word: word and bare_name(word),
        ),
    ] = None,
    names: history_filters.Names = None,
    phase: history_filters.Phases = None,
    reason: history_filters.Reasons = None,
    outcome: history_filters.Outcomes = None,
    queue: history_filters.Queues = None,
    model: history_filters.Models = None,
    selector: history_filters.Labels = None,
    schedule: history_filters.Schedules = None,
    partition: history_filters.Partitions = None,
    template: history_filters.Templates = None,
    since: history_filters.Since = None,
    until: history_filters.Until = None,
    ended_since: history_filters.EndedSince = None,
    ended_until: history_filters.EndedUntil = None,
    min_cost: history_filters.MinCost = None,
    max_cost: history_filters.MaxCost = None,
    text: history_filters.Text = None,
    order: history_filters.Order = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="NUMBER", min=1, help="Maximum number of jobs; by default 50.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All jobs, without a limit.")] = False,
    everywhere: Everywhere = False,
    format_: Annotated[str | None, output("json", "yaml", "name", "wide")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Show past and present jobs, including deleted ones.

    Without NAME the jobs of a namespace, newest first; with NAME the starts and phases of one job. Times are UTC.

    Examples:
        agentjobs history
        agentjobs history hello
        agentjobs history --schedule morning-brief --limit 5
        agentjobs history -A --phase Failed --since 7d
        agentjobs history --reason ToolError --text quota --all -o name
    """
    checked(format_, "json", "yaml", "name", "wide")
    wanted = {
        "name": names,
        "phase": phase,
        "reason": reason,
        "outcome": outcome,
        "queue": queue,
        "model": model,
        "selector": selector,
        "schedule": schedule,
        "partition": partition,
        "template": template,
        "since": since,
        "until": until,
        "ended-since": ended_since,
        "ended-until": ended_until,
        "min-cost": min_cost,
        "max-cost": max_cost,
        "text": text,
        "order": order,
    }
    given = {option: value for option, value in wanted.items() if value}
    if name and (given or everywhere or all_):
        flag = next(iter(given), "all-namespaces" if everywhere else "all")
        raise Failure(f"--{flag} lists jobs and NAME shows one; use one of them.", code=USAGE)
    if all_ and limit is not None:
        raise Failure("--all and --limit exclude each other; use one of them.", code=USAGE)
    chosen = history_filters.read(given, now=datetime.now(UTC))
    access = access_of(kubeconfig=kubeconfig, context=context)
    with _gateway(access, url=gateway, ca=gateway_ca) as http:
        place = "/v1/agentjobs" if everywhere else _jobs(namespace or access.namespace)
        if name:
            job_history = _get(http, f"{place}/{quote(name, safe='')}")
            _show(format_, job_history, [job_history["job"]], _job_page(job_history))
            return
        jobs, more = _listed(http, place, chosen, None if all_ else limit or DEFAULT_LIMIT)
        _show(format_, jobs, jobs, _list(jobs, wide=format_ == "wide", everywhere=everywhere))
        where = "any namespace" if everywhere else f"namespace {namespace or access.namespace}"
        if more and format_ in {None, "wide"}:
            show("… and more; use --all or --limit.", error=True)
        elif not jobs:
            show(f"No {'matching ' if given else ''}jobs in the history of {where}.", error=True)
            for hint in history_filters.misspelt(reason or ()):
                show(hint, error=True)


def _listed(http: "Blocking", place: str, chosen: "JobFilter", limit: int | None) -> tuple[list[dict[str, Any]], bool]:
    """Return up to `limit` jobs, all for None, and whether there are more."""
    params: dict[str, str | list[str]] = {}
    for parameter, value in chosen.query():
        params[parameter] = [*params.get(parameter, []), value]
    found: list[dict[str, Any]] = []
    while True:
        left = PAGE if limit is None else limit - len(found)
        page = _get(http, place, **params, limit=str(min(PAGE, left)))
        found += page["items"]
        if page["cursor"] is None or len(found) == limit:
            return found, page["cursor"] is not None
        params["cursor"] = page["cursor"]


def result(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names or uids of jobs.", metavar="[NAME...]", autocompletion=complete_names, callback=bare_names
        ),
    ] = None,
    selector: Selector = None,
    everywhere: Everywhere = False,
    format_: Annotated[str | None, output("json", "yaml")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Print the answer of a job, also when it is deleted.

    Prints the whole answer. With --output also its usage and, if the answer is a JSON object, that object. Exits with 1
    and the reason when there is no answer.

    Examples:
        agentjobs result hello
        agentjobs result hello -o json
        agentjobs result -l team=docs
    """
    checked(format_, "json", "yaml")
    choice = Choice(names or (), selector, everywhere=everywhere)
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace, url=gateway, ca=gateway_ca) as talk:
        chosen = targets(talk, choice)

        def document(target: Target) -> dict[str, Any]:
            found = _result(talk.transport, target)
            show_cut(found)
            return found if len(choice.names) == 1 else {"job": target.name, **found}

        def answer(target: Target) -> None:
            found = _result(talk.transport, target)
            if head := heading(target, chosen):
                show(head.removesuffix("\n"))
            show_answer(found)
            if workspace := found.get("workspace"):
                published = published_words(
                    workspace["branch"], workspace["commit"], workspace.get("pullRequest") or ""
                )
                show(harmless(f"published: {published}"), error=True)

        if format_:
            documents(chosen, choice, document, format_)
        else:
            attempted(chosen, answer)


def _result(http: "Blocking", target: Target) -> dict[str, Any]:
    from agentjobs.client.connection import NoResult

    place = f"{_jobs(target.do.namespace)}/{quote(target.name, safe='')}"
    try:
        response = _get(http, f"{place}/result")
    except NoResult:
        raise Failure(why_no_result(_get(http, place)["job"])) from None
    found: dict[str, Any] = response["result"]
    # A gateway from before workspaces does not send it.
    return {**found, "workspace": response["workspace"]} if response.get("workspace") else found


def why_no_result(job: Mapping[str, Any]) -> str:
    """Return why a job of history has no answer."""
    ended = job["finished"] or job["deleted"]
    words = f"{phase_words(job['phase'], job['reason'])}"
    because = f": {job['message']}" if job.get("message") else "."
    if ended:
        return f"{job['name']} has no result; it ended as {words}{because}"
    return f"{job['name']} has no result yet; it is {words}{because}"


def _show(format_: str | None, whole: Any, jobs: Sequence[Mapping[str, Any]], page: str) -> None:
    if format_ == "name":
        page = "\n".join(shown_job(job["name"]) for job in jobs)
    if format_ in {"json", "yaml"}:
        page = formatted(whole, format_)
    if page:
        show(page)


def _jobs(namespace: str) -> str:
    return f"/v1/namespaces/{quote(namespace, safe='')}/agentjobs"


@contextmanager
def _gateway(access: "Access", *, url: str | None, ca: str | None) -> Iterator["Blocking"]:
    from agentjobs.client.connection import gateway
    from agentjobs.client.transport import Blocking

    transport = Blocking(lambda _: gateway(access, url=url, ca=ca, environ=os.environ))
    try:
        yield transport
    finally:
        transport.close()


def _get(transport: "Blocking", path: str, **params: str | list[str]) -> dict[str, Any]:
    from agentjobs.client.effects import Send, Server

    answer: dict[str, Any] = transport.perform(Send("GET", path, params=params, server=Server.GATEWAY))
    return answer


def _list(jobs: Sequence[Mapping[str, Any]], *, wide: bool, everywhere: bool) -> str:
    now = datetime.now(UTC)
    rows = [
        [
            *([job["namespace"]] if everywhere else []),
            job["name"],
            job["phase"],
            job["reason"],
            job["attempts"],
            took(job["created"], job["finished"]),
            age(job["created"], now=now),
            "yes" if job["deleted"] else "no",
            *(_more(job) if wide else []),
        ]
        for job in jobs
    ]
    columns = ["NAME", "PHASE", "REASON", "ATTEMPTS", "TOOK", "AGE", "DELETED"]
    columns = ["NAMESPACE", *columns] if everywhere else columns
    columns += ["STARTS", "QUEUE", "MODEL", "OUTCOME", "COST", "SCHEDULE", "UID"] if wide else []
    return table(columns, rows, gap=NARROW) if rows else ""


def _more(job: Mapping[str, Any]) -> list[Any]:
    """Return more about a job, where there is room; an older gateway does not send all of it."""
    cost = job.get("costUSD")
    fields = [job.get(name) for name in ("queue", "model", "outcome")]
    return [job["starts"], *fields, None if cost is None else dollars(Decimal(cost)), job.get("schedule"), job["uid"]]


def _job_page(job_history: Mapping[str, Any]) -> str:
    shown = ShownTexts()
    shown.once(job_history["job"].get("message"))
    parts = [
        job_head(job_history["job"], job_history["starts"]),
        starts_table(job_history["starts"], shown),
        phases_table(job_history["transitions"], shown),
    ]
    return "\n\n".join(part for part in parts if part)
