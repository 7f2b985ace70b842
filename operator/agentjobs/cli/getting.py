"""The verb that lists jobs: get. The table is the API server's, with the columns of `kubectl get agentjobs`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentjobs import errors
from agentjobs.cli.failures import FAILURE, USAGE, Failure
from agentjobs.cli.options import (
    Context,
    Everywhere,
    JobNames,
    Kubeconfig,
    Namespace,
    Selector,
    checked,
    connected,
    output,
)
from agentjobs.cli.printing import as_json, as_yaml, complain, server_table, show, shown_job, without_managed_fields
from agentjobs.cli.targets import looking_in
from agentjobs.cli.watched_table import WatchedTable
from agentjobs.contract import GROUP, VERSION

if TYPE_CHECKING:
    from agentjobs.cli.cluster import ClusterConnection


def register(app: typer.Typer) -> None:
    """Add this module's verb."""
    app.command()(get)


def get(
    names: JobNames = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Watch for changes.")] = False,
    format_: Annotated[str | None, output("json", "yaml", "name", "wide")] = None,
    selector: Selector = None,
    everywhere: Everywhere = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List jobs that exist, or get some by name.

    `list` is an alias. `history` also lists deleted jobs. --watch continues until Ctrl-C: after a broken connection it
    tries again, and reports that on standard error.

    Examples:
        agentjobs get
        agentjobs get hello flaky -o wide
        agentjobs get -A -l team=docs
        agentjobs get -w
    """
    checked(format_, "json", "yaml", "name", "wide")
    if watch and format_ in {"json", "yaml", "name"}:
        raise Failure("--watch prints tables; leave out --output, or use wide.", code=USAGE)
    if names and everywhere:
        raise Failure("NAME refers to one namespace; leave out --all-namespaces.", code=USAGE)
    if watch and names and names[1:]:
        raise Failure("--watch takes one NAME, or none for all jobs.", code=USAGE)
    with connected(kubeconfig=kubeconfig, context=context) as cluster:
        place = _collection(cluster, namespace=namespace, everywhere=everywhere)
        params = _selected(names, selector)
        if format_ in {"json", "yaml", "name"}:
            _show_objects(cluster, place, names or (), params, format_)
        else:
            wide = format_ == "wide"
            _show_tables(cluster, place, names or (), params, watch=watch, wide=wide, everywhere=everywhere)


def _collection(cluster: "ClusterConnection", *, namespace: str | None, everywhere: bool) -> str:
    from agentjobs.cli.cluster import AGENTJOBS

    return AGENTJOBS.everywhere if everywhere else AGENTJOBS.path(namespace or cluster.access.namespace)


def _selected(names: Sequence[str] | None, selector: str | None) -> dict[str, str]:
    chosen = {"labelSelector": selector} if selector else {}
    return chosen | ({"fieldSelector": f"metadata.name={names[0]}"} if names else {})


def by_name(cluster: "ClusterConnection", place: str, names: Sequence[str], accept: str) -> Iterator[dict[str, Any]]:
    """Yield the objects with these names and report missing ones; a single missing name is an error."""
    from agentjobs.client.requests import segment

    for name in names:
        try:
            with looking_in(place.split("/")[-2]):
                found = cluster.request("GET", f"{place}/{segment(name)}", accept=accept)
            yield found
        except errors.NotFound as error:
            if len(names) == 1:
                raise
            complain(str(error))


def _show_objects(
    cluster: "ClusterConnection", place: str, names: Sequence[str], params: Mapping[str, str], format_: str
) -> None:
    from agentjobs.client.effects import JSON

    found = (
        list(by_name(cluster, place, names, JSON))
        if names
        else cluster.request("GET", place, params=params).get("items")
    )
    items = [
        # Items of a list come without kind and apiVersion.
        {"apiVersion": f"{GROUP}/{VERSION}", "kind": "AgentJob"} | without_managed_fields(item)
        for item in found or ()
    ]
    listed = {"apiVersion": "v1", "kind": "List", "items": items, "metadata": {}}
    body = items[0] if len(names) == 1 else listed
    if format_ == "name":
        for item in items:
            show(shown_job(item["metadata"]["name"]))
    else:
        show(as_json(body) if format_ == "json" else as_yaml(body))
    if len(items) < len(names):
        raise typer.Exit(FAILURE)


def _show_tables(
    cluster: "ClusterConnection",
    place: str,
    names: Sequence[str],
    params: Mapping[str, str],
    *,
    watch: bool,
    wide: bool,
    everywhere: bool,
) -> None:
    from agentjobs.cli.cluster import TABLE

    tables = (
        list(by_name(cluster, place, names, TABLE))
        if names
        else [cluster.request("GET", place, accept=TABLE, params=params)]
    )
    first = {**tables[0], "rows": [row for part in tables for row in part.get("rows") or ()]} if tables else {}
    if watch:
        watched = WatchedTable(cluster, place, params, wide=wide, everywhere=everywhere)
        watched.begin(first)
        watched.follow()
    elif first.get("rows"):
        show(server_table(first, wide=wide, everywhere=everywhere))
    elif not names:
        shown = "in any namespace" if everywhere else f"in namespace {place.split('/')[-2]}"
        show(f"No AgentJobs {shown}.", error=True)
    if len(tables) < len(names):
        raise typer.Exit(FAILURE)
