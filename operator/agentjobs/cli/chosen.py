"""Which jobs a verb is about: those it names, those with labels, or all; and what is done to each of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import typer

from agentjobs import errors
from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.printing import complain, show

if TYPE_CHECKING:
    from agentjobs.cli.options import Talk
    from agentjobs.client.operations import Operations


@dataclass(frozen=True, slots=True)
class Choice:
    """What a command line says of its jobs."""

    names: Sequence[str] = ()
    selector: str | None = None
    all: bool = False
    everywhere: bool = False

    def __post_init__(self) -> None:
        """Refuse a choice that names nothing, or contradicts itself: before any server is asked."""
        several = self.selector is not None or self.all or self.everywhere
        if self.names and several:
            raise Failure("NAME goes without --selector, --all and --all-namespaces; leave one out.", code=USAGE)
        if not self.names and self.selector is None and not self.all:
            raise Failure("no job is named: give a NAME, --selector or --all.", code=USAGE)


@dataclass(frozen=True, slots=True)
class Target:
    """One job, and the operations on its namespace."""

    do: "Operations"
    name: str


def targets(talk: "Talk", choice: Choice) -> list[Target]:
    """Return the jobs that are chosen; a name is not looked up, the verb will notice."""
    if choice.names:
        return [Target(talk.do, name) for name in choice.names]
    found = list(_listed(talk, choice))
    if not found:
        show("No AgentJobs found.", error=True)
    return found


def each(chosen: Sequence[Target], act: Callable[[Target], str]) -> None:
    """Print what `act` says of each; one that it refuses does not stop the others.

    Raises:
        typer.Exit: it was refused for some; with the lowest of their exit codes.
    """
    codes = []
    for target in chosen:
        try:
            show(act(target))
        except (Failure, errors.AgentJobsError) as error:
            if len(chosen) == 1:
                raise
            codes.append(error.code if isinstance(error, Failure) else 1)
            complain(str(error))
    if codes:
        raise typer.Exit(min(codes))


def _listed(talk: "Talk", choice: Choice) -> Iterator[Target]:
    from agentjobs.cli.cluster import AGENTJOBS

    path = AGENTJOBS.everywhere if choice.everywhere else AGENTJOBS.path(talk.do.namespace)
    params = {"labelSelector": choice.selector} if choice.selector else {}
    found = talk.cluster.request("GET", path, params=params)
    for item in found.get("items") or ():
        metadata = item["metadata"]
        yield Target(replace(talk.do, namespace=metadata["namespace"]), metadata["name"])
