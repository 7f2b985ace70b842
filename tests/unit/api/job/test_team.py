from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from google.adk.utils.instructions_utils import inject_session_state
from hypothesis import example, given
from hypothesis import strategies as st

from agentjobs.api.job.team import required_names
from agentjobs.api.job.validation import validate_job

Job = Callable[..., dict[str, Any]]


def told(job: object) -> list[str]:
    return [str(problem) for problem in validate_job(job)]


def test_a_flat_team_that_forms_a_tree_is_accepted(a_team: Job) -> None:
    loop = {"name": "b", "agentClass": "LoopAgent", "subAgents": ["c"], "maxIterations": 3}
    assert told(a_team({"name": "a", "instruction": "x"}, loop, {"name": "c"}, sub_agents=["a", "b"])) == []


TREES = {
    "unknown": ([{"name": "a"}], ["a", "b"], 'subAgents[1]: "b" '),
    "orphan": ([{"name": "a"}, {"name": "b"}], ["a"], 'agents[1].name: "b" '),
    "two-parents": ([{"name": "a", "subAgents": ["b"]}, {"name": "b"}], ["a", "b"], "one parent"),
    "named-twice": ([{"name": "a"}], ["a", "a"], "one parent"),
    "itself": ([{"name": "a"}, {"name": "b", "subAgents": ["b"]}], ["a"], '"b" is part of a cycle'),
    "circle": (
        [{"name": "a"}, {"name": "b", "subAgents": ["c"]}, {"name": "c", "subAgents": ["b"]}],
        ["a"],
        "tree",
    ),
    "same-name": ([{"name": "a"}, {"name": "a"}], ["a"], 'agents[1].name: "a" '),
    "name-of-the-root": ([{"name": "root"}], ["root"], 'agents[0].name: "root" '),
    "reserved": ([{"name": "user"}], ["user"], 'agents[0].name: "user" '),
    "nobody": ([], [], "subAgents: is empty"),
}


@pytest.mark.parametrize(("agents", "sub_agents", "message"), TREES.values(), ids=TREES)
def test_an_invalid_tree_is_refused(
    a_team: Job, agents: list[dict[str, Any]], sub_agents: list[str], message: str
) -> None:
    problems = told(a_team(*agents, sub_agents=sub_agents))
    assert any(message in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("agent_class", "field", "value"),
    [
        ("SequentialAgent", "instruction", "x"),
        ("ParallelAgent", "tools", [{"name": "google_search"}]),
        ("LoopAgent", "instruction", "x"),
        ("SequentialAgent", "maxIterations", 3),
        ("ParallelAgent", "maxOutputTokens", 3),
        ("LlmAgent", "maxIterations", 3),
    ],
)
def test_a_field_that_the_class_does_not_have_is_refused(
    a_team: Job, agent_class: str, field: str, value: object
) -> None:
    job = a_team({"name": "a"}, sub_agents=["a"], agentClass=agent_class, **{field: value})
    assert f"spec.agent.inline.{field}" in " ".join(told(job))
    assert agent_class in " ".join(told(job))


def test_a_further_agent_without_any_model_is_refused(a_team: Job) -> None:
    job = a_team({"name": "a"}, sub_agents=["a"])
    del job["spec"]["agent"]["model"]
    assert [problem.field for problem in validate_job(job)] == ["spec.agent.inline.agents[0].model"]


def test_state_that_the_job_does_not_provide_must_be_optional(a_job: Job) -> None:
    instruction = "{topic} {topic?} {later?} {app:region} {artifact.report?} {temp:x}"
    agent = {"model": "m", "inline": {"instruction": instruction}}
    state = {"topic": "heat pumps", "temp:x": 1}
    problems = " ".join(told(a_job(agent=agent, input={"message": "x", "state": state})))

    assert '"{app:region}"' in problems
    assert "{temp:x?}" in problems
    assert "topic" not in problems
    assert "later" not in problems


class NoArtifacts:
    async def load_artifact(self, **_: str) -> None:
        return None


PARTS = st.sampled_from(
    ["{", "}", "{{", "a", "b", "?", " ", "$", "\\", ":", "app", "user:", "artifact.", ".", "-", "1"]
)


@given(st.lists(PARTS, max_size=12).map("".join))
@example("{a}{b?}{{a}}${b}\\{b}{a b}{app:b}{x:b}{artifact.b}{artifact.b?}{ a }{a??}")
async def test_our_parser_and_adk_agree_on_the_state_that_an_instruction_reads(instruction: str) -> None:
    session = SimpleNamespace(state={"a": 1}, app_name="x", user_id="x", id="x")
    context = SimpleNamespace(
        _invocation_context=SimpleNamespace(session=session, artifact_service=NoArtifacts()), agent_name="x"
    )
    missing = [name for _, name in required_names(instruction) if name != "a"]

    if missing:
        with pytest.raises(KeyError):
            await inject_session_state(instruction, context)  # type: ignore[arg-type]  # has all that is read of it
    else:
        await inject_session_state(instruction, context)  # type: ignore[arg-type]  # has all that is read of it
