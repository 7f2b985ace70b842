"""Verbs on AgentTemplates: list, show, validate."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import typer

from agentjobs import errors
from agentjobs.cli.failures import FAILURE, Failure
from agentjobs.cli.getting import by_name
from agentjobs.cli.grammar import Program, Verbs
from agentjobs.cli.options import Context, Kubeconfig, Namespace, checked, connected, global_flags, output
from agentjobs.cli.parameters import Parameters, complete_templates
from agentjobs.cli.printing import facts, formatted, server_table, show, table, without_managed_fields


class _Templates(Verbs):
    """Verbs below `template`."""

    synonyms: ClassVar[Mapping[str, str]] = {"get": "list", "ls": "list", "describe": "show"}


app = Program(cls=_Templates, help="Work with AgentTemplates.")
app.callback()(global_flags)

TemplateName = Annotated[
    str, typer.Argument(help="Name of the AgentTemplate.", metavar="NAME", autocompletion=complete_templates)
]


def register(root: typer.Typer) -> None:
    """Add this module's verbs, below `template`."""
    root.add_typer(app, name="template")


@app.command("list")
def list_(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names of AgentTemplates.", metavar="[NAME...]", autocompletion=complete_templates),
    ] = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")] = False,
    format_: Annotated[str | None, output("json", "yaml", "name", "wide")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the templates, or only the named ones.

    Examples:
        agentjobs template list
        agentjobs template list -A -o wide
    """
    from agentjobs.cli.cluster import AGENTTEMPLATES, TABLE
    from agentjobs.client.effects import JSON

    checked(format_, "json", "yaml", "name", "wide")
    tables = format_ in {None, "wide"}
    with connected(kubeconfig=kubeconfig, context=context) as cluster:
        inside = namespace or cluster.access.namespace
        path = AGENTTEMPLATES.everywhere if everywhere else AGENTTEMPLATES.path(inside)
        accept = TABLE if tables else JSON
        found = list(by_name(cluster, path, names, accept)) if names else [cluster.request("GET", path, accept=accept)]
    if tables:
        rows = [row for part in found for row in part.get("rows") or ()]
        if rows:
            show(server_table({**found[0], "rows": rows}, wide=format_ == "wide", everywhere=everywhere))
        elif found:
            show(f"No AgentTemplates {'anywhere' if everywhere else f'in namespace {inside}'}.", error=True)
    else:
        items = found if names else found[0].get("items") or ()
        for item in items if format_ == "name" else ():
            show(f"{AGENTTEMPLATES.shown}/{item['metadata']['name']}")
        if format_ != "name":
            show(formatted([without_managed_fields(item) for item in items], format_ or ""))
    if len(found) < len(names or ()):
        raise typer.Exit(FAILURE)


@app.command("show")
def show_(
    name: TemplateName,
    format_: Annotated[str | None, output("json", "yaml")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show a template: parameters, locks and validity.

    Examples:
        agentjobs template show review
        agentjobs template show review -o yaml
    """
    from agentjobs.cli.cluster import AGENTTEMPLATES

    checked(format_, "json", "yaml")
    with connected(kubeconfig=kubeconfig, context=context) as cluster:
        path = AGENTTEMPLATES.path(namespace or cluster.access.namespace, name)
        body = cluster.request("GET", path)
    if format_:
        show(formatted(without_managed_fields(body), format_))
    else:
        show(_page(body))


@app.command("validate")
def validate_(
    name: TemplateName,
    parameters: Parameters = None,
    format_: Annotated[str | None, output("yaml", "json", "table")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Check a template of the cluster.

    Shows the spec of a job made from it. Exits with 1 when such a job would be rejected. For files: agentjobs validate
    -f FILE.

    Examples:
        agentjobs template validate review -p repo=shop
    """
    from agentjobs.cli.job_builder import pairs
    from agentjobs.cli.manifests import Manifest
    from agentjobs.cli.validating import report
    from agentjobs.contract import GROUP, VERSION

    job = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "AgentJob",
        "metadata": {"name": f"{name[:40].rstrip('.-')}-job"},
        "spec": {"templateRef": {"name": name}, "parameters": pairs(parameters, "-p")},
    }
    with connected(kubeconfig=kubeconfig, context=context) as cluster:
        from agentjobs.cli.cluster import AGENTTEMPLATES

        path = AGENTTEMPLATES.path(namespace or cluster.access.namespace, name)
        try:
            template = cluster.request("GET", path)
        except errors.NotFound:
            raise Failure(f"AgentTemplate {name!r} does not exist in namespace {path.split('/')[5]}.") from None
    own = [Manifest(source="cluster", body={"kind": "AgentTemplate", **template}), Manifest(source="job", body=job)]
    report(own, format_, namespace=namespace, access=(kubeconfig, context))


def _page(body: Mapping[str, Any]) -> str:
    spec, status = body.get("spec") or {}, body.get("status") or {}
    condition: Mapping[str, Any] = next(
        (condition for condition in status.get("conditions") or () if condition.get("type") == "Valid"), {}
    )
    meta = body["metadata"]
    valid = {"True": "yes", "False": f"no: {condition.get('message', '')}"}.get(
        str(condition.get("status")), "not checked yet"
    )
    parts = [
        facts(
            {
                "Name": meta["name"],
                "Namespace": meta.get("namespace"),
                "Description": spec.get("description"),
                "Valid": valid,
                "Queue": spec.get("queue"),
                "Locked": ", ".join(map(str, spec.get("locked") or ())),
            }
        )
    ]
    rows = [
        (
            parameter.get("name"),
            "yes" if parameter.get("required") else "no",
            parameter.get("default"),
            ", ".join(map(str, parameter.get("enum") or ())),
            parameter.get("description"),
        )
        for parameter in spec.get("parameters") or ()
    ]
    if rows:
        parts.append(table(["PARAMETER", "REQUIRED", "DEFAULT", "VALUES", "DESCRIPTION"], rows, prose=True))
    return "\n\n".join(parts)
