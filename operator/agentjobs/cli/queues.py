"""Verbs on queues: list, show, pause, drain, resume, scale. Each order is one request as the user."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import typer

from agentjobs.cli.grammar import Program, Verbs
from agentjobs.cli.history_text import moment
from agentjobs.cli.options import (
    Context,
    Everywhere,
    Kubeconfig,
    Namespace,
    QueueName,
    checked,
    global_flags,
    output,
    talking,
)
from agentjobs.cli.printing import NARROW, age, formatted, harmless, show, table, without_managed_fields

if TYPE_CHECKING:
    from agentjobs.cli.options import Talk
    from agentjobs.client.effects import Operation
    from agentjobs.client.job_queue import Queue
    from agentjobs.client.queue_operations import QueueOperations

_COLUMNS: Final = ("NAME", "RUNNING", "MAX", "WAITING", "OLDEST", "STOP", "AGE")
_WIDE: Final = ("SCHEDULED", "SUSPENDED", "RATE", "SPEND", "OPEN", "LIMITED")
_OF_INSTALLATION: Final = "installation's"


class _Queues(Verbs):
    """Verbs below `queue`."""

    synonyms: ClassVar[Mapping[str, str]] = {"get": "list", "ls": "list", "describe": "show", "hold": "pause"}


app = Program(cls=_Queues, help="Work with queues, which limit their jobs.")
app.callback()(global_flags)

Output = Annotated[str | None, output("json", "yaml", "name")]


def register(root: typer.Typer) -> None:
    """Add this module's verbs, below `queue`."""
    root.add_typer(app, name="queue")


@app.command("list")
def list_(
    everywhere: Everywhere = False,
    format_: Annotated[str | None, output("json", "yaml", "name", "wide")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the queues of the namespace, or of all.

    Queues with an AgentQueue, the installation's queues (`agents`, `scheduled`), and any other that a job names. The
    limit of a queue without an AgentQueue is only known to the installation.

    Examples:
        agentjobs queue list
        agentjobs queue list -A -o wide
    """
    checked(format_, "json", "yaml", "name", "wide")
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:
        found = talk.run(_do(talk).in_use(everywhere=everywhere))
    if format_ == "name":
        for queue in found:
            show(_shown(queue.name))
    elif format_ in {"json", "yaml"}:
        show(formatted([_document(queue) for queue in found], format_))
    elif found:
        now, wide = datetime.now(UTC), format_ == "wide"
        first = ["NAMESPACE"] if everywhere else []
        rows = [
            [*([queue.namespace] if everywhere else []), *_row(queue, now), *(_wide(queue) if wide else [])]
            for queue in found
        ]
        show(table([*first, *_COLUMNS, *(_WIDE if wide else ())], rows))
    else:
        show("No namespace has AgentQueues or jobs.", error=True)


@app.command("show")
def show_(
    name: QueueName,
    format_: Annotated[str | None, output("json", "yaml")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show a queue, its jobs and its free capacity.

    Examples:
        agentjobs queue show agents
        agentjobs queue show agents -o yaml
    """
    from agentjobs import errors
    from agentjobs.cli.cluster import AGENTQUEUES

    checked(format_, "json", "yaml")
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:
        queue = next((candidate for candidate in talk.run(_do(talk).in_use()) if candidate.name == name), None)
        if queue is None:
            raise errors.NotFound(f"AgentQueue {name!r} does not exist, and no job names it.")
        if format_ is None:
            show(_page(queue))
        elif queue.has_object:
            body = talk.cluster.request("GET", AGENTQUEUES.path(talk.do.namespace, name))
            show(formatted(without_managed_fields(body), format_))
        else:
            show(formatted(_document(queue), format_))


@app.command()
def pause(
    name: QueueName,
    format_: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Start no more jobs; running jobs continue.

    Sets spec.stopPolicy to Hold. For a queue of the installation this creates an AgentQueue with the same limit.

    Examples:
        agentjobs queue pause agents
    """
    _order(name, lambda do: do.stop(name, "Hold"), "paused", format_, namespace, context, kubeconfig)


@app.command()
def drain(
    name: QueueName,
    format_: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Start no more jobs and suspend running ones.

    Sets spec.stopPolicy to HoldAndDrain. A job is suspended after its current step, and continues after
    `agentjobs queue resume`.

    Examples:
        agentjobs queue drain agents
    """
    _order(name, lambda do: do.stop(name, "HoldAndDrain"), "draining", format_, namespace, context, kubeconfig)


@app.command()
def resume(
    name: QueueName,
    format_: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Start jobs again; drained jobs continue.

    Sets spec.stopPolicy to None.

    Examples:
        agentjobs queue resume agents
    """
    _order(name, lambda do: do.stop(name, "None"), "resumed", format_, namespace, context, kubeconfig)


@app.command()
def scale(
    name: QueueName,
    most: Annotated[
        int,
        typer.Argument(
            metavar="NUMBER", min=0, max=100000, help="Number of jobs with a slot at the same time: 0 to 100000."
        ),
    ],
    format_: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Set how many jobs of a queue run at the same time.

    Sets spec.concurrency.max. Running jobs above a lower limit continue.

    Examples:
        agentjobs queue scale agents 20
    """
    _order(name, lambda do: do.scale(name, most), f"scaled to {most}", format_, namespace, context, kubeconfig)


def _order(
    name: str,
    give: "Any",
    done: str,
    format_: str | None,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> None:
    checked(format_, "json", "yaml", "name")
    from agentjobs.cli.cluster import AGENTQUEUES

    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:
        order: Operation[tuple[Queue, bool]] = give(_do(talk))
        queue, made = talk.run(order)
        if made:
            words = f"AgentQueue {name} was created; delete it to return to the installation's limits."
            show(words, error=True)
        if format_ in {"json", "yaml"}:
            body = talk.cluster.request("GET", AGENTQUEUES.path(talk.do.namespace, name))
            show(formatted(without_managed_fields(body), format_))
        else:
            show(_shown(queue.name) if format_ == "name" else f"{_shown(queue.name)} {done}")


def _do(talk: "Talk") -> "QueueOperations":
    from agentjobs.client.queue_operations import QueueOperations

    return QueueOperations(talk.do.namespace, talk.do.retry_for)


def _shown(name: str) -> str:
    """Return `agentqueue.agentjobs.dev/agents`, as kubectl prints it."""
    return f"agentqueue.agentjobs.dev/{name}"


def _row(queue: "Queue", now: datetime) -> list[Any]:
    status = queue.status
    return [
        queue.name,
        status.running,
        status.max if queue.has_object else _OF_INSTALLATION,
        status.waiting,
        age(status.oldest_waiting_time.isoformat(), now=now) if status.oldest_waiting_time else "",
        queue.spec.get("stopPolicy", "None"),
        age(queue.created.isoformat(), now=now) if queue.has_object else "",
    ]


def _wide(queue: "Queue") -> list[Any]:
    from agentjobs.api.conditions import find_condition

    status, rate = queue.status, queue.spec.get("rateLimit") or {}
    limited = find_condition(status.conditions, "Limited")
    return [
        status.scheduled,
        status.suspended,
        f"{rate['starts']} in {rate['period']}" if "starts" in rate and "period" in rate else "",
        ", ".join(f"{budget.name} ${budget.cost_usd}" for budget in status.spend),
        queue.reason,
        limited.reason if limited and limited.is_true else "",
    ]


def _document(queue: "Queue") -> dict[str, Any]:
    """A queue as an object; one of the installation has no metadata except its name."""
    meta: dict[str, Any] = {"name": queue.name, "namespace": queue.namespace}
    if queue.has_object:
        meta |= {"uid": queue.uid, "labels": dict(queue.labels), "annotations": dict(queue.annotations)}
    kind = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentQueue", "metadata": meta}
    return {**kind, "spec": dict(queue.spec), "status": queue.status.to_dict()}


def _page(queue: "Queue") -> str:
    status, spec = queue.status, queue.spec
    facts = {
        "Queue": f"{queue.namespace}/{queue.name}",
        "Limits": _limits_words(queue) if queue.has_object else "the installation's: no AgentQueue",
        "Stop": spec.get("stopPolicy", "None") if queue.has_object else "",
        "Jobs": f"{status.running} running, {status.waiting} waiting, {status.scheduled} scheduled, "
        f"{status.suspended} suspended",
        "Oldest": f"waiting since {_moment(status.oldest_waiting_time)}" if status.oldest_waiting_time else "",
    }
    width = max(map(len, facts)) + 1
    lines = [f"{key + ':':<{width}} {harmless(str(value))}" for key, value in facts.items() if value]
    parts = ["\n".join(lines), _conditions(queue), _spend(queue), _limits(status.limits)]
    return "\n\n".join(part for part in parts if part)


def _limits_words(queue: "Queue") -> str:
    each = (queue.spec.get("concurrency") or {}).get("perPartition")
    rate, backlog = queue.spec.get("rateLimit") or {}, queue.spec.get("backlog") or {}
    words = [f"at most {queue.status.max} at a time"]
    words += [f"{each} per partition"] if each is not None else []
    if rate:
        words.append(f"{rate['starts']} starts per {rate['period']}{_scope(rate)}")
    if backlog:
        words.append(f"{backlog['max']} waiting")
    return ", ".join(words)


def _scope(limit: Mapping[str, Any]) -> str:
    return " and partition" if limit.get("scope") == "Partition" else ""


def _moment(time: datetime) -> str:
    return f"{moment(time.isoformat())} UTC"


def _conditions(queue: "Queue") -> str:
    rows = [
        [condition.type, condition.status, condition.reason, condition.message] for condition in queue.status.conditions
    ]
    return table(["CONDITION", "STATUS", "REASON", "MESSAGE"], rows, gap=NARROW, prose=True) if rows else ""


def _spend(queue: "Queue") -> str:
    most = {budget.get("name"): budget for budget in queue.spec.get("budgets") or ()}
    rows = [
        [
            budget.name,
            _of(f"${budget.cost_usd}", most.get(budget.name, {}).get("maxCostUSD"), "$"),
            _of(budget.tokens, most.get(budget.name, {}).get("maxTokens")),
            budget.partition,
            _moment(budget.resets) if budget.resets else "",
        ]
        for budget in queue.status.spend
    ]
    return table(["BUDGET", "COST", "TOKENS", "PARTITION", "RESETS"], rows) if rows else ""


def _of(spent: object, most: object, unit: str = "") -> str:
    return f"{spent}" if most is None else f"{spent} of {unit}{most}"


def _limits(limits: Sequence[Any]) -> str:
    rows = [[limit.models, limit.limit, limit.max, limit.left] for limit in limits]
    return table(["MODELS", "LIMIT", "MAX", "LEFT"], rows) if rows else ""
