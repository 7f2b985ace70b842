"""Waits for several jobs with a single watch of the namespace.

A stream of effects, as in operations.py.
"""

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from agentjobs import errors
from agentjobs.client.effects import Emit, Listen, NextLine, Now, Sleep, Stream
from agentjobs.client.job import Job
from agentjobs.client.operations import REOPEN_SECONDS, WATCH_SECONDS, Operations, deleted
from agentjobs.client.recorded_end import recorded_end


def completed(do: Operations, names: Iterable[str], *, timeout: float | None) -> Stream[Job]:
    """Emit each of these jobs when it has ended in any way; finished ones come first.

    Raises:
        TimeoutError: some have not ended within `timeout` seconds; they continue to run.
        errors.NotFound: one does not exist, was deleted before its end, or was deleted and history cannot be read.
    """
    # As last seen; None until then.
    waiting: dict[str, Job | None] = dict.fromkeys(names)
    every = len(waiting)
    deadline = None if timeout is None else (yield Now()) + timeout
    while waiting:
        began = yield Now()
        bodies, version = yield from do.listed("")
        yield from _finished(waiting, bodies)
        rest = do.retry_for if deadline is None else max(0.0, deadline - (yield Now()))
        yield from _deleted(replace(do, retry_for=min(do.retry_for, rest)), waiting, bodies)
        left = WATCH_SECONDS if deadline is None else min(WATCH_SECONDS, deadline - (yield Now()))
        if waiting and left <= 0:
            raise TimeoutError(_late(waiting, every, timeout or 0.0))
        if waiting:
            # After a broken watch the jobs are read again.
            with suppress(errors.Unavailable, errors.Gone):
                yield from _watched(do, waiting, version, left)
            if (yield Now()) - began < min(REOPEN_SECONDS, left):
                yield Sleep(min(REOPEN_SECONDS, left))


def _watched(do: Operations, waiting: dict[str, Job | None], version: str, seconds: float) -> Generator[Any, Any, None]:
    until = (yield Now()) + seconds
    params = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(max(1, round(seconds)))}
    yield Listen(do.path(), params, seconds)
    while waiting and (line := (yield NextLine())) is not None:
        change = json.loads(line) if line.strip() else {}
        body = change.get("object") or {}
        if change.get("type") in {"ADDED", "MODIFIED", "DELETED"}:
            yield from _finished(waiting, [body])
        if change.get("type") == "DELETED" and body["metadata"]["name"] in waiting:
            raise deleted(body["metadata"]["name"])
        if change.get("type") == "ERROR" or (yield Now()) >= until:
            return


def _finished(waiting: dict[str, Job | None], bodies: Iterable[Mapping[str, Any]]) -> Iterator[Emit[Job]]:
    """Emit finished jobs and remove them from `waiting`; store the others. New jobs with their names do not count."""
    for body in bodies:
        name, uid = body["metadata"]["name"], body["metadata"]["uid"]
        if name not in waiting or ((seen := waiting[name]) is not None and seen.uid != uid):
            continue
        waiting[name] = job = Job.parse(body)
        if job.finished:
            del waiting[name]
            yield Emit(job)


def _deleted(
    do: Operations, waiting: dict[str, Job | None], bodies: Iterable[Mapping[str, Any]]
) -> Generator[Any, Any, None]:
    """Emit the jobs that are no longer listed as they ended, and remove them from `waiting`.

    Raises:
        errors.NotFound: one was deleted before its end, or does not exist, or history cannot be read.
    """
    listed = {body["metadata"]["uid"] for body in bodies}
    for name, job in list(waiting.items()):
        if job is None:
            raise errors.NotFound(f"no AgentJob {name!r}")
        if job.uid in listed:
            continue
        ended = yield from recorded_end(do, job)
        if ended is None:
            raise deleted(name)
        del waiting[name]
        yield Emit(ended)


def _late(waiting: Mapping[str, Job | None], every: int, timeout: float) -> str:
    some = ", ".join(list(waiting)[:5]) + (", …" if len(waiting) > 5 else "")
    return f"{len(waiting)} of {every} AgentJobs did not end within {timeout:g} s: {some}."
