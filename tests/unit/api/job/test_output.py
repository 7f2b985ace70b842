import json
from collections.abc import Callable
from typing import Any

import pytest

from agentjobs.api.job.agent import ConfigMapKey
from agentjobs.api.job.resolve import accepted_spec, config_map_keys, resolve
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.validation import validate_job
from agentjobs.errors import Invalid, NotFound

Job = Callable[..., dict[str, Any]]
SCHEMA = {"type": "object", "properties": {"outcome": {"enum": ["fix", "wontfix"]}}, "required": ["outcome"]}
FROM = {"schemaFrom": {"configMapKeyRef": {"name": "schemas", "key": "triage"}}}
KEY = ConfigMapKey("schemas", "triage")


def test_a_schema_is_resolved_with_its_defaults(a_job: Job) -> None:
    job = a_job(output={"schema": SCHEMA})

    assert validate_job(job) == []
    resolved = resolve(job, {})["spec"]["output"]
    assert resolved == {"schema": SCHEMA, "outcomeKey": "outcome", "onInvalid": "Repair", "maxRepairs": 2}


def test_a_job_without_a_schema_has_no_output(a_job: Job) -> None:
    assert "output" not in resolve(a_job(), {})["spec"]


def test_a_schema_is_taken_from_its_config_map(a_job: Job) -> None:
    large = {**SCHEMA, "description": "x" * 20_000}
    job = a_job(output=FROM)
    resolved = resolve(job, {KEY: json.dumps(large)})

    assert validate_job(job) == []
    assert config_map_keys(AgentJobSpec.model_validate(job["spec"])) == {KEY}
    assert resolved["spec"]["output"]["schema"] == large
    assert "schemaFrom" not in resolved["spec"]["output"]
    assert accepted_spec(resolved).output is not None


@pytest.mark.parametrize("output", [{"fromState": "document"}, {"fromState": "d", **FROM}, {"outcomeKey": "verdict"}])
def test_an_output_without_a_schema_is_accepted_and_resolved(a_job: Job, output: dict[str, Any]) -> None:
    job = a_job(output=output)

    assert validate_job(job) == []
    resolved = resolve(job, {KEY: json.dumps(SCHEMA)})["spec"]["output"]
    assert {key: resolved[key] for key in output if key != "schemaFrom"}.items() <= output.items()


def test_a_job_waits_for_a_missing_schema(a_job: Job) -> None:
    with pytest.raises(NotFound, match=r"^spec\.output\.schemaFrom: .*'schemas'.*'triage'"):
        resolve(a_job(output=FROM), {})


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("type: object", "JSON"),
        ("[" * 100_000, "JSON"),
        ("[]", "not an object"),
        ("null", "JSON object"),
        ('{"type": "object", "required": 3}', "at required"),
    ],
    ids=["yaml", "deep", "list", "null", "malformed"],
)
def test_a_config_map_without_a_schema_is_refused(a_job: Job, text: str, word: str) -> None:
    with pytest.raises(Invalid, match=word):
        resolve(a_job(output=FROM), {KEY: text})


@pytest.mark.parametrize(
    ("output", "field", "word"),
    [
        ({}, "", "needs one"),
        ({"schema": SCHEMA, **FROM}, "", "exclude each other"),
        ({"schema": {"type": "array"}}, ".schema", "type: object"),
        ({"schema": {"type": "object", "properties": {"a": {"type": "text"}}}}, ".schema", "properties/a/type"),
        (
            {"schema": {"type": "object", "$ref": "http://example.com/s"}},
            ".schema",
            "http://example.com/s",
        ),
        ({"schema": {**SCHEMA, "description": "x" * 17_000}}, ".schema", "16384"),
        ({"schema": SCHEMA, "onInvalid": "Ignore"}, ".onInvalid", "'Repair'"),
        ({"schema": SCHEMA, "maxRepairs": 6}, ".maxRepairs", "5"),
        ({"schema": SCHEMA, "outcomeKey": ""}, ".outcomeKey", "at least 1"),
    ],
    ids=["nothing", "both", "list", "malformed", "remote", "large", "no-such-choice", "many-repairs", "no-key"],
)
def test_an_output_with_an_unsupported_schema_is_refused(
    a_job: Job, output: dict[str, Any], field: str, word: str
) -> None:
    problems = validate_job(a_job(output=output))
    assert any(it.field == f"spec.output{field}" and word in it.message for it in problems), problems


def test_a_schema_can_refer_to_its_own_definitions(a_job: Job) -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}}
    assert validate_job(a_job(output={"schema": schema})) == []
