"""Verbs on AgentSchedules: list, show, next, backfill; and those of schedule_actions.py.

`backfill` creates one job per request; all times are computed with the operator's own functions.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import typer

from agentjobs.cli.backfilling import confirm, instant, jobs_path, make, parsed, ran, times_between
from agentjobs.cli.failures import FAILURE, USAGE, Failure
from agentjobs.cli.getting import by_name
from agentjobs.cli.grammar import Program, Verbs
from agentjobs.cli.options import (
    Context,
    GatewayCA,
    GatewayURL,
    Kubeconfig,
    Namespace,
    ScheduleName,
    ScheduleNames,
    ScheduleSelector,
    checked,
    connected,
    global_flags,
    output,
    talking,
)
from agentjobs.cli.printing import (
    NARROW,
    age,
    counted,
    formatted,
    harmless,
    server_table,
    show,
    table,
    terminal_width,
    without_managed_fields,
)
from agentjobs.cli.schedule_actions import resume, shown_schedule, suspend, trigger
from agentjobs.cli.targets import Choice, Target, attempted, documents, each, heading, schedules

if TYPE_CHECKING:
    from agentjobs.cli.cluster import ClusterConnection
    from agentjobs.core.schedule.model import Plan

# Ask before creating more jobs than this: each costs model calls.
FEW: Final = 3
_PAINT: Final = re.compile(r"\x1b\[[0-9;]*m")
# Columns left out on a narrow terminal, in this order; REASON shows that a schedule is suspended.
_LEAST_IMPORTANT: Final = ("Age", "Suspend", "Active")


class _Schedules(Verbs):
    """Verbs below `schedule`."""

    synonyms: ClassVar[Mapping[str, str]] = {"get": "list", "ls": "list", "describe": "show"}


app = Program(cls=_Schedules, help="Work with schedules, which create jobs.")
app.callback()(global_flags)


Output = Annotated[str | None, output("json", "yaml")]


def register(root: typer.Typer) -> None:
    """Add this module's verbs, below `schedule`."""
    for verb in (trigger, suspend, resume):
        app.command()(verb)
    root.add_typer(app, name="schedule")


@app.command("list")
def list_(
    names: ScheduleNames = None,
    selector: ScheduleSelector = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")] = False,
    format_: Annotated[str | None, output("json", "yaml", "name", "wide")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the schedules, or only the named ones.

    Prints the columns of `kubectl get agentschedules`. On a terminal NEXT is the time remaining; -o wide and pipes get
    the time itself.

    Examples:
        agentjobs schedule list
        agentjobs schedule list -A -o wide
        agentjobs schedule list -l team=docs
    """
    from agentjobs.cli.cluster import TABLE
    from agentjobs.client.effects import JSON

    checked(format_, "json", "yaml", "name", "wide")
    if names and (selector or everywhere):
        raise Failure("NAME cannot be combined with --selector or --all-namespaces.", code=USAGE)
    tables = format_ in {None, "wide"}
    with connected(kubeconfig=kubeconfig, context=context) as cluster:
        path = _path(cluster, namespace, everywhere=everywhere)
        params = {"labelSelector": selector} if selector else {}
        accept = TABLE if tables else JSON
        found = (
            list(by_name(cluster, path, names, accept))
            if names
            else [cluster.request("GET", path, accept=accept, params=params)]
        )
        where = "anywhere" if everywhere else f"in namespace {namespace or cluster.access.namespace}"
    if tables:
        _show_tables(found, where, wide=format_ == "wide", everywhere=everywhere)
    else:
        _show_items(found if names else found[0].get("items") or (), format_ or "")
    if len(found) < len(names or ()):
        raise typer.Exit(FAILURE)


@app.command("show")
def show_(
    names: ScheduleNames = None,
    selector: ScheduleSelector = None,
    format_: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show schedules, their next times and their jobs.

    Examples:
        agentjobs schedule show morning-brief
        agentjobs schedule show morning-brief evening-brief -o json
    """
    checked(format_, "json", "yaml")
    choice = Choice(names or (), selector)
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:

        def body(target: Target) -> dict[str, Any]:
            return _get(talk.cluster, target.do.namespace, target.name)

        chosen = schedules(talk, choice)
        if format_:
            documents(chosen, choice, lambda target: without_managed_fields(body(target)), format_)
            return
        each(chosen, lambda target: heading(target, chosen) + _page(talk.cluster, body(target)))


@app.command("next")
def next_(
    names: ScheduleNames = None,
    count: Annotated[
        int,
        typer.Option("--count", metavar="NUMBER", min=1, max=1000, help="Number of times: 1 to 1000; by default 5."),
    ] = 5,
    selector: ScheduleSelector = None,
    format_: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show the next times of a schedule.

    In the schedule's zone and in UTC, as the operator computes them.

    Examples:
        agentjobs schedule next morning-brief --count 10
        agentjobs schedule next -l team=docs
    """
    checked(format_, "json", "yaml")
    choice = Choice(names or (), selector)
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:
        chosen, now = schedules(talk, choice), datetime.now(UTC)

        def document(target: Target) -> Any:
            plan = _plan(_get(talk.cluster, target.do.namespace, target.name))
            times = _times_document(plan, _next_times(plan, now, count))
            return times if len(choice.names) == 1 else {"schedule": target.name, "times": times}

        def page(target: Target) -> None:
            plan = _plan(_get(talk.cluster, target.do.namespace, target.name))
            show(heading(target, chosen) + _times_table(plan, _next_times(plan, now, count)))
            if plan.spec.suspend:
                message = (
                    f"{target.name} is suspended and creates no jobs until `agentjobs schedule resume {target.name}`."
                )
                show(message, error=True)
            elif plan.spec.jitter:
                show("Each start is delayed by up to spec.jitter.", error=True)

        if format_:
            documents(chosen, choice, document, format_)
        else:
            attempted(chosen, page)


@app.command()
def backfill(
    name: ScheduleName,
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="First time, such as 2026-11-01 or 2026-11-01T06:00:00Z.")
    ],
    until: Annotated[
        str, typer.Option("--to", metavar="TIME", help="End, exclusive; times without a zone are in the schedule's.")
    ],
    at_once: Annotated[
        int,
        typer.Option(
            "--max-active", metavar="NUMBER", min=1, max=100, help="Maximum number of unfinished jobs; by default 1."
        ),
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be created, without creating it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before creating many jobs.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Create the jobs of past times that have none.

    Oldest first. A job's name follows from its time, so running this again creates no duplicates: times whose job
    exists, is reserved or is in history are skipped. It can be interrupted and run again at any time.

    Examples:
        agentjobs schedule backfill brief --from 2026-10-01 --to 2026-11-01 --dry-run
    """
    from agentjobs.core.schedule.job import scheduled_name
    from agentjobs.core.schedule.model import parse_schedule

    first, end = parsed("--from", since), parsed("--to", until)
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace, url=gateway, ca=gateway_ca) as talk:
        body = _get(talk.cluster, namespace, name)
        plan, schedule = _plan(body), parse_schedule(body)
        window = times_between(plan, instant(first, plan), instant(end, plan))
        known = ran(talk, schedule)
        missing = [at for at in window if scheduled_name(name, at) not in known]
        if dry_run:
            rows = [
                [scheduled_name(name, at), _local(plan, at).isoformat(), "would be created" if at in missing else "ran"]
                for at in window
            ]
            show(table(["JOB", "TIME", "STATE"], rows) if rows else "No times in that range.")
            return
        if not missing:
            show(f"{counted(len(window), 'time')} in that range already have a job; nothing to do.", error=True)
            return
        if len(missing) > FEW and not yes:
            confirm(f"Create {len(missing)} jobs of {name}, {at_once} at a time?")
        make(talk, schedule, plan, missing, at_once)


def _show_tables(found: Sequence[Mapping[str, Any]], where: str, *, wide: bool, everywhere: bool) -> None:
    rows = [row for part in found for row in part.get("rows") or ()]
    if rows:
        whole = {**found[0], "rows": rows}
        width = None if wide else terminal_width()
        if width is None:
            show(server_table(whole, wide=wide, everywhere=everywhere))
        else:
            show(fitted(whole, width, now=datetime.now(UTC), everywhere=everywhere))
    elif found:
        show(f"No AgentSchedules {where}.", error=True)


def fitted(found: Mapping[str, Any], width: int, *, now: datetime, everywhere: bool) -> str:
    """Return the server's table for a terminal, without the least important columns if it is too wide."""
    found = soon(found, now=now)
    shown = server_table(found, wide=False, everywhere=everywhere)
    for name in _LEAST_IMPORTANT:
        if max(len(_PAINT.sub("", line)) for line in shown.splitlines()) <= width:
            break
        columns = [
            {**column, "priority": 1} if column["name"] == name else column for column in found["columnDefinitions"]
        ]
        found = {**found, "columnDefinitions": columns}
        shown = server_table(found, wide=False, everywhere=everywhere)
    return shown


def soon(found: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """Return the server's table with the time remaining in column NEXT."""
    place = next((n for n, column in enumerate(found["columnDefinitions"]) if column["name"] == "Next"), None)

    def cells(row: Mapping[str, Any]) -> list[Any]:
        return [
            f"in {age(now.isoformat(), now=datetime.fromisoformat(each))}" if each and number == place else each
            for number, each in enumerate(row["cells"])
        ]

    return {**found, "rows": [{**row, "cells": cells(row)} for row in found["rows"]]}


def _show_items(items: Sequence[Mapping[str, Any]], format_: str) -> None:
    if format_ != "name":
        show(formatted([without_managed_fields(item) for item in items], format_))
        return
    for item in items:
        show(shown_schedule(item["metadata"]["name"]))


def _page(cluster: "ClusterConnection", body: Mapping[str, Any]) -> str:
    parts = [_facts(body), _conditions(body)]
    if (plan := _plan_or_none(body)) is not None and not plan.spec.suspend:
        parts.append(_times_table(plan, _next_times(plan, datetime.now(UTC), 3)))
    parts.append(_jobs_table(cluster, body))
    return "\n\n".join(part for part in parts if part)


def _times_after(plan: "Plan", instant: datetime) -> Iterator[datetime]:
    at = plan.cron.next_after(instant)
    while at is not None:
        yield at
        at = plan.cron.next_after(at)


def _next_times(plan: "Plan", now: datetime, count: int) -> Iterator[datetime]:
    for _, at in zip(range(count), _times_after(plan, now), strict=False):
        yield at


def _times_document(plan: "Plan", times: Iterable[datetime]) -> list[dict[str, str]]:
    from agentjobs.durations import format_time

    return [{"time": format_time(at), "local": _local(plan, at).isoformat()} for at in times]


def _times_table(plan: "Plan", times: Iterable[datetime]) -> str:
    now = datetime.now(UTC)
    rows = [
        [f"{_local(plan, at):%a %Y-%m-%d %H:%M %Z}", f"{at:%Y-%m-%d %H:%M} UTC", age(now.isoformat(), now=at)]
        for at in times
    ]
    return table([plan.spec.time_zone.upper(), "UTC", "IN"], rows) if rows else "No more times."


def _local(plan: "Plan", at: datetime) -> datetime:
    return at.astimezone(plan.cron.zone)


def _facts(body: Mapping[str, Any]) -> str:
    spec, status, meta = body.get("spec") or {}, body.get("status") or {}, body["metadata"]
    facts = {
        "Schedule": f"{meta['namespace']}/{meta['name']}",
        "Times": f"{spec.get('schedule')} {spec.get('timeZone', 'UTC')}",
        "Policy": f"{spec.get('concurrencyPolicy', 'Forbid')}, catch up "
        f"{(spec.get('catchUp') or {}).get('policy', 'Latest')}",
        "Suspended": "yes" if spec.get("suspend") else "",
        "Runs": f"{status.get('runs', 0)} ({status.get('missed', 0)} missed, "
        f"{status.get('consecutiveFailures', 0)} failures in a row)",
        "Last": status.get("lastScheduleTime"),
        "Last success": status.get("lastSuccessfulTime"),
    }
    width = max(map(len, facts)) + 1
    return "\n".join(f"{key + ':':<{width}} {harmless(str(value))}" for key, value in facts.items() if value)


def _conditions(body: Mapping[str, Any]) -> str:
    conditions = (body.get("status") or {}).get("conditions") or ()
    rows = [
        [condition.get("type"), condition.get("status"), condition.get("reason"), condition.get("message")]
        for condition in conditions
    ]
    return table(["CONDITION", "STATUS", "REASON", "MESSAGE"], rows, gap=NARROW, prose=True) if rows else ""


def _jobs_table(cluster: "ClusterConnection", body: Mapping[str, Any]) -> str:
    from agentjobs.contract import LABEL_SCHEDULE

    meta, now = body["metadata"], datetime.now(UTC)
    params = {"labelSelector": f"{LABEL_SCHEDULE}={meta['name']}"}
    found = cluster.request("GET", jobs_path(meta["namespace"]), params=params).get("items") or ()
    rows = [
        [
            job["metadata"]["name"],
            (job.get("status") or {}).get("phase"),
            age(job["metadata"]["creationTimestamp"], now=now),
        ]
        for job in sorted(found, key=lambda job: str(job["metadata"]["creationTimestamp"]), reverse=True)
    ]
    return table(["JOB", "PHASE", "AGE"], rows) if rows else ""


def _plan(body: Mapping[str, Any]) -> "Plan":
    from agentjobs.core.schedule.model import Illegal, parse_schedule, read_plan

    plan = read_plan(parse_schedule(body))
    if isinstance(plan, Illegal):
        raise Failure(f"{body['metadata']['name']}: {plan.message}")
    return plan


def _plan_or_none(body: Mapping[str, Any]) -> "Plan | None":
    try:
        return _plan(body)
    except Failure:
        return None  # its conditions have the reason


def _path(
    cluster: "ClusterConnection", namespace: str | None, *, name: str | None = None, everywhere: bool = False
) -> str:
    from agentjobs.cli.cluster import AGENTSCHEDULES

    return AGENTSCHEDULES.everywhere if everywhere else AGENTSCHEDULES.path(namespace or cluster.access.namespace, name)


def _get(cluster: "ClusterConnection", namespace: str | None, name: str) -> dict[str, Any]:
    return cluster.request("GET", _path(cluster, namespace, name=name))
