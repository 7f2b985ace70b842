"""The logs of a job's pods, start after start, with the changes of the job in between.

A stream of effects, as in operations.py, for the command line. A broken log is requested again without the lines that
were already shown, so that no line is lost or repeated.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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


WHOLE: Final = Part()


@dataclass(slots=True)
class _Reading:
    """How far the logs of a job have been read: the start, and how many of its lines are not shown again."""

    start: int
    part: Part
    partial: range
    """The starts of which only `part` is wanted."""
    shown: dict[int, int] = field(default_factory=dict)


def follow(
    do: Operations,
    name: str,
    *,
    timeout: float | None,
    start: int | Literal["all"] | None = None,
    part: Part = WHOLE,
) -> Stream[Job | LogLine]:
    """Emit the job at each change of phase or start, and all lines of its pods, until it has ended.

    Begins with the newest start, with `start`, or with the first start that has a pod. `part` selects from the lines
    that pods had already printed; lines of later starts are all new. After the first answer, servers may be unavailable
    for `RETRY_FOR_SECONDS`.

    Raises:
        TimeoutError: it has not ended within `timeout` seconds; it continues to run.
        errors.NotFound: the job does not exist, or was deleted before its end, even if its name was reused; or `start`
            has no pod, or can no longer come.
    """
    deadline = None if timeout is None else (yield Now()) + timeout
    reported: tuple[Any, ...] = ()
    job: Job | None = None
    lost_at: float | None = None
    reading: _Reading | None = None
    while True:
        now = yield Now()
        retry_for = RETRY_FOR_SECONDS if deadline is None else min(RETRY_FOR_SECONDS, max(0.0, deadline - now))
        try:
            job = yield from (do.get(name) if job is None else replace(do, retry_for=retry_for).again(job))
        except errors.Unavailable:
            if job is None or retry_for == RETRY_FOR_SECONDS:
                raise
            raise _not_ended(name, job, timeout) from None
        newest = job.status.starts
        if reading is None:
            first = yield from _first(do, job, start)
            reading = _Reading(first, part, range(first, max(newest, 1) + 1 if part != WHOLE else first))
        if reported != (job.phase, newest, job.reason):
            reported = job.phase, newest, job.reason
            yield Emit(job)
        known = reading.shown.get(newest, 0)
        try:
            yield from _read(do, name, reading, newest, deadline)
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
            if reading.start > newest:
                raise errors.NotFound(f"{name} has already ended as {job.phase}; {_starts(job)}.")
            return
        if deadline is not None and (yield Now()) >= deadline:
            raise _not_ended(name, job, timeout)
        over = 0 if reading.shown.get(newest, 0) > known else known
        yield Sleep(min(MAX_POLL_SECONDS, max(POLL_SECONDS, over / LINES_PER_SECOND)))


def _first(do: Operations, job: Job, start: int | Literal["all"] | None) -> Operation[int]:
    """Return the start to begin with, which may not have begun yet.

    Raises:
        errors.NotFound: its pod no longer exists.
    """
    newest = job.status.starts
    if start is None or (start == "all" and not newest):
        return newest
    if start == "all":
        pods = yield from _pods(do, job.name)
        if not pods and job.finished:
            raise errors.NotFound(_no_pod(job, None, []))
        return min(pods, default=newest)
    # The newest one of a job that has not ended may have no pod yet.
    is_over = start < newest or (start == newest and job.finished)
    if is_over and start not in (pods := (yield from _pods(do, job.name))):
        raise errors.NotFound(_no_pod(job, start, sorted(pods)))
    return start


def _read(do: Operations, name: str, reading: _Reading, newest: int, deadline: float | None) -> Any:
    """Emit the new lines from the start that is being read to the newest one.

    When another start has begun, the rest of the former one is read too: its log may have broken before its end.
    """
    for number in range(max(reading.start, 1), newest + 1):
        if number in reading.partial and number not in reading.shown:
            reading.shown[number] = yield from _beginning(do, name, number, reading.part)
        skip = reading.shown.get(number, 0)
        reading.shown[number] = yield from _log(do, name, number, skip, deadline, follow=number == newest)
        reading.start = number


def _not_ended(name: str, job: Job, timeout: float | None) -> TimeoutError:
    return TimeoutError(f"AgentJob {name!r} did not end within {timeout:g} s; it is {job.phase}.")


def logs(do: Operations, name: str, *, start: int | Literal["all"] | None, part: Part = WHOLE) -> Stream[LogLine]:
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


def _beginning(do: Operations, name: str, start: int, part: Part) -> Any:
    """Emit the requested part of what a start's pod has printed; return how many of its lines not to show again."""
    chosen: deque[str] = deque(maxlen=part.tail)
    first: str | None = None
    there = 0
    try:
        if part.since is not None:
            # Counted before: a line that is printed after that is newer than `since`.
            yield from _listen(do, name, start, {})
            while (yield NextLine()) is not None:
                there += 1
            yield from _listen(do, name, start, {"timestamps": "true"} | Part(since=part.since).parameters())
            first = yield NextLine()
            if first is None:
                return there
        yield from _listen(do, name, start, {"timestamps": "true"} if first else {})
        there, begun = 0, first is None
        while (line := (yield NextLine())) is not None:
            begun = begun or line == first
            there += 1
            if begun:
                chosen.append(line.partition(" ")[2] if first else line)
        if not begun:  # it was rotated away, so all lines are newer
            return 0
    except (errors.NotFound, errors.Invalid):
        pass  # no log yet
    for line in chosen:
        yield Emit(LogLine(start, line))
    return there


def _listen(
    do: Operations, name: str, start: int, parameters: dict[str, str], seconds: float = SILENCE_SECONDS
) -> Operation[None]:
    pod = quote(pod_name(name, start), safe="")
    path = f"/api/v1/namespaces/{quote(do.namespace, safe='')}/pods/{pod}/log"
    yield Listen(path, {"container": RUNNER_CONTAINER} | parameters, seconds, accept="*/*")


def _log(do: Operations, name: str, start: int, skip: int, deadline: float | None, *, follow: bool) -> Any:
    """Emit the lines of a start's pod after the first `skip`; with `follow` until the pod or the time has ended.

    Returns the number of lines.
    """
    left = SILENCE_SECONDS if deadline is None else max(0.1, min(SILENCE_SECONDS, deadline - (yield Now())))
    count = 0
    try:
        yield from _listen(do, name, start, {"follow": "true"} if follow else {}, left)
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
    if start is not None and start > job.status.starts:
        wait = "" if job.finished else f" To wait for it: agentjobs logs -f --start {start} {job.name}"
        return f"{job.name} has no start {start}; {_starts(job)}.{wait}"
    which = "any more" if start is None else f"of start {start}"
    rest = f"; starts with pods: {', '.join(map(str, there))}" if there else ""
    return (
        f"{job.name} has no pod {which}{rest}. `agentjobs show {job.name}` shows the recorded history; "
        "runtime.podRetention keeps pods longer."
    )


def _starts(job: Job) -> str:
    return f"its newest start is {job.status.starts}" if job.status.starts else "it was never started"
