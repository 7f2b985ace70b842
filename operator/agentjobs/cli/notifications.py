"""Verbs on notifications: list, the default, and retry."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from agentjobs.cli.grammar import HELP_FLAGS, Program, Verbs
from agentjobs.cli.options import (
    Context,
    GatewayCA,
    GatewayURL,
    Kubeconfig,
    Namespace,
    bare_name,
    checked,
    complete_names,
    global_flags,
    output,
    talking,
)
from agentjobs.cli.printing import NARROW, age, counted, formatted, harmless, show, table

if TYPE_CHECKING:
    from agentjobs.api.recorded_notifications import RecordedNotification
    from agentjobs.cli.options import Talk
    from agentjobs.client.notification_operations import NotificationOperations


class _Verbs(Verbs):
    """Verbs below `notifications`."""

    synonyms: ClassVar[Mapping[str, str]] = {"ls": "list", "get": "list"}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what comes before the verb; the default verb is list."""
        words = {*self.commands, *self.synonyms, *HELP_FLAGS["help_option_names"]}
        return super().parse_args(ctx, args if words.intersection(args) else ["list", *args])


notifications = Program(cls=_Verbs, help="List and retry notifications about jobs.")
notifications.callback()(global_flags)


def register(root: typer.Typer) -> None:
    """Add this module's verbs."""
    root.add_typer(notifications, name="notifications")


Job = Annotated[
    str, typer.Argument(help="Name or uid of a job.", metavar="JOB", autocompletion=complete_names, callback=bare_name)
]


@notifications.command("list")
def list_(
    job: Annotated[str | None, typer.Option("--job", metavar="NAME", help="Only for this job, by name or uid.")] = None,
    stuck: Annotated[bool, typer.Option("--stuck", help="Only those that failed.")] = False,
    format_: Annotated[str | None, output("json", "yaml", "wide")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """List notifications to sinks, newest first.

    States: Waiting (not tried yet, or behind another notification of the job), Retrying (failed, will be retried),
    GivenUp (after three days, or the sink rejected it).

    Examples:
        agentjobs notifications --stuck
        agentjobs notifications list --job triage-87 -o json
    """
    checked(format_, "json", "yaml", "wide")
    where = {"kubeconfig": kubeconfig, "context": context, "namespace": namespace}
    with _opened(**where, gateway=gateway, gateway_ca=gateway_ca) as (talk, do):
        found = list(talk.iterate(do.list(job=(job and bare_name(job)) or "", stuck=stuck)))
    if format_ in {"json", "yaml"}:
        show(formatted([notification.model_dump(mode="json", by_alias=True) for notification in found], format_))
    elif found:
        show(_table(found, wide=format_ == "wide"))
    else:
        show(f"No matching notifications in namespace {do.namespace}.", error=True)


@notifications.command("retry")
def retry(
    job: Job,
    sink: Annotated[str | None, typer.Option("--sink", metavar="NAME", help="Only for this sink.")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Retry failed and given-up notifications now.

    Examples:
        agentjobs notifications retry triage-87
        agentjobs notifications retry triage-87 --sink audit
    """
    where = {"kubeconfig": kubeconfig, "context": context, "namespace": namespace}
    with _opened(**where, gateway=gateway, gateway_ca=gateway_ca) as (talk, do):
        retried = talk.run(do.retry(job, sink=sink or ""))
    result = f"{counted(retried, 'notification')} retried" if retried else "nothing to retry"
    show(f"{harmless(job)}: {result}")


@contextmanager
def _opened(
    *, gateway: str | None = None, gateway_ca: str | None = None, **where: str | None
) -> Iterator[tuple["Talk", "NotificationOperations"]]:
    from agentjobs.client.notification_operations import NotificationOperations

    with talking(**where, url=gateway, ca=gateway_ca) as talk:
        yield talk, NotificationOperations(talk.do.namespace, talk.do.retry_for)


def _table(found: Sequence["RecordedNotification"], *, wide: bool) -> str:
    now = datetime.now(UTC)
    rows = [
        [
            notification.name,
            notification.sink,
            notification.event,
            notification.state,
            notification.tries,
            age(notification.since.isoformat(), now=now),
            *([notification.uid, notification.transition] if wide else []),
            notification.error,
        ]
        for notification in found
    ]
    columns = ["JOB", "SINK", "EVENT", "STATE", "TRIES", "AGE", *(["UID", "TRANSITION"] if wide else []), "ERROR"]
    return table(columns, rows, gap=NARROW, prose=True)
