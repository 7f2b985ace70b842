"""Verbs on what the gateway remembers: history, result. They work when the object, or the whole queue, is gone."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import typer

from agentjobs import contract
from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.options import (
    Context,
    GatewayCA,
    GatewayURL,
    Kubeconfig,
    Namespace,
    access_of,
    complete_names,
)
from agentjobs.cli.printing import age, as_json, cut_short, harmless, on_terminal, show, table

if TYPE_CHECKING:
    from agentjobs.client.kubeconfig import Access
    from agentjobs.client.transport import Blocking

Output = Annotated[str | None, typer.Option("--output", "-o", help="json.")]

# One page of the gateway holds at most as many.
MAX_LIMIT: Final = 500


def register(app: typer.Typer) -> None:
    """Add this module's verbs."""
    for verb in (history, result):
        app.command()(verb)


def history(
    name: Annotated[
        str | None,
        typer.Argument(help="Name or uid of one job; all by default.", metavar="NAME", autocompletion=complete_names),
    ] = None,
    schedule: Annotated[str | None, typer.Option("--schedule", help="Only jobs that this AgentSchedule made.")] = None,
    partition: Annotated[str | None, typer.Option("--partition", help="Only jobs with this partitionKey.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MAX_LIMIT, help="How many jobs at most.")] = 50,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Show what was run: all jobs of a namespace, or the starts and changes of one. Deleted jobs are there too."""
    _checked(output)
    if name and (schedule or partition):
        flag = "--schedule" if schedule else "--partition"
        raise Failure(f"{flag} lists jobs and NAME shows one; leave one out.", code=USAGE)
    access = access_of(kubeconfig=kubeconfig, context=context)
    with _gateway(access, url=gateway, ca=gateway_ca) as http:
        place = _jobs(namespace or access.namespace)
        if name:
            story = _get(http, f"{place}/{quote(name, safe='')}")
            show(as_json(story) if output else story_page(story))
            return
        chosen = {key: value for key, value in (("schedule", schedule), ("partition", partition)) if value}
        page = _get(http, place, limit=str(limit), **chosen)
        if output:
            show(as_json(page["items"]))
        elif page["items"]:
            show(_list(page["items"]))
            if page["cursor"]:
                show(f"… and older ones; --limit shows up to {MAX_LIMIT}.", error=True)
        elif chosen:
            told = " and ".join(f"{key} {value}" for key, value in chosen.items())
            show(f"History has no job of {told} in namespace {namespace or access.namespace}.", error=True)
        else:
            show(f"The history of namespace {namespace or access.namespace} is empty.", error=True)


def result(
    name: Annotated[str, typer.Argument(help="Name or uid of the job.", metavar="NAME", autocompletion=complete_names)],
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Print the answer of a job, whole; with -o json also its usage and, if it is an object, the answer as JSON."""
    _checked(output)
    access = access_of(kubeconfig=kubeconfig, context=context)
    with _gateway(access, url=gateway, ca=gateway_ca) as http:
        found = _get(http, f"{_jobs(namespace or access.namespace)}/{quote(name, safe='')}/result")
    text = found["result"]["text"]
    # A file or another program gets every byte; a terminal gets nothing that could steer it.
    show(as_json(found["result"]) if output else harmless(text) if on_terminal() else text)
    if (whole := found["result"].get("cutFrom")) is not None:
        show(cut_short(text, whole), error=True)


def _checked(output: str | None) -> None:
    if output not in {None, "json"}:
        raise Failure(f"--output={output} is unknown; use json.", code=USAGE)


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


def _list(jobs: list[Mapping[str, Any]]) -> str:
    now = datetime.now(UTC)
    rows = [
        [
            job["name"],
            job["phase"],
            job["reason"],
            job["attempts"],
            job["starts"],
            _took(job["created"], job["finished"]),
            age(job["created"], now=now),
            "deleted" if job["deleted"] else "",
        ]
        for job in jobs
    ]
    return table(["NAME", "PHASE", "REASON", "ATTEMPTS", "STARTS", "TOOK", "AGE", "OBJECT"], rows)


def story_page(story: Mapping[str, Any]) -> str:
    job = story["job"]
    head = [
        f"{job['namespace']}/{job['name']}  {job['phase']}  {job['reason']}",
        f"uid {job['uid']}, created {job['created']}"
        + (f", deleted {_whole(job['deleted'])}" if job["deleted"] else ""),
    ]
    if job.get("partitionKey"):
        head.append(f"partition {job['partitionKey']}")
    used = [start["usage"] for start in story["starts"] if start["usage"]]
    if used:
        head.append(used_words({name: sum(each.get(name, 0) for each in used) for name in contract.USAGE}))
    starts = [
        [
            start["start"],
            start["attempt"],
            start["pod"],
            _clock(start["started"]),
            _took(start["started"], start["ended"]),
            start["verdict"] or ("" if start["ended"] else "…"),
            start["reason"],
            _tokens(start["usage"]),
            {True: "yes", False: "no", None: ""}[start["charged"]],
            start["message"],
        ]
        for start in story["starts"]
    ]
    changes = [
        [item["transition"], _clock(item["time"]), item["phase"], item["reason"], item["message"]]
        for item in story["transitions"]
    ]
    columns = ["START", "ATTEMPT", "POD", "STARTED", "TOOK", "VERDICT", "REASON", "TOKENS", "CHARGED", "MESSAGE"]
    parts = ["\n".join(harmless(line).rstrip() for line in head)]
    parts += [table(columns, starts)] if starts else []
    parts += [table(["#", "TIME", "PHASE", "REASON", "MESSAGE"], changes)] if changes else []
    return "\n\n".join(parts)


def used_words(usage: Mapping[str, int]) -> str:
    calls, tools, sent, received = (usage.get(name, 0) for name in contract.USAGE)
    return f"used {calls} model calls, {tools} tool calls, {sent} tokens in, {received} out"


def _tokens(usage: Mapping[str, int] | None) -> str:
    """Tokens in and out, as `1200/90`."""
    return f"{usage.get('inputTokens', 0)}/{usage.get('outputTokens', 0)}" if usage else ""


def _clock(time: str | None) -> str:
    return datetime.fromisoformat(time).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if time else ""


def _whole(time: str) -> str:
    """Cut a time to whole seconds, as Kubernetes writes them."""
    return datetime.fromisoformat(time).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _took(began: str | None, ended: str | None) -> str:
    return age(began, now=datetime.fromisoformat(ended)) if began and ended else ""
