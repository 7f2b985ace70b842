import copy
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.api.template.merge import Layer, merged

LOW, JOB = "template review", "job"


def merge(low: Mapping[str, Any], job: Mapping[str, Any], locked: tuple[str, ...] = ()) -> dict[str, Any]:
    return merged([Layer(LOW, low, locked), Layer(JOB, job)]).spec


TEXTS = st.sampled_from(["a", "b", "c"])
NAMES = st.sampled_from(["x", "y", "z"])


def entries(key: str, more: Mapping[str, Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    one = st.fixed_dictionaries({key: NAMES}, optional=dict(more))
    return st.lists(one, max_size=3, unique_by=lambda entry: entry[key])


REFERENCES = st.fixed_dictionaries({"configMapKeyRef": st.fixed_dictionaries({"name": TEXTS, "key": TEXTS})})
STATES = st.dictionaries(TEXTS, st.none() | st.integers() | st.dictionaries(TEXTS, st.none() | TEXTS, max_size=2))
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "queue": TEXTS,
        "priority": st.integers(0, 9),
        "retry": st.fixed_dictionaries({}, optional={"maxAttempts": st.integers(1, 9), "resume": TEXTS}),
        "input": st.one_of(
            st.fixed_dictionaries({"message": TEXTS}),
            st.fixed_dictionaries({"messageFrom": REFERENCES}),
            st.fixed_dictionaries({"state": STATES}),
        ),
        "agent": st.fixed_dictionaries(
            {},
            optional={
                "model": TEXTS,
                "inline": st.fixed_dictionaries(
                    {},
                    optional={
                        "instruction": TEXTS,
                        "agents": entries("name", {"model": TEXTS, "mcpServers": entries("name", {"url": TEXTS})}),
                    },
                ),
            },
        ),
        "resultPolicy": st.fixed_dictionaries({"rules": entries("name", {"action": TEXTS, "delay": TEXTS})}),
        "runtime": st.fixed_dictionaries(
            {}, optional={"env": entries("name", {"value": TEXTS}), "tolerations": st.lists(TEXTS, max_size=2)}
        ),
        "notifications": entries("sink", {"events": st.lists(TEXTS, max_size=2)}),
        "followUps": entries("name", {"queue": TEXTS}),
    },
)


@given(SPECS, SPECS, SPECS)
def test_merging_layers_is_associative(one: Any, two: Any, three: Any) -> None:
    assert merge(merge(one, two), three) == merge(one, merge(two, three))


@given(SPECS, SPECS)
def test_merging_does_not_change_the_layers(low: Any, job: Any) -> None:
    before = copy.deepcopy([low, job])
    result = merge(low, job)

    assert [low, job] == before
    assert result is not low


@given(SPECS)
def test_an_empty_layer_changes_nothing(spec: Any) -> None:
    assert merge(spec, {}) == merge({}, spec) == merge(spec, spec) == spec


@given(SPECS, SPECS)
def test_every_value_of_the_job_is_in_the_merged_spec(low: Any, job: Any) -> None:
    result = merged([Layer(LOW, low), Layer(JOB, job)])
    of_job = {path for path, layer in result.origins.items() if layer == JOB}

    assert merge(result.spec, job) == result.spec
    assert len(of_job) == len(merged([Layer(JOB, job)]).origins)


@given(SPECS, SPECS)
def test_each_value_has_one_origin(low: Any, job: Any) -> None:
    result = merged([Layer(LOW, low), Layer(JOB, job)])

    for leaf in _leaves(result.spec):
        assert len([path for path in result.origins if leaf[: len(path)] == path]) == 1
    assert set(result.origins.values()) <= {LOW, JOB}


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        return {leaf for key, item in value.items() for leaf in _leaves(item, (*path, key))}
    if isinstance(value, list) and value:
        return {leaf for place, item in enumerate(value) for leaf in _leaves(item, (*path, place))}
    return set() if value in ({}, []) else {path}


@given(SPECS, SPECS, st.sampled_from(["queue", "retry", "input", "agent", "runtime", "notifications"]))
def test_a_locked_field_has_the_templates_value(low: Any, job: Any, field: str) -> None:
    result = merged([Layer(LOW, low, (field,)), Layer(JOB, job)])

    assert result.spec.get(field) == low.get(field)
    assert [problem.reason for problem in result.problems] == ["LockedField"] * (field in job)


def test_a_locked_field_cannot_be_set_even_to_the_same_value() -> None:
    (problem,) = merged([Layer(LOW, {"queue": "a"}, ("queue",)), Layer(JOB, {"queue": "a"})]).problems
    assert (problem.field, problem.reason) == ("spec.queue", "LockedField")


def test_a_field_without_a_value_in_the_template_can_be_locked() -> None:
    (problem,) = merged([Layer(LOW, {}, ("budget",)), Layer(JOB, {"budget": {"maxLLMCalls": 9}})]).problems
    assert problem.field == "spec.budget"


def test_the_kind_of_agent_cannot_be_changed() -> None:
    job = {"agent": {"module": {"ref": "a:b"}, "model": "other"}}
    result = merged([Layer(LOW, {"agent": {"inline": {"instruction": "Be brief."}}}), Layer(JOB, job)])

    assert [(one.field, one.reason) for one in result.problems] == [("spec.agent.module", "TypeConflict")]
    assert result.spec["agent"] == {"inline": {"instruction": "Be brief."}, "model": "other"}


REFERENCE = {"configMapKeyRef": {"name": "a", "key": "b"}}


@pytest.mark.parametrize(
    ("low", "job"),
    [
        ({"input": {"message": "a", "state": {}}}, {"input": {"messageFrom": REFERENCE}}),
        ({"input": {"messageFrom": REFERENCE, "state": {}}}, {"input": {"message": "a"}}),
        ({"output": {"schema": {"type": "object"}}}, {"output": {"schemaFrom": REFERENCE}}),
        ({"output": {"schemaFrom": REFERENCE}}, {"output": {"schema": {"type": "object"}}}),
        ({"agent": {"inline": {"instruction": "a"}}}, {"agent": {"inline": {"instructionFrom": REFERENCE}}}),
    ],
)
def test_a_text_and_its_reference_replace_each_other(low: dict[str, Any], job: dict[str, Any]) -> None:
    ((field, value),) = job.items()
    assert merge(low, job)[field] == {**({"state": {}} if field == "input" else {}), **value}


def test_schemas_of_two_layers_are_not_mixed() -> None:
    low = {"output": {"schema": {"type": "object", "properties": {"a": {}}, "required": ["a"]}, "maxRepairs": 1}}
    schema = {"type": "object", "properties": {"b": {}}}

    assert merge(low, {"output": {"schema": schema}})["output"] == {"schema": schema, "maxRepairs": 1}


def test_rules_of_the_job_come_first_because_the_first_that_matches_decides() -> None:
    low = {"resultPolicy": {"rules": [{"name": "a", "action": "Fail"}, {"name": "b", "action": "Fail"}]}}
    job = {"resultPolicy": {"rules": [{"name": "c"}, {"name": "b", "action": "Retry"}]}}

    rules = merge(low, job)["resultPolicy"]["rules"]
    assert [(rule["name"], rule.get("action")) for rule in rules] == [("c", None), ("b", "Retry"), ("a", "Fail")]


def test_variables_keep_their_order_because_one_can_reference_earlier_ones() -> None:
    low = {"runtime": {"env": [{"name": "HOST", "value": "a"}, {"name": "URL", "value": "http://$(HOST)"}]}}
    secret = {"name": "HOST", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    job = {"runtime": {"env": [{"name": "PAGE", "value": "$(URL)/1"}, secret]}}

    assert merge(low, job)["runtime"]["env"] == [
        secret,
        {"name": "URL", "value": "http://$(HOST)"},
        {"name": "PAGE", "value": "$(URL)/1"},
    ]


def test_mounts_are_matched_by_path_because_a_volume_can_have_several() -> None:
    low = {"runtime": {"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]}}
    job = {"runtime": {"volumeMounts": [{"name": "w", "mountPath": "/b"}]}}

    mounts = merge(low, job)["runtime"]["volumeMounts"]
    assert [(one["name"], one["mountPath"]) for one in mounts] == [("v", "/a"), ("w", "/b")]


def test_a_job_cannot_unset_but_null_is_a_value_of_its_state() -> None:
    low = {"queue": "a", "budget": {"maxLLMCalls": 1}, "input": {"state": {"x": 1}}}
    job = {"queue": None, "budget": {"maxLLMCalls": None}, "input": {"state": {"x": None}}}

    assert merge(low, job) == {"queue": "a", "budget": {"maxLLMCalls": 1}, "input": {"state": {"x": None}}}


@pytest.mark.parametrize("rules", [[{"name": "a"}, {"name": "a"}], [{}], [1], "x", {"name": "a"}, [{"name": 3}]])
def test_a_list_whose_entries_have_no_names_is_replaced_completely(rules: Any) -> None:
    low = {"resultPolicy": {"rules": [{"name": "b"}]}}
    assert merge(low, {"resultPolicy": {"rules": rules}})["resultPolicy"]["rules"] == rules


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["agent", "inline", "input", "name", "env", "runtime", "x"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["agent", "input", "runtime", "output"]), JSON), JSON, JSON)
def test_merging_any_layers_never_raises(low: Any, agent: Any, env: Any) -> None:
    result = merged([Layer(LOW, low), Layer(JOB, {"agent": agent, "runtime": {"env": env}})])
    assert isinstance(result.spec, dict)


@pytest.mark.parametrize(
    ("field", "layers"),
    [
        ("spec.retry.maxAttempts", (LOW,)),
        ("spec.retry", (LOW, JOB)),
        ("spec.runtime.env[1].name", (JOB,)),
        ("spec.runtime.env[0].value", (LOW,)),
        ("spec.retry.maxAttempts.deeper", (LOW,)),
        ("spec.nothing", ()),
        ("spec", ()),
        ("metadata.name", ()),
    ],
)
def test_a_problem_finds_the_layers_of_its_field(field: str, layers: tuple[str, ...]) -> None:
    low = {"retry": {"maxAttempts": 3}, "runtime": {"env": [{"name": "A", "value": "1"}]}}
    job = {"retry": {"resume": "FromStart"}, "runtime": {"env": [{"name": "B", "value": "2"}]}}

    assert merged([Layer(LOW, low), Layer(JOB, job)]).layers_of(field) == layers
