import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentjobs.api.conditions import Condition, ConditionType, Phase
from agentjobs.api.job.resolve import resolve
from agentjobs.api.job.status import (
    AgentJobStatus,
    AttemptRecord,
    Checkpoint,
    QueuePlace,
    ResolvedSpec,
    ResultSummary,
    Usage,
)
from agentjobs.api.job.validation import validate_job
from agentjobs.dev.backends import Server
from devcluster.client import CRDS, ApiError, Client
from devcluster.envtest import ASSETS

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
MODEL = "gemini-flash-latest"


async def test_the_crd_is_established_and_structural(client: Client) -> None:
    made = await client.get(CRDS, None, "agentjobs.agentjobs.dev")
    said = {condition["type"]: condition["status"] for condition in made["status"]["conditions"]}

    assert said["Established"] == said["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in said


async def test_the_server_sets_defaults_only_of_steering_fields(jobs: Any) -> None:
    job = await jobs.create()
    assert job["spec"] == {
        "agent": {"model": MODEL, "inline": {"instruction": "Be brief."}},
        "input": {"message": "Say hello."},
        "cancel": False,
        "suspend": False,
    }


REFUSED = {
    "no-agent": ({"agent": None}, "agent is required: name it with agent.inline, agent.module"),
    "no-kind-of-agent": (
        {"agent": {"model": MODEL}},
        "agent is required: name it with agent.inline, agent.module",
    ),
    "two-kinds-of-agent": (
        {"agent": {"inline": {"name": "a"}, "module": {"ref": "a:b"}}},
        "agent needs exactly one of inline, module, claudeCode and container",
    ),
    "worktree-without-name": (
        {"workspace": {"git": {"url": "https://git.example.com/a/b"}, "worktree": {"mode": "Named"}}},
        "a Named worktree needs a name",
    ),
    "repository-that-runs-a-program": (
        {"workspace": {"git": {"url": "ext::sh -c touch% /tmp/x"}}},
        "spec.workspace.git.url",
    ),
    "workspace-without-repository": (
        {"workspace": {"publish": {"mode": "None"}}},
        "workspace needs git.url, here or in the template",
    ),
    "no-input": ({"input": None}, "input is required: give the agent its message"),
    "no-message": ({"input": {"state": {}}}, "input is required: give the agent its message"),
    "two-messages": (
        {"input": {"message": "x", "messageFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}},
        "message and messageFrom exclude each other",
    ),
    "two-start-times": (
        {"startAt": "2026-12-01T09:00:00Z", "startAfter": "1h"},
        "startAt and startAfter exclude each other",
    ),
    "reserved-name": ({"agent": {"inline": {"name": "user"}}}, "is reserved by ADK"),
    "reserved-name-of-a-further-agent": (
        {"agent": {"inline": {"agents": [{"name": "user"}]}}},
        "is reserved by ADK; use another name, e.g. assistant",
    ),
    "name-with-dash": (
        {"agent": {"inline": {"name": "morning-brief"}}},
        '"morning-brief": is not an identifier; use letters, digits and _',
    ),
    "long-name": ({"agent": {"inline": {"name": "x" * 10_000}}}, "spec.agent.inline.name: Too long"),
    "bad-duration": (
        {"timeouts": {"attempt": "five"}},
        '"five": is not a duration; use units d, h, m, s, ms from long to short, e.g. 90s, 1h30m or 7d',
    ),
    "empty-duration": ({"startAfter": ""}, "spec.startAfter"),
    "bad-time": (
        {"startAt": "tomorrow"},
        '"tomorrow": is not a time; use RFC 3339 with a zone and upper case T and Z, e.g. 2026-12-01T09:00:00Z',
    ),
    "small-letters": ({"startAt": "2026-12-01t09:00:00z"}, "upper case T and Z"),
    "bad-queue": ({"queue": "A b"}, '"A b": is not a name; use lower case letters, digits and -'),
    "bad-module": ({"agent": {"module": {"ref": "../x"}}}, "names no attribute; use package.module:attribute"),
    "bad-quantity": ({"runtime": {"resources": {"limits": {"memory": "lots"}}}}, "spec.runtime.resources.limits"),
    "wrong-type": ({"priority": "high"}, "spec.priority in body must be of type integer"),
    "out-of-range": ({"priority": 12}, "spec.priority in body should be less than or equal to 9"),
    "dollars-as-a-number": ({"budget": {"maxCostUSD": 2.5}}, "spec.budget.maxCostUSD in body must be of type string"),
    "no-dollars": ({"budget": {"maxCostUSD": "0.00"}}, "is not an amount of US dollars above 0"),
    "a-limit-of-nothing": ({"budget": {"maxLLMCalls": 0}}, "spec.budget.maxLLMCalls in body should be greater than"),
    "no-such-limit": ({"budget": {"maxMinutes": 3}}, 'unknown field "spec.budget.maxMinutes"'),
    "no-such-choice": ({"runtime": {"imagePullPolicy": "Now"}}, 'supported values: "Always"'),
    "agent-twice": ({"agent": {"inline": {"agents": [{"name": "a"}, {"name": "a"}]}}}, "Duplicate value"),
    "variable-twice": ({"runtime": {"env": [{"name": "A"}, {"name": "A"}]}}, "Duplicate value"),
    "unknown-field": ({"agents": {}}, 'unknown field "spec.agents"'),
    "unknown-field-inside": ({"retry": {"patience": 3}}, 'unknown field "spec.retry.patience"'),
    "no-tool": ({"steps": {"tools": [{"match": []}]}}, "match is empty; name a tool, or write * for all of them"),
    "nothing-to-summarize": (
        {"steps": {"compaction": {"everyEvents": 9, "overlap": 9}}},
        "overlap must be less than everyEvents",
    ),
    "session-that-nobody-can-continue": ({"session": {"mode": "Continue"}}, "mode Continue needs sessionId"),
    "long-message": ({"input": {"message": "x" * 65_537}}, "spec.input.message: Too long"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
async def test_bad_input_is_refused_by_server_and_operator_alike(
    jobs: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ApiError) as refused:
        await jobs.create(name="bad", **changes)

    assert message in refused.value.message
    spec = {"agent": {"model": MODEL, "inline": {}}, "input": {"message": "x"}} | changes
    assert validate_job({"metadata": {"name": "bad"}, "spec": spec})


async def test_a_name_has_at_most_52_characters(jobs: Any) -> None:
    await jobs.create(name="n" * 52)
    with pytest.raises(ApiError, match="a job's name has at most 52 characters"):
        await jobs.create(name="n" * 53)


async def test_a_spec_is_required(jobs: Any) -> None:
    with pytest.raises(ApiError, match="spec: Required value"):
        await jobs.apply({"metadata": {"name": "nothing"}})


BEFORE_AND_AFTER = [
    pytest.param("agent", {"module": {"ref": "a:b"}}, {"inline": {"name": "a"}, "module": None}, id="agent"),
    pytest.param("input", {"message": "x", "state": {"a": 1}}, {"state": {"a": 2}}, id="input-state"),
    pytest.param("session", None, {"userId": "jane"}, id="session-added"),
    pytest.param("session", {"userId": "jane"}, None, id="session-removed"),
    pytest.param("retry", None, {"maxAttempts": 5}, id="retry-added"),
    pytest.param("retry", {"maxAttempts": 5}, {"maxAttempts": None}, id="retry-emptied"),
    pytest.param("retry", {"resume": "FromStart"}, {"resume": "FromCheckpoint"}, id="retry-resume-changed"),
    pytest.param("timeouts", None, {"attempt": "5m"}, id="timeouts-added"),
    pytest.param("timeouts", {"attempt": "5m"}, {"attempt": "6m"}, id="timeouts-changed"),
    pytest.param("steps", None, {"checkpoint": "None"}, id="steps-added"),
    pytest.param("steps", {"tools": [{"match": ["a"]}]}, {"tools": [{"match": ["b"]}]}, id="steps-changed"),
    pytest.param("steps", {"checkpoint": "None"}, None, id="steps-removed"),
    pytest.param("runtime", None, {"image": "x"}, id="runtime-added"),
    pytest.param("runtime", {"image": "x"}, None, id="runtime-removed"),
]


@pytest.mark.parametrize(("field", "before", "after"), BEFORE_AND_AFTER)
async def test_the_work_cannot_be_changed_after_creation(jobs: Any, field: str, before: Any, after: Any) -> None:
    job = await jobs.create(**({field: before} if before is not None else {}))

    with pytest.raises(ApiError, match=f"{field} cannot change; create a new job instead"):
        await jobs.patch(job, **{field: after})


async def test_an_edit_names_every_field_that_it_adds_or_removes(jobs: Any) -> None:
    job = await jobs.create(session={"userId": "jane"}, retry={"maxAttempts": 5})

    with pytest.raises(ApiError) as refused:
        await jobs.patch(job, session=None, retry=None, steps={"checkpoint": "None"})

    for field in ("session", "retry", "steps"):
        assert f"{field} cannot change; create a new job instead" in refused.value.message
    assert "spec: Invalid value" in refused.value.message


async def test_an_edit_with_a_status_is_validated_like_any_other(jobs: Any) -> None:
    job = await jobs.create()
    await jobs.patch_status(job, {"startTime": "2026-11-21T09:00:00Z", "transitions": 1})
    spec = {"retry": {"maxAttempts": 5}, "queue": "scheduled", "input": {"message": "Another."}}

    with pytest.raises(ApiError) as refused:
        await jobs.edit(job, {"spec": spec, "status": {"transitions": 2}})

    for words in ("retry cannot change", "input cannot change", "queue, startAt and startAfter are fixed"):
        assert words in refused.value.message


@pytest.mark.parametrize("status", [None, {}, {"transitions": 2}, {"transitions": 1}])
async def test_a_replacement_is_validated_like_any_other_edit(jobs: Any, status: Any) -> None:
    job = await jobs.patch_status(await jobs.create(), {"startTime": "2026-11-21T09:00:00Z", "transitions": 1})
    spec = job["spec"] | {"retry": {"maxAttempts": 5}, "queue": "scheduled"}
    whole = {key: value for key, value in job.items() if key != "status"} | {"spec": spec}

    with pytest.raises(ApiError) as refused:
        await jobs.replace(whole if status is None else whole | {"status": status})

    for words in ("retry cannot change", "queue, startAt and startAfter are fixed"):
        assert words in refused.value.message


async def test_a_write_of_the_status_does_not_change_the_spec(jobs: Any) -> None:
    job = await jobs.create()
    body = {"spec": {"retry": {"maxAttempts": 5}}, "status": {"transitions": 1}}

    written = await jobs.edit(job, body, subresource="status")

    assert (written["spec"], written["status"]["transitions"]) == (job["spec"], 1)


STEERING = [
    pytest.param("queue", None, "scheduled", id="queue-added"),
    pytest.param("queue", "scheduled", None, id="queue-removed"),
    pytest.param("startAt", "2026-12-01T09:00:00Z", "2026-12-02T09:00:00Z", id="start-at-changed"),
    pytest.param("startAt", "2026-12-01T09:00:00Z", None, id="start-at-removed"),
    pytest.param("startAfter", None, "1h", id="start-after-added"),
]


@pytest.mark.parametrize(("field", "before", "after"), STEERING)
async def test_queue_and_start_time_are_fixed_after_the_first_start(
    jobs: Any, field: str, before: Any, after: Any
) -> None:
    waiting, started = await jobs.create(**{field: before}), await jobs.create(**{field: before})
    await jobs.patch_status(started, {"startTime": "2026-11-21T09:00:00Z"})

    await jobs.patch(waiting, **{field: after})
    with pytest.raises(ApiError, match="queue, startAt and startAfter are fixed after the first start"):
        await jobs.patch(started, **{field: after})


async def test_a_running_job_can_be_steered(jobs: Any) -> None:
    job = await jobs.create()
    await jobs.patch_status(job, {"startTime": "2026-11-21T09:00:00Z"})

    budget = {"maxCostUSD": "2.50", "onExceeded": "Suspend"}
    steered = await jobs.patch(job, priority=0, ttlSecondsAfterFinished=60, cancel=True, budget=budget)
    again = await jobs.patch(steered, budget=None)

    assert (steered["spec"]["priority"], steered["spec"]["cancel"], steered["spec"]["budget"]) == (0, True, budget)
    assert "budget" not in again["spec"]


@pytest.mark.parametrize("undone", [False, None], ids=["false", "removed"])
async def test_a_cancel_cannot_be_taken_back(jobs: Any, undone: bool | None) -> None:
    job = await jobs.create(cancel=True)
    with pytest.raises(ApiError, match="cancel cannot be undone; create a new job instead"):
        await jobs.patch(job, cancel=undone)


ACCEPTED: dict[str, dict[str, Any]] = {
    "inline": {
        "agent": {"model": MODEL, "inline": {"name": "summarizer", "instruction": "Summarize in five points."}},
        "input": {"message": "Long text to summarize."},
        "session": {"userId": "user-123"},
    },
    "team": {
        "agent": {
            "model": MODEL,
            "inline": {
                "name": "pipeline",
                "agentClass": "SequentialAgent",
                "subAgents": ["researcher", "writer"],
                "agents": [
                    {
                        "name": "researcher",
                        "instruction": "Collect facts about {topic} with sources.",
                        "tools": [{"name": "google_search"}],
                    },
                    {"name": "writer", "model": "gemini-2.5-pro", "instruction": "Write one page from the facts."},
                ],
            },
        },
        "input": {"message": "Prepare the note.", "state": {"topic": "heat pumps", "deep": {"er": [1, None]}}},
    },
    "module": {
        "agent": {"module": {"ref": "my_app.agents.helper:agent"}},
        "runtime": {
            "image": "registry.example.com/my-app-agents:1.8.0",
            "imagePullPolicy": "IfNotPresent",
            "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi", "cpu": 0.5}},
            "env": [
                {"name": "REGION", "value": "eu"},
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
            ],
            "terminationGracePeriodSeconds": 90,
        },
        "input": {"message": "Summarize this document."},
        "session": {"appName": "my-app", "userId": "user-123", "sessionId": "session-456"},
    },
    "delayed": {"startAfter": "1h", "queue": "scheduled"},
    "at": {"startAt": "2026-12-01T09:00:00Z"},
    "retry": {
        "retry": {
            "maxAttempts": 10,
            "backoff": {"initial": "30s", "factor": 2, "max": "15m", "jitterPercent": 20},
            "maxSnoozes": 1000,
            "maxInfraRestarts": 5,
        },
        "timeouts": {"attempt": "45m"},
        "priority": 0,
        "ttlSecondsAfterFinished": 604800,
    },
    "from-config-map": {
        "agent": {"model": "scripted/script/hello", "inline": {}},
        "input": {"messageFrom": {"configMapKeyRef": {"name": "briefs", "key": "today.md"}}},
    },
}


@pytest.mark.parametrize("spec", ACCEPTED.values(), ids=ACCEPTED)
async def test_good_input_is_accepted_by_server_and_operator_alike(jobs: Any, spec: dict[str, Any]) -> None:
    job = await jobs.create(**spec)

    assert validate_job(job) == []
    assert {key: value for key, value in job["spec"].items() if key in spec} == spec


async def test_a_resolved_spec_is_a_spec(jobs: Any) -> None:
    resolved = resolve(await jobs.create(**ACCEPTED["team"]), {})
    assert (await jobs.create(**resolved["spec"]))["spec"] == resolved["spec"]


async def test_a_full_status_is_stored_completely(jobs: Any) -> None:
    status = AgentJobStatus(
        observed_generation=1,
        phase=Phase.RETRYING,
        reason="x" * 63,
        conditions=tuple(Condition(kind, "False", "IO", "x" * 1024, NOW, 1) for kind in ConditionType),
        start_time=NOW,
        completion_time=NOW,
        next_attempt_time=NOW,
        attempts=2,
        starts=3,
        transitions=5,
        snoozes=1,
        infra_restarts=1,
        attempt_history=tuple(
            AttemptRecord(1, n, f"j-{n}", NOW, NOW, "Retry", "IO", True, "x", n, n) for n in range(1, 11)
        ),
        checkpoint=Checkpoint(10, "search", NOW),
        usage=Usage(1, 2, 3, 4),
        result=ResultSummary("Hello.", {"outcome": {"a": [1]}}, True, "journal:jobs/1/result"),
        queue=QueuePlace("agents", NOW),
        resolved=ResolvedSpec("9f2c0000"),
    )

    written = await jobs.patch_status(await jobs.create(), status.to_dict())

    assert AgentJobStatus.parse(written["status"]) == status
    assert status.patch_from(written["status"]) == {}


async def test_a_phase_of_a_later_release_is_accepted(jobs: Any) -> None:
    written = await jobs.patch_status(await jobs.create(), {"phase": "Suspended"})
    assert written["status"]["phase"] == "Suspended"


async def test_kubectl_shows_and_explains_a_job(jobs: Any, api_server: Server) -> None:
    job = await jobs.create(name="shown", priority=1)
    place = QueuePlace("agents", NOW)
    status = AgentJobStatus(
        phase=Phase.CANCELLED,
        reason="Replaced",
        attempts=2,
        queue=place,
        checkpoint=Checkpoint(7, "search", NOW),
        usage=Usage(cost_usd="0.0123"),
    )
    await jobs.patch_status(job, status.to_dict())

    table = kubectl(api_server, "get", "aj", "shown", "-o", "wide")
    explained = kubectl(api_server, "explain", "agentjob.spec.retry")

    columns = [
        "NAME",
        "PHASE",
        "OUTCOME",
        "QUEUE",
        "ATTEMPTS",
        "STEPS",
        "PRIORITY",
        "NEXT",
        "COST",
        "MODEL",
        "TEMPLATE",
        "REASON",
        "AGE",
    ]
    assert table.split()[:13] == columns
    assert table.split()[13:22] == ["shown", "Cancelled", "agents", "2", "7", "1", "0.0123", MODEL, "Replaced"]
    assert "shown" in kubectl(api_server, "get", "adk")
    assert "Maximum attempts, including the first. Default: 3." in explained


def kubectl(server: Server, *arguments: str) -> str:
    program = Path(os.environ.get(ASSETS, "/nowhere")) / "kubectl"
    if not program.exists():
        pytest.skip("KUBEBUILDER_ASSETS holds no kubectl")
    environment = {"KUBECONFIG": str(server.kubeconfig), "HOME": str(server.kubeconfig.parent)}
    done = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
