"""Verbs that look at one job from near: show, logs; and list. They read both servers and change nothing."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import typer

from agentjobs import errors
from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.options import Context, GatewayCA, GatewayURL, JobName, Kubeconfig, Namespace, talking
from agentjobs.cli.past import story_page
from agentjobs.cli.printing import age, harmless, show, table

if TYPE_CHECKING:
    from agentjobs.api.recorded import Event
    from agentjobs.cli.options import Talk
    from agentjobs.client.following import LogLine
    from agentjobs.client.job import Job

# As many steps as fit a screen beside the rest; the gateway has them all.
SHOWN_STEPS: Final = 20
_TEXT: Final = 100


def register(app: typer.Typer) -> None:
    """Add this module's verbs."""
    for verb in (list_, show_, logs):
        app.command(verb.__name__.rstrip("_"))(verb)


def list_(
    selector: Annotated[str | None, typer.Option("--selector", "-l", help="Labels, such as team=docs.")] = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the AgentJobs there are, as `get` without a NAME does; `history` lists those that are gone, too."""
    from agentjobs.cli.objects import get

    get(
        name=None,
        watch=False,
        output=None,
        selector=selector,
        everywhere=everywhere,
        namespace=namespace,
        context=context,
        kubeconfig=kubeconfig,
    )


def show_(
    name: JobName,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Show all that is known of one job on a page: object, starts, phases, steps of the last start, Events, answer."""
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace, url=gateway, ca=gateway_ca) as talk:
        job, absent = _object(talk, name)
        try:
            story = talk.run(talk.do.story(name))
            last = story.starts[-1].start if story.starts else None
            # A long run has a hundred thousand.
            steps = talk.run(talk.do.newest_events(name, start=last, count=SHOWN_STEPS)) if last else ()
            told = [story_page(story.model_dump(mode="json", by_alias=True)), _steps(steps)]
        except (errors.AgentJobsError, Failure) as error:
            if job is None:
                raise absent or error from None
            told = [f"(no history: {harmless(str(error))})"]
        # While it runs history alone knows what was used; when that is away the status may.
        parts = [
            _about(job, used=len(told) == 1) if job else f"{name}: the object is gone; this is what history knows.",
            *told,
        ]
        if job is not None:
            parts += [_events(talk, job), _head_of_answer(job)]
        show("\n\n".join(part for part in parts if part))


def logs(
    name: JobName,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on, into the next starts too, until the job has ended.")
    ] = False,
    start: Annotated[
        int | None, typer.Option("--start", min=1, help="Number of a start; the newest by default.")
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print what the pod of a job's newest start has printed.

    With --follow this start's and every further one's, as it comes; a line on standard error says where one begins.
    """
    from agentjobs.client import following

    if follow and start is not None:
        raise Failure("--follow goes on from the newest start; leave out --start.", code=USAGE)
    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace) as talk:
        if not follow:
            lines = talk.iterate(following.logs(talk.do, name, start=start))
            _print(lines)
            return
        _print(talk.iterate(following.follow(talk.do, name, timeout=None)), name=name)


def _print(items: "Iterable[Job | LogLine]", *, name: str = "") -> None:
    """Print lines; of the job's changes say that it waits or has ended, and where a start begins."""
    from agentjobs.client.following import LogLine

    begun = 0
    for item in items:
        if not isinstance(item, LogLine):
            show(harmless(f"{name}: {item.phase} {item.message}".rstrip()), error=True)
            continue
        if name and item.start != begun:
            begun = item.start
            show(f"{name}: start {begun}", error=True)
        show(harmless(item.text))


def _object(talk: "Talk", name: str) -> "tuple[Job | None, errors.NotFound | None]":
    try:
        return talk.run(talk.do.get(name)), None
    except errors.NotFound as error:
        return None, error


def _about(job: "Job", *, used: bool) -> str:
    status, agent = job.status, job.spec.get("agent") or {}
    runs = (agent.get("module") or {}).get("ref") or "inline agent"
    usage = status.usage
    facts = {
        "Job": f"{job.namespace}/{job.name}",
        "Phase": f"{job.phase} {job.reason}".rstrip(),
        "Because": job.message,
        "Runs": f"{runs}, model {agent.get('model')}" if agent.get("model") else runs,
        "Queue": status.queue.name if status.queue else str(job.spec.get("queue") or ""),
        "Attempts": f"{status.attempts} ({status.starts} starts, {status.snoozes} snoozes, "
        f"{status.infra_restarts} lost to the cluster)",
        "Next start": status.next_attempt_time and f"not before {status.next_attempt_time:%Y-%m-%d %H:%M:%S} UTC",
        "Used": usage
        and used
        and f"{usage.llm_calls} model calls, {usage.tool_calls} tool calls, "
        f"{usage.input_tokens} tokens in, {usage.output_tokens} out",
    }
    width = max(map(len, facts)) + 1
    return "\n".join(f"{key + ':':<{width}} {harmless(str(value))}" for key, value in facts.items() if value)


def _steps(events: "Iterable[Event]") -> str:
    rows = [[f"{event.time:%H:%M:%S}", event.author, event.kind, _said(event.kind, event.data)] for event in events]
    return table(["STEP", "AUTHOR", "KIND", "WHAT"], rows) if rows else ""


def _said(kind: str, data: Mapping[str, Any]) -> str:
    match kind:
        case "model":
            calls = ", ".join(f"{call.get('name')}()" for call in data.get("toolCalls") or ())
            return calls or f"{data.get('outputTokens') or '?'} tokens"
        case "tool":
            said = f"{data.get('name')}: {data.get('result')}"
        case "text":
            said = str(data.get("text") or "")
        case "started":
            said = f"attempt {data.get('attempt')}"
        case "ended":
            said = f"{data.get('verdict')} {data.get('reason')}: {data.get('message')}"
        case _:
            said = ", ".join(f"{key}={value}" for key, value in data.items())
    return said if len(said) <= _TEXT else said[: _TEXT - 1] + "…"


def _events(talk: "Talk", job: "Job") -> str:
    path = f"/api/v1/namespaces/{quote(job.namespace, safe='')}/events"
    try:
        found = talk.cluster.request("GET", path, params={"fieldSelector": f"involvedObject.uid={job.uid}"})
    except errors.Denied:
        return ""  # who may read jobs may not therefore read Events
    now = datetime.now(UTC)
    times = [(item.get("lastTimestamp") or item.get("eventTime") or "", item) for item in found.get("items") or ()]
    rows = [
        [age(time, now=now), item.get("type"), item.get("reason"), item.get("message")]
        for time, item in sorted(times, key=lambda entry: entry[0])
    ]
    return table(["AGE", "TYPE", "EVENT", "MESSAGE"], rows) if rows else ""


def _head_of_answer(job: "Job") -> str:
    result = job.status.result
    if result is None:
        return ""
    more = f"\n… (all of it: agentjobs result {job.name})" if result.truncated else ""
    return f"Answer:\n{harmless(result.summary)}{more}"
