"""Verbs on AgentSchedules: list, show, trigger, suspend, resume, next, backfill.

Each is one patch as the user, or for `backfill` one create a job; what they compute they compute as the operator does,
with the same functions.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import typer

from agentjobs.cli.backfilling import ask, instant, jobs_path, make, ran, times_between
from agentjobs.cli.failures import TIMED_OUT, Failure
from agentjobs.cli.grammar import Program, Verbs
from agentjobs.cli.options import (
    Context,
    GatewayCA,
    GatewayURL,
    Kubeconfig,
    Namespace,
    checked,
    connected,
    global_flags,
    output,
    talking,
)
from agentjobs.cli.printing import (
    age,
    counted,
    formatted,
    harmless,
    server_table,
    show,
    shown_job,
    table,
    without_managed_fields,
)

if TYPE_CHECKING:
    from agentjobs.cli.cluster import Cluster
    from agentjobs.cli.options import Talk
    from agentjobs.client.schedule_operations import ScheduleOperations
    from agentjobs.core.plan import Plan

# More jobs than these are asked about first: each is a model's bill.
FEW: Final = 3
# An operator makes a job at once; a standby may have to take over first.
_TRIGGER_SECONDS: Final = 20.0


class _Schedules(Verbs):
    """Verbs below `schedule`."""

    synonyms: ClassVar[Mapping[str, str]] = {"get": "list", "ls": "list", "describe": "show"}


app = Program(cls=_Schedules, help="Work with AgentSchedules: jobs at set times.")
app.callback()(global_flags)


def complete_schedules(context: typer.Context, incomplete: str) -> list[str]:
    """Return the schedules whose names begin so, for the shell; nothing when they cannot be had."""
    given = context.params
    try:
        with connected(kubeconfig=given.get("kubeconfig"), context=given.get("context")) as cluster:
            found = cluster.request("GET", _path(cluster, given.get("namespace"))).get("items") or ()
            names = [str(item["metadata"]["name"]) for item in found]
            return [name for name in names if name.startswith(incomplete)]
    except Exception:  # whatever it is, the shell has no place for it
        return []


Name = Annotated[
    str, typer.Argument(help="Name of the AgentSchedule.", metavar="NAME", autocompletion=complete_schedules)
]
Output = Annotated[str | None, output("json", "yaml")]


def register(root: typer.Typer) -> None:
    """Add this module's verbs, below `schedule`."""
    root.add_typer(app, name="schedule")


@app.command("list")
def list_(
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")] = False,
    format_: Annotated[str | None, output("json", "yaml", "name", "wide")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the schedules.

    With the columns of `kubectl get agentschedules`.

    Examples:
        agentjobs schedule list
        agentjobs schedule list -A -o wide
    """
    from agentjobs.cli.cluster import TABLE

    checked(format_, "json", "yaml", "name", "wide")
    with connected(kubeconfig=kubeconfig, context=context) as cluster:
        path = _path(cluster, namespace, everywhere=everywhere)
        if format_ not in {None, "wide"}:
            items = cluster.request("GET", path).get("items") or ()
            for item in items if format_ == "name" else ():
                show(f"agentschedule.agentjobs.dev/{item['metadata']['name']}")
            if format_ != "name":
                show(formatted([without_managed_fields(item) for item in items], format_ or ""))
            return
        found = cluster.request("GET", path, accept=TABLE)
        if not found.get("rows"):
            where = "anywhere" if everywhere else f"in namespace {namespace or cluster.access.namespace}"
            show(f"No AgentSchedules {where}.", error=True)
            return
        show(server_table(found, wide=format_ == "wide", everywhere=everywhere))


@app.command("show")
def show_(
    name: Name,
    format_: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show one schedule, its next times and its jobs.

    Examples:
        agentjobs schedule show morning-brief
    """
    checked(format_, "json", "yaml")
    with connected(kubeconfig=kubeconfig, context=context) as cluster:
        body = _get(cluster, namespace, name)
        if format_:
            show(formatted(without_managed_fields(body), format_))
            return
        parts = [_facts(body), _conditions(body)]
        if (plan := _plan_or_none(body)) is not None and not plan.spec.suspend:
            parts.append(_times_table(plan, _next_times(plan, datetime.now(UTC), 3)))
        parts.append(_jobs_table(cluster, body))
        show("\n\n".join(part for part in parts if part))


@app.command()
def trigger(
    name: Name,
    value: Annotated[
        str | None,
        typer.Option("--value", help="The annotation's value: the same one makes no second job; random by default."),
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Make a job now and print its name.

    Also while the schedule is suspended. Times, counts and concurrencyPolicy of the schedule are left alone.
    Waits until the job is there, for 20 seconds at most, and says why it is not.

    Examples:
        agentjobs schedule trigger morning-brief
    """
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:
        try:
            job = talk.run(_do(talk).trigger(name, value=value, timeout=_TRIGGER_SECONDS))
        except TimeoutError as error:
            raise Failure(str(error), code=TIMED_OUT) from None
    show(f"{shown_job(job.name)} created")


@app.command()
def suspend(name: Name, namespace: Namespace = None, context: Context = None, kubeconfig: Kubeconfig = None) -> None:
    """Make no more jobs until it is resumed.

    Sets spec.suspend. Jobs that run go on; the times that pass meanwhile are never caught up.

    Examples:
        agentjobs schedule suspend morning-brief
    """
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:
        talk.run(_do(talk).suspend(name))
    show(f"agentschedule.agentjobs.dev/{name} suspended")


@app.command()
def resume(name: Name, namespace: Namespace = None, context: Context = None, kubeconfig: Kubeconfig = None) -> None:
    """Make jobs again.

    Whether spec.suspend or too many failures stopped the schedule.

    Examples:
        agentjobs schedule resume morning-brief
    """
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:
        talk.run(_do(talk).resume(name))
    show(f"agentschedule.agentjobs.dev/{name} resumed")


@app.command("next")
def next_(
    name: Name,
    count: Annotated[
        int, typer.Option("--count", metavar="NUMBER", min=1, max=1000, help="How many times: 1 to 1000, else 5.")
    ] = 5,
    format_: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show the next times of a schedule.

    Local and in UTC, as the operator computes them.

    Examples:
        agentjobs schedule next morning-brief --count 10
    """
    checked(format_, "json", "yaml")
    with connected(kubeconfig=kubeconfig, context=context) as cluster:
        plan = _plan(_get(cluster, namespace, name))
    times = list(_next_times(plan, datetime.now(UTC), count))
    if format_:
        from agentjobs.api.durations import format_time

        show(formatted([{"time": format_time(at), "local": _local(plan, at).isoformat()} for at in times], format_))
        return
    show(_times_table(plan, times))
    if plan.spec.suspend:
        show(f"{name} is suspended: it makes no jobs until `agentjobs schedule resume {name}`.", error=True)
    elif plan.spec.jitter:
        show("Each starts up to spec.jitter later.", error=True)


@app.command()
def backfill(
    name: Name,
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="First time, such as 2026-11-01 or 2026-11-01T06:00:00Z.")
    ],
    until: Annotated[
        str, typer.Option("--to", metavar="TIME", help="End, not included; without a zone it is the schedule's.")
    ],
    at_once: Annotated[
        int,
        typer.Option(
            "--max-active", metavar="NUMBER", min=1, max=100, help="How many may be unfinished at once; else 1."
        ),
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be made, and make nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before many jobs are made.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Make the jobs of past times that have none.

    Oldest first. A job's name follows from its time, so running this again makes none twice: what exists, what is
    claimed and what history knows is left out. Interrupt it at any time and run it again to go on.

    Examples:
        agentjobs schedule backfill brief --from 2026-10-01 --to 2026-11-01 --dry-run
    """
    from agentjobs.core.plan import parse_schedule
    from agentjobs.core.scheduled_job import scheduled_name

    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace, url=gateway, ca=gateway_ca) as talk:
        body = _get(talk.cluster, namespace, name)
        plan, schedule = _plan(body), parse_schedule(body)
        window = times_between(plan, instant("--from", since, plan), instant("--to", until, plan))
        known = ran(talk, schedule)
        missing = [at for at in window if scheduled_name(name, at) not in known]
        if dry_run:
            rows = [
                [scheduled_name(name, at), _local(plan, at).isoformat(), "would be made" if at in missing else "ran"]
                for at in window
            ]
            show(table(["JOB", "TIME", "STATE"], rows) if rows else "No times in that range.")
            return
        if not missing:
            show(f"{counted(len(window), 'time')} in that range, each with its job; nothing to do.", error=True)
            return
        if len(missing) > FEW and not yes:
            ask(f"Make {len(missing)} jobs of {name}, {at_once} at a time?")
        make(talk, schedule, plan, missing, at_once)


def _times_after(plan: "Plan", instant: datetime) -> Iterator[datetime]:
    at = plan.cron.next_after(instant)
    while at is not None:
        yield at
        at = plan.cron.next_after(at)


def _next_times(plan: "Plan", now: datetime, count: int) -> Iterator[datetime]:
    for _, at in zip(range(count), _times_after(plan, now), strict=False):
        yield at


def _times_table(plan: "Plan", times: Iterable[datetime]) -> str:
    now = datetime.now(UTC)
    rows = [
        [f"{_local(plan, at):%a %Y-%m-%d %H:%M %Z}", f"{at:%Y-%m-%d %H:%M} UTC", age(now.isoformat(), now=at)]
        for at in times
    ]
    return table([plan.spec.time_zone.upper(), "UTC", "IN"], rows) if rows else "No time is ahead."


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
    said = (body.get("status") or {}).get("conditions") or ()
    rows = [[one.get("type"), one.get("status"), one.get("reason"), one.get("message")] for one in said]
    return table(["CONDITION", "STATUS", "REASON", "MESSAGE"], rows) if rows else ""


def _jobs_table(cluster: "Cluster", body: Mapping[str, Any]) -> str:
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
    from agentjobs.core.plan import Illegal, parse_schedule, read_plan

    plan = read_plan(parse_schedule(body))
    if isinstance(plan, Illegal):
        raise Failure(f"{body['metadata']['name']}: {plan.message}")
    return plan


def _plan_or_none(body: Mapping[str, Any]) -> "Plan | None":
    try:
        return _plan(body)
    except Failure:
        return None  # its conditions say why


def _path(cluster: "Cluster", namespace: str | None, *, name: str = "", everywhere: bool = False) -> str:
    from agentjobs.cli.cluster import AGENTSCHEDULES

    return AGENTSCHEDULES.everywhere if everywhere else AGENTSCHEDULES.path(namespace or cluster.access.namespace, name)


def _get(cluster: "Cluster", namespace: str | None, name: str) -> dict[str, Any]:
    return cluster.request("GET", _path(cluster, namespace, name=name))


def _do(talk: "Talk") -> "ScheduleOperations":
    from agentjobs.client.schedule_operations import ScheduleOperations

    return ScheduleOperations(talk.do.namespace, talk.do.patience)
