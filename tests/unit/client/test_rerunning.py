"""What a job that runs again takes over, and how its spec is changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs import errors
from agentjobs.client.rerunning import Edits, changed_fields, edited, rerun_labels

HELLO = {"name": "hello"}
SPEC = {"agent": {"model": "m", "inline": {"instruction": "i"}}, "input": {"message": "hi", "state": {"a": 1}}}
TEMPLATED = {"templateRef": {"name": "review"}, "parameters": {"repo": "shop"}}
FROM_MAP = {"messageFrom": {"configMapKeyRef": {"name": "texts", "key": "gone"}}}
REFUSED = [
    pytest.param(SPEC, Edits(parameters={"a": "b"}), {}, "spec.parameters.a", id="no-template"),
    pytest.param(SPEC, Edits(parameters={"a": "b"}), {"is_merged": True}, "object of this job is gone", id="history"),
    pytest.param(TEMPLATED, Edits(message="x"), {}, "made by template review", id="message-of-the-template"),
    pytest.param(SPEC, Edits(message=""), {}, "spec.input.message", id="no-message"),
    pytest.param(SPEC, Edits(message="x" * 65537), {}, "spec.input.message", id="long-message"),
    pytest.param(SPEC, Edits(message="$(params.a)"), {}, "spec.input.message", id="unknown-name"),
    pytest.param(SPEC, Edits(model="a b"), {}, "spec.agent.model", id="no-model-name"),
    pytest.param(TEMPLATED, Edits(max_attempts=500), {}, "spec.retry.maxAttempts", id="too-many-attempts"),
]


def test_a_message_replaces_a_reference_to_a_config_map_and_keeps_the_state():
    before = {**SPEC, "input": {**FROM_MAP, "state": {"a": 1}}}

    assert edited(before, Edits(message="ho"), metadata=HELLO)["input"] == {"message": "ho", "state": {"a": 1}}


def test_a_message_may_have_the_time_of_the_schedule_if_the_job_has_one():
    edits = Edits(message="It is $(schedule.time).")
    times = {"agentjobs.dev/scheduled-time": "2026-11-21T06:00:00Z"}

    assert edited(SPEC, edits, metadata={**HELLO, "annotations": times})["input"]["message"] == edits.message
    with pytest.raises(errors.Unchangeable, match=r"schedule\.time"):
        edited(SPEC, edits, metadata=HELLO)


def test_a_job_with_a_template_and_its_own_message_takes_another():
    before = {**TEMPLATED, "input": {"message": "hi"}}

    assert edited(before, Edits(message="ho"), metadata=HELLO) == {**TEMPLATED, "input": {"message": "ho"}}


@pytest.mark.parametrize(("spec", "edits", "more", "words"), REFUSED)
def test_a_change_that_the_job_cannot_take_is_refused(spec, edits, more, words):
    with pytest.raises(errors.Unchangeable) as refused:
        edited(spec, edits, metadata=HELLO, **more)

    assert words in str(refused.value)
    assert len(str(refused.value)) < 400


def test_an_old_problem_that_is_not_about_the_change_is_the_operators():
    before = {**SPEC, "fieldOfANewerVersion": 1}

    assert edited(before, Edits(model="n"), metadata=HELLO)["fieldOfANewerVersion"] == 1


@given(
    st.builds(
        Edits,
        message=st.none() | st.sampled_from(["hi", "ho"]),
        parameters=st.dictionaries(st.sampled_from(["repo", "depth"]), st.text(st.characters(min_codepoint=32))),
        model=st.none() | st.sampled_from(["m", "n"]),
        max_attempts=st.none() | st.integers(1, 100),
    )
)
def test_only_what_is_changed_differs_and_the_labels_name_it_without_values(edits):
    before = {**SPEC, **TEMPLATED, "queue": "nightly", "session": {"userId": "ada"}}
    after = edited(before, edits, metadata=HELLO)

    assert after["parameters"] == {**before["parameters"], **edits.parameters}
    assert after["input"] == {**before["input"], "message": edits.message or "hi"}
    assert after["agent"] == {**before["agent"], "model": edits.model or "m"}
    assert {key: after[key] for key in ("templateRef", "queue", "session")} == {
        key: before[key] for key in ("templateRef", "queue", "session")
    }
    label = rerun_labels("hello", before, after).get("agentjobs.dev/rerun-changes", "")
    assert tuple(filter(None, label.split("_"))) == changed_fields(before, after)
    assert len(label) <= 63
