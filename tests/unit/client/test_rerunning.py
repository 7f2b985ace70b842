"""What a job that runs again takes over, and how its spec is changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs import errors
from agentjobs.api.template.read import template_of
from agentjobs.client.rerunning import Edits, actual_edits, changed_fields, edited, not_skipped, rerun_labels

HELLO = {"name": "hello"}
SPEC = {"agent": {"model": "m", "inline": {"instruction": "i"}}, "input": {"message": "hi", "state": {"a": 1}}}
TEMPLATED = {"templateRef": {"name": "review"}, "parameters": {"repo": "shop"}}
REVIEW = {
    "agent": {"model": "m", "inline": {}},
    "input": {"message": "$(params.repo)"},
    "parameters": [{"name": "repo"}],
}
FROM_MAP = {"messageFrom": {"configMapKeyRef": {"name": "texts", "key": "gone"}}}
# Half a surrogate pair is refused.
VALID = st.characters(min_codepoint=32, exclude_categories=["Cs"])
REFUSED = [
    pytest.param(SPEC, Edits(parameters={"a": "b"}), {}, "spec.parameters.a", id="no-template"),
    pytest.param(SPEC, Edits(parameters={"a": "b"}), {"is_merged": True}, "object of this job", id="history"),
    pytest.param(TEMPLATED, Edits(message="x"), {}, "made by template review", id="message-of-the-template"),
    pytest.param(SPEC, Edits(message=""), {}, "spec.input.message", id="no-message"),
    pytest.param(SPEC, Edits(message="x" * 65537), {}, "spec.input.message", id="long-message"),
    pytest.param(SPEC, Edits(message="$(params.a)"), {}, "spec.input.message", id="unknown-name"),
    pytest.param(SPEC, Edits(model="a b"), {}, "spec.agent.model", id="no-model-name"),
    pytest.param(SPEC, Edits(budget={"maxCostUSD": "0"}), {}, "spec.budget.maxCostUSD", id="no-amount"),
    pytest.param(SPEC, Edits(budget={"maxCosts": "1"}), {}, "spec.budget.maxCosts", id="no-such-limit"),
    pytest.param(TEMPLATED, Edits(max_attempts=500), {}, "spec.retry.maxAttempts", id="too-many-attempts"),
]


def test_a_message_replaces_a_reference_to_a_config_map_and_keeps_the_state():
    before = {**SPEC, "input": {**FROM_MAP, "state": {"a": 1}}}

    assert edited(before, Edits(message="ho"), metadata=HELLO)["input"] == {"message": "ho", "state": {"a": 1}}


def test_a_message_can_contain_the_schedules_time_if_the_job_has_one():
    edits = Edits(message="It is $(schedule.time).")
    times = {"agentjobs.dev/scheduled-time": "2026-11-21T06:00:00Z"}

    assert edited(SPEC, edits, metadata={**HELLO, "annotations": times})["input"]["message"] == edits.message
    with pytest.raises(errors.Unchangeable, match=r"schedule\.time"):
        edited(SPEC, edits, metadata=HELLO)


def test_the_own_message_of_a_job_with_a_template_can_be_changed():
    before = {**TEMPLATED, "input": {"message": "hi"}}

    assert edited(before, Edits(message="ho"), metadata=HELLO) == {**TEMPLATED, "input": {"message": "ho"}}


@pytest.mark.parametrize(
    ("edits", "actual"),
    [
        (Edits(message="hi", model="m", max_attempts=2, parameters={"repo": "shop"}), Edits()),
        (Edits(message="hi", model="n"), Edits(model="n")),
        (Edits(parameters={"repo": "shop", "depth": ""}), Edits(parameters={"depth": ""})),
        (Edits(budget={"maxTokens": 7, "maxCostUSD": "1"}), Edits(budget={"maxCostUSD": "1"})),
        (Edits(message="", max_attempts=3), Edits(message="", max_attempts=3)),
    ],
    ids=["nothing", "model", "new-parameter", "budget", "empty-message"],
)
def test_only_values_that_differ_are_changes(edits, actual):
    own = {**SPEC, **TEMPLATED, "retry": {"maxAttempts": 2}, "budget": {"maxTokens": 7}}

    assert actual_edits(own, edits) == actual


@pytest.mark.parametrize(("spec", "edits", "more", "words"), REFUSED)
def test_a_change_that_the_job_does_not_support_is_refused(spec, edits, more, words):
    with pytest.raises(errors.Unchangeable) as refused:
        edited(spec, edits, metadata=HELLO, **more)

    assert words in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("edits", "field"),
    [
        (Edits(parameters={"depth": "deep"}), "^spec.parameters.depth: .*template review"),
        (Edits(model="n"), "^spec.agent: .*locked.* template review"),
    ],
    ids=["undeclared", "locked"],
)
def test_a_change_that_the_template_does_not_allow_is_refused(edits, field):
    template = template_of("review", 1, {**REVIEW, "locked": ["agent"]})

    with pytest.raises(errors.Unchangeable, match=field):
        edited(TEMPLATED, edits, metadata=HELLO, template=template)
    assert edited(TEMPLATED, Edits(parameters={"repo": "x"}), metadata=HELLO, template=template)


TRIGGERED = {**TEMPLATED, "unique": {"key": "trigger/review/1", "states": "Incomplete"}}


@pytest.mark.parametrize(
    ("own", "above", "unique"),
    [
        (TEMPLATED, {"unique": {"states": "All"}}, {"states": "Incomplete"}),
        (TRIGGERED, {"unique": {"states": "All", "key": "k"}}, {"states": "Incomplete"}),
        (TRIGGERED, {}, TRIGGERED["unique"]),
        ({"unique": {"states": "Scheduled"}}, {"unique": {"states": "All"}}, {"states": "Scheduled"}),
        (TEMPLATED, {"unique": {"key": "k"}}, None),
        (TEMPLATED, {"unique": {"states": "All"}, "locked": ["unique"]}, None),
    ],
    ids=["template", "trigger", "trigger-alone", "own", "incomplete", "locked"],
)
def test_a_changed_rerun_is_not_skipped_because_of_the_job_that_it_repeats(own, above, unique):
    assert not_skipped(own, template_of("review", 1, {**REVIEW, **above})).get("unique") == unique


def test_a_message_can_be_added_if_the_template_requires_one():
    template = template_of("review", 1, {"agent": REVIEW["agent"], "parameters": REVIEW["parameters"]})

    after = edited(TEMPLATED, Edits(message="hi"), metadata=HELLO, template=template)
    assert after["input"] == {"message": "hi"}


def test_a_problem_that_the_change_did_not_cause_is_left_to_the_operator():
    before = {**SPEC, "fieldOfANewerVersion": 1}

    assert edited(before, Edits(model="n"), metadata=HELLO)["fieldOfANewerVersion"] == 1


@given(
    st.builds(
        Edits,
        message=st.none() | st.sampled_from(["hi", "ho"]),
        parameters=st.dictionaries(st.sampled_from(["repo", "depth"]), st.text(VALID)),
        model=st.none() | st.sampled_from(["m", "n"]),
        max_attempts=st.none() | st.integers(1, 100),
        budget=st.sampled_from([{}, {"maxCostUSD": "2.50"}, {"maxLLMCalls": 7, "maxTokens": 100}]),
    )
)
def test_a_rerun_differs_only_in_changed_fields_whose_names_are_in_its_labels(edits):
    before = {**SPEC, **TEMPLATED, "queue": "nightly", "session": {"userId": "ada"}}
    after = edited(before, edits, metadata=HELLO)

    assert after["parameters"] == {**before["parameters"], **edits.parameters}
    assert after["input"] == {**before["input"], "message": edits.message or "hi"}
    assert after["agent"] == {**before["agent"], "model": edits.model or "m"}
    assert {key: after[key] for key in ("templateRef", "queue", "session")} == {
        key: before[key] for key in ("templateRef", "queue", "session")
    }
    label = rerun_labels("hello", "u1", before, after).get("agentjobs.dev/rerun-changes", "")
    assert tuple(filter(None, label.split("_"))) == changed_fields(before, after)
    assert len(label) <= 63
