"""The tabs of a job's page: what each reads from REST, in addition to the job itself."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request

from agentjobs.api.known_job import Known
from agentjobs.api.recorded import RecordedResult, Result, StepContent
from agentjobs.contract import pod_name
from agentjobs.dashboard.pages.job_reads import Part, entries_around, part
from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.views.documents import Text, json_text, object_text, yaml_text
from agentjobs.dashboard.views.job import https, input_of, session_of
from agentjobs.dashboard.views.lineage import relatives
from agentjobs.dashboard.views.log_lines import log_lines, log_page
from agentjobs.dashboard.views.markdown import Shown, markdown
from agentjobs.dashboard.views.step_links import call_of, calls_of, nearest_to, shown_at
from agentjobs.dashboard.views.steps import PAGE, call_shown, first_of_page, step_lines, step_shown
from agentjobs.dashboard.views.transcript import Call, arguments, conversation
from agentjobs.problem import Problem

LINES: Final = 500
MOST_LINES: Final = 5000
"""Lines of a log that REST returns at most: earlier pages are found among them."""
_TURNS: Final = 60
_CALLS: Final = 5
"""Calls of one step whose content is read."""
_RESULT: Final = 50_000
_ARGUMENTS: Final = 20_000

Parts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab. `load` runs in parallel with reading the job; `more` needs the job, and returns what it adds."""

    name: str
    load: Callable[[Request, Rest, str, str], Awaitable[Parts]]
    more: Callable[[Request, Rest, Known, Parts], Awaitable[Parts]] | None = None


@dataclass(frozen=True, slots=True)
class ShownResult:
    """A job's result: Markdown as HTML, or JSON."""

    result: Result
    text: Shown | None
    structured: Text | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the transcript has a step: at its call, or without one near the time at which it began."""

    start: int
    seq: int
    call: Call | None


def answer(recorded: RecordedResult) -> ShownResult:
    """Return a result as it is shown."""
    result = recorded.result
    if result.structured is not None:
        return ShownResult(result, None, json_text(result.structured, _RESULT))
    return ShownResult(result, markdown(result.text), None)


def number_in(request: Request, name: str) -> int | None:
    """Return a number in the query, None where it is absent. Raises Problem where it is not a number."""
    value = request.query_params.get(name)
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise Problem(400, "BadRequest", f"{name}: expected a number, got {value[:40]!r}.")
    return int(value)


async def _steps(request: Request, rest: Rest, namespace: str, key: str) -> Parts:
    start, step = number_in(request, "start"), number_in(request, "step")
    after = number_in(request, "after")
    if after is None and step is not None:
        after = first_of_page(step)
    reading = part(rest.steps(namespace, key, start=start, limit=PAGE, after=after))
    if step is None:
        return {"page": await reading, "after": after or 0, "start": start, "step": None, "content": None}
    page, content = await asyncio.gather(reading, part(rest.step(namespace, key, step)))
    return {"page": page, "after": after or 0, "start": start, "step": step, "content": content}


async def _more_steps(request: Request, rest: Rest, known: Known, parts: Parts) -> Parts:
    """Add the model calls of the open step, and the lines of the table, which need the job's starts."""
    content, page = parts["content"], parts["page"].value
    shown = step_shown(content.value) if content and content.value else None
    calls: list[tuple[Any, Part[Text]]] = []
    place = None
    if content and content.value:
        if content.value.step.kind == "model":
            calls = await _contents(rest, known, content.value.step.key)
        place = (await part(_place_of(rest, known, content.value))).value
    return {
        "lines": list(step_lines(page.items, known.starts)) if page else [],
        "shown": shown,
        "calls": calls,
        "place": place,
        "page_size": PAGE,
    }


async def _place_of(rest: Rest, known: Known, content: StepContent) -> Place | None:
    """Return the entry to which a step belongs. The model of an earlier start may have requested a call run again."""
    step, nearest = content.step, None
    for start in range(step.start, max(step.run, step.start - 1) - 1, -1):
        entries = await entries_around(rest, known.namespace, known.key, start, shown_at(step))
        if step.kind == "tool" and (found := call_of(content, entries)) is not None:
            entry, place = found
            return Place(entry.start, entry.seq, arguments(calls_of(entry)[place], _ARGUMENTS))
        if nearest is None and entries:
            nearest = Place(start, nearest_to(step, entries).seq, None)
        if step.kind != "tool":
            break
    return nearest


async def _contents(rest: Rest, known: Known, step: str) -> list[tuple[Any, Part[Text]]]:
    found = (await part(rest.calls(known.namespace, known.key, step=step))).value
    calls = [call for call in found.items if call.has_content][-_CALLS:] if found else []
    reading = [part(rest.call_content(known.namespace, known.key, str(call.id))) for call in calls]
    contents = await asyncio.gather(*reading)
    return [
        (call, Part(call_shown(content.value) if content.value is not None else None, content.problem))
        for call, content in zip(calls, contents, strict=True)
    ]


async def _nothing(request: Request, rest: Rest, namespace: str, key: str) -> Parts:
    return {}


async def _transcript(request: Request, rest: Rest, namespace: str, key: str) -> Parts:
    start = number_in(request, "start")
    after = number_in(request, "after") if start is not None else None  # entries are numbered within their start
    cursor, newest = request.query_params.get("cursor"), request.query_params.get("newest") == "true"
    reading = rest.entries(namespace, key, start=start, limit=_TURNS, cursor=cursor, after=after, newest=newest)
    page = await part(reading)
    entries = sorted(page.value.items, key=lambda entry: (entry.start, entry.seq)) if page.value else []
    more = page.value.cursor if page.value else None
    first = cursor is None and not after
    return {
        "page": page,
        "turns": await asyncio.to_thread(conversation, entries),
        "start": start,
        "newest": newest,
        "cursor": more,
        "is_first": first and not newest,
    }


async def _more_transcript(request: Request, rest: Rest, known: Known, parts: Parts) -> Parts:
    shown = input_of(known, None)
    if shown is None and known.history is not None and not request.query_params.get("cursor"):
        recorded = (await part(rest.spec(known.namespace, known.key))).value
        shown = input_of(known, recorded.spec) if recorded is not None else None
    return {"job_input": shown}


async def _logs(request: Request, rest: Rest, known: Known, parts: Parts) -> Parts:
    newest = known.status.starts or (known.history.job.starts if known.history else 0)
    log = number_in(request, "log") or newest
    container, before = request.query_params.get("container", ""), request.query_params.get("before", "")
    if not log:
        return {
            "log": None,
            "lines": [],
            "earlier": "",
            "is_oldest": False,
            "text": None,
            "container": "",
            "containers": (),
        }
    most = MOST_LINES if before else LINES
    found = await part(rest.logs(known.namespace, known.key, log, lines=most, container=container, timestamps=True))
    read, has_more = (found.value.text, found.value.is_truncated) if found.value else ("", False)
    page = log_page(list(log_lines(read)), before=before)
    # Not the shown lines: the last one may be left out. With fewer lines REST reached its limit of bytes, and has no
    # earlier ones either way.
    is_full = has_more and read.removesuffix("\n").count("\n") + 1 >= most
    has_earlier = page.is_cut or (is_full and not before)
    return {
        "log": log,
        "newest": newest,
        "lines": page.lines,
        "earlier": page.lines[0].address if has_earlier and page.lines else "",
        "before": before,
        "is_found": page.is_found,
        "is_cut": has_more or has_earlier,
        "is_oldest": has_more and not has_earlier,
        "most": most,
        "container": container,
        "pod": pod_name(known.name, log),
        "text": found,
        "containers": ("workspace", "runner", "publish") if "workspace" in known.spec else (),
    }


async def _result(request: Request, rest: Rest, namespace: str, key: str) -> Parts:
    found, spec = await asyncio.gather(part(rest.result(namespace, key)), part(rest.spec(namespace, key)))
    return {
        "found": found,
        "result": answer(found.value) if found.value else None,
        "accepted": spec.value.spec if spec.value else None,
    }


async def _artifacts(request: Request, rest: Rest, known: Known, parts: Parts) -> Parts:
    session = session_of(parts["accepted"] or known.spec, name=known.name, uid=known.uid)
    found = await part(rest.session_artifacts(known.namespace, *session, cursor=request.query_params.get("cursor")))
    items = found.value.items if found.value else []
    published = known.history.job.workspace if known.history else None
    return {
        "session": session,
        "artifacts": found,
        "own": [artifact for artifact in items if artifact.job == known.uid],
        "others": sum(artifact.job != known.uid for artifact in items),
        "published": published,
        "request_address": https(published.pull_request if published else None),
    }


async def _models(request: Request, rest: Rest, namespace: str, key: str) -> Parts:
    cursor = request.query_params.get("cursor")
    models, calls = await asyncio.gather(
        part(rest.job_models(namespace, key)), part(rest.calls(namespace, key, cursor=cursor))
    )
    return {"models": models, "calls": calls}


async def _events(request: Request, rest: Rest, namespace: str, key: str) -> Parts:
    events, notifications = await asyncio.gather(
        part(rest.kubernetes_events(namespace, key)), part(rest.notifications(namespace, key))
    )
    return {"events": events, "notifications": notifications}


async def _more_events(request: Request, rest: Rest, known: Known, parts: Parts) -> Parts:
    if not known.uid:
        return {"actions": Part(None)}
    return {"actions": await part(rest.actions([known.namespace], uid=known.uid))}


async def _related(request: Request, rest: Rest, namespace: str, key: str) -> Parts:
    return {"tree": await part(rest.tree(namespace, key))}


async def _more_related(request: Request, rest: Rest, known: Known, parts: Parts) -> Parts:
    tree = parts["tree"].value
    return {"relatives": relatives(tree, known.uid) if tree else [], "truncated": bool(tree and tree.truncated)}


async def _yaml(request: Request, rest: Rest, namespace: str, key: str) -> Parts:
    spec = await part(rest.spec(namespace, key))
    return {"accepted": spec, "accepted_text": yaml_text(spec.value.spec) if spec.value else None}


async def _more_yaml(request: Request, rest: Rest, known: Known, parts: Parts) -> Parts:
    return {"object_text": object_text(known.body) if known.body else None}


TABS: Final[dict[str, Tab]] = {
    "transcript": Tab("Transcript", _transcript, _more_transcript),
    "steps": Tab("Steps", _steps, _more_steps),
    "logs": Tab("Logs", _nothing, _logs),
    "result": Tab("Result", _result, _artifacts),
    "models": Tab("Models and cost", _models),
    "events": Tab("Events", _events, _more_events),
    "related": Tab("Related jobs", _related, _more_related),
    "yaml": Tab("YAML", _yaml, _more_yaml),
}
"""By the word of the address."""
NAMES: Final = {"overview": "Overview"} | {word: tab.name for word, tab in TABS.items()}
