"""The jobs of a storm: what each shape asks for, how its pretended pods end, and how it may end. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.storm.plan import Wish

from agentjobs.contract import LABEL_JOB, TerminationMessage, Verdict, start_of
from devcluster.node import Instant

SCRIPTS = "storm"
"""ConfigMap with the scripts of the real runners."""
MISSING = "comes-late"
MANY_RETRIES: Mapping[str, Any] = {
    # A storm costs attempts; the jobs that may fail are named below.
    "retry": {
        "maxAttempts": 50,
        "maxSnoozes": 100,
        "maxInfraRestarts": 100,
        "backoff": {"initial": "500ms", "factor": 1},
    },
    "runtime": {"terminationGracePeriodSeconds": 6},
}
ONCE: Mapping[str, Any] = {"retry": {"maxAttempts": 1, "maxInfraRestarts": 100}}

TEXTS: Mapping[str, str] = {
    "ok": "starts:\n- - {text: fine}\n",
    "slow": "starts:\n- - {delay: 4s, text: fine}\n",
    "flaky": "starts:\n- - error: {status: 503, message: busy}\n- - text: fine\n",
    "limited": "starts:\n- - error: {status: 429, message: slower, retryAfter: 1s}\n- - text: fine\n",
    "crash": "starts:\n- - exit: SIGKILL\n- - text: fine\n",
    "refused-key": "starts:\n- - error: {status: 401, message: who are you}\n",
    "timeout": "starts:\n- - {delay: 60s, text: too late}\n",
    "cancel": "starts:\n- - {delay: 8s, text: fine}\n",
    "delete": "starts:\n- - {delay: 8s, text: fine}\n",
    "pause": "starts:\n- - {delay: 5s, text: fine}\n",
    "session": "starts:\n- - {delay: 1500ms, text: fine}\n",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of job and what may become of it."""

    spec: Mapping[str, Any] = field(default_factory=dict)
    ends: frozenset[str] = frozenset({"Succeeded"})
    reasons: frozenset[str] = frozenset()
    """Of a failure; empty for any."""


def _ends(*phases: str) -> frozenset[str]:
    return frozenset(phases)


SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    "i-tick": {"concurrencyPolicy": "Allow"},
    "i-tock": {"concurrencyPolicy": "Forbid"},
}
"""Made before the storm, suspended after it; their jobs' names begin with theirs."""
SHAPES: Mapping[str, Shape] = {
    "ok": Shape(),
    "slow": Shape(),
    "tool": Shape(),
    "flaky": Shape(),
    "limited": Shape(),
    "crash": Shape(),
    "refused-key": Shape(ends=_ends("Failed"), reasons=frozenset({"ModelAuth"})),
    "timeout": Shape({**ONCE, "timeouts": {"attempt": "4s"}}, _ends("Failed")),
    "cancel": Shape(ends=_ends("Cancelled", "Succeeded")),
    "delete": Shape(ends=_ends("Deleted", "Succeeded")),
    "pause": Shape(),
    "session": Shape(),
    "vanish": Shape(),
    "retry": Shape(),
    "snooze": Shape(),
    "fail": Shape(ends=_ends("Failed"), reasons=frozenset({"ConfigInvalid"})),
    "give-up": Shape(
        {"retry": {"maxAttempts": 3, "maxInfraRestarts": 100, "backoff": {"initial": "500ms"}}},
        _ends("Failed"),
    ),
    "ttl": Shape({"ttlSecondsAfterFinished": 2}),
    "later": Shape({"startAfter": "4s"}),
    "waits": Shape(),
    "invalid": Shape(ends=_ends("Failed", "Refused"), reasons=frozenset({"InvalidSpec"})),
    "again": Shape(),
}
SECONDS: Mapping[str, float] = {"slow": 3.0, "cancel": 6.0, "delete": 6.0, "pause": 4.0, "session": 1.0, "again": 2.0}


def shape_of(name: str) -> Shape:
    """The shape of a wish's job by the job's name, which ends in a number."""
    return SHAPES[kind_of(name)]


def kind_of(name: str) -> str:
    """`i-retry-17` is a `retry`."""
    return name.rpartition("-")[0].removeprefix("i-")


def is_pretended(name: str) -> bool:
    """Whether the job's pods end without a process."""
    return name.startswith("i-")


def is_scheduled(name: str) -> bool:
    """Whether the job of that name was made by one of `SCHEDULES`."""
    return f"i-{kind_of(name)}" in SCHEDULES


def manifest(wish: Wish) -> dict[str, Any]:
    """The AgentJob of a wish."""
    kind = kind_of(wish.name)
    model = "gemini-x" if is_pretended(wish.name) else f"scripted/{SCRIPTS}/{kind}"
    inline: dict[str, Any] = {"instruction": "Be brief."}
    spec: dict[str, Any] = {
        "agent": {"model": model, "inline": inline},
        "input": {"message": "Go."},
        "priority": wish.group,
        **MANY_RETRIES,
        **SHAPES[kind].spec,
    }
    if kind == "tool":
        spec["agent"] = {"module": {"ref": "tests.storm.stepping:agent"}}
    if kind == "session":
        spec["session"] = {"appName": "storm", "sessionId": f"shared-{wish.group}"}
    if kind == "waits":
        spec["input"] = {"messageFrom": {"configMapKeyRef": {"name": f"{MISSING}-{wish.name}", "key": "message"}}}
    if kind == "invalid":
        inline["instruction"] = "Talk about {topic}."
    return {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentJob",
        "metadata": {"name": wish.name},
        "spec": spec,
    }


def schedule(name: str) -> dict[str, Any]:
    """The AgentSchedule of that name: every minute, and none is left out."""
    spec: dict[str, Any] = {
        "schedule": "* * * * *",
        "catchUp": {"policy": "All", "limit": 1000},
        "successfulJobsHistoryLimit": 3,
        "jobTemplate": {"spec": manifest(Wish(0, "i-ok-0", "i-ok"))["spec"] | {"queue": "agents"}},
        **SCHEDULES[name],
    }
    return {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentSchedule",
        "metadata": {"name": name},
        "spec": spec,
    }


def pretend(pod: Mapping[str, Any]) -> Instant | None:
    """How a pod of the storm ends: without a process, as a runner of its shape would; None for a real one."""
    meta = pod["metadata"]
    job = meta.get("labels", {}).get(LABEL_JOB, "")
    start = start_of(meta["name"], job)
    if not is_pretended(job) or start is None:
        return None
    kind, uid = kind_of(job), meta["ownerReferences"][0]["uid"]
    seconds = SECONDS.get(kind, 0.2)
    first = start == 1

    def says(verdict: Verdict, reason: str = "", delay: float | None = None) -> Instant:
        word = TerminationMessage(verdict, reason, "", start, uid, delay, summary="fine")
        return Instant(word.dump(), 0 if verdict is Verdict.SUCCEED else 70, seconds)

    if kind == "give-up" or (kind == "retry" and first):
        return says(Verdict.RETRY, "ToolError")
    if kind == "snooze" and first:
        return says(Verdict.SNOOZE, "Snoozed", 1.0)
    if kind == "fail":
        return says(Verdict.FAIL, "ConfigInvalid")
    if kind == "vanish" and first:
        return Instant("", 137, seconds)
    return says(Verdict.SUCCEED)
