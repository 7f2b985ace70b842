from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.api.job.resolve import edited_fields, resolve
from agentjobs.api.job.validation import rejection, validate_job
from agentjobs.api.substitution import expanded, names_of, substituted
from agentjobs.contract import ANNOTATION_PREVIOUS_TIME, ANNOTATION_SCHEDULED_TIME

Job = Callable[..., dict[str, Any]]
NAMES = {"job.name": "hello", "job.uid": "6c0c1a52"}
TIMES = {ANNOTATION_SCHEDULED_TIME: "2026-11-21T06:00:00Z", ANNOTATION_PREVIOUS_TIME: "2026-11-20T06:00:00Z"}


def scheduled(job: dict[str, Any], times: dict[str, str]) -> dict[str, Any]:
    return {**job, "metadata": {**job["metadata"], "annotations": times}}


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("I am $(job.name).", "I am hello."),
        ("$(job.name)$(job.uid)", "hello6c0c1a52"),
        ("Run $$(job.name).", "Run $(job.name)."),
        ("$(job.name)$$(job.name)", "hello$(job.name)"),
        ("{job.name} $job.name ${job.name} $(", "{job.name} $job.name ${job.name} $("),
        ("$((1 + 2))", "$((1 + 2))"),
        ("$(open\n)", "$(open\n)"),
    ],
)
def test_a_text_gets_its_values(text: str, becomes: str) -> None:
    assert expanded(text, NAMES) == becomes


@given(st.text(), st.text(alphabet="$()ab"))
def test_placeholders_in_values_are_not_substituted(before: str, value: str) -> None:
    before = before.replace("$", "")
    assert expanded(f"{before}$(job.name)", {"job.name": value}) == before + value


@given(st.text(alphabet="$(){}ab.\n"))
def test_a_text_with_all_references_escaped_is_substituted_to_itself(text: str) -> None:
    text = text.replace("$$", "$")
    assert expanded(text.replace("$(", "$$("), {}) == text


def test_exactly_the_text_fields_get_values(a_job: Job) -> None:
    name = "$(job.name)"
    inline = {
        "description": name,
        "instruction": f"You are {name}.",
        "subAgents": ["b"],
        "agents": [{"name": "b", "instruction": f"Ask {name}."}],
    }
    job = a_job(
        agent={"model": "m", "inline": inline},
        input={"message": f"For {name}.", "state": {"a": [{name: f"of {name}"}], "n": 1}},
        runtime={"image": "i", "env": [{"name": "WHO", "value": name}]},
    )
    spec = resolve(job, {})["spec"]

    assert spec["input"] == {"message": "For hello.", "state": {"a": [{name: "of hello"}], "n": 1}}
    assert spec["agent"]["inline"]["instruction"] == "You are hello."
    assert spec["agent"]["inline"]["agents"][0]["instruction"] == "Ask hello."
    assert spec["agent"]["inline"]["description"] == name
    assert spec["runtime"]["env"] == [{"name": "WHO", "value": name}]


def test_a_partition_key_can_contain_the_jobs_name_but_not_exceed_its_limit(a_job: Job) -> None:
    assert resolve(a_job(partitionKey="of-$(job.name)"), {})["spec"]["partitionKey"] == "of-hello"
    long = a_job(name="n" * 52, partitionKey="x" * 230 + "$(job.name)")
    (problem,) = validate_job(long)
    assert (problem.field, "253" in problem.message) == ("spec.partitionKey", True)


def test_placeholders_in_a_text_from_a_config_map_are_not_substituted(a_job: Job) -> None:
    reference = {"configMapKeyRef": {"name": "briefs", "key": "today"}}
    job = a_job(input={"messageFrom": reference})

    assert validate_job(job) == []
    assert resolve(job, {("briefs", "today"): "$(job.name) $(date)"})["spec"]["input"]["message"] == (  # type: ignore[dict-item]
        "$(job.name) $(date)"
    )


def test_texts_of_a_schedules_job_can_contain_its_times(a_job: Job) -> None:
    job = scheduled(a_job(input={"message": "$(schedule.previousTime) to $(schedule.time)"}), TIMES)

    assert validate_job(job) == []
    assert resolve(job, {})["spec"]["input"]["message"] == "2026-11-20T06:00:00Z to 2026-11-21T06:00:00Z"


def test_a_first_run_has_no_previous_time() -> None:
    first = {ANNOTATION_SCHEDULED_TIME: "2026-11-21T07:00:00+01:00"}
    names = names_of({"name": "a", "uid": "b", "annotations": first})

    assert (names["schedule.time"], names["schedule.previousTime"]) == ("2026-11-21T06:00:00Z", "")


@pytest.mark.parametrize(
    ("message", "cure"),
    [
        ("$(job.nmae)", "did you mean $(job.name)?"),
        ("$(date)", "job.name, job.uid"),
        ("$()", "job.name, job.uid"),
        ("$(params.repo)", "parameters"),
        ("$(after.plan.steps)", "after.jobs"),
        ("$(result.steps)", "followUps"),
        ("$(schedule.time)", ANNOTATION_SCHEDULED_TIME),
    ],
)
def test_an_unknown_name_is_a_problem_of_the_job(a_job: Job, message: str, cure: str) -> None:
    reason, said = rejection(validate_job(a_job(input={"message": f"{message} {message}"})))

    assert reason == "UnresolvedReference"
    assert said.startswith(f'spec.input.message: "{message}" ')
    assert cure in said
    assert said.count("spec.") == 1


def test_an_invalid_time_is_not_a_value(a_job: Job) -> None:
    job = scheduled(a_job(input={"message": "$(schedule.time)"}), {ANNOTATION_SCHEDULED_TIME: "noon"})
    assert ANNOTATION_SCHEDULED_TIME in rejection(validate_job(job))[1]


def test_an_unknown_name_is_reported_together_with_other_problems(a_job: Job) -> None:
    reason, said = rejection(validate_job(a_job(priority=12, input={"message": "$(x)"})))

    assert reason == "InvalidSpec"
    assert "$(x)" in said
    assert "spec.priority: 12 " in said


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.just("$(x)"),
        lambda below: st.lists(below) | st.dictionaries(st.sampled_from(["input", "agent", "inline", "state"]), below),
    )
)
def test_any_spec_can_be_searched_for_names(spec: object) -> None:
    substituted({"input": spec, "agent": spec}, NAMES)
    validate_job({"metadata": {"name": "a"}, "spec": {"input": spec, "agent": spec}})


def test_an_accepted_job_with_placeholders_counts_as_unedited(a_job: Job) -> None:
    texts = {"agent": {"model": "m", "inline": {"instruction": "Of $(job.name)."}}}
    job = a_job(input={"message": "$(job.uid)", "state": {"a": "$(job.name)"}}, **texts)
    accepted = resolve(job, {})

    assert edited_fields(job, accepted) == []
    job["spec"]["input"]["message"] = "$(job.name)"
    assert edited_fields(job, accepted) == ["input.message"]
