from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.api.job.resolve import (
    Sources,
    accepted_spec,
    as_accepted,
    edited_fields,
    resolve,
    resolve_spec,
    spec_hash,
    unresolved,
)
from agentjobs.api.job.resolve import template_of as template_of_resolved
from agentjobs.api.problems import rejection
from agentjobs.api.template.read import ReadJob, read_job, template_of
from agentjobs.contract import Resolved

Job = Callable[..., dict[str, Any]]
AGENT = {"model": "gemini-flash-latest", "inline": {"instruction": "Review $(params.repo)."}}
REVIEW = {
    "parameters": [
        {"name": "repo", "required": True},
        {"name": "depth", "default": "quick", "enum": ["quick", "deep"]},
        {"name": "note"},
    ],
    "locked": ["isolation"],
    "agent": AGENT,
    "input": {"message": "Do a $(params.depth) review of $(params.repo). $(params.note)"},
    "priority": 5,
    "budget": {"maxLLMCalls": 20, "maxTokens": 1000},
}


def job_of(template: str = "review", **spec: Any) -> dict[str, Any]:
    metadata = {"name": "a", "namespace": "default", "uid": "u-1"}
    return {"metadata": metadata, "spec": {"templateRef": {"name": template}, **spec}}


def read(template: Mapping[str, Any], **spec: Any) -> ReadJob:
    return read_job(job_of(**spec), template_of("review", 4, template))


def resolved(job: dict[str, Any], got: ReadJob) -> Resolved:
    assert got.spec is not None, got.problems
    sources = Sources(parameters=got.parameters, steering=got.steering, template=got.template)
    return resolve_spec(got.spec, job["metadata"], sources)


def refused(template: Mapping[str, Any], **spec: Any) -> tuple[str, str]:
    reason, message = rejection(read(template, **spec).problems)
    return str(reason), message


def test_parameters_are_substituted_in_texts_of_the_template_and_the_job() -> None:
    job = job_of(parameters={"repo": "shop"}, partitionKey="$(params.repo)")
    spec = resolved(job, read_job(job, template_of("review", 4, REVIEW)))["spec"]

    assert spec["input"]["message"] == "Do a quick review of shop. "
    assert spec["agent"]["inline"]["instruction"] == "Review shop."
    assert spec["partitionKey"] == "shop"


def test_a_job_of_a_template_runs_the_same_spec_as_an_equal_job_without_one(a_job: Job) -> None:
    job = job_of(parameters={"repo": "shop"}, retry={"maxAttempts": 1}, budget={"maxTokens": 5})
    whole = a_job(
        "a",
        agent={**AGENT, "inline": {"instruction": "Review shop."}},
        input={"message": "Do a quick review of shop. "},
        priority=5,
        budget={"maxLLMCalls": 20, "maxTokens": 5},
        retry={"maxAttempts": 1},
    )
    whole["metadata"]["uid"] = "u-1"
    mine = resolved(job, read_job(job, template_of("review", 4, REVIEW)))

    assert mine["spec"] == resolve(whole, {})["spec"]
    assert spec_hash(mine) == spec_hash(resolve(whole, {}))


def test_steering_fields_of_the_template_are_stored_separately_from_the_work() -> None:
    job = job_of(parameters={"repo": "shop"}, priority=1)
    got = read_job(job, template_of("review", 4, REVIEW | {"locked": ["budget", "retry"]}))
    kept = resolved(job, got)

    assert kept["steering"] == {"priority": 5, "budget": {"maxLLMCalls": 20, "maxTokens": 1000}}
    assert kept["spec"]["priority"] == 1
    assert kept["template"] == {
        "name": "review",
        "generation": 4,
        "locked": ["budget"],
        "parameters": {"repo": "shop", "depth": "quick", "note": ""},
    }


def test_template_and_job_override_defaults_of_a_queue() -> None:
    asked: list[str] = []

    def defaults(queue: str) -> Mapping[str, Any]:
        asked.append(queue)
        return {"priority": 9, "timeouts": {"queue": "1h"}}

    got = read_job(job_of(parameters={"repo": "x"}), template_of("review", 1, REVIEW | {"queue": "slow"}), defaults)
    assert got.spec is not None
    assert got.merged is not None
    assert (asked, got.spec.priority, got.steering["priority"]) == (["slow"], 5, 5)
    assert got.merged.origins["timeouts", "queue"] == "queue slow"


def test_defaults_of_a_queue_apply_to_a_job_without_a_template(a_job: Job) -> None:
    got = read_job(a_job(), None, lambda queue: {"priority": 9} if queue == "agents" else {})
    assert got.spec is not None
    assert (got.spec.priority, got.steering, got.template) == (9, {"priority": 9}, None)


def test_a_plain_job_is_merged_with_nothing(a_job: Job) -> None:
    got = read_job(a_job())
    assert got.spec is not None
    assert (got.merged, got.steering) == (None, None)


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({}, "InvalidSpec", "spec.parameters.repo: "),
        ({"parameters": {"repo": "x", "rpeo": "y"}}, "InvalidSpec", "did you mean repo?"),
        ({"parameters": {"repo": "x", "depth": "all"}}, "InvalidSpec", '"quick", "deep"'),
        ({"parameters": {"repo": "x" * 4097}}, "InvalidSpec", "is too long"),
        ({"parameters": {"repo": "a\0b"}}, "InvalidSpec", "U+0000"),
        ({"parameters": {"repo": 3}}, "InvalidSpec", "spec.parameters.repo"),
        ({"parameters": {"repo": "x"}, "isolation": {}}, "LockedField", "spec.isolation"),
        ({"parameters": {"repo": "x"}, "isolation": {"profile": "Restricted"}}, "LockedField", "spec.isolation"),
        ({"parameters": {"repo": "x"}, "agent": {"module": {"ref": "a:b"}}}, "TypeConflict", "template review"),
        ({"parameters": {"repo": "x"}, "input": {"message": "$(params.rep)"}}, "UnresolvedReference", "$(params.repo)"),
        ({"parameters": {"repo": "x"}, "priority": 12}, "InvalidSpec", "spec.priority: 12 "),
    ],
)
def test_a_jobs_mistakes_about_its_template_are_named(spec: Any, reason: str, words: str) -> None:
    assert refused(REVIEW, **spec)[0] == reason
    assert words in refused(REVIEW, **spec)[1]


def test_all_problems_are_reported_together_with_their_layers() -> None:
    template = REVIEW | {"steps": {"tools": [{"match": ["a"], "backoff": {"initial": "20m"}}]}}
    job = {"parameters": {"more": ""}, "isolation": {"profile": "Baseline"}}

    assert [problem.field for problem in read(template, **job).problems] == [
        "spec.parameters.more",
        "spec.parameters.repo",
        "spec.isolation",
        "template review: spec.steps.tools[0].backoff.initial",
    ]


def test_placeholders_in_a_value_are_not_substituted() -> None:
    job = job_of(parameters={"repo": "$(job.uid)", "note": "$(params.repo) $$(job.name)\n\tend"})
    spec = resolved(job, read_job(job, template_of("review", 1, REVIEW)))["spec"]

    assert spec["input"]["message"] == "Do a quick review of $(job.uid). $(params.repo) $$(job.name)\n\tend"


@pytest.mark.parametrize("value", ["{secret}", "{secret?}", "{artifact.key}", "{app:key}"])
def test_a_value_cannot_create_a_placeholder_in_an_instruction(value: str) -> None:
    template = REVIEW | {"input": {"message": "m", "state": {"secret": "s"}}}
    reason, message = refused(template, parameters={"repo": value})

    assert reason == "InvalidSpec"
    assert message.startswith("template review: spec.agent.inline.instruction: ")


def test_a_value_cannot_choose_which_key_of_the_state_is_read() -> None:
    agent = {"model": "m", "inline": {"instruction": "{$(params.repo)}"}}
    template = REVIEW | {"agent": agent, "input": {"message": "m", "state": {"secret": "s"}}}
    assert "would read {secret}" in refused(template, parameters={"repo": "secret"})[1]


def test_json_in_an_instruction_is_not_a_placeholder() -> None:
    assert read(REVIEW, parameters={"repo": '{"a": [1]}'}).problems == ()


@pytest.mark.parametrize(
    ("spec", "repo", "words"),
    [
        ({"partitionKey": "$(params.repo)"}, "two\nlines", "spec.partitionKey"),
        ({"partitionKey": "$(params.note)"}, "x", "spec.partitionKey"),
        ({"unique": {"key": "$(params.repo)"}}, "k" * 254, "spec.unique.key"),
        ({"input": {"message": "$(params.note)"}}, "x", "spec.input.message"),
        ({"input": {"message": "$(params.repo)" * 17}}, "x" * 4096, "spec.input.message"),
        ({"input": {"state": {"a": "$(params.repo)" * 5}}}, "x" * 4096, "spec.input.state"),
    ],
)
def test_a_text_is_validated_with_its_values(spec: dict[str, Any], repo: str, words: str) -> None:
    _, message = refused(REVIEW, parameters={"repo": repo}, **spec)
    assert words in message
    assert "once its names have values" in message


def test_a_short_text_that_expands_to_megabytes_is_refused_before_expansion() -> None:
    state = {f"k{number}": "$(params.repo)" * 60 for number in range(15)}
    reason, message = refused(REVIEW, parameters={"repo": "x" * 4096}, input={"state": state})

    assert reason == "SpecTooLarge"
    assert len(message) < 300


def test_layers_within_the_limit_can_be_too_large_when_merged() -> None:
    template = REVIEW | {"agent": {"model": "m", "inline": {"instruction": "i" * 32_000}}}
    agents = [{"name": "b", "instruction": "i" * 32_000}]
    job = {"agent": {"inline": {"agents": agents, "subAgents": ["b"]}}, "input": {"message": "m" * 40_000}}

    assert refused(template, parameters={"repo": "x"}, **job)[0] == "SpecTooLarge"


def test_texts_of_follow_ups_keep_their_names_until_the_job_has_ended() -> None:
    follow_up = {
        "name": "fix",
        "templateRef": {"name": "fixer"},
        "parameters": {"what": "$(result.bug) $(params.repo) $(parent.name) $$(x)"},
        "input": {"message": "$(params.note) $(parent.phase)"},
    }
    job = job_of(parameters={"repo": "shop", "note": "$(result.secret)"}, followUps=[follow_up])
    kept = resolved(job, read_job(job, template_of("review", 1, REVIEW)))

    (said,) = kept["spec"]["followUps"]
    assert {key: said[key] for key in follow_up} == follow_up
    assert kept["template"]["parameters"]["note"] == "$(result.secret)"


def test_an_unknown_name_in_a_follow_up_is_reported_immediately() -> None:
    follow_up = {"name": "fix", "templateRef": {"name": "fixer"}, "parameters": {"what": "$(reslut.bug)"}}
    reason, message = refused(REVIEW, parameters={"repo": "x"}, followUps=[follow_up])

    assert (reason, "spec.followUps[0].parameters.what" in message) == ("UnresolvedReference", True)


@given(st.text(max_size=50), st.text(max_size=50))
def test_any_value_is_substituted_unchanged_or_refused(repo: str, note: str) -> None:
    job = job_of(parameters={"repo": repo, "note": note})
    got = read_job(job, template_of("review", 1, REVIEW | {"agent": {"model": "m", "inline": {"instruction": "i"}}}))
    if got.spec is not None:
        message = resolved(job, got)["spec"]["input"]["message"]
        assert message == f"Do a quick review of {repo}. {note}"


def test_a_rerun_has_exactly_the_accepted_texts() -> None:
    follow_up = {"name": "fix", "templateRef": {"name": "f"}, "parameters": {"what": "$(params.note) of $(result.bug)"}}
    job = job_of(parameters={"repo": "$(job.uid)", "note": "$(result.secret)"}, followUps=[follow_up])
    first = resolved(job, read_job(job, template_of("review", 1, REVIEW)))
    spec = unresolved(first["spec"], name="a", uid="u-1", parameters=first["template"]["parameters"])
    again = read_job({"metadata": {"name": "b", "uid": "u-2"}, "spec": spec})

    assert again.spec is not None
    second = resolve_spec(again.spec, {"name": "b", "uid": "u-2"}, again.sources)["spec"]
    assert second["input"] == first["spec"]["input"]
    assert second["agent"]["inline"]["instruction"] == first["spec"]["agent"]["inline"]["instruction"]
    assert second["followUps"][0]["parameters"]["what"] == "$$(result.secret) of $(result.bug)"


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "retry": st.just({"maxAttempts": 1}),
            "priority": st.integers(0, 9),
            "session": st.just({"userId": "u"}),
            "unique": st.just({"key": "of $(params.repo)"}),
            "partitionKey": st.just("$(params.repo)"),
            "output": st.just({"outcomeKey": "how"}),
        },
    )
)
def test_accepted_work_is_equal_when_read_from_the_spec_and_from_the_database(spec: dict[str, Any]) -> None:
    job = job_of(parameters={"repo": "shop"}, **spec)
    got = read_job(job, template_of("review", 1, REVIEW))
    assert got.spec is not None
    assert as_accepted(got.spec, resolved(job, got)) == accepted_spec(resolved(job, got))


@pytest.mark.parametrize("told", [None, 3, {}, {"name": 3}, {"name": "a", "locked": None, "parameters": 3}])
def test_a_template_of_another_version_is_read_without_unknown_fields(told: Any) -> None:
    read_back = template_of_resolved({"spec": {}, "scripts": {}, "template": told})
    assert read_back is None or read_back == {"name": "a", "generation": 0, "locked": [], "parameters": {}}


@pytest.mark.parametrize("locked", [[], ["unique"]], ids=["open", "locked"])
def test_the_template_of_a_trigger_defines_which_events_are_equal(locked: list[str]) -> None:
    debounced = {"key": "pr-$(params.repo)", "states": "Scheduled", "onConflict": "Replace"}
    template = {**REVIEW, "unique": debounced, "locked": locked}
    job = job_of(parameters={"repo": "shop"}, unique={"key": "trigger/review/0a1b", "states": "All", "period": "1h"})
    spec = resolved(job, read_job(job, template_of("review", 4, template)))

    assert spec["spec"]["unique"] == {**debounced, "key": "pr-shop"}
    assert edited_fields(job, spec) == []


def test_a_template_can_lock_unique_and_have_triggers() -> None:
    job = job_of(parameters={"repo": "shop"}, unique={"key": "trigger/review/0a1b", "states": "All"})
    spec = resolved(job, read_job(job, template_of("review", 4, {**REVIEW, "locked": ["unique"]})))

    assert ("unique" in spec["spec"], edited_fields(job, spec)) == (False, [])


def test_the_key_of_a_trigger_applies_if_the_template_has_none() -> None:
    job = job_of(parameters={"repo": "shop"}, unique={"key": "trigger/review/0a1b", "states": "All"})
    spec = resolved(job, read_job(job, template_of("review", 4, REVIEW)))

    assert (spec["spec"]["unique"]["key"], edited_fields(job, spec)) == ("trigger/review/0a1b", [])
