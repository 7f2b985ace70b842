"""The verb that shows follow-up jobs: tree. It reads both servers and changes nothing."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from agentjobs.amounts import dollars
from agentjobs.cli.options import (
    Context,
    GatewayCA,
    GatewayURL,
    Kubeconfig,
    Namespace,
    bare_name,
    checked,
    complete_names,
    output,
    talking,
)
from agentjobs.cli.printing import age, as_json, harmless, published_words, show, table
from agentjobs.cli.targets import looking_in

if TYPE_CHECKING:
    from agentjobs.client.lineage import Tree, TreeJob

_DELETED: Final = "deleted"
# A table collapses repeated blanks.
_BLANK: Final = "·"
_LEAD: Final = re.compile(f"^[{_BLANK}│├└─]+")


def register(app: typer.Typer) -> None:
    """Add this module's verb."""
    app.command("tree")(tree_)


def tree_(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of a job; for a deleted job its uid.",
            metavar="NAME",
            autocompletion=complete_names,
            callback=bare_name,
        ),
    ],
    format_: Annotated[str | None, output("json")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Show a job with the jobs before and after it.

    Shows the whole chain of follow-ups, including deleted jobs.

    Examples:
        agentjobs tree triage-87
        agentjobs tree triage-87 -o json
    """
    checked(format_, "json")
    from agentjobs.client.lineage import document

    with (
        talking(kubeconfig=kubeconfig, context=context, namespace=namespace, url=gateway, ca=gateway_ca) as talk,
        looking_in(talk.do),
    ):
        tree = talk.run(talk.do.tree(name))
    show(as_json(document(tree)) if format_ == "json" else tree_page(tree, datetime.now(UTC)))
    if tree.truncated:
        show(f"… and more; only the first {len(tree.jobs)} jobs are shown.", error=True)
    if tree.without_history:
        show(f"(no history: {harmless(tree.without_history)}; deleted jobs are missing)", error=True)


def tree_page(tree: "Tree", now: datetime) -> str:
    """Return the tree as a table whose first column branches."""
    some = any(job.branch for job in tree.jobs)
    rows = [row for root in tree.roots or tree.jobs[:1] for row in _branch(tree, root, "", "", now, frozenset())]
    columns = ["JOB", "FOLLOW-UP", "PHASE", "OUTCOME", "AGE", "COST", *(["PUBLISHED"] if some else [])]
    lines = table(columns, [row[: len(columns)] for row in rows]).splitlines()
    return "\n".join(_LEAD.sub(lambda lead: lead[0].replace(_BLANK, " "), line) for line in lines)


def _branch(
    tree: "Tree", job: "TreeJob", lead: str, below: str, now: datetime, above: frozenset[str]
) -> Iterator[list[object]]:
    phase = job.phase if job.is_there or job.phase == "Deleted" else f"{job.phase} ({_DELETED})"
    cost = None if job.cost_usd is None else dollars(job.cost_usd)
    published = published_words(job.branch, job.commit, job.pull_request) if job.branch else ""
    yield [lead + job.name, job.follow_up, phase, job.outcome, age(job.created.isoformat(), now=now), cost, published]
    following = [follower for follower in tree.following(job) if follower.uid not in above]
    for place, follower in enumerate(following):
        is_last = place == len(following) - 1
        lead, more = ("└─·", "···") if is_last else ("├─·", "│··")
        yield from _branch(tree, follower, below + lead, below + more, now, above | {job.uid})
