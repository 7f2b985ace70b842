"""A job's pods as they talk: logs of its starts, one after the other, with the changes of the job in between.

A stream of effects as those of operations.py, for the command line. A log that breaks off is asked for again and what
was shown already is left out, so that no line is lost or told twice.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

from agentjobs import errors
from agentjobs.client.effects import Emit, Listen, NextLine, Now, Operation, Send, Sleep, Stream
from agentjobs.client.job import Job
from agentjobs.client.operations import Operations
from agentjobs.contract import LABEL_JOB, RUNNER_CONTAINER, pod_name, start_of

# While a job waits: soon enough for a person, rare enough for a server.
LOOK_SECONDS: Final = 0.5
# A silent log is opened anew after this long, so that a lost node or a dropped connection does not hold us for ever.
SILENCE_SECONDS: Final = 60.0
# A pod may publish for long after its agent's log has ended, which is read as a whole each time.
LINES_A_SECOND: Final = 2000
LAST_LOOK_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that the pod of a start printed."""

    start: int
    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a log is wanted: its last `tail` lines, and of these what is at most `since` seconds old."""

    tail: int | None = None
    since: int | None = None

    def parameters(self) -> dict[str, str]:
        """As the API server takes it."""
        given = {"tailLines": self.tail, "sinceSeconds": self.since}
        return {name: str(value) for name, value in given.items() if value is not None}


def follow(do: Operations, name: str, *, timeout: float | None, tail: int | None = None) -> Stream[Job | LogLine]:
    """Emit the job at each change of its phase or start, and all that its pods print, until it has ended.

    With `tail`, of what the first pod has printed by now only the last lines.

    Raises:
        TimeoutError: it has not ended within `timeout` seconds; it runs on.
        errors.NotFound: there is no such job, or it was deleted meanwhile, also when its name was given to a new one.
    """
    deadline = None if timeout is None else (yield Now()) + timeout
    told: tuple[Any, ...] = ()
    shown: dict[int, int] = {}
    job: Job | None = None
    while True:
        job = yield from _again(do, name, job)
        if told != (job.phase, job.status.starts, job.reason):
            told = job.phase, job.status.starts, job.reason
            yield Emit(job)
        start = job.status.starts
        if start and tail is not None:
            shown[start], tail = (yield from _tail(do, name, start, tail)), None
        known = shown.get(start, 0)
        if start:
            shown[start] = yield from _log(do, name, start, skip=known, deadline=deadline)
        if job.finished:
            return
        if deadline is not None and (yield Now()) >= deadline:
            raise TimeoutError(f"AgentJob {name!r} did not end within {timeout:g} s; it is {job.phase}.")
        over = 0 if shown.get(start, 0) > known else known
        yield Sleep(min(LAST_LOOK_SECONDS, max(LOOK_SECONDS, over / LINES_A_SECOND)))


def _again(do: Operations, name: str, known: Job | None) -> Operation[Job]:
    """Read the job once more; the one that was `known`, not another of its name."""
    if known is None:
        return (yield from do.get(name))
    deleted = errors.NotFound(f"{name} was deleted; `agentjobs history {name}` shows how far it got.")
    try:
        job = yield from do.get(name)
    except errors.NotFound:
        raise deleted from None
    if job.uid != known.uid:
        raise deleted
    return job


def logs(do: Operations, name: str, *, start: int | Literal["all"] | None, part: Part = Part()) -> Stream[LogLine]:
    """Emit what pods have printed so far: of the newest start whose pod is there, of `start`, or of all that are there.

    Raises:
        errors.NotFound: there is no such job, or no such pod any more; the message says what to do.
    """
    job = yield from do.get(name)
    pods = yield from _pods(do, name)
    there = sorted(pods)
    wanted = there if start == "all" else [start or there[-1]] if there else []
    if not wanted or wanted[0] not in there:
        raise errors.NotFound(_no_pod(job, None if start == "all" else start, there))
    for number in wanted:
        yield from _listen(do, name, number, {"container": telling_container(pods[number])} | part.parameters())
        while (line := (yield NextLine())) is not None:
            yield Emit(LogLine(number, line))


def _pods(do: Operations, name: str) -> Operation[dict[int, Any]]:
    """Read the pods of a job, by their starts."""
    path = f"/api/v1/namespaces/{quote(do.namespace, safe='')}/pods"
    found = yield Send("GET", path, params={"labelSelector": f"{LABEL_JOB}={name}"})
    items = ((start_of(item["metadata"]["name"], name), item) for item in found.get("items") or ())
    return {number: item for number, item in items if number}


def telling_container(pod: Mapping[str, Any]) -> str:
    """The container whose log tells how a start went: the runner's, or one that failed before it could begin."""
    for status in (pod.get("status") or {}).get("initContainerStatuses") or ():
        ended = (status.get("state") or {}).get("terminated")
        if status["name"] != RUNNER_CONTAINER and ended and ended.get("exitCode") != 0:
            return str(status["name"])
    return RUNNER_CONTAINER


def _tail(do: Operations, name: str, start: int, count: int) -> Any:
    """Emit the last lines of what a start's pod has printed so far; return how many lines that is in all."""
    last: deque[str] = deque(maxlen=count)
    there = 0
    try:
        yield from _listen(do, name, start, {})
        while (line := (yield NextLine())) is not None:
            last.append(line)
            there += 1
    except (errors.NotFound, errors.Invalid):
        pass  # nothing yet
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
    """Emit the lines of a start's pod after the first `skip`, until the pod, the time or patience has ended.

    Returns how many there are now.
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
        pass  # not made yet, its container not running yet (400), or gone; the follower looks again
    return max(count, skip)


def _no_pod(job: Job, start: int | None, there: list[int]) -> str:
    if not job.status.starts:
        return f"{job.name} has not started; it is {job.phase}: {job.message or 'nobody has said why'}."
    which = "any more" if start is None else f"of start {start}"
    rest = f"; there are those of starts {', '.join(map(str, there))}" if there else ""
    return (
        f"{job.name} has no pod {which}{rest}. `agentjobs show {job.name}` tells what is recorded; "
        "runtime.podRetention keeps pods longer."
    )
