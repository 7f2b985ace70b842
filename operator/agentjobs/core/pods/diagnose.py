"""Derives the ending of a start from its ended pod: the verdict, the class, and whether the cluster caused it.

The runner's own message takes precedence, because exit code 0 after SIGTERM makes a pod Succeeded that did nothing, and
a process that ignores SIGTERM makes one Failed whose result is stored. Without a message, the kubelet's status decides.
If a container publishes after the runner, both must report success. Limits on the number of endings are applied in
`decide`.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from agentjobs.contract import (
    CLONE_CONTAINER,
    EXIT_FENCED,
    PUBLISH_CONTAINER,
    RUNNER_CONTAINER,
    WORKSPACE_VOLUMES,
    ErrorClass,
    Published,
    TerminationMessage,
    Verdict,
)
from agentjobs.core.job.observation import Job, Obstacle, QueueStop
from agentjobs.core.pods.pod import Pod, Waiting

INFRA_DELAY = timedelta(
    seconds=5
)  # long enough for a scheduler to notice a lost node, short compared with a model call
SNOOZE_DELAY = timedelta(seconds=30)  # a rate limit without a given delay

# Reasons of DisruptionTarget (Kubernetes, pod disruption conditions) that are not plain evictions.
_DISRUPTIONS = {
    "PreemptionByScheduler": ErrorClass.PREEMPTED,
    "DeletionByTaintManager": ErrorClass.NODE_LOST,
    "DeletionByPodGC": ErrorClass.NODE_LOST,
}

# Error classes of waiting containers, by the kubelet's and the scheduler's reasons.
_WAITS = {
    "ErrImagePull": ErrorClass.IMAGE_PULL_FAILED,
    "ImagePullBackOff": ErrorClass.IMAGE_PULL_FAILED,
    "InvalidImageName": ErrorClass.IMAGE_PULL_FAILED,
    "ErrImageNeverPull": ErrorClass.IMAGE_PULL_FAILED,
    "RegistryUnavailable": ErrorClass.IMAGE_PULL_FAILED,
    "CreateContainerConfigError": ErrorClass.MISSING_REFERENCE,
    "ContainerCreating": ErrorClass.MISSING_REFERENCE,
    "PodInitializing": ErrorClass.MISSING_REFERENCE,
    "VolumeClaimUnusable": ErrorClass.MISSING_REFERENCE,
    "Unschedulable": ErrorClass.UNSCHEDULABLE,
    "SchedulingGated": ErrorClass.UNSCHEDULABLE,
}


@dataclass(frozen=True, slots=True)
class StartEnding:
    """How one start ended, before the job's limits are applied.

    `infra` endings are caused by the cluster: snoozed for `INFRA_DELAY`, counted against `maxInfraRestarts`, not
    charged. `began` is true if a container ran; otherwise a Retry is not charged.
    """

    verdict: Verdict
    reason: str
    message: str
    delay: timedelta | None = None
    infra: bool = False
    began: bool = True
    summary: str = ""
    outcome: str | None = None
    published: Published | None = None
    """What a container published of the job's workspace."""


def diagnose(pod: Pod) -> StartEnding:
    """Return how an ended pod ended."""
    name, word = pod.stage.name, pod.word_of(pod.stage.name)
    if name == PUBLISH_CONTAINER:
        return _after_the_runner(pod, pod.word_of(RUNNER_CONTAINER), word)
    if word is None:
        return _by_facts(pod)
    if word.verdict is Verdict.SUCCEED and (name == CLONE_CONTAINER or pod.publishes):
        # It exited with a code other than 0, so the next container did not begin.
        return _unpublished(pod) if name == RUNNER_CONTAINER else _by_facts(pod)
    return _by_word(pod, word)


def _after_the_runner(pod: Pod, runner: TerminationMessage | None, word: TerminationMessage | None) -> StartEnding:
    """Return the ending if the runner exited with 0: publishing decides, if the runner succeeded."""
    if runner is None:
        return StartEnding(
            Verdict.RETRY, ErrorClass.RUNNER_CRASHED, "the container exited with exit code 0 without reporting a result"
        )
    if runner.verdict is not Verdict.SUCCEED:
        return _by_word(pod, runner)
    if word is None or (word.verdict is Verdict.SUCCEED and word.published is None):
        return _unpublished(pod)
    if word.verdict is not Verdict.SUCCEED:
        # The outcome counts once the job may end with it.
        return replace(_by_word(pod, word), outcome=None)
    message = "; ".join(text for text in (runner.message, word.message) if text)
    return replace(_by_word(pod, runner), message=message, published=word.published)


def _unpublished(pod: Pod) -> StartEnding:
    """Return the ending of a start whose runner succeeded without a report that the workspace was published."""
    ending = _by_facts(pod)
    if ending.reason != ErrorClass.RUNNER_CRASHED:
        return ending
    return replace(
        ending,
        reason=ErrorClass.PUBLISH_FAILED,
        message=f"the workspace was not reported as published: {ending.message}",
    )


def _by_word(pod: Pod, word: TerminationMessage) -> StartEnding:
    """Return the ending that a container reported."""
    if word.reason == ErrorClass.INTERRUPTED:
        return _interrupted(pod)
    delay = None if word.delay_seconds is None else timedelta(seconds=word.delay_seconds)
    if word.verdict is Verdict.SNOOZE and delay is None:
        delay = SNOOZE_DELAY
    return StartEnding(word.verdict, word.reason, word.message, delay=delay, summary=word.summary, outcome=word.outcome)


def lost(message: str, reason: ErrorClass = ErrorClass.RUNNER_LOST) -> StartEnding:
    """Return the ending of a start whose pod is gone or unreachable."""
    return StartEnding(Verdict.SNOOZE, reason, message, delay=INFRA_DELAY, infra=True)


def stopped(job: Job, ending: StartEnding, stop: QueueStop | None, *, requested: bool) -> StartEnding:
    """Return the ending of a start that was stopped on request of the job or its queue; other endings are unchanged.

    Args:
        requested: its pod was stopped on request, which may have been withdrawn since.
    """
    if ending.reason != ErrorClass.RUNNER_LOST or not (job.must_stop or stop or requested):
        return ending
    if not (job.must_stop or stop):
        return replace(ending, reason=ErrorClass.SUSPENDED, message="the request to stop was withdrawn")
    if job.cancel:
        return StartEnding(Verdict.CANCEL, ErrorClass.CANCELLED, "spec.cancel was set")
    if job.deleting:
        return StartEnding(Verdict.CANCEL, ErrorClass.JOB_DELETED, "the job was deleted")
    why = "spec.suspend was set" if job.suspend or stop is None else stop.message
    return replace(ending, reason=ErrorClass.SUSPENDED, message=why)


def silent(pod: str) -> StartEnding:
    """Return the ending of a start whose runner was stopped because it did not report."""
    message = f"the runner in pod {pod} did not report for longer than timeouts.progress; it was stopped"
    return StartEnding(Verdict.RETRY, ErrorClass.PROGRESS_TIMEOUT, message)


def never_began(waiting: Waiting | None) -> StartEnding:
    """Return the ending of a start whose container did not start in time."""
    reason = _WAITS.get(waiting.reason, ErrorClass.UNSCHEDULABLE) if waiting else ErrorClass.UNSCHEDULABLE
    cause = f"{waiting.reason}: {waiting.message}" if waiting else "the pod was not scheduled"
    return StartEnding(Verdict.FAIL, reason, f"no container started: {cause}", began=False)


def refused(obstacle: Obstacle) -> StartEnding:
    """Return the ending of a start whose pod the API server rejects permanently."""
    return StartEnding(Verdict.FAIL, ErrorClass.CONFIG_INVALID, f"the pod was refused: {obstacle.message}", began=False)


def _by_facts(pod: Pod) -> StartEnding:
    ended, began, container = pod.terminated, pod.container_started is not None, _container(pod)
    if pod.reason == "DeadlineExceeded":
        return StartEnding(Verdict.RETRY, ErrorClass.ATTEMPT_TIMEOUT, "timeouts.attempt was exceeded", began=began)
    if _outgrew_its_workspace(pod):
        return _outgrown(pod)
    if pod.disruption or pod.reason in ("Evicted", "Preempting", "NodeLost", "NodeShutdown", "Terminated"):
        return _disrupted(pod)
    if ended is None:
        return lost(f"the pod failed without a container status: {pod.reason or 'no reason'} {pod.message}".strip())
    if ended.reason == "OOMKilled":
        message = f"{container} exceeded its memory limit; raise runtime.resources.limits.memory"
        return StartEnding(Verdict.RETRY, ErrorClass.OOM_KILLED, message)
    if ended.exit_code == EXIT_FENCED:
        return lost("another pod held this start")
    if ended.reason in ("StartError", "ContainerCannotRun"):
        return StartEnding(
            Verdict.FAIL, ErrorClass.CONFIG_INVALID, f"{container} cannot start: {ended.message}", began=began
        )
    if pod.deletion is not None:
        return lost("the pod was deleted")
    if ended.reason == "ContainerStatusUnknown":
        # Reported by a restarted kubelet that lost the container, always with 137.
        return lost(f"the kubelet lost {container}: {ended.message}".rstrip(": "))
    message = f"{container} exited with {_code(ended.exit_code)} without reporting a result"
    return StartEnding(Verdict.RETRY, ErrorClass.RUNNER_CRASHED, message)


def _container(pod: Pod) -> str:
    name = pod.stage.name
    return "the container" if name == RUNNER_CONTAINER else f"the container {name}"


def _outgrew_its_workspace(pod: Pod) -> bool:
    """Whether the kubelet evicted a pod for its own files, which is not the node's fault and may happen again."""
    return pod.reason == "Evicted" and any(f'EmptyDir volume "{name}"' in pod.message for name in WORKSPACE_VOLUMES)


def _outgrown(pod: Pod) -> StartEnding:
    message = f"the files exceed workspace.size; raise it: {pod.message}".strip()
    return StartEnding(Verdict.RETRY, ErrorClass.EVICTED, message)


def _interrupted(pod: Pod) -> StartEnding:
    """Return the ending of a stopped runner, by the cause found in the pod."""
    if _outgrew_its_workspace(pod):
        return _outgrown(pod)
    if pod.disruption or pod.reason == "Evicted":
        return _disrupted(pod)
    if pod.reason == "DeadlineExceeded":
        return StartEnding(Verdict.RETRY, ErrorClass.ATTEMPT_TIMEOUT, "timeouts.attempt was exceeded")
    return lost("the pod was stopped")


def _disrupted(pod: Pod) -> StartEnding:
    reason = _DISRUPTIONS.get(pod.disruption or "", ErrorClass.EVICTED)
    if pod.reason in ("NodeLost", "NodeShutdown", "Terminated"):
        reason = ErrorClass.NODE_LOST
    where = f" on node {pod.node}" if pod.node else ""
    return lost(f"{pod.disruption or pod.reason}{where}: {pod.message}".rstrip(": "), reason)


def _code(code: int) -> str:
    """Return a readable exit code: 137 is signal 9."""
    return f"exit code {code}" if code <= 128 else f"exit code {code} (signal {code - 128})"
