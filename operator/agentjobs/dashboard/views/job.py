"""A job as its page shows it: from its object, from history, or from both. Pure.

The object says what the job does now; history says what happened, and stays when the object is gone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from agentjobs.api.conditions import Condition, ConditionType, find_condition, primary_condition
from agentjobs.api.explain import Explanation, Order, Situation, explain
from agentjobs.api.job.spec import default_app_name
from agentjobs.api.job.status import AgentJobStatus
from agentjobs.api.job.team import as_object
from agentjobs.api.recorded import Event, RecordedStart, StepSpan, Story
from agentjobs.api.recorded_overview import ObjectSeen
from agentjobs.dashboard.rendering import cut
from agentjobs.dashboard.views.documents import Text, cut_text, json_text
from agentjobs.dashboard.views.markdown import Shown, markdown
from agentjobs.durations import parse_time

FAILING: Final = frozenset({"Fail", "Retry"})
"""Verdicts of starts that failed."""
_INPUT: Final = 4_000


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a job: at least one of the two."""

    key: str
    """As the page's address has it: name or uid."""
    namespace: str
    story: Story | None
    seen: ObjectSeen | None
    no_history: str = ""
    """Why history is not known, where that is not because there is none."""
    no_object: str = ""

    @property
    def body(self) -> Mapping[str, Any]:
        """The object, empty where it is gone."""
        return self.seen.object if self.seen is not None else {}

    @property
    def spec(self) -> Mapping[str, Any]:
        """The object's spec, as it was written."""
        return as_object(self.body.get("spec"))

    @property
    def status(self) -> AgentJobStatus:
        """The object's status; an empty one where it is gone."""
        return AgentJobStatus.parse(self.body.get("status"))

    @property
    def name(self) -> str:
        """The job's name."""
        return str(self._metadata.get("name") or (self.story.job.name if self.story else self.key))

    @property
    def uid(self) -> str:
        """The job's uid."""
        return str(self._metadata.get("uid") or (self.story.job.uid if self.story else ""))

    @property
    def starts(self) -> Sequence[RecordedStart]:
        """Its starts, by number."""
        return self.story.starts if self.story else ()

    @property
    def phase(self) -> str:
        """In which phase it is. An object that is not looked at yet has none."""
        if self.seen is not None:
            # Not the parsed one: a newer operator may have phases that this version does not know.
            return cut(as_object(self.body.get("status")).get("phase") or "Pending", 32)
        return self.story.job.phase if self.story else ""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it changes any more."""
        gone = self.seen is None and not self.no_object
        return gone or self.status.completion_time is not None

    @property
    def labels(self) -> Mapping[str, str]:
        """Of its object; as accepted where that is gone."""
        told = as_object(self._metadata.get("labels"))
        return {str(key): str(value) for key, value in told.items()} or (self.story.job.labels if self.story else {})

    @property
    def _metadata(self) -> Mapping[str, Any]:
        return as_object(self.body.get("metadata"))

    @property
    def created(self) -> datetime | None:
        """When it was made."""
        if self.story is not None:
            return self.story.job.created
        try:
            return parse_time(self._metadata.get("creationTimestamp"))
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Failure:
    """The last start that failed, with what it was given and what it had last."""

    start: RecordedStart
    error: Text | None
    """What the runner told of the error, where that says more than the start's message."""
    said: Shown | None
    """What the model said last before it."""
    returned: Text | None
    """What a tool returned last before it, where that came after what the model said."""
    last_from: str
    step: int | None
    """Its last recorded step."""


def explained(known: Known, spans: Sequence[StepSpan], now: datetime, *, others: int | None = None) -> Explanation:
    """Return what happened to a job, in a sentence; `others` are the jobs that wait in its queue with it."""
    status, story = known.status, known.story
    newest = known.starts[-1] if known.starts else None
    said = primary_condition(status.conditions)
    pod = find_condition(status.conditions, ConditionType.POD_STARTED)
    open_ = next((one for one in reversed(spans) if one.ended is None and newest and one.start == newest.start), None)
    job = story.job if story else None
    begun = newest.started if newest else None
    situation = Situation(
        phase=known.phase,
        reason=_reason(known, said),
        pod_reason=pod.reason if pod is not None and pod.status == "False" else "",
        attempts=status.attempts or (job.attempts if job else 0),
        max_attempts=_count(as_object(known.spec.get("retry")).get("maxAttempts")),
        starts=status.starts or (job.starts if job else 0),
        queue=queue_of(known),
        others_waiting=others,
        created=known.created,
        started=begun or status.start_time,
        claimed=newest.claimed if newest else begun,
        finished=status.completion_time or (job.finished if job else None),
        due=status.next_attempt_time,
        last_reason=(newest.reason or "") if newest else "",
        step=spans[-1].n if spans else None,
        doing=cut(f"{open_.kind} {open_.name}", 80) if open_ else "",
        outcome=cut(job.outcome, 63) if job and job.outcome else None,
        twin=status.duplicate_of.name if status.duplicate_of else "",
        is_there=known.seen is not None,
        asked=next((one for one in (Order.CANCEL, Order.SUSPEND) if known.spec.get(one.value) is True), None),
    )
    return explain(situation, now)


def message_of(known: Known) -> str:
    """Return why it is as it is, in the words of the condition that says so."""
    said = primary_condition(known.status.conditions)
    if said is not None:
        return said.message
    return known.story.job.message if known.story and known.seen is None else ""


def reason_of(known: Known) -> str:
    """Return why it is as it is, in one word."""
    return _reason(known, primary_condition(known.status.conditions))


def queue_of(known: Known) -> str:
    """Return its queue, empty where it has none yet."""
    place = known.status.queue
    told = place.name if place is not None else str(known.spec.get("queue") or "")
    return told or (known.story.job.queue if known.story else "")


def failure_of(known: Known, entries: Iterable[Event], spans: Iterable[StepSpan]) -> Failure | None:
    """Return what failed last; None where nothing did, or the job succeeded after it."""
    failed = [one for one in known.starts if one.verdict in FAILING]
    if not failed or known.phase == "Succeeded":
        return None
    start = failed[-1]
    own = sorted((one for one in entries if one.start == start.start), key=lambda one: one.seq)
    told = next((str(one.data.get("message") or "") for one in reversed(own) if one.kind == "error"), "")
    last = next((one for one in reversed(own) if one.kind in ("text", "tool")), None)
    is_text = last is not None and last.kind == "text"
    steps = [one.n for one in spans if one.start == start.start]
    return Failure(
        start,
        cut_text(told, _INPUT) if told and told not in (start.message or "") else None,
        markdown(str(last.data.get("text") or "")) if last is not None and is_text else None,
        json_text(last.data.get("result"), _INPUT) if last is not None and not is_text else None,
        "" if last is None else _from(last),
        max(steps, default=None),
    )


def input_of(spec: Mapping[str, Any], accepted: Mapping[str, Any] | None) -> Text | None:
    """Return what the job was asked: as accepted where that may be read, else as written; None where it is not told."""
    for told in (accepted or {}, spec):
        message = as_object(told.get("input")).get("message")
        if isinstance(message, str) and message:
            return cut_text(message, _INPUT)
    return None


def engine_of(spec: Mapping[str, Any]) -> str:
    """Return what kind of agent it runs, empty where that is its template's matter."""
    agent = as_object(spec.get("agent"))
    if isinstance(module := agent.get("module"), str):
        return f"module {cut(module, 120)}"
    return next((words for key, words in _ENGINES.items() if key in agent), "")


def session_of(spec: Mapping[str, Any], *, name: str, uid: str) -> tuple[str, str, str]:
    """Return app, user and id of a job's session, with its defaults."""
    session, inline = as_object(spec.get("session")), as_object(as_object(spec.get("agent")).get("inline"))
    app = session.get("appName") or inline.get("name") or default_app_name(name)
    return str(app), str(session.get("userId") or "system"), str(session.get("sessionId") or uid)


def https(address: str | None) -> str:
    """Return an address that may be a link, empty for any other."""
    return address if address and address.startswith("https://") and address.isprintable() else ""


def _reason(known: Known, said: Condition | None) -> str:
    if known.seen is None:
        return known.story.job.reason if known.story else ""
    return said.reason if said is not None else known.status.reason or ""


def _from(entry: Event) -> str:
    return f"{cut(entry.data.get('name') or 'a tool', 80)} returned" if entry.kind == "tool" else "the model said"


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


_ENGINES: Final = {
    "inline": "an agent that the job spells out",
    "claudeCode": "Claude Code",
    "container": "a program of its own",
}
