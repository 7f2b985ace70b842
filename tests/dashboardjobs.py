"""Jobs as REST returns them, for tests of pages: a test sets only the fields that it is about."""

from datetime import UTC, datetime, timedelta

import httpx

from agentjobs.api.recorded import (
    JobHistory,
    RecordedEntries,
    RecordedEntry,
    RecordedJob,
    RecordedSpec,
    RecordedStart,
    RecordedStep,
    RecordedSteps,
    StepContent,
    StepSpan,
    StepSpans,
    Transition,
)
from agentjobs.api.recorded_overview import ClusterObject, KubernetesEvent, KubernetesEvents

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
UID = "8a0f4a52-8f0c-4a4e-9f5e-0d8a5b1c2d3e"
BASE = "/v1/namespaces/docs/agentjobs"


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def a_job(**more):
    told = {
        "uid": UID,
        "namespace": "docs",
        "name": "triage-7",
        "phase": "Succeeded",
        "reason": "ResultAccepted",
        "message": "",
        "created": NOW,
        "changed": at(60),
        "finished": at(60),
        "deleted": None,
        "attempts": 1,
        "starts": 1,
        "queue": "agents",
        "model": "gemini-flash-latest",
    }
    return RecordedJob(**told | more)


def a_start(number=1, began=1.0, ended=60.0, **more):
    told = {
        "start": number,
        "attempt": number,
        "pod": f"triage-7-{number}",
        "started": at(began),
        "claimed": at(began + 2),
        "heartbeat": None,
        "ended": None if ended is None else at(ended),
        "verdict": None if ended is None else "Succeed",
        "reason": None if ended is None else "",
        "charged": None,
        "message": None,
        "reported": None,
        "usage": None,
    }
    return RecordedStart(**told | more)


def a_move(number, seconds, phase, reason="", message=""):
    return Transition(transition=number, time=at(seconds), phase=phase, reason=reason, message=message)


def a_story(*starts, moves=(), **job):
    return JobHistory(job=a_job(**{"starts": len(starts)} | job), spec_hash="0a1b", starts=starts, transitions=moves)


def a_span(n, began, ended, *, start=1, kind="model", name="gemini"):
    return StepSpan(n=n, start=start, kind=kind, name=name, began=at(began), ended=None if ended is None else at(ended))


SECOND_START = 70 + 3 * 86400
"""Seconds from the creation of `a_failed_job` to its second start."""


def a_step(n, began=3.0, ended=4.0, **more):
    told = {
        "n": n,
        "run": 1,
        "start": 1,
        "key": f"triage:{n}",
        "kind": "model",
        "agent": "triage",
        "name": "gemini-flash-latest",
        "began": at(began),
        "ended": None if ended is None else at(ended),
        "bytes": 20,
        "usage": {"inputTokens": 100, "outputTokens": 20},
        "void": False,
        "replayed": False,
    }
    return RecordedStep(**told | more)


def an_entry(seq, kind, data, *, start=1, author="triage", seconds=3.0):
    return RecordedEntry(start=start, seq=seq, time=at(seconds), kind=kind, author=author, data=data)


def an_object(phase="Succeeded", reason="ResultAccepted", **more):
    ended = {"completionTime": "2026-11-20T12:01:00Z"} if phase in ("Succeeded", "Failed") else {}
    status = {"phase": phase, "reason": reason, "starts": 1, "attempts": 1, "conditions": [], **ended}
    status |= more.pop("status", {})
    spec = {"queue": "agents", "agent": {"inline": {}}, "input": {"message": "Triage the issue."}} | more.pop(
        "spec", {}
    )
    metadata = {"name": "triage-7", "namespace": "docs", "uid": UID, "creationTimestamp": "2026-11-20T12:00:00Z"}
    body = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob"}
    return ClusterObject(object={**body, "metadata": metadata | more, "spec": spec, "status": status})


def answered(answers, story=None, *, seen=None, spans=(), entries=(), key="triage-7", **paths):
    """Let REST answer for one job; further paths below the job by keyword."""
    base = f"{BASE}/{key}"
    if story is not None:
        answers[base] = story
    if seen is not None:
        answers[f"{base}/object"] = seen
    answers[f"{base}/spans"] = StepSpans(items=list(spans))
    answers[f"{base}/events"] = RecordedEntries(items=list(entries), cursor=None)
    for name, answer in paths.items():
        answers[f"{base}/{name.replace('_', '-')}"] = answer
    return base


def a_failed_job(answers):
    """Let REST answer for a job that failed in its second start, three days after the first."""
    later = SECOND_START
    story = a_story(
        a_start(
            1, 1, 60, verdict="Retry", reason="ModelUnavailable", message="503: the model is overloaded", charged=True
        ),
        a_start(
            2, later, later + 10, verdict="Fail", reason="ModelAuth", message="401: the key is wrong", charged=True
        ),
        moves=[
            a_move(1, 0, "Queued", "WaitingForSlot", "all 2 slots of queue agents are taken"),
            a_move(2, 1, "Running"),
            a_move(3, 60, "Retrying", "WaitingForBackoff"),
            a_move(4, later, "Running"),
            a_move(5, later + 10, "Failed", "ModelAuth", "401: the key is wrong"),
        ],
        phase="Failed",
        reason="ModelAuth",
        finished=at(later + 10),
        attempts=2,
        labels={"team": "docs"},
    )
    conditions = [
        {"type": "Accepted", "status": "True", "reason": "Resolved", "message": "0a1b"},
        {"type": "Failed", "status": "True", "reason": "ModelAuth", "message": "401: the key is wrong"},
    ]
    for one in conditions:
        one["lastTransitionTime"] = "2026-11-20T12:00:00Z"
    seen = an_object(
        "Failed",
        "ModelAuth",
        status={"starts": 2, "attempts": 2, "conditions": conditions, "completionTime": "2026-11-23T12:01:20Z"},
    )
    entries = [
        an_entry(1, "started", {"attempt": 2, "start": 2, "adk": "2.5.0"}, start=2, seconds=later + 2),
        an_entry(2, "resumed", {"fromStep": 3, "replayed": 2}, start=2, seconds=later + 2),
        an_entry(
            3,
            "model",
            {
                "model": "gemini-flash-latest",
                "inputTokens": 1200,
                "outputTokens": 90,
                "toolCalls": [{"name": "search", "callId": "c1", "args": {"query": "heat pumps"}}],
            },
            start=2,
            seconds=later + 4,
        ),
        an_entry(
            4, "tool", {"name": "search", "callId": "c1", "result": {"found": ["a", "b"]}}, start=2, seconds=later + 6
        ),
        an_entry(
            5,
            "text",
            {"text": "## Plan\n\n* read the **issue**\n* [answer](https://a.example)", "final": False},
            start=2,
            seconds=later + 7,
        ),
        an_entry(
            6, "error", {"code": "401", "message": "The key that the job uses was revoked."}, start=2, seconds=later + 9
        ),
        an_entry(
            7,
            "ended",
            {"verdict": "Fail", "reason": "ModelAuth", "message": "401: the key is wrong"},
            start=2,
            seconds=later + 10,
        ),
    ]
    spans = [
        a_span(1, 4, 20),
        a_span(2, 20, 35, kind="tool", name="search"),
        a_span(3, 36, 50),
        a_span(4, later + 3, later + 8, start=2),
    ]
    base = answered(answers, story, seen=seen, spans=spans, entries=entries)
    steps = [
        a_step(1, 4, 20, replayed=True, cost_usd="0.002"),
        a_step(2, 20, 35, kind="tool", name="search", usage={"toolCalls": 1}, replayed=True),
        a_step(3, 36, None, kind="tool", name="write", usage={"toolCalls": 1}),
        a_step(4, later + 3, later + 8, start=2, served="gemini-pro"),
        a_step(5, later + 5, later + 6, kind="tool", name="search", usage={"toolCalls": 1}, start=2),
    ]
    answers[f"{base}/steps"] = RecordedSteps(items=steps, cursor=None)
    for step in steps:
        body = None if step.ended is None else {"text": f"what step {step.n} gave"}
        answers[f"{base}/steps/{step.n}"] = StepContent(step=step, request={"id": "c1"}, body=body)
    answers[f"{base}/logs"] = httpx.Response(200, text=LOG)
    answers[f"{base}/spec"] = RecordedSpec(uid=UID, name="triage-7", spec=dict(seen.object["spec"]))
    answers[f"{base}/kubernetes-events"] = KubernetesEvents(
        items=[
            KubernetesEvent(
                time=at(2),
                type="Warning",
                reason="ModelAuth",
                message="401",
                count=1,
                about="AgentJob/triage-7",
                source="agentjobs",
            )
        ]
    )
    return base


_TOOL = '{"time": "2026-11-20T12:00:03Z", "level": "info", "event": "step.tool", "author": "triage", "tool": "search"}'
_FAILED = '{"time": "2026-11-20T12:00:09Z", "level": "error", "event": "attempt.failed", "detail": "401"}'
LOG = f"""\
2026-11-20T12:00:03.000000001Z {_TOOL}
2026-11-20T12:00:04.000000002Z plain \x1b[31mred
2026-11-20T12:00:09.000000003Z {_FAILED}
"""
