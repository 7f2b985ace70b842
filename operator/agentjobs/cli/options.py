"""Options that many verbs share, spelled as in kubectl, and the connection made from them."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import typer

from agentjobs.cli.failures import USAGE, Failure

if TYPE_CHECKING:
    from agentjobs.cli.cluster import ClusterConnection
    from agentjobs.client.effects import Operation, Stream
    from agentjobs.client.kubeconfig import Access
    from agentjobs.client.operations import Operations
    from agentjobs.client.transport import Blocking

T = TypeVar("T")

Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace; by default the context's.")
]
Context = Annotated[
    str | None, typer.Option("--context", metavar="NAME", help="Context of the kubeconfig; by default the current one.")
]
Kubeconfig = Annotated[
    str | None, typer.Option("--kubeconfig", metavar="FILE", help="Kubeconfig; by default $KUBECONFIG.")
]
GatewayURL = Annotated[
    str | None,
    typer.Option(
        "--gateway",
        metavar="URL",
        envvar="AGENTJOBS_GATEWAY_URL",
        help="Address of the gateway; by default $AGENTJOBS_GATEWAY_URL, else from the kubeconfig.",
    ),
]
GatewayCA = Annotated[
    str | None,
    typer.Option(
        "--gateway-ca",
        metavar="FILE",
        envvar="AGENTJOBS_GATEWAY_CA",
        help="CA certificates of the gateway (PEM); by default $AGENTJOBS_GATEWAY_CA, else from the kubeconfig.",
    ),
]
Timeout = Annotated[
    str,
    typer.Option("--timeout", metavar="DURATION", help="How long to wait, such as 90s or 1h; by default forever (0)."),
]
Selector = Annotated[
    str | None, typer.Option("--selector", "-l", metavar="LABELS", help="Only jobs with these labels: team=docs.")
]
ScheduleSelector = Annotated[
    str | None, typer.Option("--selector", "-l", metavar="LABELS", help="Only schedules with these labels: team=docs.")
]
AllSchedules = Annotated[bool, typer.Option("--all", help="All schedules of the namespace.")]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")]
All = Annotated[bool, typer.Option("--all", help="All jobs of the namespace.")]
Files = Annotated[
    list[str] | None,
    typer.Option("--filename", "-f", metavar="FILE", help="File, folder, or - for standard input; repeatable."),
]

_KIND: Final = frozenset({"agentjob", "agentjobs", "aj", "agentjob.agentjobs.dev", "agentjobs.agentjobs.dev"})
_SCHEDULE_KIND: Final = frozenset({"agentschedule", "agentschedules", "asch"})


def global_flags(
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """The flags allowed before a verb: `grammar.Verbs` passes them on to it."""


def output(*formats: str) -> Any:
    """Return the option --output for a verb with these formats; `checked` rejects any other value."""
    return typer.Option("--output", "-o", metavar="FORMAT", help=f"{_alternatives(formats)}.")


def checked(chosen: str | None, *formats: str) -> str | None:
    """Return the chosen format.

    Raises:
        Failure: the verb does not have it.
    """
    if chosen is not None and chosen not in formats:
        raise Failure(f"--output={chosen} is not supported; use {_alternatives(formats)}.", code=USAGE)
    return chosen


def _alternatives(formats: Sequence[str]) -> str:
    return f"{', '.join(formats[:-1])} or {formats[-1]}" if formats[1:] else formats[0]


def start_of(word: str | None) -> int | Literal["all"] | None:
    """Return --start: the number of a start, or `all`; None without it.

    Raises:
        Failure: it is neither a number nor `all`.
    """
    if word is None:
        return None
    if word == "all":
        return "all"
    if not (word.isascii() and word.isdigit() and int(word) > 0):
        raise Failure(f"--start={word} is not the number of a start; use 1, 2, … or all.", code=USAGE)
    return int(word)


def bare_name(word: str) -> str:
    """Return the name of a job given as kubectl prints it: `agentjob.agentjobs.dev/hello`.

    Raises:
        Failure: it names another kind.
    """
    kind, slash, name = word.partition("/")
    if not slash:
        return word
    if kind.lower() not in _KIND:
        raise Failure(f"{word}: expected an AgentJob, got {kind!r}; use kubectl for other kinds.", code=USAGE)
    return name


def bare_names(words: list[str] | None) -> list[str]:
    """Return names of jobs without the kind before them, as in `get agentjobs hello`."""
    kind, *rest = words or [""]
    if kind.lower() in {"agentschedules", "agentschedule", "asch"}:
        raise Failure(
            "use `agentjobs schedule list` or `agentjobs schedule show NAME` for schedules.",
            code=USAGE,
        )
    return [bare_name(word) for word in (rest if kind.lower() in _KIND else words or [])]


def complete_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the jobs whose names begin with `incomplete`; nothing on an error: it is only tab completion."""
    given = context.params
    try:
        with talking(
            kubeconfig=given.get("kubeconfig"), context=given.get("context"), namespace=given.get("namespace")
        ) as talk:
            return [job.name for job in talk.run(talk.do.list(selector="")) if job.name.startswith(incomplete)]
    except Exception:  # a shell cannot show an error during completion
        return []


def complete_schedules(context: typer.Context, incomplete: str) -> list[str]:
    """Return schedules for shell completion; nothing on an error."""
    given = context.params
    try:
        from agentjobs.cli.cluster import AGENTSCHEDULES

        with connected(kubeconfig=given.get("kubeconfig"), context=given.get("context")) as cluster:
            path = AGENTSCHEDULES.path(given.get("namespace") or cluster.access.namespace)
            names = [str(item["metadata"]["name"]) for item in cluster.request("GET", path).get("items") or ()]
            return [name for name in names if name.startswith(incomplete)]
    except Exception:  # as above
        return []


def complete_queues(context: typer.Context, incomplete: str) -> list[str]:
    """Return queues for shell completion; nothing on an error."""
    given = context.params
    try:
        from agentjobs.client.queue_operations import QueueOperations

        with talking(
            kubeconfig=given.get("kubeconfig"), context=given.get("context"), namespace=given.get("namespace")
        ) as talk:
            found = talk.run(QueueOperations(talk.do.namespace, talk.do.retry_for).in_use())
            return [queue.name for queue in found if queue.name.startswith(incomplete)]
    except Exception:  # as above
        return []


def new_name(word: str | None) -> str | None:
    """Return the name for a new job.

    Raises:
        Failure: no job may have it.
    """
    if word is None:
        return None
    from agentjobs.api.fields import DNS_SUBDOMAIN
    from agentjobs.api.job.spec import MAX_JOB_NAME
    from agentjobs.api.problems import PATTERN_CURES

    if not re.fullmatch(DNS_SUBDOMAIN, word):
        raise Failure(f"--name={word[:80]} {PATTERN_CURES[DNS_SUBDOMAIN]}", code=USAGE)
    if len(word) > MAX_JOB_NAME:
        raise Failure(f"--name={word[:80]} has {len(word)} characters; use at most {MAX_JOB_NAME}.", code=USAGE)
    return word


JobNames = Annotated[
    list[str] | None,
    typer.Argument(help="Names of AgentJobs.", metavar="[NAME...]", autocompletion=complete_names, callback=bare_names),
]


def bare_schedule(word: str) -> str:
    """Return the name of a schedule given as kubectl prints it: `agentschedule.agentjobs.dev/brief`.

    Raises:
        Failure: it names another kind.
    """
    kind, slash, name = word.rpartition("/")
    if slash and kind.lower().removesuffix(".agentjobs.dev") not in _SCHEDULE_KIND:
        raise Failure(f"{word}: expected an AgentSchedule, got {kind!r}; use kubectl for other kinds.", code=USAGE)
    return name


def bare_schedules(words: list[str] | None) -> list[str]:
    """Return names of schedules without the kinds before them."""
    return [bare_schedule(word) for word in words or ()]


def bare_queue(word: str) -> str:
    """Return the name of a queue given as kubectl prints it: `agentqueue.agentjobs.dev/fast`.

    Raises:
        Failure: it names another kind.
    """
    kind, slash, name = word.rpartition("/")
    if slash and kind.lower().removesuffix(".agentjobs.dev") not in {"agentqueue", "agentqueues", "aq"}:
        raise Failure(f"{word}: expected an AgentQueue, got {kind!r}; use kubectl for other kinds.", code=USAGE)
    return name


QueueName = Annotated[
    str, typer.Argument(help="Name of the queue.", metavar="NAME", autocompletion=complete_queues, callback=bare_queue)
]
ScheduleName = Annotated[
    str,
    typer.Argument(
        help="Name of the AgentSchedule.", metavar="NAME", autocompletion=complete_schedules, callback=bare_schedule
    ),
]
ScheduleNames = Annotated[
    list[str] | None,
    typer.Argument(
        help="Names of AgentSchedules.", metavar="[NAME...]", autocompletion=complete_schedules, callback=bare_schedules
    ),
]


@dataclass(frozen=True, slots=True)
class Talk:
    """Both servers as one user: any request, and the client's operations on one namespace."""

    cluster: "ClusterConnection"
    do: "Operations"
    transport: "Blocking"

    def run(self, operation: "Operation[T]") -> T:
        """Run one of the client's operations."""
        return self.transport.run(operation)

    def iterate(self, stream: "Stream[T]") -> Iterator[T]:
        """Run one of the client's streams."""
        return self.transport.iterate(stream)


def seconds_of(timeout: str, *, option: str = "--timeout") -> float | None:
    """Return --timeout, or the option `name`, in seconds; None for 0, which means no limit."""
    from agentjobs.durations import parse_duration

    try:
        return None if timeout.strip() == "0" else parse_duration(timeout).total_seconds()
    except ValueError as error:
        raise Failure(f"{option}: {error}", code=USAGE) from None


def access_of(*, kubeconfig: str | None, context: str | None) -> "Access":
    """Read the kubeconfig."""
    from agentjobs.client.kubeconfig import load

    return load(kubeconfig, context=context, environ=os.environ)


@contextmanager
def connected(*, kubeconfig: str | None, context: str | None) -> Iterator["ClusterConnection"]:
    """Open a connection to the cluster that the options name."""
    access = access_of(kubeconfig=kubeconfig, context=context)
    from agentjobs.cli.cluster import connect

    with connect(access) as cluster:
        yield cluster


@contextmanager
def talking(
    *,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    url: str | None = None,
    ca: str | None = None,
) -> Iterator[Talk]:
    """Return both servers; each is connected at its first request. No request is retried, except by verbs that wait."""
    access = access_of(kubeconfig=kubeconfig, context=context)
    from agentjobs.cli.cluster import ClusterConnection
    from agentjobs.client.connection import Endpoint, api_server, gateway
    from agentjobs.client.effects import Server
    from agentjobs.client.operations import Operations
    from agentjobs.client.transport import Blocking

    def endpoint(server: Any) -> Endpoint:
        if server is Server.CLUSTER:
            return api_server(access)
        return gateway(access, url=url, ca=ca, environ=os.environ)

    transport = Blocking(endpoint)
    try:
        yield Talk(
            ClusterConnection(access, transport), Operations(namespace or access.namespace, retry_for=0.0), transport
        )
    finally:
        transport.close()
