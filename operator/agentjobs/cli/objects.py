"""Verbs on AgentJobs in the cluster: apply, get, delete, cancel, suspend, resume, rerun, wait.

Each is one request (or one watch) as the user of the kubeconfig; `apply` takes every kind the server knows, because an
example brings its ConfigMap along.
"""

import re
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from agentjobs import errors
from agentjobs.cli.failures import FAILURE, TIMED_OUT, USAGE, Failure
from agentjobs.cli.options import (
    Context,
    JobName,
    Kubeconfig,
    Namespace,
    Timeout,
    complete_names,
    connected,
    seconds_of,
    talking,
)
from agentjobs.cli.printing import as_json, as_yaml, server_table, show, without_managed_fields

if TYPE_CHECKING:
    from agentjobs.cli.cluster import Cluster
    from agentjobs.cli.manifests import Manifest
    from agentjobs.client.job import Job

# A watch is opened anew after this long without a word, in case a proxy on the way dropped it silently.
WATCH_SECONDS: Final = 300.0
# A server that ends every watch at once must not be asked in a tight loop.
REOPEN_SECONDS: Final = 0.5
_CONDITION: Final = re.compile(r"condition=([A-Za-z]+)(?:=(True|False|Unknown))?", re.IGNORECASE)


def register(app: typer.Typer) -> None:
    """Add this module's verbs."""
    for verb in (apply, get, delete, cancel, suspend, resume, rerun, wait):
        app.command()(verb)


def apply(
    filename: Annotated[
        list[str], typer.Option("--filename", "-f", help="File, folder, or - for standard input; may be repeated.")
    ],
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Create the objects of a file, or change them to what the file says.

    Takes turns with `kubectl apply`: both remember what they applied last in the same annotation. Unknown fields are
    errors.
    """
    from agentjobs.cli.manifests import read

    manifests = read(filename)
    if not manifests:
        raise Failure(f"{', '.join(filename)} holds no object.", code=USAGE)
    failed = False
    with connected(kubeconfig=kubeconfig, context=context) as cluster:
        for manifest in manifests:
            try:
                show(applied(cluster, manifest, namespace=namespace))
            except (errors.AgentJobsError, Failure) as error:
                failed = True
                show(f"error: {manifest.source}, {manifest.body['kind']} {manifest.name!r}: {error}", error=True)
    if failed:
        raise typer.Exit(FAILURE)


def get(
    name: Annotated[
        str | None,
        typer.Argument(help="Name of the AgentJob; all by default.", metavar="NAME", autocompletion=complete_names),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, and print every change.")] = False,
    output: Annotated[str | None, typer.Option("--output", "-o", help="json, yaml, name or wide.")] = None,
    selector: Annotated[str | None, typer.Option("--selector", "-l", help="Labels, such as team=docs.")] = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List AgentJobs, or show one, as `kubectl get agentjobs` does."""
    if output not in {None, "json", "yaml", "name", "wide"}:
        raise Failure(f"--output={output} is unknown; use json, yaml, name or wide.", code=USAGE)
    if watch and output in {"json", "yaml", "name"}:
        raise Failure("--watch prints tables; leave out --output, or use wide.", code=USAGE)
    if name and everywhere:
        raise Failure("a NAME lives in one namespace; leave out --all-namespaces.", code=USAGE)
    with connected(kubeconfig=kubeconfig, context=context) as cluster:
        place = _collection(cluster, namespace=namespace, everywhere=everywhere)
        params = _selected(name, selector)
        if output in {"json", "yaml", "name"}:
            body = _objects(cluster, place, name=name, params=params)
            if output == "name":
                for item in [body] if name else body["items"]:
                    show(f"agentjob.agentjobs.dev/{item['metadata']['name']}")
                return
            show(as_json(body) if output == "json" else as_yaml(body))
            return
        _show_tables(
            cluster, place, name=name, params=params, watch=watch, wide=output == "wide", everywhere=everywhere
        )


def delete(
    name: JobName,
    ignore_not_found: Annotated[bool, typer.Option("--ignore-not-found", help="No such job is fine.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Delete an AgentJob and its pods; its history stays with the gateway."""
    with connected(kubeconfig=kubeconfig, context=context) as cluster:
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        try:
            cluster.request("DELETE", _collection(cluster, namespace=namespace) + _below(name), body=options)
        except errors.NotFound:
            if ignore_not_found:
                return
            raise
    show(f'agentjob.agentjobs.dev "{name}" deleted')


def cancel(name: JobName, namespace: Namespace = None, context: Context = None, kubeconfig: Kubeconfig = None) -> None:
    """Ask an AgentJob to stop: sets spec.cancel. The running pod gets its grace period; the job ends as Cancelled."""
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:
        job = talk.run(talk.do.steer(name, {"cancel": True}))
    show(_asked(job, "cancel requested"))


def suspend(name: JobName, namespace: Namespace = None, context: Context = None, kubeconfig: Kubeconfig = None) -> None:
    """Ask an AgentJob to free its pod and to wait: sets spec.suspend. `resume` lets it go on."""
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:
        job = talk.run(talk.do.steer(name, {"suspend": True}))
    show(_asked(job, "suspend requested"))


def resume(name: JobName, namespace: Namespace = None, context: Context = None, kubeconfig: Kubeconfig = None) -> None:
    """Let a suspended AgentJob go on, whether spec.suspend or a rule of its resultPolicy suspended it."""
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:
        job = talk.run(talk.do.resume(name))
    show(_asked(job, "resumed"))


def rerun(
    name: JobName,
    new_name: Annotated[
        str | None, typer.Option("--name", help="Name of the new job; NAME and random digits by default.")
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Run the same work again as a new AgentJob, from the start. The old one stays as it is."""
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:
        job = talk.run(talk.do.rerun(name, new_name_=new_name))
    show(f"agentjob.agentjobs.dev/{job.name} created")


def wait(
    name: JobName,
    condition: Annotated[
        str, typer.Option("--for", help="condition=Complete: it succeeded. condition=Finished: any end.")
    ] = "condition=Complete",
    timeout: Timeout = "0",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Wait for a condition of an AgentJob.

    Exits 0 when it holds, 1 as soon as the job has ended and it cannot hold any more, 124 when time ran out.
    """
    wanted = _CONDITION.fullmatch(condition)
    if not wanted:
        raise Failure(f"--for={condition} is not understood; use condition=Complete or condition=Finished.", code=USAGE)
    kind, status = wanted[1], (wanted[2] or "True").capitalize()
    limit = seconds_of(timeout)
    deadline = None if limit is None else time.monotonic() + limit
    with connected(kubeconfig=kubeconfig, context=context) as cluster:
        job: Mapping[str, Any] | None = None
        for job in _states(cluster, _collection(cluster, namespace=namespace), name, deadline=deadline):
            if _holds(job, kind, status):
                show(f"agentjob.agentjobs.dev/{name} condition met")
                return
            if _holds(job, "Finished", "True"):
                raise Failure(_ended(job, name=name, wanted=condition))
    phase = (job or {}).get("status", {}).get("phase") or "not seen by an operator yet"
    raise Failure(f"{name} did not reach {condition} within {timeout}; it is {phase}.", code=TIMED_OUT)


def applied(cluster: "Cluster", manifest: "Manifest", *, namespace: str | None) -> str:
    """Create or change one object as its file says, and return what became of it in kubectl's words."""
    from agentjobs.cli.cluster import MERGE_PATCH
    from agentjobs.cli.manifests import three_way, with_last_applied

    kind = cluster.kind(manifest.body["apiVersion"], manifest.body["kind"])
    own = manifest.body["metadata"].get("namespace")
    if own and namespace and own != namespace:
        raise Failure(f"it says namespace {own!r} and --namespace says {namespace!r}; leave one out.", code=USAGE)
    place = own or namespace or cluster.access.namespace
    whole = {**manifest.body["metadata"], **({"namespace": place} if kind.namespaced else {})}
    body = with_last_applied({**manifest.body, "metadata": whole})
    params = {"fieldValidation": "Strict", "fieldManager": "agentjobs-apply"}
    path = kind.path(place, manifest.name)
    shown = f"{kind.shown}/{manifest.name}"
    try:
        current = cluster.request("GET", path)
    except errors.NotFound:
        cluster.request("POST", kind.path(place), body=body, params=params)
        return f"{shown} created"
    patch = three_way(current, body)
    if not patch:
        return f"{shown} unchanged"
    changed = cluster.request("PATCH", path, body=patch, params=params, content_type=MERGE_PATCH)
    before, after = (item["metadata"].get("resourceVersion") for item in (current, changed))
    return f"{shown} {'unchanged' if before == after else 'configured'}"


def _asked(job: "Job", words: str) -> str:
    return f"agentjob.agentjobs.dev/{job.name} {f'has ended already: {job.phase}' if job.finished else words}"


def _collection(cluster: "Cluster", *, namespace: str | None, everywhere: bool = False) -> str:
    from agentjobs.cli.cluster import AGENTJOBS

    path = AGENTJOBS.path(namespace or cluster.access.namespace)
    return f"/apis/{AGENTJOBS.group_version}/{AGENTJOBS.plural}" if everywhere else path


def _below(name: str) -> str:
    from urllib.parse import quote

    return "/" + quote(name, safe="")


def _selected(name: str | None, selector: str | None) -> dict[str, str]:
    chosen = {"labelSelector": selector} if selector else {}
    return chosen | ({"fieldSelector": f"metadata.name={name}"} if name else {})


def _objects(cluster: "Cluster", place: str, *, name: str | None, params: Mapping[str, str]) -> dict[str, Any]:
    if name:
        return without_managed_fields(cluster.request("GET", place + _below(name)))
    found = cluster.request("GET", place, params=params)
    items = [
        # Items of a list come without the words that say what they are.
        {"apiVersion": found.get("apiVersion"), "kind": "AgentJob"} | without_managed_fields(item)
        for item in found.get("items") or ()
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items, "metadata": {}}


def _show_tables(
    cluster: "Cluster",
    place: str,
    *,
    name: str | None,
    params: Mapping[str, str],
    watch: bool,
    wide: bool,
    everywhere: bool,
) -> None:
    from agentjobs.cli.cluster import TABLE

    path = place + _below(name) if name else place
    first = cluster.request("GET", path, accept=TABLE, params={} if name else params)
    if first.get("rows") or watch:
        show(server_table(first, wide=wide, everywhere=everywhere))
    else:
        shown = "anywhere" if everywhere else f"in namespace {place.split('/')[-2]}"
        show(f"No AgentJobs {shown}.", error=True)
    version = (first.get("metadata") or {}).get("resourceVersion", "")
    columns = first.get("columnDefinitions")
    while watch:
        for event in _reopened(cluster, place, params, version, accept=TABLE):
            change = event["object"]
            columns = change.get("columnDefinitions") or columns
            rows = change.get("rows") or []
            version = _version_of(change, rows) or version
            if event["type"] in {"ADDED", "MODIFIED", "DELETED"} and rows:
                show(
                    server_table(
                        {**change, "columnDefinitions": columns}, wide=wide, everywhere=everywhere, header=False
                    )
                )


def _version_of(change: Mapping[str, Any], rows: list[Any]) -> str:
    inside = rows[0].get("object") if rows else {}
    metadata = (inside or {}).get("metadata") or change.get("metadata") or {}
    return str(metadata.get("resourceVersion") or "")


def _reopened(
    cluster: "Cluster", place: str, params: Mapping[str, str], version: str, *, accept: str
) -> Iterator[dict[str, Any]]:
    """Yield the events of one watch; a server that is too far ahead of `version` makes the next one begin at now."""
    began = time.monotonic()
    for event in cluster.watch(
        place, params={**params, "resourceVersion": version}, accept=accept, seconds=WATCH_SECONDS
    ):
        if event.get("type") == "ERROR":
            message = event["object"].get("message")
            raise Failure(f"the watch broke: {message}. Run the command again.")
        yield event
    if time.monotonic() - began < REOPEN_SECONDS:
        time.sleep(REOPEN_SECONDS)


def _states(cluster: "Cluster", place: str, name: str, *, deadline: float | None) -> Iterator[Mapping[str, Any]]:
    """Yield the job as it is and after every change, until `deadline` (of time.monotonic)."""
    params = {"fieldSelector": f"metadata.name={name}"}
    while True:
        job = cluster.request("GET", place + _below(name))
        yield job
        left = WATCH_SECONDS if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return
        version = job["metadata"]["resourceVersion"]
        # The read time-out counts from the last event, so the server is told to end the watch in time as well.
        asked = {**params, "resourceVersion": version, "timeoutSeconds": str(max(1, round(min(left, WATCH_SECONDS))))}
        for event in cluster.watch(place, params=asked, seconds=min(left, WATCH_SECONDS)):
            if event.get("type") == "DELETED":
                raise Failure(f"{name} was deleted; `agentjobs history {name}` tells how far it came.")
            if event.get("type") in {"ADDED", "MODIFIED"}:
                yield event["object"]
            if event.get("type") == "ERROR" or (deadline is not None and time.monotonic() >= deadline):
                break


def _holds(job: Mapping[str, Any], kind: str, status: str) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(str(item["type"]).lower() == kind.lower() and item["status"] == status for item in conditions)


def _ended(job: Mapping[str, Any], *, name: str, wanted: str) -> str:
    status = job.get("status") or {}
    telling = {status.get("phase"), "Failed", "Cancelled"}
    said = next((c.get("message") for c in status.get("conditions") or () if c["type"] in telling and c["message"]), "")
    return f"{name} ended as {status.get('phase')}, so {wanted} cannot come" + (f": {said}" if said else ".")
