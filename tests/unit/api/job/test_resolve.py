from collections.abc import Callable
from typing import Any

import pytest

from agentjobs.api.job.agent import ConfigMapKey
from agentjobs.api.job.resolve import (
    Sources,
    accepted_spec,
    as_accepted,
    config_map_keys,
    edited_fields,
    resolve,
    resolve_spec,
    spec_hash,
    underived,
)
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.validation import read_spec, validate_job
from agentjobs.errors import Invalid, NotFound

Job = Callable[..., dict[str, Any]]
FROM_CONFIG_MAP = {"messageFrom": {"configMapKeyRef": {"name": "briefs", "key": "today"}}}
SCRIPTED = {"model": "scripted/script/root", "inline": {"subAgents": ["b"], "agents": [{"name": "b", "model": "m"}]}}


def test_a_resolved_spec_has_every_default_and_is_valid(a_job: Job) -> None:
    job = a_job(name="a.job")
    resolved = resolve(job, {})

    assert resolved["spec"]["agent"]["inline"]["name"] == "a_job"
    own = {"appName": "a-job", "userId": "system", "sessionId": "6c0c1a52", "mode": "New"}
    assert resolved["spec"]["session"] == own
    assert resolved["spec"]["retry"]["backoff"]["initial"] == "15s"
    assert validate_job({**job, "spec": resolved["spec"]}) == []


@pytest.mark.parametrize(
    ("session", "bare"),
    [
        ({"appName": "a-job", "sessionId": "6c0c1a52"}, {}),
        ({"appName": "shop", "sessionId": "s-1"}, {"appName": "shop", "sessionId": "s-1"}),
        ({"userId": "ada"}, {"userId": "ada"}),
        ({}, {}),
    ],
    ids=["derived", "own", "neither", "empty"],
)
def test_only_values_that_are_derived_from_the_job_are_left_out(session: dict[str, str], bare: dict[str, str]) -> None:
    spec = {"agent": {"model": "m"}, "session": session}

    assert underived(spec, name="a.job", uid="6c0c1a52") == {"agent": {"model": "m"}, "session": bare}


def test_a_job_accepted_by_a_later_version_is_read_without_unknown_fields(a_job: Job) -> None:
    job = a_job()
    known, later = resolve(job, {}), resolve(job, {})
    later["spec"] |= {"review": {"by": "somebody"}, "retry": {**later["spec"]["retry"], "patience": 3}}
    later["spec"]["agent"]["inline"]["mood"] = "good"

    assert accepted_spec(later) == accepted_spec(known)
    assert edited_fields(job, later) == []


def test_the_message_is_taken_from_its_config_map(a_job: Job) -> None:
    job = a_job(input=FROM_CONFIG_MAP)
    key = ConfigMapKey("briefs", "today")

    assert config_map_keys(AgentJobSpec.model_validate(job["spec"])) == {key}
    assert resolve(job, {key: "Read this."})["spec"]["input"] == {"message": "Read this.", "state": {}}


def test_scripts_of_all_agents_are_part_of_the_resolved_spec(a_job: Job) -> None:
    members = [{"name": name, "model": f"scripted/script/{name}"} for name in ("b", "c")]
    job = a_job(agent={"inline": {"agentClass": "LoopAgent", "subAgents": ["b", "c"], "agents": members}})
    contents = {ConfigMapKey("script", "b"): "x", ConfigMapKey("script", "c"): "y"}

    assert config_map_keys(AgentJobSpec.model_validate(job["spec"])) == set(contents)
    assert resolve(job, contents)["scripts"] == {"script/b": "x", "script/c": "y"}


def test_with_a_script_of_the_team_its_members_need_none(a_job: Job) -> None:
    inline = {"subAgents": ["b"], "agents": [{"name": "b", "model": "scripted/missing/b"}]}

    assert resolve(a_job(agent={**SCRIPTED, "inline": inline}), {ConfigMapKey("script", "root"): "x"})["scripts"] == {
        "script/root": "x"
    }


def test_a_job_waits_for_missing_content(a_job: Job) -> None:
    with pytest.raises(NotFound, match=r"^spec\.input\.messageFrom: .*'briefs'.*'today'"):
        resolve(a_job(input=FROM_CONFIG_MAP), {})


@pytest.mark.parametrize("text", ["", "a\0b"], ids=["empty", "nul"])
def test_unusable_content_is_refused(a_job: Job, text: str) -> None:
    with pytest.raises(Invalid, match="ConfigMap 'briefs'"):
        resolve(a_job(input=FROM_CONFIG_MAP), {ConfigMapKey("briefs", "today"): text})


def test_steering_does_not_change_the_hash_of_the_work(a_job: Job) -> None:
    steered = a_job(queue="scheduled", priority=0, cancel=True, startAfter="1h", ttlSecondsAfterFinished=5)
    assert spec_hash(resolve(steered, {})) == spec_hash(resolve(a_job(), {}))


def test_other_work_has_another_hash(a_job: Job) -> None:
    other = a_job(input={"message": "Say goodbye."})
    assert spec_hash(resolve(other, {})) != spec_hash(resolve(a_job(), {}))


def test_units_do_not_change_the_hash(a_job: Job) -> None:
    hour, minutes = a_job(timeouts={"attempt": "1h"}), a_job(timeouts={"attempt": "60m"})
    assert spec_hash(resolve(hour, {})) == spec_hash(resolve(minutes, {}))


@pytest.mark.parametrize(
    ("edit", "fields"),
    [
        pytest.param({"priority": 0, "startAt": "2026-12-01T09:00:00Z", "suspend": True}, [], id="steering"),
        pytest.param({"retry": {"backoff": {"initial": "0m15s"}}}, [], id="a-default-said-aloud"),
        pytest.param({"input": {"message": "Other."}}, ["input.message"], id="message"),
        pytest.param(
            {"agent": {"model": "m", "inline": {"instruction": "x"}}}, ["agent.inline.instruction"], id="text"
        ),
        pytest.param(
            {"agent": {"module": {"ref": "a:b"}}}, ["agent.inline", "agent.model", "agent.module"], id="agent"
        ),
    ],
)
def test_edits_of_the_work_are_named_and_steering_is_not(a_job: Job, edit: dict[str, Any], fields: list[str]) -> None:
    accepted = resolve(a_job(agent={"model": "m", "inline": {"instruction": "Be brief."}}), {})
    edited = a_job(**{"agent": {"model": "m", "inline": {"instruction": "Be brief."}}, **edit})

    assert edited_fields(edited, accepted) == fields


def test_a_text_from_a_config_map_is_no_edit(a_job: Job) -> None:
    agent = {"model": "m", "inline": {"instructionFrom": FROM_CONFIG_MAP["messageFrom"]}}
    job = a_job(input=FROM_CONFIG_MAP, agent=agent)

    assert edited_fields(job, resolve(job, {ConfigMapKey("briefs", "today"): "Read this."})) == []


TEAM = {
    "agentClass": "SequentialAgent",
    "subAgents": ["b", "c"],
    "agents": [
        {"name": "b", "instruction": "For $(job.name)."},
        {"name": "c", "instructionFrom": {"configMapKeyRef": {"name": "texts", "key": "c"}}},
    ],
}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="the smallest"),
        pytest.param({"agent": {"model": "m", "inline": TEAM}}, id="a team"),
        pytest.param({"agent": {"module": {"ref": "my.app:make", "args": {"a": None}}}}, id="a module"),
        pytest.param({"input": FROM_CONFIG_MAP}, id="a message of a ConfigMap"),
        pytest.param({"input": {"message": "x", "state": {"a": ["$(job.name)", None, {"b": 1.5}]}}}, id="state"),
        pytest.param(
            {"steps": {"tools": [{"match": ["a*"]}], "compaction": {"everyEvents": 9}, "llm": {"timeout": "60s"}}},
            id="steps",
        ),
        pytest.param({"session": {"userId": "u", "sessionId": "s"}, "partitionKey": "$(job.name)"}, id="a session"),
        pytest.param(
            {"output": {"schemaFrom": {"configMapKeyRef": {"name": "texts", "key": "schema"}}}}, id="a schema"
        ),
        pytest.param({"output": {"schema": {"type": "object", "default": None}}}, id="a schema of its own"),
        pytest.param(
            {
                "startAfter": "90m",
                "runtime": {"volumes": [{"name": "data", "emptyDir": {}}], "env": [{"name": "A", "value": "b"}]},
                "resultPolicy": {
                    "rules": [{"name": "r", "onErrors": ["ToolError"], "action": "Retry", "delay": "60s"}]
                },
                "isolation": {"egress": {"mode": "Restricted", "allow": [{"ports": [{"port": "https"}]}]}},
            },
            id="a pod, rules and a policy",
        ),
    ],
)
def test_a_resolved_spec_need_not_be_read_again(a_job: Job, changes: dict[str, Any]) -> None:
    job = a_job(**changes)
    texts = {"briefs/today": "Read this.", "texts/c": "Be brief.", "texts/schema": '{"type": "object"}'}
    contents = {ConfigMapKey(*place.split("/")): text for place, text in texts.items()}
    spec = read_spec(job)
    assert isinstance(spec, AgentJobSpec)

    resolved = resolve_spec(spec, job["metadata"], Sources(contents=contents))

    assert as_accepted(spec, resolved) == accepted_spec(resolved)
    assert as_accepted(spec, resolved).model_dump() == accepted_spec(resolved).model_dump()


def test_reading_a_job_returns_it_or_all_its_problems(a_job: Job) -> None:
    good, bad = a_job(priority=3), a_job(priority=12)

    assert read_spec(good) == AgentJobSpec.model_validate(good["spec"])
    assert read_spec(bad) == validate_job(bad) != []
