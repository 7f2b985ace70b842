"""What `show` prints of a job: as one object for programs, or as text for people. Asks no server."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Protocol

from agentjobs import contract
from agentjobs.amounts import dollars
from agentjobs.api.step_states import state_of
from agentjobs.cli.history_text import (
    ShownTexts,
    calls_table,
    cost_of,
    entries_table,
    job_head,
    models_table,
    phase_words,
    phases_table,
    starts_table,
    used_of,
    used_words,
)
from agentjobs.cli.job_words import published, runs, works_in
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

if TYPE_CHECKING:
    from agentjobs.api.recorded import JobHistory, RecordedEntry, RecordedStart, RecordedStep, StepContent
    from agentjobs.api.recorded_usage import JobModelUsage, RecordedCall
    from agentjobs.client.job import Job

# As many entries of a start as fit a screen with the other parts.
SHOWN_ENTRIES: Final = 20


class Shown(Protocol):
    """What is shown of a job."""

    def document(self) -> dict[str, Any]:
        """Return it as one object, for programs."""
        ...

    def page(self, *, full: bool) -> str:
        """Return it as text, for people; `full` for complete texts."""
        ...


@dataclass(frozen=True, slots=True)
class JobStep:
    """One step with its request and its result."""

    content: "StepContent"

    def document(self) -> dict[str, Any]:
        return self.content.model_dump(mode="json", by_alias=True)

    def page(self, *, full: bool) -> str:
        return step_page(self.content)


@dataclass(frozen=True, slots=True)
class JobSteps:
    """The history of a job and its steps: the state of each, and where starts continued."""

    history: "JobHistory"
    steps: "Sequence[RecordedStep]"

    def document(self) -> dict[str, Any]:
        return {
            "history": self.history.model_dump(mode="json", by_alias=True),
            "steps": [
                {**step.model_dump(mode="json", by_alias=True), "state": state_of(step, self.history.starts)}
                for step in self.steps
            ],
        }

    def page(self, *, full: bool) -> str:
        steps, starts = self.steps, self.history.starts
        head = {"Starts": str(len(starts)), "Steps": summary(steps, starts) if steps else "none recorded"}
        return _joined(_heading(self.history, head), _places(steps, starts), step_table(steps, starts, full=full))


@dataclass(frozen=True, slots=True)
class JobCalls:
    """The history of a job and its model calls."""

    history: "JobHistory"
    calls: "Sequence[RecordedCall]"

    def document(self) -> dict[str, Any]:
        return {
            "history": self.history.model_dump(mode="json", by_alias=True),
            "calls": [call.model_dump(mode="json", by_alias=True) for call in self.calls],
        }

    def page(self, *, full: bool) -> str:
        cost = sum((call.cost_usd for call in self.calls), Decimal(0))
        calls = f"{len(self.calls)}, {dollars(cost)}" if self.calls else "no calls through the model proxy"
        return _joined(_heading(self.history, {"Calls": calls}), calls_table(self.calls))


@dataclass(frozen=True, slots=True)
class WholeJob:
    """A job with its history and the requested entries, by start."""

    name: str
    body: Mapping[str, Any] | None
    history: "JobHistory | None"
    no_history: str
    """Why `history` is None; empty otherwise."""
    steps: "Sequence[RecordedStep]"
    models: "Sequence[JobModelUsage]"
    entries: "Mapping[int, Sequence[RecordedEntry]]"
    events: Sequence[Mapping[str, Any]]

    def document(self) -> dict[str, Any]:
        """Return it as one object; print the reason for a missing history on standard error."""
        if self.no_history:
            complain(f"no history: {self.no_history}")
        return {
            "object": self.body and without_managed_fields(self.body),
            "history": self.history and self.history.model_dump(mode="json", by_alias=True),
            "steps": [step.model_dump(mode="json", by_alias=True) for step in self.steps],
            "models": [model.model_dump(mode="json", by_alias=True) for model in self.models],
            "entries": [
                entry.model_dump(mode="json", by_alias=True) for each in self.entries.values() for entry in each
            ],
            "events": [without_managed_fields(event) for event in self.events],
        }

    def page(self, *, full: bool) -> str:
        return _page(self, full=full)


def _heading(job_history: "JobHistory", more: Mapping[str, str]) -> str:
    job = job_history.job
    return facts({"Job": f"{job.namespace}/{job.name}", "Phase": phase_words(job.phase, job.reason), **more})


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def time_of(event: Mapping[str, Any]) -> str:
    """Return the time of a Kubernetes Event."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _page(whole: WholeJob, *, full: bool) -> str:
    from agentjobs.client.job import Job

    job = Job.parse(whole.body) if whole.body else None
    shown = ShownTexts(always=full)
    parts = []
    head = _happened(whole, datetime.now(UTC))
    if job is not None:
        # While it runs only history has the usage; without history the status may have it.
        parts += [head, _about(job, whole)]
        shown.once(job.message)
    if whole.history is not None:
        job_history = whole.history.model_dump(mode="json", by_alias=True)
        if job is None:
            parts += [
                f"{whole.name} is deleted; this is from history.",
                head,
                job_head(job_history["job"], job_history["starts"], whole.models),
            ]
            shown.once(job_history["job"].get("message"))
        parts += [
            starts_table(job_history["starts"], shown, spans(whole.steps)),
            models_table(whole.models),
            _places(whole.steps, whole.history.starts),
            phases_table(job_history["transitions"], shown),
        ]
        parts += [_start_page(number, entries, shown, full) for number, entries in whole.entries.items()]
    if whole.no_history:
        parts.append(f"(no history: {harmless(whole.no_history)})")
    parts += [_events_table(whole.events, shown), _head_of_answer(job) if job else ""]
    return _joined(*parts)


def _happened(whole: WholeJob, now: datetime) -> str:
    """The summary, in the same words as the job's page in the dashboard."""
    from agentjobs.api.known_job import Known, explained
    from agentjobs.api.recorded_overview import ClusterObject

    known = Known(whole.name, "", whole.history, ClusterObject(object=dict(whole.body)) if whole.body else None)
    explanation = explained(known, whole.steps, now)
    return facts({"In short": explanation.sentence, "To do": explanation.cure})


def _places(steps: "Sequence[RecordedStep]", starts: "Sequence[RecordedStart]") -> str:
    """Where starts continued, and which calls were interrupted."""
    return harmless("\n".join([*continued(steps), *interrupted(steps, starts)]))


def _start_page(number: int, entries: "Sequence[RecordedEntry]", shown: ShownTexts, full: bool) -> str:
    cut = not full and len(entries) == SHOWN_ENTRIES
    title = f"Start {number}, its newest {SHOWN_ENTRIES} entries (--full shows all):" if cut else f"Start {number}:"
    return f"{title}\n{entries_table(entries, shown, full=full)}" if entries else ""


def _about(job: "Job", whole: WholeJob) -> str:
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
            "Used": _used(job, whole),
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
    for follow_up in job.status.follow_ups or ():
        made = follow_up.job or (counted(follow_up.jobs, "job") if follow_up.made else "")
        yield f"{follow_up.name}: {made or follow_up.reason or 'is being made'}"


def _used(job: "Job", whole: WholeJob) -> str:
    job_history = whole.history
    if job_history is None:
        usage = job.status.usage
        if usage is None:
            return ""
        counts = (usage.llm_calls, usage.tool_calls, usage.input_tokens, usage.output_tokens)
        cost = None if usage.cost_usd is None else Decimal(usage.cost_usd)
        return used_words(dict(zip(contract.USAGE, counts, strict=True)), cost)
    starts = [start.usage for start in job_history.starts if start.usage]
    cost = cost_of([start.model_dump(mode="json", by_alias=True) for start in job_history.starts])
    return used_words(used_of(starts, whole.models), cost) if starts or whole.models else ""


def _events_table(events: Sequence[Mapping[str, Any]], shown: ShownTexts) -> str:
    now = datetime.now(UTC)
    rows = [
        [age(time_of(item), now=now), item.get("type"), item.get("reason"), shown.once(item.get("message"))]
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
    resolved = job.status.resolved
    if resolved is not None and resolved.template:
        return f"{resolved.template}, generation {resolved.template_generation}"
    reference = job.spec.get("templateRef")
    return str(reference.get("name") or "") if isinstance(reference, Mapping) else ""
