"""The verb that waits for jobs: wait."""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from agentjobs.cli.failures import TIMED_OUT, USAGE, Failure
from agentjobs.cli.options import (
    All,
    Context,
    Everywhere,
    GatewayCA,
    GatewayURL,
    JobNames,
    Kubeconfig,
    Namespace,
    Selector,
    Timeout,
    checked,
    output,
    seconds_of,
    talking,
)
from agentjobs.cli.printing import age, harmless, show, shown_job
from agentjobs.cli.targets import Choice, Done, Target, report, targets
from agentjobs.cli.watched_table import WATCH_SECONDS

if TYPE_CHECKING:
    from agentjobs.cli.options import Talk
    from agentjobs.client.job import Job

_CONDITION: Final = re.compile(r"(?:condition=)?([A-Za-z]+)(?:=(True|False|Unknown))?", re.IGNORECASE)
_RETRY_SECONDS: Final = 0.5
# A job that was created to be waited for, and deleted at its end, ended a short time ago.
_JUST: Final = timedelta(minutes=10)
# A misspelled condition would be waited for in vain. The API modules that have the list take too long to load.
CONDITIONS: Final = (
    "Complete",
    "Finished",
    "Failed",
    "Cancelled",
    "Skipped",
    "Suspended",
    "Accepted",
    "Admitted",
    "PodStarted",
    "FollowUpsCreated",
)


def register(app: typer.Typer) -> None:
    """Add this module's verb."""
    app.command()(wait)


def wait(
    names: JobNames = None,
    condition: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="CONDITION",
            help="Complete (the default), Finished, or condition=TYPE[=STATUS].",
        ),
    ] = "condition=Complete",
    timeout: Timeout = "0",
    selector: Selector = None,
    all_: All = False,
    everywhere: Everywhere = False,
    format_: Annotated[str | None, output("json", "yaml", "name")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Wait until jobs succeed, end, or meet a condition.

    Exits with 0 when all jobs meet it, 1 when a job ended without meeting it (the other jobs are still waited for) or
    none is selected, 124 on a timeout. --timeout applies to all jobs together.

    Of a job that is already deleted, history tells how it ended, if that was in the last ten minutes.

    Examples:
        agentjobs wait hello --timeout 10m && echo succeeded
        agentjobs wait hello flaky --for=Finished
        agentjobs wait -l team=docs --for=condition=Admitted=False
    """
    checked(format_, "json", "yaml", "name")
    choice = Choice(names or (), selector, all_, everywhere)
    kind, status = _wanted(condition)
    limit = seconds_of(timeout)
    deadline = None if limit is None else time.monotonic() + limit
    began = datetime.now(UTC)  # the jobs take turns: a later one may end long before its turn
    from agentjobs.cli.cluster import AGENTJOBS

    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace, url=gateway, ca=gateway_ca) as talk:
        chosen = targets(talk, choice)
        if not chosen:  # else a misspelled label would mean success
            raise typer.Exit(1)

        def met(target: Target) -> Done:
            job = _wait(talk, target, kind, status, condition, timeout, deadline, now=began)
            return Done(target, f"{shown_job(target.name)} condition met", job)

        report(talk, choice, met, format_, chosen=chosen, kind=AGENTJOBS)


def _wanted(condition: str) -> tuple[str, str]:
    found = _CONDITION.fullmatch(condition)
    known = found and next((each for each in CONDITIONS if each.lower() == found[1].lower()), None)
    if not found or not known:
        raise Failure(f"--for={condition}: jobs have no such condition; use {', '.join(CONDITIONS)}.", code=USAGE)
    return known, (found[2] or "True").capitalize()


def _wait(
    talk: "Talk",
    target: Target,
    kind: str,
    status: str,
    wanted: str,
    timeout: str,
    deadline: float | None,
    *,
    now: datetime,
) -> Mapping[str, Any]:
    job: Mapping[str, Any] | None = None
    for job in _states(talk, target, deadline=deadline, now=now):
        if _holds(job, kind, status):
            return job
        if _holds(job, "Finished", "True"):
            raise Failure(_ended(job, name=target.name, wanted=wanted))
    raise Failure(f"{target.name} did not reach {wanted} within {timeout}; it is {_held(job)}", code=TIMED_OUT)


def _held(body: Mapping[str, Any] | None) -> str:
    """The job's phase, and what it waits for."""
    from agentjobs.cli.history_text import phase_words
    from agentjobs.client.job import Job

    job = Job.parse(body) if body else None
    if job is None or not job.status.phase:
        return "not seen by an operator yet."
    return phase_words(job.phase, job.reason) + (f": {job.message}" if job.message else ".")


def _states(talk: "Talk", target: Target, *, deadline: float | None, now: datetime) -> Iterator[Mapping[str, Any]]:
    """Yield the job now and after every change, until `deadline` (of time.monotonic) or its deletion.

    After the first answer the API server may be unavailable for `RETRY_FOR_SECONDS`: jobs run for hours.
    """
    from agentjobs import errors
    from agentjobs.client.requests import RETRY_FOR_SECONDS

    job: Mapping[str, Any] | None = None
    retry_until = 0.0
    while True:
        try:
            job = _read(talk, target, job)
        except errors.Unavailable:
            if retry_until and deadline is not None and time.monotonic() >= deadline:
                return
            if time.monotonic() >= retry_until:
                raise
            time.sleep(_RETRY_SECONDS)
            continue
        except errors.NotFound as absent:
            yield _just_ended(talk, target, absent, now) if job is None else _deleted(talk, target, job, deadline)
            return
        yield job
        left = WATCH_SECONDS if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return
        version = job["metadata"]["resourceVersion"]
        try:
            for job in _watched(talk, target, version, min(left, WATCH_SECONDS)):
                yield job
                if deadline is not None and time.monotonic() >= deadline:
                    break
        except errors.Unavailable:
            time.sleep(_RETRY_SECONDS)
        retry_until = time.monotonic() + RETRY_FOR_SECONDS


def _watched(talk: "Talk", target: Target, version: str, seconds: float) -> Iterator[Mapping[str, Any]]:
    """Yield the job after each change since `version`, until the watch ends.

    Raises:
        errors.Unavailable: the watch broke, or `version` is too old; a read may give the same one.
        Failure: the job was deleted before its end.
    """
    from agentjobs import errors
    from agentjobs.cli.cluster import AGENTJOBS

    params = {
        "fieldSelector": f"metadata.name={target.name}",
        "resourceVersion": version,
        # The read timeout restarts with each event, so the server gets a timeout as well.
        "timeoutSeconds": str(max(1, round(seconds))),
    }
    for event in talk.cluster.watch(AGENTJOBS.path(target.do.namespace), params=params, seconds=seconds):
        if event.get("type") == "ERROR":
            raise errors.Unavailable("the watch has expired")
        if event.get("type") == "DELETED" and not _holds(event["object"], "Finished", "True"):
            raise _was_deleted(target.name)
        if event.get("type") in {"ADDED", "MODIFIED", "DELETED"}:
            yield event["object"]


def _read(talk: "Talk", target: Target, seen: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Read the job.

    Raises:
        errors.NotFound: it does not exist, or another job than `seen` has its name.
    """
    from agentjobs import errors
    from agentjobs.cli.cluster import AGENTJOBS

    job = talk.cluster.request("GET", AGENTJOBS.path(target.do.namespace, target.name))
    if seen is not None and job["metadata"]["uid"] != seen["metadata"]["uid"]:
        raise errors.NotFound(f"another job has the name {target.name}")
    return job


def _deleted(talk: "Talk", target: Target, seen: Mapping[str, Any], deadline: float | None) -> Mapping[str, Any]:
    """Return a job that was deleted after it was seen, with its end from history.

    Raises:
        Failure: history has no end of it.
        errors.NotFound: history cannot be read.
    """
    from agentjobs.client.job import Job
    from agentjobs.client.recorded_end import recorded_end
    from agentjobs.client.requests import RETRY_FOR_SECONDS

    left = RETRY_FOR_SECONDS if deadline is None else max(0.0, deadline - time.monotonic())
    do = replace(target.do, retry_for=min(RETRY_FOR_SECONDS, left))
    job = talk.run(recorded_end(do, Job.parse(seen)))
    if job is None:
        raise _was_deleted(target.name)
    return {**seen, "status": job.status.to_dict()}


def _just_ended(talk: "Talk", target: Target, absent: Exception, now: datetime) -> Mapping[str, Any]:
    """Return a job that did not exist at the first request, with its end from history, and say so.

    Args:
        absent: the API server's answer.

    Raises:
        errors.NotFound: history does not have it either, or cannot be read, or it ended more than `_JUST` ago: then it
            is probably not the job that the caller has created, and its success must not pass for that job's.
        Failure: it was deleted before its end.
    """
    from agentjobs import errors
    from agentjobs.client.recorded_end import recorded_end_of

    try:
        job = talk.run(recorded_end_of(target.do, target.name))
    except errors.NotFound:
        raise absent from None
    except errors.AgentJobsError as error:
        raise errors.NotFound(f"{absent}; if it has ended, only history knows how, but: {error}") from None
    if job is None:
        raise _was_deleted(target.name)
    ended = job.status.completion_time or job.created
    ago = age(ended.isoformat(), now=now)
    if now - ended > _JUST:
        raise errors.NotFound(
            f"{absent}; an earlier job of this name ended as {job.phase} {ago} ago, which is too long ago to be meant. "
            f"`agentjobs result {target.name}` prints its answer"
        )
    show(harmless(f"{target.name} is deleted; in history it ended as {job.phase} {ago} ago."), error=True)
    return _body_of(job)


def _body_of(job: "Job") -> dict[str, Any]:
    """As the API server would answer, as far as history knows it."""
    from agentjobs.contract import GROUP, VERSION
    from agentjobs.durations import format_time

    metadata = {
        "name": job.name,
        "namespace": job.namespace,
        "uid": job.uid,
        "creationTimestamp": format_time(job.created),
    }
    status = job.status.to_dict()
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "AgentJob", "metadata": metadata, "status": status}


def _was_deleted(name: str) -> Failure:
    from agentjobs.client.operations import deleted

    return Failure(str(deleted(name)))


def _holds(job: Mapping[str, Any], kind: str, status: str) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(str(item["type"]).lower() == kind.lower() and item["status"] == status for item in conditions)


def _ended(job: Mapping[str, Any], *, name: str, wanted: str) -> str:
    status = job.get("status") or {}
    types = {status.get("phase"), "Failed", "Cancelled", "Skipped"}
    message = next(
        (c.get("message") for c in status.get("conditions") or () if c["type"] in types and c["message"]), ""
    )
    return f"{name} ended as {status.get('phase')}, so it will never reach {wanted}" + (
        f": {message}" if message else "."
    )
