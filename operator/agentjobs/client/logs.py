"""The logs of a job's pods, start after start, with the changes of the job in between.

A stream of effects, as in operations.py, for the command line. A broken log is requested again without the lines that
were already shown, so that no line is lost or repeated.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from urllib.parse import quote

from agentjobs import errors
from agentjobs.client.effects import Emit, Listen, NextLine, Now, Operation, Send, Sleep, Stream
from agentjobs.client.job import Job
from agentjobs.client.operations import Operations
from agentjobs.client.requests import RETRY_FOR_SECONDS
from agentjobs.contract import LABEL_JOB, RUNNER_CONTAINER, pod_name, start_of

# Polling interval while a job waits.
POLL_SECONDS: Final = 0.5
# A silent log is reopened after this long, because of lost nodes and dropped connections.
SILENCE_SECONDS: Final = 60.0
# A pod may publish long after its agent's log has ended, and that log is read as a whole each time.
LINES_PER_SECOND: Final = 2000
MAX_POLL_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a start's pod."""

    start: int
    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """The requested part of a log: its last `tail` lines, at most `since` seconds old."""

    tail: int | None = None
    since: int | None = None

    def parameters(self) -> dict[str, str]:
        """As query parameters of the API server."""
        given = {"tailLines": self.tail, "sinceSeconds": self.since}
        return {name: str(value) for name, value in given.items() if value is not None}


def follow(do: Operations, name: str, *, timeout: float | None, tail: int | None = None) -> Stream[Job | LogLine]:
    """Emit the job at each change of phase or start, and all lines of its pods, until it has ended.

    `tail` limits the lines that the first pod has already printed. After the first answer, servers may be unavailable
    for `RETRY_FOR_SECONDS`.

    Raises:
        TimeoutError: it has not ended within `timeout` seconds; it continues to run.
        errors.NotFound: the job does not exist, or was deleted before its end, even if its name was reused.
    """
    deadline = None if timeout is None else (yield Now()) + timeout
    reported: tuple[Any, ...] = ()
    shown: dict[int, int] = {}
    job: Job | None = None
    lost_at: float | None = None
    while True:
        now = yield Now()
        retry_for = RETRY_FOR_SECONDS if deadline is None else min(RETRY_FOR_SECONDS, max(0.0, deadline - now))
        try:
            job = yield from (do.get(name) if job is None else replace(do, retry_for=retry_for).again(job))
        except errors.Unavailable:
            if job is None or retry_for == RETRY_FOR_SECONDS:
                raise
            raise _not_ended(name, job, timeout) from None
        if reported != (job.phase, job.status.starts, job.reason):
            reported = job.phase, job.status.starts, job.reason
            yield Emit(job)
        start = job.status.starts
        if start and tail is not None:
            shown[start], tail = (yield from _tail(do, name, start, tail)), None
        known = shown.get(start, 0)
        try:
            if start:
                shown[start] = yield from _log(do, name, start, skip=known, deadline=deadline)
            lost_at = None
        except errors.Unavailable:
            is_late = deadline is not None and now >= deadline
            if is_late and not job.finished:
                raise _not_ended(name, job, timeout) from None
            lost_at = now if lost_at is None else lost_at
            if is_late or now - lost_at > RETRY_FOR_SECONDS:
                raise
            yield Sleep(POLL_SECONDS)
            continue
        if job.finished:
            return
        if deadline is not None and (yield Now()) >= deadline:
            raise _not_ended(name, job, timeout)
        over = 0 if shown.get(start, 0) > known else known
        yield Sleep(min(MAX_POLL_SECONDS, max(POLL_SECONDS, over / LINES_PER_SECOND)))


def _not_ended(name: str, job: Job, timeout: float | None) -> TimeoutError:
    return TimeoutError(f"AgentJob {name!r} did not end within {timeout:g} s; it is {job.phase}.")


def logs(do: Operations, name: str, *, start: int | Literal["all"] | None, part: Part = Part()) -> Stream[LogLine]:
    """Emit the current logs: of the newest start with a pod, of `start`, or of all starts with pods.

    Raises:
        errors.NotFound: the job or its pod does not exist; the message has the cure.
    """
    job = yield from do.get(name)
    pods = yield from _pods(do, name)
    there = sorted(pods)
    wanted = there if start == "all" else [start or there[-1]] if there else []
    if not wanted or wanted[0] not in there:
        raise errors.NotFound(_no_pod(job, None if start == "all" else start, there))
    for number in wanted:
        yield from _listen(do, name, number, {"container": relevant_container(pods[number])} | part.parameters())
        while (line := (yield NextLine())) is not None:
            yield Emit(LogLine(number, line))


def _pods(do: Operations, name: str) -> Operation[dict[int, Any]]:
    """Read the pods of a job, by start."""
    path = f"/api/v1/namespaces/{quote(do.namespace, safe='')}/pods"
    found = yield Send("GET", path, params={"labelSelector": f"{LABEL_JOB}={name}"})
    items = ((start_of(item["metadata"]["name"], name), item) for item in found.get("items") or ())
    return {number: item for number, item in items if number}


def relevant_container(pod: Mapping[str, Any]) -> str:
    """The container with the relevant log: the runner's, or one that failed before it could start."""
    for status in (pod.get("status") or {}).get("initContainerStatuses") or ():
        ended = (status.get("state") or {}).get("terminated")
        if status["name"] != RUNNER_CONTAINER and ended and ended.get("exitCode") != 0:
            return str(status["name"])
    return RUNNER_CONTAINER


def _tail(do: Operations, name: str, start: int, count: int) -> Any:
    """Emit the last lines of a start's pod; return its total number of lines."""
    last: deque[str] = deque(maxlen=count)
    there = 0
    try:
        yield from _listen(do, name, start, {})
        while (line := (yield NextLine())) is not None:
            last.append(line)
            there += 1
    except (errors.NotFound, errors.Invalid):
        pass  # no log yet
    for line in last:
        yield Emit(LogLine(start, line))
    return there


def _listen(
    do: Operations, name: str, start: int, parameters: dict[str, str], seconds: float = SILENCE_SECONDS
) -> Operation[None]:
    pod = quote(pod_name(name, start), safe="")
    path = f"/api/v1/namespaces/{quote(do.namespace, safe='')}/pods/{pod}/log"
    yield Listen(path, {"container": RUNNER_CONTAINER} | parameters, seconds, accept="*/*")


def _log(do: Operations, name: str, start: int, *, skip: int, deadline: float | None) -> Any:
    """Emit the lines of a start's pod after the first `skip`, until the pod or the time has ended.

    Returns the number of lines.
    """
    left = SILENCE_SECONDS if deadline is None else max(0.1, min(SILENCE_SECONDS, deadline - (yield Now())))
    count = 0
    try:
        yield from _listen(do, name, start, {"follow": "true"}, left)
        while (line := (yield NextLine())) is not None:
            count += 1
            if count > skip:
                yield Emit(LogLine(start, line))
            if deadline is not None and (yield Now()) >= deadline:
                break
    except (errors.NotFound, errors.Invalid):
        pass  # not created, not running yet (400), or deleted; the follower retries
    return max(count, skip)


def _no_pod(job: Job, start: int | None, there: list[int]) -> str:
    if not job.status.starts:
        return f"{job.name} has not started; it is {job.phase}: {job.message or 'no reason given'}."
    which = "any more" if start is None else f"of start {start}"
    rest = f"; starts with pods: {', '.join(map(str, there))}" if there else ""
    return (
        f"{job.name} has no pod {which}{rest}. `agentjobs show {job.name}` shows the recorded history; "
        "runtime.podRetention keeps pods longer."
    )
