"""The page of a job: its last failure, input, engine and session. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentjobs.api.job.spec import default_app_name
from agentjobs.api.job.team import as_object
from agentjobs.api.known_job import Known
from agentjobs.api.recorded import RecordedEntry, RecordedStart, StepSpan
from agentjobs.api.substitution import expanded, names_of
from agentjobs.dashboard.texts import cut
from agentjobs.dashboard.views.documents import Text, cut_text, json_text
from agentjobs.dashboard.views.markdown import Shown, markdown

FAILING: Final = frozenset({"Fail", "Retry"})
"""Verdicts of starts that failed."""
_INPUT: Final = 4_000


@dataclass(frozen=True, slots=True)
class Failure:
    """The last start that failed, with its error and its last entries."""

    start: RecordedStart
    error: Text | None
    """The error that the runner reported, where it differs from the start's message."""
    error_seq: int
    """The number of its entry; 0 without one."""
    last_text: Shown | None
    """The last text of the model before it."""
    returned: Text | None
    """The last result of a tool before it, if it came after the model's text."""
    last_seq: int
    """The number of the entry that has one of them; 0 without one."""
    last_from: str
    step: int | None
    """Its last recorded step."""


def failure_of(known: Known, entries: Iterable[RecordedEntry], spans: Iterable[StepSpan]) -> Failure | None:
    """Return the last failure; None without one, or if the job succeeded later."""
    failed = [start for start in known.starts if start.verdict in FAILING]
    if not failed or known.phase == "Succeeded":
        return None
    start = failed[-1]
    own = sorted((entry for entry in entries if entry.start == start.start), key=lambda entry: entry.seq)
    error = next((entry for entry in reversed(own) if entry.kind == "error"), None)
    message = "" if error is None else str(error.data.get("message") or "")
    last = next((entry for entry in reversed(own) if entry.kind in ("text", "tool")), None)
    is_text = last is not None and last.kind == "text"
    steps = [span.n for span in spans if span.start == start.start]
    return Failure(
        start,
        cut_text(message, _INPUT) if message and message not in (start.message or "") else None,
        0 if error is None else error.seq,
        markdown(str(last.data.get("text") or "")) if last is not None and is_text else None,
        json_text(last.data.get("result"), _INPUT) if last is not None and not is_text else None,
        0 if last is None else last.seq,
        "" if last is None else _from(last),
        max(steps, default=None),
    )


def input_of(known: Known, accepted: Mapping[str, Any] | None) -> Text | None:
    """Return the beginning of the job's message, None without one."""
    message = whole_input_of(known, accepted)
    return cut_text(message, _INPUT) if message else None


def whole_input_of(known: Known, accepted: Mapping[str, Any] | None) -> str:
    """Return the job's message as the agent gets it: from the accepted spec if it may be read, else from the object.

    Empty without one. In that of the object, names whose values the object does not have stay unchanged, such as those
    of jobs that it waited for.
    """
    if message := _message(accepted or {}):
        return message
    metadata = as_object(known.body.get("metadata"))
    return expanded(_message(known.spec), names_of(metadata, _parameters(known.spec)))


def _message(spec: Mapping[str, Any]) -> str:
    message = as_object(spec.get("input")).get("message")
    return message if isinstance(message, str) else ""


def _parameters(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of parameters that the job gives to its template; defaults are not in the object."""
    given = as_object(spec.get("parameters"))
    return {name: value for name, value in given.items() if isinstance(value, str)}


def engine_of(spec: Mapping[str, Any]) -> str:
    """Return the kind of agent that it runs, empty where its template decides."""
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


def _from(entry: RecordedEntry) -> str:
    return f"{cut(entry.data.get('name') or 'a tool', 80)} returned" if entry.kind == "tool" else "the model said"


_ENGINES: Final = {
    "inline": "an inline agent",
    "claudeCode": "Claude Code",
    "container": "a container",
}
