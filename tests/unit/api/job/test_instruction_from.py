from collections.abc import Callable
from typing import Any

import pytest

from agentjobs.api.job.agent import ConfigMapKey
from agentjobs.api.job.resolve import accepted_spec, config_map_keys, resolve
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.validation import validate_job
from agentjobs.errors import Invalid, NotFound

Job = Callable[..., dict[str, Any]]
ROOT, WRITER = ConfigMapKey("prompts", "root"), ConfigMapKey("prompts", "writer")


def from_config_map(key: ConfigMapKey) -> dict[str, Any]:
    return {"instructionFrom": {"configMapKeyRef": {"name": key.name, "key": key.key}}}


@pytest.fixture
def job(a_job: Job) -> dict[str, Any]:
    inline = {**from_config_map(ROOT), "subAgents": ["w"], "agents": [{"name": "w", **from_config_map(WRITER)}]}
    return a_job(agent={"model": "m", "inline": inline}, input={"message": "Go.", "state": {"topic": "tea"}})


def test_instructions_of_all_agents_are_taken_from_their_config_maps(job: dict[str, Any]) -> None:
    resolved = resolve(job, {ROOT: "Lead.", WRITER: "Write of {topic}."})["spec"]["agent"]["inline"]

    assert validate_job(job) == []
    assert config_map_keys(AgentJobSpec.model_validate(job["spec"])) == {ROOT, WRITER}
    assert resolved["instruction"] == "Lead."
    assert resolved["agents"][0]["instruction"] == "Write of {topic}."
    assert "instructionFrom" not in resolved


def test_an_accepted_job_with_texts_longer_than_the_fields_they_replace_is_valid(a_job: Job) -> None:
    source = {"messageFrom": {"configMapKeyRef": {"name": "prompts", "key": "writer"}}}
    job = a_job(agent={"model": "m", "inline": from_config_map(ROOT)}, input=source)
    resolved = resolve(job, {ROOT: "x" * 40_000, WRITER: "x" * 100_000})

    assert len(resolved["spec"]["input"]["message"]) == 100_000
    assert accepted_spec(resolved).queue == "agents"


def test_a_job_waits_for_a_missing_instruction(job: dict[str, Any]) -> None:
    with pytest.raises(NotFound, match=r"^spec.agent.inline.agents\[0\].instructionFrom: "):
        resolve(job, {ROOT: "Lead."})


def test_an_instruction_that_reads_unknown_state_is_refused(job: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=r"'writer'.*'prompts'.*\{tone\}"):
        resolve(job, {ROOT: "Lead.", WRITER: "Write in {tone}."})


@pytest.mark.parametrize(
    ("inline", "field", "word"),
    [
        ({"instruction": "x", **from_config_map(ROOT)}, "", "exclude each other"),
        (
            {"agentClass": "LoopAgent", **from_config_map(ROOT)},
            ".instructionFrom",
            "LoopAgent",
        ),
        ({"instructionFrom": {}}, ".instructionFrom.configMapKeyRef", "required"),
    ],
    ids=["both", "not-of-a-model", "no-key"],
)
def test_an_unusable_source_is_refused(a_job: Job, inline: dict[str, Any], field: str, word: str) -> None:
    problems = validate_job(a_job(agent={"model": "m", "inline": inline}))
    assert any(it.field == f"spec.agent.inline{field}" and word in it.message for it in problems), problems
