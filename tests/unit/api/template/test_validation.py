from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.problems import rejection
from agentjobs.api.template.spec import NOT_IN_TEMPLATES, Lockable
from agentjobs.api.template.validation import validate_template


def template(name: str = "review", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", "generation": 1}, "spec": spec}


def fields(**spec: Any) -> list[str]:
    return [problem.field for problem in validate_template(template(**spec))]


LEGAL: list[dict[str, Any]] = [
    {},
    {"agent": {"inline": {"instruction": "Review {diff}."}}},
    {"agent": {"model": "m"}, "session": {"mode": "Continue"}},
    {"agent": {"inline": {"agentClass": "SequentialAgent", "agents": [{"name": "a"}]}}},
    {"resultPolicy": {"rules": [{"name": "a", "onOutcomes": ["bad"]}]}},
    {"runtime": {"volumeMounts": [{"name": "v", "mountPath": "/a"}]}},
    {"input": {"message": "$(params.a) $(job.name) $(schedule.time) $(after.b.c)"}, "parameters": [{"name": "a"}]},
    {"followUps": [{"name": "a", "templateRef": {"name": "b"}, "parameters": {"x": "$(result.y) $(parent.name)"}}]},
    {"locked": ["agent", "budget"], "description": "Reviews."},
    {"workspace": {"publish": {"mode": "Branch", "branch": "a"}}},
]


@pytest.mark.parametrize("spec", LEGAL, ids=range(len(LEGAL)))
def test_a_template_can_omit_fields_that_its_jobs_can_add(spec: dict[str, Any]) -> None:
    assert validate_template(template(**spec)) == []


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"priority": 12}, "spec.priority"),
        ({"agnet": {}}, "spec.agnet"),
        ({"agent": {"inline": {}, "module": {"ref": "a:b"}}}, "spec.agent"),
        ({"agent": {"inline": {"instruction": "{temp:x}"}}}, "spec.agent.inline.instruction"),
        ({"templateRef": {"name": "other"}}, "spec.templateRef"),
        ({"startAfter": "1h"}, "spec.startAfter"),
        ({"after": {"jobs": ["a"]}}, "spec.after"),
        ({"cancel": False}, "spec.cancel"),
        ({"locked": ["cancel"]}, "spec.locked[0]"),
        ({"input": {"message": "$(params.b)"}, "parameters": [{"name": "a"}]}, "spec.input.message"),
        ({"partitionKey": "$(result.x)"}, "spec.partitionKey"),
        ({"parameters": [{"name": "a"}, {"name": "a"}]}, "spec.parameters[1].name"),
        ({"parameters": [{"name": "a b"}]}, "spec.parameters[0].name"),
        ({"parameters": [{"name": "a", "enum": ["x"]}]}, "spec.parameters[0]"),
        ({"parameters": [{"name": "a", "enum": ["x"], "default": "y"}]}, "spec.parameters[0].default"),
        ({"parameters": [{"name": "a", "required": True, "default": "y"}]}, "spec.parameters[0]"),
        ({"parameters": {"a": "x"}}, "spec.parameters"),
        ({"parameters": [{"name": "a"}, {"name": "b", "default": "of $(params.a)"}]}, "spec.parameters[1].default"),
        ({"runtime": {"env": [{"value": "a"}]}}, "spec.runtime.env[0].name"),
        ({"runtime": {"volumes": [{"name": "v", "hostPath": {}}]}}, "spec.runtime.volumes[0].hostPath"),
    ],
)
def test_errors_that_no_job_can_correct_are_problems_of_the_template(spec: dict[str, Any], field: str) -> None:
    assert fields(**spec) == [field]


def test_all_problems_are_reported_together() -> None:
    assert fields(priority=-1, locked=["x"], parameters=[{"name": ""}], startAt="2026-01-01T00:00:00Z") == [
        "spec.parameters[0].name",
        "spec.locked[0]",
        "spec.startAt",
        "spec.priority",
    ]


def test_a_template_that_is_too_large_is_not_read_further() -> None:
    reason, message = rejection(validate_template(template(input={"message": "x" * 100_000}, agnet={})))
    assert (reason, "agnet" in message) == ("SpecTooLarge", False)


@pytest.mark.parametrize("name", ["", None, 3, "A", "a" * 64, "a_b"])
def test_the_name_of_a_template_must_fit_into_a_label(name: Any) -> None:
    assert [problem.field for problem in validate_template(template(name))] == ["metadata.name"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["agent", "parameters", "locked", "input", "followUps", "x"]), JSON), JSON)
def test_validating_any_template_returns_problems_and_never_raises(spec: Any, metadata: Any) -> None:
    validate_template({"metadata": metadata, "spec": spec})
    validate_template({"spec": metadata})


def test_every_field_of_the_work_can_be_locked() -> None:
    work = {field.alias or name for name, field in AgentJobSpec.model_fields.items()} - {*NOT_IN_TEMPLATES}

    assert work - {*get_args(Lockable)} == {"ttlSecondsAfterFinished"}
