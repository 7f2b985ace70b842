"""Settings of a job about its steps, its session and what later starts reuse."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from agentjobs.api.job.agent import ConfigMapKey
from agentjobs.api.job.resolve import accepted_spec, config_map_keys, edited_fields, resolve
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.validation import validate_job
from agentjobs.contract import ErrorClass

Job = Callable[..., dict[str, Any]]

NEW_CLASSES = (
    "ToolTimeout",
    "ToolInterrupted",
    "StepTooLarge",
    "JournalFull",
    "StepUnreadable",
    "Diverged",
    "VersionMismatch",
)

GOOD = {
    "nothing": {},
    "all of it": {
        "checkpoint": "None",
        "onDivergence": "Fail",
        "llm": {"maxAttempts": 1, "timeout": "1s", "backoff": {"initial": "0s", "max": "0s"}},
        "tools": [
            {"match": ["send_*", "charge", "[]a]?"], "onInterrupted": "Fail", "maxAttempts": 20, "timeout": "90s"}
        ],
        "compaction": {"everyEvents": 2, "overlap": 1, "model": "gemini-flash-latest"},
    },
    "a backoff as long as its default longest": {"llm": {"backoff": {"initial": "30s"}}},
}

BAD = {
    "longest-below-first": (
        {"llm": {"backoff": {"initial": "5s", "max": "2s"}}},
        'llm.backoff.max: "2s" ',
        "5s",
    ),
    "longest-below-the-default-first": (
        {"tools": [{"match": ["a"], "backoff": {"max": "500ms"}}]},
        'tools[0].backoff.max: "500ms" ',
        "1s",
    ),
    "first-above-the-default-longest": (
        {"llm": {"backoff": {"initial": "1m"}}},
        'llm.backoff.initial: "1m" ',
        "30s",
    ),
    "no-time": ({"llm": {"timeout": "0s"}}, 'llm.timeout: "0s" ', "1s"),
    "no-time-for-a-tool": (
        {"tools": [{"match": ["a"]}, {"match": ["b"], "timeout": "5ms"}]},
        'tools[1].timeout: "5ms" ',
        "1s",
    ),
    "no-tool": (
        {"tools": [{"match": []}]},
        "tools[0].match: ",
        "*",
    ),
    "bracket-not-closed": (
        {"tools": [{"match": ["a", "send_[ab"], "onInterrupted": "Fail"}]},
        'tools[0].match[1]: "send_[ab" ',
        "without a ]",
    ),
    "nothing-matched": ({"tools": [{"maxAttempts": 3}]}, "tools[0].match: ", "required"),
    "empty-pattern": ({"tools": [{"match": [""]}]}, 'tools[0].match[0]: "" ', "at least 1"),
    "too-many-tries": ({"llm": {"maxAttempts": 21}}, "llm.maxAttempts: 21 ", "20"),
    "not-a-field": (
        {"tools": [{"match": ["a"], "requireApproval": True}]},
        "tools[0].requireApproval: ",
        "unknown",
    ),
    "no-such-choice": (
        {"tools": [{"match": ["a"], "onInterrupted": "Ask"}]},
        'tools[0].onInterrupted: "Ask" ',
        "'Retry' or 'Fail'",
    ),
    "all-is-overlap": (
        {"compaction": {"everyEvents": 20, "overlap": 20}},
        "compaction.overlap: 20 ",
        "everyEvents",
    ),
    "compaction-of-nothing": ({"compaction": {}}, "compaction.everyEvents: ", "required"),
    "a-script-without-key": (
        {"compaction": {"everyEvents": 20, "model": "scripted/x"}},
        "compaction.model: ",
        "scripted/",
    ),
}


@pytest.mark.parametrize("steps", GOOD.values(), ids=GOOD)
def test_valid_settings_of_steps_are_accepted(a_job: Job, steps: dict[str, Any]) -> None:
    assert validate_job(a_job(steps=steps)) == []


@pytest.mark.parametrize(("steps", "place", "cure"), BAD.values(), ids=BAD)
def test_a_mistake_is_reported_with_field_value_and_solution(
    a_job: Job, steps: dict[str, Any], place: str, cure: str
) -> None:
    (problem,) = map(str, validate_job(a_job(steps=steps)))

    assert problem.startswith(f"spec.steps.{place}")
    assert cure in problem


def test_steps_are_recorded_and_continued_by_default(a_job: Job) -> None:
    resolved = resolve(a_job(), {})["spec"]

    assert (resolved["retry"]["resume"], resolved["retry"]["onVersionChange"]) == ("FromCheckpoint", "Continue")
    assert (resolved["steps"]["checkpoint"], resolved["steps"]["onDivergence"]) == ("Steps", "Continue")
    assert resolved["steps"]["llm"] == {
        "maxAttempts": 5,
        "backoff": {"initial": "1s", "factor": 2, "max": "30s", "jitterPercent": 10},
        "timeout": "2m",
    }
    assert resolved["steps"]["tools"] == []
    assert "compaction" not in resolved["steps"]


def test_an_interrupted_tool_is_called_again_by_default(a_job: Job) -> None:
    (tool,) = resolve(a_job(steps={"tools": [{"match": ["send_*"]}]}), {})["spec"]["steps"]["tools"]

    assert (tool["match"], tool["maxAttempts"], tool["onInterrupted"]) == (["send_*"], 1, "Retry")
    assert tool["backoff"]["max"] == "30s"
    assert "timeout" not in tool


def test_a_job_accepted_before_steps_existed_has_the_defaults(a_job: Job) -> None:
    job = a_job()
    older = resolve(job, {})
    for group, names in {"retry": ("resume", "onVersionChange"), "session": ("mode",)}.items():
        older["spec"][group] = {key: value for key, value in older["spec"][group].items() if key not in names}
    del older["spec"]["steps"]

    spec = accepted_spec(older)
    assert (spec.steps, spec.session.mode) == (AgentJobSpec.model_validate(job["spec"]).steps, "New")
    assert spec.steps.llm.timeout == timedelta(minutes=2)
    assert edited_fields(job, older) == []


@pytest.mark.parametrize(
    ("session", "fields"),
    [
        pytest.param({}, ["spec.session.sessionId", "spec.session.appName"], id="nothing named"),
        pytest.param({"sessionId": "s"}, ["spec.session.appName"], id="no application"),
        pytest.param({"appName": "a"}, ["spec.session.sessionId"], id="no id"),
        pytest.param({"appName": None, "sessionId": "s"}, ["spec.session.appName"], id="null"),
        pytest.param({"appName": "a", "sessionId": "s"}, [], id="named"),
    ],
)
def test_only_a_named_session_is_continued(a_job: Job, session: dict[str, Any], fields: list[str]) -> None:
    job = a_job(session={**session, "mode": "Continue"})
    assert [problem.field for problem in validate_job(job)] == fields


def test_the_name_of_the_agent_names_the_application(a_job: Job) -> None:
    agent = {"model": "gemini-flash-latest", "inline": {"name": "brief"}}
    job = a_job(agent=agent, session={"sessionId": "s", "mode": "Continue"})

    assert validate_job(job) == []
    assert resolve(job, {})["spec"]["session"]["mode"] == "Continue"


def test_the_script_of_a_summarizing_model_is_part_of_the_resolved_spec(a_job: Job) -> None:
    job = a_job(steps={"compaction": {"everyEvents": 9, "model": "scripted/script/sum"}})
    key = ConfigMapKey("script", "sum")

    assert config_map_keys(AgentJobSpec.model_validate(job["spec"])) == {key}
    assert resolve(job, {key: "x"})["scripts"] == {"script/sum": "x"}


@pytest.mark.parametrize("name", NEW_CLASSES)
def test_rules_match_error_classes_of_steps(a_job: Job, name: str) -> None:
    rules = [{"name": "mine", "onErrors": [name], "action": "Retry"}]

    assert name in set(ErrorClass)
    assert validate_job(a_job(resultPolicy={"rules": rules})) == []
