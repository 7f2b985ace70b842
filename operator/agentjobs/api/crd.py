"""The CustomResourceDefinition of AgentJob, made from the models: bounds and descriptions stand there and only there.

Run as `python -m agentjobs.api.crd [--check] FOLDER`; never imported by the operator. Adds what models cannot say: the
rules between fields as CEL, what is fixed once written, and the columns of `kubectl get`.

CEL's cost is estimated from maxLength, maxItems and maxProperties, so every string, list and map has one; a real API
server judges that in the tests.
"""

import argparse
import copy
import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import TypeAdapter
from pydantic.alias_generators import to_camel

from agentjobs.api.agentjob import MAX_JOB_NAME, RESERVED_AGENT_NAME, AgentJobSpec
from agentjobs.api.problems import PATTERN_CURES
from agentjobs.api.status import AgentJobStatus
from agentjobs.contract import GROUP, VERSION

Schema = dict[str, Any]

FILE: Final = "agentjobs.yaml"
HEADER: Final = "# Made from operator/agentjobs/api by `python -m agentjobs.api.crd crds`; do not edit.\n"

IMMUTABLE: Final = ("agent", "input", "session", "retry", "output", "resultPolicy", "timeouts", "runtime")
"""The work: fixed once written. What a job runs is stored at acceptance, so an edit would only mislead."""
FIXED_AFTER_START: Final[Mapping[str, str]] = {
    "queue": "queue is fixed after the first start",
    "startAt": "the start time is fixed after the first start",
    "startAfter": "the start time is fixed after the first start",
}


def crd() -> Schema:
    """Return the CustomResourceDefinition as a new dict."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"agentjobs.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": "AgentJob",
                "listKind": "AgentJobList",
                "plural": "agentjobs",
                "singular": "agentjob",
                "shortNames": ["aj"],
                "categories": ["adk"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(),
                    "schema": {"openAPIV3Schema": object_schema()},
                }
            ],
        },
    }


def object_schema() -> Schema:
    """Return the structural schema of an AgentJob."""
    return {
        "type": "object",
        "description": "An AgentJob runs one AI agent on one input to its end, in pods, with as many attempts as it "
        "takes.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec_schema(),
            "status": structural(TypeAdapter(AgentJobStatus).json_schema(by_alias=True)),
        },
        "x-kubernetes-validations": [
            _rule(f"self.metadata.name.size() <= {MAX_JOB_NAME}", f"a job's name has at most {MAX_JOB_NAME} characters")
        ]
        + [_rule(_fixed_after_start(field), message) for field, message in FIXED_AFTER_START.items()],
    }


def spec_schema() -> Schema:
    """Return the schema of `spec` with its rules."""
    schema = structural(AgentJobSpec.model_json_schema(by_alias=True))
    # Rules say it in words, where `required` would only say "Required value".
    schema.pop("required", None)
    schema["properties"]["input"].pop("required", None)
    # The only defaults in the schema. Without it, `!oldSelf.cancel || self.cancel` had nothing to read.
    schema["properties"]["cancel"]["default"] = False
    schema["properties"]["suspend"]["default"] = False
    _refuse_reserved_names(schema["properties"]["agent"]["properties"]["inline"])
    _refuse_two_instructions(schema["properties"]["agent"]["properties"]["inline"])
    schema["x-kubernetes-validations"] = [
        _rule("has(self.agent)", "agent is required: say what runs with agent.inline or agent.module"),
        _rule(
            "!has(self.agent) || [has(self.agent.inline), has(self.agent.module)].filter(x, x).size() == 1",
            "agent needs exactly one of inline and module",
        ),
        _rule(
            "has(self.input) && (has(self.input.message) || has(self.input.messageFrom))",
            "input is required: say what the agent is told with input.message or input.messageFrom",
        ),
        _rule(
            "!has(self.input) || !(has(self.input.message) && has(self.input.messageFrom))",
            "message and messageFrom exclude each other",
        ),
        _rule("!(has(self.startAt) && has(self.startAfter))", "startAt and startAfter exclude each other"),
        _rule(
            "!has(self.resultPolicy) || !has(self.resultPolicy.rules) || self.resultPolicy.rules.all(r, "
            "has(r.onErrors) || has(r.onExitCodes) || has(r.onPodConditions))",
            "a rule needs a matcher: onErrors, onExitCodes or onPodConditions",
        ),
        _rule("!oldSelf.cancel || self.cancel", "cancel is one way; create a new job instead"),
        *(_rule(_unchanged(field), f"{field} cannot change; create a new job instead") for field in IMMUTABLE),
    ]
    return schema


def structural(schema: Schema) -> Schema:
    """Return pydantic's JSON Schema as a structural schema: references inlined, no titles, no defaults, no null."""
    return _structural(schema, schema.get("$defs", {}))


def _raw(text: str) -> str:
    """Write `text` as a raw string of CEL, which knows no escapes: the quote must be one that the text has not."""
    quote = next(quote for quote in ("'", '"', "'''", '"""') if quote not in text)
    return f"r{quote}{text}{quote}"


def _structural(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    if "anyOf" in node:
        (some,) = [option for option in node["anyOf"] if option.get("type") != "null"]
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        return _structural({**some, **rest}, definitions)
    # Copied: what two places share would be written as a YAML anchor.
    result: Schema = {key: copy.deepcopy(node[key]) for key in _KEPT if key in node}
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    if node.get("type") == "integer":
        result["format"] = "int64"
    if node.get("type") == "string" and node.get("pattern") in PATTERN_CURES:
        # A pattern says in signs what is wrong; the rule beside it says the cure in words.
        pattern = node["pattern"]
        result["x-kubernetes-validations"] = [_rule(f"self.matches({_raw(pattern)})", PATTERN_CURES[pattern])]
    if "properties" in node:
        # The status is plain dataclasses, which have no aliases; to_camel leaves aliases as they are.
        children = node["properties"].items()
        result["properties"] = {to_camel(name): _structural(child, definitions) for name, child in children}
    if "required" in node:
        result["required"] = [to_camel(name) for name in node["required"]]
    if "items" in node:
        result["items"] = _structural(node["items"], definitions)
    values = node.get("additionalProperties")
    if values is True:
        result["x-kubernetes-preserve-unknown-fields"] = True
    elif isinstance(values, dict):
        result["additionalProperties"] = _structural(values, definitions)
    return result


def _refuse_reserved_names(inline: Schema) -> None:
    for agent in (inline, inline["properties"]["agents"]["items"]):
        rules = agent["properties"]["name"]["x-kubernetes-validations"]
        message = "is ADK's name for the person; use another, e.g. assistant"
        rules.append(_rule(f"self != '{RESERVED_AGENT_NAME}'", message))


def _refuse_two_instructions(inline: Schema) -> None:
    for agent in (inline, inline["properties"]["agents"]["items"]):
        both = "has(self.instruction) && has(self.instructionFrom)"
        agent["x-kubernetes-validations"] = [_rule(f"!({both})", "instruction and instructionFrom exclude each other")]


def _rule(expression: str, message: str) -> Schema:
    return {"rule": expression, "message": message}


def _unchanged(field: str) -> str:
    # The first half is what notices an optional field that is added or removed.
    return f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"


def _fixed_after_start(field: str) -> str:
    same = (
        f"has(self.spec.{field}) == has(oldSelf.spec.{field}) && "
        f"(!has(self.spec.{field}) || self.spec.{field} == oldSelf.spec.{field})"
    )
    return f"!has(oldSelf.status) || !has(oldSelf.status.startTime) || ({same})"


def _columns() -> list[Schema]:
    def column(name: str, path: str, *, kind: str = "string", wide: bool = False) -> Schema:
        return {"name": name, "type": kind, "jsonPath": path, "priority": int(wide)}

    return [
        column("Phase", ".status.phase"),
        column("Outcome", ".status.result.outcome"),
        column("Queue", ".status.queue.name"),
        column("Attempts", ".status.attempts", kind="integer"),
        column("Priority", ".spec.priority", kind="integer", wide=True),
        # A string, because kubectl prints a date that lies ahead as <invalid>.
        column("Next", ".status.nextAttemptTime", wide=True),
        column("Model", ".spec.agent.model", wide=True),
        column("Reason", '.status.conditions[?(@.type=="Failed")].reason', wide=True),
        column("Age", ".metadata.creationTimestamp", kind="date"),
    ]


_KEPT: Final = (
    "description",
    "type",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "maxItems",
    "maxProperties",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-preserve-unknown-fields",
)


def rendered() -> str:
    """Return the CRD as the YAML that is checked in."""
    return HEADER + yaml.safe_dump(crd(), sort_keys=False, width=120, allow_unicode=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the CRD into a folder, or with `--check` compare; the exit status is 1 when the file is stale."""
    parser = argparse.ArgumentParser(prog="python -m agentjobs.api.crd", description="Write crds/agentjobs.yaml.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; fail with a diff when the file is stale")
    options = parser.parse_args(arguments)
    return publish(options.folder / FILE, rendered(), check=options.check)


def publish(path: Path, text: str, *, check: bool) -> int:
    """Write a generated file, or print how it differs; return the exit status."""
    if not check:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return 0
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    diff = difflib.unified_diff(found.splitlines(True), text.splitlines(True), str(path), "generated")
    sys.stdout.writelines(diff)
    return int(found != text)


if __name__ == "__main__":
    sys.exit(main())
