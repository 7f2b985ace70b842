"""Verbs on files of objects: apply, create, delete.

They accept any kind the server has, because an example includes its ConfigMap. Each object is one request as the user
of the kubeconfig.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentjobs import errors
from agentjobs.cli.failures import FAILURE, USAGE, Failure
from agentjobs.cli.options import (
    All,
    Context,
    Everywhere,
    Files,
    JobNames,
    Kubeconfig,
    Namespace,
    Selector,
    checked,
    connected,
    output,
    talking,
)
from agentjobs.cli.printing import complain, show
from agentjobs.cli.targets import Choice, Target, each, targets

if TYPE_CHECKING:
    from agentjobs.cli.cluster import ClusterConnection, Kind
    from agentjobs.cli.manifests import Manifest


def register(app: typer.Typer) -> None:
    """Add this module's verbs."""
    for verb in (create, apply, delete):
        app.command()(verb)


def create(
    filename: Files = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Create the objects of a file; all must be new.

    An existing object is an error. With metadata.generateName each run creates a new object.

    Examples:
        agentjobs create -f job.yaml
    """

    def created(cluster: "ClusterConnection", manifest: "Manifest") -> str:
        kind, place = _place(cluster, manifest, namespace)
        made = cluster.request("POST", kind.path(place), body=manifest.body, params=_strictly("agentjobs-create"))
        return f"{kind.shown}/{made['metadata']['name']} created"

    _with_each(filename, created, kubeconfig=kubeconfig, context=context, generated=True)


def apply(
    filename: Files = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Create or change objects to match a file.

    Compatible with `kubectl apply`: both use the same annotation. Unknown fields are errors. A finished job does not
    run again: use `agentjobs rerun NAME`.

    Examples:
        agentjobs apply -f examples/hello.yaml
        cat jobs.yaml | agentjobs apply -f -
    """

    def changed(cluster: "ClusterConnection", manifest: "Manifest") -> str:
        return applied(cluster, manifest, namespace=namespace)

    _with_each(filename, changed, kubeconfig=kubeconfig, context=context)


def delete(
    names: JobNames = None,
    filename: Files = None,
    selector: Selector = None,
    all_: All = False,
    everywhere: Everywhere = False,
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="Succeed if the object does not exist.")
    ] = False,
    format_: Annotated[str | None, output("name")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Delete jobs and their pods; history stays.

    With -f, deletes all objects of the file, of any kind.

    Examples:
        agentjobs delete hello flaky
        agentjobs delete -l team=docs
        agentjobs delete -f examples/hello.yaml
        agentjobs delete --all -o name
    """
    checked(format_, "name")
    if filename and (names or selector or all_ or everywhere):
        raise Failure("--filename cannot be combined with NAME, --selector, --all or -A.", code=USAGE)
    if filename:

        def delete_manifest(cluster: "ClusterConnection", manifest: "Manifest") -> str:
            kind, place = _place(cluster, manifest, namespace)
            return _deleted(
                cluster, kind.path(place, manifest.name), kind.shown, manifest.name, ignore_not_found, format_
            )

        _with_each(filename, delete_manifest, kubeconfig=kubeconfig, context=context)
        return
    choice = Choice(names or (), selector, all_, everywhere)
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:
        from agentjobs.cli.cluster import AGENTJOBS

        def delete_job(target: Target) -> str:
            path = AGENTJOBS.path(target.do.namespace, target.name)
            return _deleted(talk.cluster, path, AGENTJOBS.shown, target.name, ignore_not_found, format_)

        each(targets(talk, choice), delete_job)


def applied(cluster: "ClusterConnection", manifest: "Manifest", *, namespace: str | None) -> str:
    """Create or change one object to match its file; return the result in kubectl's words."""
    from agentjobs.cli.cluster import MERGE_PATCH
    from agentjobs.cli.manifests import three_way, with_last_applied

    kind, place = _place(cluster, manifest, namespace)
    whole = {**manifest.body["metadata"], **({"namespace": place} if kind.namespaced else {})}
    body = with_last_applied({**manifest.body, "metadata": whole})
    params = _strictly("agentjobs-apply")
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


def _with_each(
    filenames: Sequence[str] | None,
    act: "Callable[[ClusterConnection, Manifest], str]",
    *,
    kubeconfig: str | None,
    context: str | None,
    generated: bool = False,
) -> None:
    from agentjobs.cli.manifests import read

    if not filenames:
        raise Failure("no file given: use -f FILE, a folder, or - for standard input.", code=USAGE)
    manifests = read(filenames, generated=generated)
    if not manifests:
        sources = ["standard input" if name == "-" else name for name in filenames]
        raise Failure(f"{', '.join(sources)} contains no object.", code=USAGE)
    failed = False
    with connected(kubeconfig=kubeconfig, context=context) as cluster:
        for manifest in manifests:
            try:
                if words := act(cluster, manifest):
                    show(words)
            except (errors.AgentJobsError, Failure) as error:
                failed = True
                complain(f"{manifest.source}, {manifest.body['kind']} {manifest.name!r}: {_reason(manifest, error)}")
    if failed:
        raise typer.Exit(FAILURE)


def _reason(manifest: "Manifest", error: Exception) -> str:
    if not isinstance(error, errors.Invalid):
        return str(error)
    from agentjobs.cli.findings import rejection  # imports all models, for a failure only

    return rejection(manifest.body, error)


def _place(cluster: "ClusterConnection", manifest: "Manifest", namespace: str | None) -> "tuple[Kind, str]":
    own = manifest.body["metadata"].get("namespace")
    if own and namespace and own != namespace:
        raise Failure(f"its namespace is {own!r} but --namespace is {namespace!r}; leave one out.", code=USAGE)
    kind = cluster.kind(manifest.body["apiVersion"], manifest.body["kind"])
    return kind, own or namespace or cluster.access.namespace


def _strictly(manager: str) -> dict[str, str]:
    return {"fieldValidation": "Strict", "fieldManager": manager}


def _deleted(
    cluster: "ClusterConnection", path: str, shown: str, name: str, ignore_not_found: bool, format_: str | None
) -> str:
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    try:
        cluster.request("DELETE", path, body=options)
    except errors.NotFound:
        if not ignore_not_found:
            raise
        return "" if format_ == "name" else f'{shown} "{name}" not found'
    return f"{shown}/{name}" if format_ == "name" else f'{shown} "{name}" deleted'
