"""A job's pods as they talk: logs of its starts, one after the other, with the changes of the job in between.

A stream of effects as those of operations.py, for the command line. A log that breaks off is asked for again and what
was shown already is left out, so that no line is lost or told twice.
"""

from dataclasses import dataclass
from typing import Any, Final
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


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that the pod of a start printed."""

    start: int
    text: str


def follow(do: Operations, name: str, *, timeout: float | None) -> Stream[Job | LogLine]:
    """Emit the job at each change of its phase or start, and all that its pods print, until it has ended.

    Raises:
        TimeoutError: it has not ended within `timeout` seconds; it runs on.
    """
    deadline = None if timeout is None else (yield Now()) + timeout
    told: tuple[Any, ...] = ()
    shown: dict[int, int] = {}
    while True:
        job = yield from do.get(name)
        if told != (job.phase, job.status.starts, job.reason):
            told = job.phase, job.status.starts, job.reason
            yield Emit(job)
        start = job.status.starts
        if start:
            shown[start] = yield from _log(do, name, start, skip=shown.get(start, 0), deadline=deadline)
        if job.finished:
            return
        if deadline is not None and (yield Now()) >= deadline:
            raise TimeoutError(f"AgentJob {name!r} did not end within {timeout:g} s; it is {job.phase}.")
        yield Sleep(LOOK_SECONDS)


def logs(do: Operations, name: str, *, start: int | None) -> Stream[LogLine]:
    """Emit what the pod of a start has printed so far: of the newest start whose pod is there, or of `start`.

    Raises:
        errors.NotFound: there is no such job, or no such pod any more; the message says what to do.
    """
    job = yield from do.get(name)
    there = yield from _starts(do, name)
    if not there or (start is not None and start not in there):
        raise errors.NotFound(_no_pod(job, start, there))
    yield from _log(do, name, start or there[-1], skip=0, deadline=None, then=True)


def _starts(do: Operations, name: str) -> Operation[list[int]]:
    path = f"/api/v1/namespaces/{quote(do.namespace, safe='')}/pods"
    found = yield Send("GET", path, params={"labelSelector": f"{LABEL_JOB}={name}"})
    numbers = (start_of(item["metadata"]["name"], name) for item in found.get("items") or ())
    return sorted(number for number in numbers if number)


def _log(do: Operations, name: str, start: int, *, skip: int, deadline: float | None, then: bool = False) -> Any:
    """Emit the lines of a start's pod after the first `skip`; return how many there are now.

    With `then` what is there is enough; else the log is followed until the pod, the time or patience has ended.
    """
    pod = quote(pod_name(name, start), safe="")
    path = f"/api/v1/namespaces/{quote(do.namespace, safe='')}/pods/{pod}/log"
    left = SILENCE_SECONDS if deadline is None else max(0.1, min(SILENCE_SECONDS, deadline - (yield Now())))
    count = 0
    try:
        yield Listen(path, {"container": RUNNER_CONTAINER} | ({} if then else {"follow": "true"}), left, accept="*/*")
        while (line := (yield NextLine())) is not None:
            count += 1
            if count > skip:
                yield Emit(LogLine(start, line))
            if deadline is not None and (yield Now()) >= deadline:
                break
    except (errors.NotFound, errors.Invalid):
        # Not made yet, its container not running yet (400), or gone; whoever follows looks again.
        if then:
            raise
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
