"""Options about templates and parameters, with their shell completion."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from agentjobs.cli.options import connected


def _objects(context: typer.Context, name: str | None = None) -> Sequence[Mapping[str, Any]]:
    """The templates of the namespace, or one; nothing on an error."""
    given = context.params
    try:
        from agentjobs.cli.cluster import AGENTTEMPLATES

        with connected(kubeconfig=given.get("kubeconfig"), context=given.get("context")) as cluster:
            path = AGENTTEMPLATES.path(given.get("namespace") or cluster.access.namespace, name)
            found = cluster.request("GET", path)
            return [found] if name else list(found.get("items") or ())
    except Exception:  # a shell cannot show an error during completion
        return ()


def complete_templates(context: typer.Context, incomplete: str) -> list[str]:
    """Return templates for shell completion."""
    names = [str(item["metadata"]["name"]) for item in _objects(context)]
    return [name for name in names if name.startswith(incomplete)]


def complete_parameters(context: typer.Context, incomplete: str) -> list[str]:
    """Return `name=` of matching parameters, or `name=value` of those with few values."""
    template = context.params.get("template") or context.params.get("name")
    if not template:
        return []
    found = [
        choice
        for item in _objects(context, str(template))
        for parameter in (item.get("spec") or {}).get("parameters") or ()
        for choice in (
            [f"{parameter['name']}={value}" for value in parameter.get("enum") or ()] or [f"{parameter['name']}="]
        )
    ]
    return [choice for choice in found if choice.startswith(incomplete)]


Template = Annotated[
    str | None,
    typer.Option("--template", metavar="NAME", help="templateRef.name", autocompletion=complete_templates),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter",
        "-p",
        metavar="KEY=VALUE",
        help="One entry of parameters; repeatable.",
        autocompletion=complete_parameters,
    ),
]
