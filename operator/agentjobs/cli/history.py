"""Verbs on what the gateway remembers: history, result. They work when the object, or the whole queue, is gone."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import typer

from agentjobs.cli.chosen import Choice, Target, attempted, documents, heading, targets
from agentjobs.cli.failures import USAGE, Failure
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
from agentjobs.cli.parameters import complete_templates
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
from agentjobs.cli.story import Told, phase_words, phases_table, starts_table, story_head, took

if TYPE_CHECKING:
    from agentjobs.client.kubeconfig import Access
    from agentjobs.client.transport import Blocking

# One page of the gateway holds at most as many.
MAX_LIMIT: Final = 500


def register(app: typer.Typer) -> None:
    """Add this module's verbs."""
    for verb in (history, result):
        app.command()(verb)


def history(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Name or uid of one job; all by default.",
            metavar="NAME",
            autocompletion=complete_names,
            callback=lambda word: word and bare_name(word),
        ),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", metavar="NAME", help="Only jobs that this AgentSchedule created.")
    ] = None,
    partition: Annotated[
        str | None, typer.Option("--partition", metavar="KEY", help="Only jobs with this partitionKey.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--template",
            metavar="NAME",
            help="Only jobs of this AgentTemplate.",
            autocompletion=complete_templates,
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", metavar="NUMBER", min=1, max=MAX_LIMIT, help="How many jobs at most: 1 to 500, else 50."
        ),
    ] = 50,
    format_: Annotated[str | None, output("json", "yaml", "name", "wide")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Show what was run, also jobs that are gone.

    Without NAME the jobs of a namespace, newest first; with NAME the starts and phases of one. Times are UTC.

    Examples:
        agentjobs history
        agentjobs history hello
        agentjobs history --schedule morning-brief --limit 5
    """
    checked(format_, "json", "yaml", "name", "wide")
    wanted = {"schedule": schedule, "partition": partition, "template": template}
    chosen = {key: value for key, value in wanted.items() if value}
    if name and chosen:
        flag = f"--{next(iter(chosen))}"
        raise Failure(f"{flag} lists jobs and NAME shows one; leave one out.", code=USAGE)
    access = access_of(kubeconfig=kubeconfig, context=context)
    with _gateway(access, url=gateway, ca=gateway_ca) as http:
        place = _jobs(namespace or access.namespace)
        if name:
            story = _get(http, f"{place}/{quote(name, safe='')}")
            _show(format_, story, [story["job"]], _story_page(story))
            return
        page = _get(http, place, limit=str(limit), **chosen)
        _show(format_, page["items"], page["items"], _list(page["items"], wide=format_ == "wide"))
        if page["cursor"] and format_ in {None, "wide"}:
            show(f"… and older ones; --limit shows up to {MAX_LIMIT}.", error=True)
        elif not page["items"] and chosen:
            told = " and ".join(f"{key} {value}" for key, value in chosen.items())
            show(f"History has no job of {told} in namespace {namespace or access.namespace}.", error=True)
        elif not page["items"]:
            show(f"The history of namespace {namespace or access.namespace} is empty.", error=True)


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
    """Print the answer of a job, also when it is gone.

    All of it, however long. With --output also what it used and, if it is a JSON object, the answer as such. Exits 1
    when there is none, and says why.

    Examples:
        agentjobs result hello
        agentjobs result hello -o json
        agentjobs result -l team=docs
    """
    checked(format_, "json", "yaml")
    choice = Choice(names or (), selector, everywhere=everywhere)
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace, url=gateway, ca=gateway_ca) as talk:
        chosen = targets(talk, choice)

        def document(one: Target) -> dict[str, Any]:
            found = _result(talk.transport, one)
            show_cut(found)
            return found if len(choice.names) == 1 else {"job": one.name, **found}

        def answer(one: Target) -> None:
            found = _result(talk.transport, one)
            if head := heading(one, chosen):
                show(head.removesuffix("\n"))
            show_answer(found)
            if told := found.get("workspace"):
                words = published_words(told["branch"], told["commit"], told.get("pullRequest") or "")
                show(harmless(f"published: {words}"), error=True)

        if format_:
            documents(chosen, choice, document, format_)
        else:
            attempted(chosen, answer)


def _result(http: "Blocking", one: Target) -> dict[str, Any]:
    from agentjobs.client.connection import NoResult

    place = f"{_jobs(one.do.namespace)}/{quote(one.name, safe='')}"
    try:
        told = _get(http, f"{place}/result")
    except NoResult:
        raise Failure(why_no_result(_get(http, place)["job"])) from None
    found: dict[str, Any] = told["result"]
    # Of a gateway from before there were workspaces nothing is said.
    return {**found, "workspace": told["workspace"]} if told.get("workspace") else found


def why_no_result(job: Mapping[str, Any]) -> str:
    """Return why a job, as history tells of it, has no answer."""
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


def _get(transport: "Blocking", path: str, **params: str) -> dict[str, Any]:
    from agentjobs.client.effects import Send, Server

    answer: dict[str, Any] = transport.perform(Send("GET", path, params=params, server=Server.GATEWAY))
    return answer


def _list(jobs: Sequence[Mapping[str, Any]], *, wide: bool) -> str:
    now = datetime.now(UTC)
    rows = [
        [
            job["name"],
            job["phase"],
            job["reason"],
            job["attempts"],
            took(job["created"], job["finished"]),
            age(job["created"], now=now),
            "yes" if job["deleted"] else "no",
            *([job["starts"], job.get("schedule"), job["uid"]] if wide else []),
        ]
        for job in jobs
    ]
    columns = ["NAME", "PHASE", "REASON", "ATTEMPTS", "TOOK", "AGE", "DELETED"]
    columns += ["STARTS", "SCHEDULE", "UID"] if wide else []
    return table(columns, rows, gap=NARROW) if rows else ""


def _story_page(story: Mapping[str, Any]) -> str:
    told = Told()
    told.once(story["job"].get("message"))
    parts = [
        story_head(story["job"], story["starts"]),
        starts_table(story["starts"], told),
        phases_table(story["transitions"], told),
    ]
    return "\n\n".join(part for part in parts if part)
