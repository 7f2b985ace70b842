"""Which jobs or schedules a verb works on: by name, by label or all; and the loop over them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import typer

from agentjobs import errors
from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.printing import complain, formatted, show, without_managed_fields
from agentjobs.contract import GROUP

if TYPE_CHECKING:
    from agentjobs.cli.cluster import Kind
    from agentjobs.cli.options import Talk
    from agentjobs.client.operations import Operations

# The API server's message, which does not name the namespace.
_JOB_NOT_FOUND: Final = re.compile(rf'agentjobs\.{re.escape(GROUP)} "[^"]*" not found')


@dataclass(frozen=True, slots=True)
class Choice:
    """The jobs or schedules that a command line selects."""

    names: Sequence[str] = ()
    selector: str | None = None
    all: bool | None = None
    """None for verbs without --all."""
    everywhere: bool = False

    def __post_init__(self) -> None:
        """Reject a selection that is empty or contradictory, before any request."""
        several = self.selector is not None or self.all or self.everywhere
        if self.names and several:
            raise Failure("NAME cannot be combined with --selector, --all or --all-namespaces.", code=USAGE)
        if not self.names and self.selector is None and not self.all:
            ways = "a NAME or --selector" if self.all is None else "a NAME, --selector or --all"
            raise Failure(f"nothing selected: give {ways}.", code=USAGE)


@dataclass(frozen=True, slots=True)
class Target:
    """One job or schedule, and the client's operations in its namespace."""

    do: "Operations"
    name: str


def targets(talk: "Talk", choice: Choice) -> list[Target]:
    """Return the selected jobs; names are not looked up here."""
    from agentjobs.cli.cluster import AGENTJOBS

    return _chosen(talk, choice, AGENTJOBS, "AgentJobs")


def schedules(talk: "Talk", choice: Choice) -> list[Target]:
    """Return the selected schedules, as `targets` does for jobs."""
    from agentjobs.cli.cluster import AGENTSCHEDULES

    return _chosen(talk, choice, AGENTSCHEDULES, "AgentSchedules")


def each(chosen: Sequence[Target], act: Callable[[Target], str]) -> None:
    """Print what `act` returns for each, if anything; a failure does not stop the others.

    Raises:
        typer.Exit: some failed; with the lowest of their exit codes.
    """

    def print_result(target: Target) -> None:
        if words := act(target):
            show(words)

    attempted(chosen, print_result)


@dataclass(frozen=True, slots=True)
class Done:
    """The result of an order: the object that it changed or created, and a sentence about it."""

    object: Target
    words: str
    body: Mapping[str, Any] | None = None
    """The object, if it was just read, or may already be deleted."""


def report(
    talk: "Talk",
    choice: Choice,
    give: Callable[[Target], Done],
    format_: str | None,
    *,
    chosen: Sequence[Target],
    kind: "Kind",
) -> None:
    """Run an order on each selected object, and print the result.

    Args:
        format_: `json` or `yaml` for the resulting objects, `name` for their names, None for sentences.
        kind: the kind that the order changes or creates.

    Raises:
        typer.Exit: as `each` does.
    """

    def body(target: Target) -> dict[str, Any]:
        done = give(target)
        if done.body is not None:
            return without_managed_fields(dict(done.body))
        path = kind.path(done.object.do.namespace, done.object.name)
        return without_managed_fields(talk.cluster.request("GET", path))

    if format_ in {"json", "yaml"}:
        documents(chosen, choice, body, format_)
    elif format_ == "name":
        each(chosen, lambda target: f"{kind.shown}/{give(target).object.name}")
    else:
        each(chosen, lambda target: give(target).words)


def documents(chosen: Sequence[Target], choice: Choice, act: Callable[[Target], Any], format_: str) -> None:
    """Print what `act` returns: one document for one name, otherwise a list.

    Raises:
        typer.Exit: as `each` does.
    """
    found: list[Any] = []
    try:
        attempted(chosen, lambda target: found.append(act(target)))
    finally:
        if len(choice.names) != 1 or found:
            show(formatted(found[0] if len(choice.names) == 1 else found, format_))


def heading(target: Target, chosen: Sequence[Target]) -> str:
    """Return the heading above the text of one of several, in the format of head(1); empty for a single one."""
    if len(chosen) == 1:
        return ""
    return f"{'' if target is chosen[0] else chr(10)}==> {target.name} <==\n"


def attempted(chosen: Sequence[Target], act: Callable[[Target], None]) -> None:
    """Run `act` on each; a failure does not stop the others.

    Raises:
        typer.Exit: some failed; with the lowest of their exit codes.
    """
    codes = []
    for target in chosen:
        try:
            with looking_in(target.do):
                act(target)
        except (Failure, errors.AgentJobsError) as error:
            if len(chosen) == 1:
                raise
            codes.append(error.code if isinstance(error, Failure) else 1)
            complain(str(error))
    if codes:
        raise typer.Exit(min(codes))


@contextmanager
def looking_in(place: "Operations | str") -> Iterator[None]:
    """Add the namespace and a cure to the API server's message about a missing job.

    Args:
        place: the namespace, or the operations in it.

    Raises:
        errors.NotFound: the same error with the longer message.
    """
    try:
        yield
    except errors.NotFound as error:
        found = _JOB_NOT_FOUND.match(str(error))
        if found is None:
            raise
        namespace = place if isinstance(place, str) else place.namespace
        cure = "; `agentjobs get -A` lists the jobs of all namespaces, `agentjobs history -A` the deleted ones too"
        raise errors.NotFound(f"{found[0]} in namespace {namespace}{str(error)[found.end() :] or cure}") from error


def _chosen(talk: "Talk", choice: Choice, kind: "Kind", called: str) -> list[Target]:
    if choice.names:
        return [Target(talk.do, name) for name in choice.names]
    found = list(_listed(talk, choice, kind))
    if not found:
        show(f"No {called} found.", error=True)
    return found


def _listed(talk: "Talk", choice: Choice, kind: "Kind") -> Iterator[Target]:
    path = kind.everywhere if choice.everywhere else kind.path(talk.do.namespace)
    params = {"labelSelector": choice.selector} if choice.selector else {}
    found = talk.cluster.request("GET", path, params=params)
    for item in found.get("items") or ():
        metadata = item["metadata"]
        yield Target(replace(talk.do, namespace=metadata["namespace"]), metadata["name"])
