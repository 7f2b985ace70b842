import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, Field

from agentjobs.api.changes import Changes, aliases, changes, of_one_run
from agentjobs.api.generate.crd import FILES, FIXED_AFTER_START, IMMUTABLE, crd, main, rendered, schedule_crd
from agentjobs.api.job.resolve import STEERING
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.model import Integer, Model
from agentjobs.api.schedule.spec import AgentScheduleSpec

CHECKED_IN = Path(__file__).parents[4] / "crds"


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from nodes(schema[word], f"{path}[]")


def fields(definition: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return [(path, node) for path, node in nodes(schema) if path.startswith((".spec", ".status"))]


FIELDS = fields(crd())
SCHEDULE_FIELDS = fields(schedule_crd())
ALL_FIELDS = [*FIELDS, *SCHEDULE_FIELDS]


def test_the_committed_file_is_up_to_date() -> None:
    assert main(["--check", str(CHECKED_IN)]) == 0


def test_an_outdated_file_is_reported_with_a_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0
    stale = rendered(crd()).replace("maximum: 9", "maximum: 8")
    (tmp_path / "agentjobs.yaml").write_text(stale)

    assert main(["--check", str(tmp_path)]) == 1
    assert "+                maximum: 9" in capsys.readouterr().out


@pytest.mark.parametrize("made", FILES.values(), ids=FILES)
def test_the_file_is_small_and_plain_yaml_of_the_crd(made: Callable[[], dict[str, Any]]) -> None:
    text = rendered(made())

    assert yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) == made()
    assert "&id" not in text
    assert len(text) < 180_000


def test_every_field_is_described() -> None:
    undescribed = [path for path, node in ALL_FIELDS if "description" not in node and not path.endswith("[]")]
    assert undescribed == []


def test_every_string_list_and_map_is_bounded() -> None:
    def is_bounded(node: dict[str, Any]) -> bool:
        match node.get("type"):
            case "string":
                return "maxLength" in node or "enum" in node or node.get("format") == "date-time"
            case "array":
                return "maxItems" in node
            case "object":
                return "additionalProperties" not in node or "maxProperties" in node
        return True

    assert [path for path, node in ALL_FIELDS if not is_bounded(node)] == []


def test_a_pattern_in_a_rule_is_one_raw_string_of_cel() -> None:
    rules = [rule["rule"] for _, node in ALL_FIELDS for rule in node.get("x-kubernetes-validations", ())]
    patterns = [rule for rule in rules if ".matches(" in rule]

    assert patterns
    assert [rule for rule in patterns if not re.fullmatch(r"self\.matches\(r(['\"])(?:(?!\1).)+\1\)", rule)] == []


def test_the_schema_is_structural() -> None:
    free = {"x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"}
    untyped = [path for path, node in ALL_FIELDS if "type" not in node and not free & node.keys()]
    foreign = [
        path for path, node in ALL_FIELDS if {"$ref", "anyOf", "allOf", "oneOf", "title", "nullable"} & set(node)
    ]
    assert (untyped, foreign) == ([], [])


def test_the_server_sets_defaults_only_of_steering_fields() -> None:
    assert sorted(path for path, node in FIELDS if "default" in node) == [".spec.cancel", ".spec.suspend"]


def test_the_schema_has_defaults_of_a_schedule_and_not_of_its_jobs() -> None:
    defaults = {path.removeprefix(".spec."): node["default"] for path, node in SCHEDULE_FIELDS if "default" in node}
    assert defaults == {
        "timeZone": "UTC",
        "concurrencyPolicy": "Forbid",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
        "catchUp": {},
        "catchUp.policy": "Latest",
        "catchUp.limit": 10,
    }


@pytest.mark.parametrize(
    ("model", "fields"), [(AgentJobSpec, FIELDS), (AgentScheduleSpec, SCHEDULE_FIELDS)], ids=["job", "schedule"]
)
def test_the_schema_has_the_fields_of_the_models_and_no_others(
    model: type[Model], fields: list[tuple[str, dict[str, Any]]]
) -> None:
    def names(model: type[Model], path: str) -> Iterator[str]:
        for field in model.model_fields.values():
            here = f"{path}.{field.alias}"
            yield here
            for inner in [field.annotation, *getattr(field.annotation, "__args__", ())]:
                if isinstance(inner, type) and issubclass(inner, Model):
                    yield from names(inner, f"{here}[]" if "tuple" in str(field.annotation) else here)

    modelled = set(names(model, ".spec"))
    assert modelled == {path for path, _ in fields if path.startswith(".spec.") and not path.endswith("[]")}


@pytest.mark.parametrize("spec", [AgentJobSpec, AgentScheduleSpec])
def test_each_field_says_when_it_can_change(spec: type[BaseModel]) -> None:
    assert [name for name, field in spec.model_fields.items() if not isinstance(changes(field), Changes)] == []


def test_a_field_that_does_not_say_when_it_can_change_is_refused() -> None:
    class Budget(Model):
        limit: Integer = Field(default=1, description="What may be spent.")

    with pytest.raises(ValueError, match="values to unpack"):
        aliases(Budget, Changes.NEVER)


def test_every_field_is_either_work_or_steering() -> None:
    every = {str(field.alias) for field in AgentJobSpec.model_fields.values()}

    assert {*IMMUTABLE} | STEERING == every
    assert not {*IMMUTABLE} & STEERING
    before_start = {"queue", "startAt", "startAfter"}
    assert before_start | {"priority", "budget", "suspend", "cancel", "ttlSecondsAfterFinished"} == STEERING
    assert FIXED_AFTER_START == ("queue", "startAt", "startAfter")
    assert of_one_run(AgentJobSpec) == ("startAt", "startAfter", "suspend", "cancel")
