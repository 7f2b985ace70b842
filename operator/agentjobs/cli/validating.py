"""The verb that checks files before they are applied: validate."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from agentjobs import errors
from agentjobs.cli.failures import FAILURE, USAGE, Failure
from agentjobs.cli.options import Context, Files, Kubeconfig, Namespace, checked, connected, output
from agentjobs.cli.printing import as_json, complain, counted, harmless, show, table

if TYPE_CHECKING:
    from agentjobs.api.template.merge import Merged
    from agentjobs.cli.cluster import ClusterConnection
    from agentjobs.cli.findings import Judged
    from agentjobs.cli.manifests import Manifest

_PLURALS: Final[Mapping[str, str]] = {"AgentTemplate": "agenttemplates", "AgentQueue": "agentqueues"}
# Texts that YAML reads back unchanged without quotes.
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def register(app: typer.Typer) -> None:
    """Add this module's verb."""
    app.command()(validate)


def validate(
    filename: Files = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not look up missing objects in a cluster.")] = False,
    format_: Annotated[str | None, output("yaml", "json", "table")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Check files, and show where each value comes from.

    Checks jobs, templates, queues and schedules. Each job is merged with its template and the defaults of its queue, as
    the operator does, and all problems are reported together. Templates and queues that are not in the files are looked
    up in the cluster, if there is one; failed lookups are reported. ConfigMaps, prices and pods are only checked by the
    operator.

    Exits with 1 when there are problems.

    Examples:
        agentjobs validate -f review.yaml
        agentjobs validate -f jobs/ -f templates/ --offline -o table
    """
    from agentjobs.cli.findings import KINDS, is_meant
    from agentjobs.cli.manifests import read

    checked(format_, "yaml", "json", "table")
    if not filename:
        raise Failure("no file given: use -f FILE.", code=USAGE)
    manifests = [manifest for manifest in read(filename, generated=True) if is_meant(manifest.body)]
    if not manifests:
        raise Failure(f"no {', '.join(KINDS[:-1])} or {KINDS[-1]} in {', '.join(filename)}.", code=USAGE)
    report(manifests, format_, namespace=namespace, access=None if offline else (kubeconfig, context))


def report(
    manifests: "Sequence[Manifest]",
    format_: str | None,
    *,
    namespace: str | None,
    access: tuple[str | None, str | None] | None,
) -> None:
    """Judge objects and print the results.

    Args:
        access: kubeconfig and context of the cluster to look up missing objects in; None for offline.

    Raises:
        typer.Exit: there are problems.
    """
    from agentjobs.cli.findings import judged

    with ExitStack() as stack:
        found = _Found(manifests, namespace, stack, access)
        judgements = [
            judgement for each in manifests if (judgement := judged(each.body, found.within(each.body))) is not None
        ]
    if format_ == "json":
        show(as_json([judgement.document for judgement in judgements]))
    else:
        show(harmless("\n---\n".join(_shown(judgement, format_ == "table") for judgement in judgements)))
    wrong = [
        f"{judgement.kind} {judgement.name}: {sentence}" for judgement in judgements for sentence in judgement.sentences
    ]
    for line in dict.fromkeys(
        f"{judgement.kind} {judgement.name}: not checked: {why}"
        for judgement in judgements
        for why in judgement.unchecked
    ):
        show(harmless(line), error=True)
    if wrong:
        complain("\n  ".join([f"{counted(len(wrong), 'problem')}:", *wrong]))
        raise typer.Exit(FAILURE)


class _Found:
    """Looks up templates and queues: first in the files, then in the cluster."""

    def __init__(
        self,
        manifests: "Sequence[Manifest]",
        namespace: str | None,
        stack: ExitStack,
        access: tuple[str | None, str | None] | None,
    ) -> None:
        self._own = {(manifest.body["kind"], manifest.name): manifest.body for manifest in manifests}
        self._namespace = namespace
        self._stack = stack
        self._access = access
        self._known: dict[tuple[str, str, str], Mapping[str, Any] | str | None] = {}
        self._cluster: ClusterConnection | None = None

    def within(self, body: Mapping[str, Any]) -> Any:
        """Return a lookup for an object of the files: it finds objects of the same namespace."""
        namespace = self._namespace or body["metadata"].get("namespace") or ""

        def find(kind: str, name: str) -> Mapping[str, Any] | str | None:
            if (own := self._own.get((kind, name))) is not None:
                return own
            key = (kind, namespace, name)
            if key not in self._known:
                self._known[key] = self._looked_up(kind, namespace, name)
            return self._known[key]

        return find

    def _looked_up(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | str | None:
        if self._access is None:
            return None if kind == "AgentQueue" else f"{kind} {name} is not in the files"
        from agentjobs.cli.cluster import Kind
        from agentjobs.contract import GROUP, VERSION

        place = Kind(f"{GROUP}/{VERSION}", _PLURALS[kind], kind.lower(), namespaced=True)
        try:
            if self._cluster is None:
                kubeconfig, context = self._access
                self._cluster = self._stack.enter_context(connected(kubeconfig=kubeconfig, context=context))
            return self._cluster.request("GET", place.path(namespace or self._cluster.access.namespace, name))
        except errors.NotFound:
            return None
        except errors.AgentJobsError as error:
            return f"{kind} {name} is not in the files, and the lookup in the cluster failed: {error}"


def _shown(judgement: "Judged", as_table: bool) -> str:
    state = "invalid" if judgement.problems else "valid as far as it was checked" if judgement.unchecked else "valid"
    head = f"# {judgement.kind} {judgement.name}: {state}"
    if judgement.merged is None:
        return head
    if as_table:
        from agentjobs.cli.findings import origins

        values = dict(_leaves(judgement.merged.spec))
        rows = [(field, values.get(field, ""), layer) for field, layer in origins(judgement.merged).items()]
        return f"{head}\n{table(['FIELD', 'VALUE', 'FROM'], rows)}"
    return "\n".join([head, "spec:", *_lines(judgement.merged, judgement.merged.spec, (), "  ")])


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{place}.{key}" if place else str(key))
    yield place, _scalar(value)
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{place}[{number}]")


def _lines(whole: "Merged", value: Any, path: tuple[str | int, ...], indent: str) -> Iterator[str]:
    """YAML in which each value has a comment with its source."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in pairs:
        here = (*path, key)
        lead = f"{indent}{_scalar(key)}:" if isinstance(value, dict) else f"{indent}-"
        origin = whole.origins.get(here)
        if origin is not None or not item:
            yield f"{lead} {_scalar(item)}" + (f"  # {origin}" if origin else "")
        else:
            yield lead
            yield from _lines(whole, item, here, f"{indent}  ")


def _scalar(value: Any) -> str:
    """A value as one line of YAML."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
