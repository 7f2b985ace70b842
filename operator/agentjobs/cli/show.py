"""The verb that shows a job in detail: show. It reads both servers and changes nothing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import typer

from agentjobs import contract, errors
from agentjobs.amounts import dollars
from agentjobs.api.step_states import state_of
from agentjobs.cli.chosen import Choice, Target, documents, each, heading, targets
from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.job_words import published, runs, works_in
from agentjobs.cli.options import (
    Context,
    Everywhere,
    GatewayCA,
    GatewayURL,
    JobNames,
    Kubeconfig,
    Namespace,
    Selector,
    checked,
    output,
    start_of,
    talking,
)
from agentjobs.cli.printing import (
    NARROW,
    age,
    complain,
    counted,
    facts,
    harmless,
    table,
    without_managed_fields,
)
from agentjobs.cli.step_table import continued, interrupted, spans, step_page, step_table, summary
from agentjobs.cli.story import (
    Told,
    calls_table,
    cost_of,
    entries_table,
    models_table,
    phase_words,
    phases_table,
    starts_table,
    story_head,
    used_of,
    used_words,
)

if TYPE_CHECKING:
    from agentjobs.api.recorded import Event, RecordedStep, Story
    from agentjobs.api.recorded_usage import JobModelUsage, RecordedCall
    from agentjobs.cli.options import Talk
    from agentjobs.client.job import Job

# As many entries of a start as fit a screen with the other parts.
SHOWN_ENTRIES: Final = 20


def register(app: typer.Typer) -> None:
    """Add this module's verbs."""
    app.command("show")(show_)


@dataclass(frozen=True, slots=True)
class Seen:
    """A job with its history and the requested entries, by start."""

    body: Mapping[str, Any] | None
    story: "Story | None"
    steps: "Sequence[RecordedStep]"
    models: "Sequence[JobModelUsage]"
    entries: "Mapping[int, Sequence[Event]]"
    events: Sequence[Mapping[str, Any]]

    def document(self) -> dict[str, Any]:
        """The same as one object, for programs."""
        return {
            "object": self.body and without_managed_fields(self.body),
            "history": self.story and self.story.model_dump(mode="json", by_alias=True),
            "steps": [step.model_dump(mode="json", by_alias=True) for step in self.steps],
            "models": [model.model_dump(mode="json", by_alias=True) for model in self.models],
            "entries": [
                entry.model_dump(mode="json", by_alias=True) for each in self.entries.values() for entry in each
            ],
            "events": [without_managed_fields(event) for event in self.events],
        }


def show_(
    names: JobNames = None,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="NUMBER", help="Entries of this start, or `all`; by default the last start."),
    ] = None,
    steps: Annotated[
        bool, typer.Option("--steps", help="The recorded steps: which start ran each, and which were replayed.")
    ] = False,
    step: Annotated[
        int | None, typer.Option("--step", min=1, max=2**31 - 1, metavar="NUMBER", help="The result of this step.")
    ] = None,
    calls: Annotated[bool, typer.Option("--calls", help="Each model call: how it ended, its usage and cost.")] = False,
    full: Annotated[bool, typer.Option("--full", help="All entries, with complete texts.")] = False,
    selector: Selector = None,
    everywhere: Everywhere = False,
    format_: Annotated[str | None, output("json", "yaml")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Show everything about a job on one page.

    Shows the object, its starts and phases, the entries of its last start, its Events and the beginning of its answer.
    Deleted jobs are shown from history; without a gateway only the object is shown. Times are UTC.

    --steps shows the recorded steps, --calls the model calls, of all starts or of the one given by --start.

    Examples:
        agentjobs show hello
        agentjobs show hello --steps
        agentjobs show hello --step 12
        agentjobs show hello --calls
        agentjobs show hello --start 1 --full
        agentjobs show hello --start all -o json
        agentjobs show -l team=docs
    """
    checked(format_, "json", "yaml")
    if steps + calls + (step is not None) > 1:
        raise Failure("--steps, --step and --calls exclude each other; use one of them.", code=USAGE)
    wanted = start_of(start)
    choice = Choice(names or (), selector, everywhere=everywhere)
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace, url=gateway, ca=gateway_ca) as talk:
        chosen = targets(talk, choice)

        def document(one: Target) -> dict[str, Any]:
            at = replace(talk, do=one.do)
            if step is not None:
                content = talk.run(at.do.step(one.name, step))
                return content.model_dump(mode="json", by_alias=True)
            if steps:
                story, recorded = _recorded(at, one.name, wanted)
                return steps_document(story, recorded)
            if calls:
                story, made = _called(at, one.name, wanted)
                return calls_document(story, made)
            # With all starts, complete entries are requested, as a document.
            seen, no_history = _seen(at, one.name, wanted, whole=True)
            if no_history:
                complain(f"no history: {no_history}")
            return seen.document()

        def page(one: Target) -> str:
            at = replace(talk, do=one.do)
            if step is not None:
                return heading(one, chosen) + step_page(talk.run(at.do.step(one.name, step)))
            if steps:
                story, recorded = _recorded(at, one.name, wanted)
                return heading(one, chosen) + steps_page(story, recorded, full=full)
            if calls:
                story, made = _called(at, one.name, wanted)
                return heading(one, chosen) + calls_page(story, made)
            seen, no_history = _seen(at, one.name, wanted, whole=full)
            return heading(one, chosen) + _page(one.name, seen, no_history, full=full)

        if format_:
            documents(chosen, choice, document, format_)
        else:
            each(chosen, page)


def _seen(talk: "Talk", name: str, wanted: int | str | None, *, whole: bool) -> tuple[Seen, str]:
    """Return a job's data, and why its history is missing; at least one of object and history is there."""
    body, absent = _object(talk, name)
    try:
        story, no_history = talk.run(talk.do.story(name)), ""
    except (errors.AgentJobsError, Failure) as error:
        if body is None:
            raise absent or error from None
        story, no_history = None, str(error)
    entries = _entries(talk, name, story, wanted, whole) if story else {}
    steps: list[RecordedStep] = []
    with suppress(errors.NotFound):  # an older gateway, without recorded steps
        steps = list(talk.iterate(talk.do.steps(name, start=None))) if story else []
    return Seen(
        body, story, steps, _models(talk, name) if story else (), entries, _events(talk, body) if body else ()
    ), no_history


def _models(talk: "Talk", name: str) -> "Sequence[JobModelUsage]":
    from agentjobs.client.model_operations import ModelOperations

    with suppress(errors.NotFound):  # an older gateway, without model calls
        return talk.run(ModelOperations(talk.do.namespace, talk.do.patience).of_job(name))
    return ()


def _recorded(talk: "Talk", name: str, wanted: int | str | None) -> "tuple[Story, Sequence[RecordedStep]]":
    """Return a job's history and its steps; only steps of start `wanted`, if that is a number."""
    story = talk.run(talk.do.story(name))
    start = wanted if isinstance(wanted, int) else None
    _check_start(name, story, [start] if start else [])
    return story, list(talk.iterate(talk.do.steps(name, start=start)))


def _called(talk: "Talk", name: str, wanted: int | str | None) -> "tuple[Story, Sequence[RecordedCall]]":
    """Return a job's history and its model calls; only those of start `wanted`, if that is a number."""
    from agentjobs.client.model_operations import ModelOperations

    story = talk.run(talk.do.story(name))
    start = wanted if isinstance(wanted, int) else None
    _check_start(name, story, [start] if start else [])
    made = talk.iterate(ModelOperations(talk.do.namespace, talk.do.patience).calls(name))
    return story, [call for call in made if start in (None, call.start)]


def calls_document(story: "Story", calls: "Sequence[RecordedCall]") -> dict[str, Any]:
    """Return a job's starts and model calls as one object, for programs."""
    return {
        "history": story.model_dump(mode="json", by_alias=True),
        "calls": [call.model_dump(mode="json", by_alias=True) for call in calls],
    }


def calls_page(story: "Story", calls: "Sequence[RecordedCall]") -> str:
    """Return a job's model calls for people."""
    job = story.job
    booked = [call.cost_usd for call in calls]
    head = facts(
        {
            "Job": f"{job.namespace}/{job.name}",
            "Phase": phase_words(job.phase, job.reason),
            "Calls": f"{len(calls)}, {dollars(sum(booked, Decimal(0)))}"
            if calls
            else "no calls through the model proxy",
        }
    )
    return "\n\n".join(part for part in (head, calls_table(calls)) if part)


def steps_document(story: "Story", steps: "Sequence[RecordedStep]") -> dict[str, Any]:
    """Return a job's starts and steps as one object, for programs."""
    return {
        "history": story.model_dump(mode="json", by_alias=True),
        "steps": [
            {**step.model_dump(mode="json", by_alias=True), "state": state_of(step, story.starts)} for step in steps
        ],
    }


def steps_page(story: "Story", steps: "Sequence[RecordedStep]", *, full: bool) -> str:
    """Return a job's steps for people: the state of each, and where starts continued."""
    job = story.job
    head = facts(
        {
            "Job": f"{job.namespace}/{job.name}",
            "Phase": phase_words(job.phase, job.reason),
            "Starts": str(len(story.starts)),
            "Steps": summary(steps, story.starts) if steps else "none recorded",
        }
    )
    told = "\n".join([*continued(steps), *interrupted(steps, story.starts)])
    return "\n\n".join(part for part in (head, harmless(told), step_table(steps, story.starts, full=full)) if part)


def _object(talk: "Talk", name: str) -> "tuple[Mapping[str, Any] | None, errors.NotFound | None]":
    from agentjobs.cli.cluster import AGENTJOBS

    try:
        return talk.cluster.request("GET", AGENTJOBS.path(talk.do.namespace, name)), None
    except errors.NotFound as error:
        return None, error


def _entries(
    talk: "Talk", name: str, story: "Story", wanted: int | str | None, whole: bool
) -> "dict[int, Sequence[Event]]":
    there = [each.start for each in story.starts]
    chosen = there if wanted == "all" else [wanted] if isinstance(wanted, int) else there[-1:]
    _check_start(name, story, chosen)
    # A long run has a hundred thousand entries.
    return {
        number: list(talk.iterate(talk.do.events(name, start=number, follow=False)))
        if whole
        else talk.run(talk.do.newest_events(name, start=number, count=SHOWN_ENTRIES))
        for number in chosen
    }


def _check_start(name: str, story: "Story", chosen: Sequence[int]) -> None:
    there = [each.start for each in story.starts]
    if missing := [number for number in chosen if number not in there]:
        known = f"it has {', '.join(map(str, there))}" if there else "it has not started"
        raise Failure(f"{name} has no start {missing[0]}; {known}.", code=USAGE)


def _events(talk: "Talk", body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    metadata = body["metadata"]
    path = f"/api/v1/namespaces/{quote(metadata['namespace'], safe='')}/events"
    try:
        found = talk.cluster.request("GET", path, params={"fieldSelector": f"involvedObject.uid={metadata['uid']}"})
    except errors.Denied:
        return ()  # the user may read jobs, but not Events
    return sorted(found.get("items") or (), key=_time_of)


def _time_of(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _page(name: str, seen: Seen, no_history: str, *, full: bool) -> str:
    from agentjobs.client.job import Job

    job = Job.parse(seen.body) if seen.body else None
    told = Told(always=full)
    parts = []
    head = _happened(name, seen, datetime.now(UTC))
    if job is not None:
        # While it runs only history has the usage; without history the status may have it.
        parts += [head, _about(job, seen)]
        told.once(job.message)
    if seen.story is not None:
        story = seen.story.model_dump(mode="json", by_alias=True)
        if job is None:
            parts += [
                f"{name} is deleted; this is from history.",
                head,
                story_head(story["job"], story["starts"], seen.models),
            ]
            told.once(story["job"].get("message"))
        parts += [
            starts_table(story["starts"], told, spans(seen.steps)),
            models_table(seen.models),
            _places(seen),
            phases_table(story["transitions"], told),
        ]
        parts += [_start_page(number, entries, told, full) for number, entries in seen.entries.items()]
    if no_history:
        parts.append(f"(no history: {harmless(no_history)})")
    parts += [_events_table(seen.events, told), _head_of_answer(job) if job else ""]
    return "\n\n".join(part for part in parts if part)


def _happened(name: str, seen: Seen, now: datetime) -> str:
    """The summary, in the same words as the job's page in the dashboard."""
    from agentjobs.api.known_job import Known, explained
    from agentjobs.api.recorded_overview import ClusterObject

    known = Known(name, "", seen.story, ClusterObject(object=dict(seen.body)) if seen.body else None)
    told = explained(known, seen.steps, now)
    return facts({"In short": told.sentence, "To do": told.cure})


def _places(seen: Seen) -> str:
    """Where starts continued, and which calls were interrupted."""
    starts = seen.story.starts if seen.story else ()
    return harmless("\n".join([*continued(seen.steps), *interrupted(seen.steps, starts)]))


def _start_page(number: int, entries: "Sequence[Event]", told: Told, full: bool) -> str:
    cut = not full and len(entries) == SHOWN_ENTRIES
    title = f"Start {number}, its newest {SHOWN_ENTRIES} entries (--full shows all):" if cut else f"Start {number}:"
    return f"{title}\n{entries_table(entries, told, full=full)}" if entries else ""


def _about(job: "Job", seen: Seen) -> str:
    status, agent = job.status, job.spec.get("agent") or {}
    what = runs(job.spec)
    lost = f", {status.infra_restarts} lost to the cluster" if status.infra_restarts else ""
    snoozes = f", {counted(status.snoozes, 'snooze')}" if status.snoozes else ""
    return facts(
        {
            "Job": f"{job.namespace}/{job.name}",
            "Phase": phase_words(job.phase, job.reason if job.reason != job.phase else ""),
            "Because": job.message,
            "Runs": f"{what}, model {agent.get('model')}" if agent.get("model") else what,
            "Works in": works_in(job.spec.get("workspace")),
            "Published": published(job),
            "Template": _template(job),
            "Queue": status.queue.name if status.queue else str(job.spec.get("queue") or ""),
            "Attempts": f"{status.attempts} ({counted(status.starts, 'start')}{snoozes}{lost})",
            "Created": f"{job.created.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
            "Next start": status.next_attempt_time and f"not before {status.next_attempt_time:%Y-%m-%d %H:%M:%S} UTC",
            "Used": _used(job, seen),
            "Follows": status.lineage.parent if status.lineage else job.labels.get(contract.LABEL_PARENT, ""),
            "Rerun of": _origin(job),
            "Followed by": ", ".join(_followed(job)),
            "Uid": job.uid,
        }
    )


def _origin(job: "Job") -> str:
    """The job that it repeats, and the changed fields."""
    name, uid, changed = (
        job.labels.get(label, "")
        for label in (contract.LABEL_RERUN_OF, contract.LABEL_RERUN_OF_UID, contract.LABEL_RERUN_CHANGES)
    )
    origin = " ".join([name, *([f"(uid {uid})"] if uid else [])]).strip()
    return origin + (f", changed: {changed.replace('_', ', ')}" if changed else "")


def _followed(job: "Job") -> Iterator[str]:
    """Its follow-ups, one line each."""
    for one in job.status.follow_ups or ():
        made = one.job or (counted(one.jobs, "job") if one.made else "")
        yield f"{one.name}: {made or one.reason or 'is being made'}"


def _used(job: "Job", seen: Seen) -> str:
    story = seen.story
    if story is None:
        usage = job.status.usage
        if usage is None:
            return ""
        counts = (usage.llm_calls, usage.tool_calls, usage.input_tokens, usage.output_tokens)
        cost = None if usage.cost_usd is None else Decimal(usage.cost_usd)
        return used_words(dict(zip(contract.USAGE, counts, strict=True)), cost)
    starts = [start.usage for start in story.starts if start.usage]
    cost = cost_of([start.model_dump(mode="json", by_alias=True) for start in story.starts])
    return used_words(used_of(starts, seen.models), cost) if starts or seen.models else ""


def _events_table(events: Sequence[Mapping[str, Any]], told: Told) -> str:
    now = datetime.now(UTC)
    rows = [
        [age(_time_of(item), now=now), item.get("type"), item.get("reason"), told.once(item.get("message"))]
        for item in events
    ]
    return table(["AGE", "TYPE", "EVENT", "MESSAGE"], rows, gap=NARROW, prose=True) if rows else ""


def _head_of_answer(job: "Job") -> str:
    result = job.status.result
    if result is None:
        return ""
    more = f"\n… (complete answer: agentjobs result {job.name})" if result.truncated else ""
    return f"Answer:\n{harmless(result.summary)}{more}"


def _template(job: "Job") -> str:
    """The job's template, with its generation after acceptance."""
    told = job.status.resolved
    if told is not None and told.template:
        return f"{told.template}, generation {told.template_generation}"
    reference = job.spec.get("templateRef")
    return str(reference.get("name") or "") if isinstance(reference, Mapping) else ""
