"""The CustomResourceDefinitions, made from the models: bounds and descriptions stand there and only there.

Run as `python -m agentjobs.api.generate.crd [--check] FOLDER`; never imported by the operator. Adds what models cannot
say: the rules between fields as CEL, what is fixed once written, and the columns of `kubectl get`.

CEL's cost is estimated from maxLength, maxItems and maxProperties, so every string, list and map has one; a real API
server judges that in the tests. What a rule costs at run time, which is at every write of the status too, is the fields
it reads: a read copies the schemas of all fields beside it. So a rule stands as deep as it can, and reads `spec` only
where two of its fields meet.
"""

import argparse
import copy
import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, TypeAdapter

from agentjobs.api.changes import Changes, aliases
from agentjobs.api.job.agent import RESERVED_AGENT_NAME
from agentjobs.api.job.relations import MAX_TEMPLATE_NAME
from agentjobs.api.job.spec import MAX_JOB_NAME, AgentJobSpec
from agentjobs.api.job.status import AgentJobStatus
from agentjobs.api.problems import PATTERN_CURES
from agentjobs.api.queues.spec import MAX_QUEUE_NAME, AgentQueueSpec, Backlog, Concurrency, QueueBudget, RateLimit
from agentjobs.api.queues.status import AgentQueueStatus
from agentjobs.api.raw_status import crd_name
from agentjobs.api.schedule.spec import MAX_SCHEDULE_NAME, AgentScheduleSpec, CatchUp
from agentjobs.api.schedule.status import AgentScheduleStatus
from agentjobs.api.template.spec import NOT_IN_TEMPLATES, TemplateFields
from agentjobs.api.template.status import AgentTemplateStatus
from agentjobs.contract import GROUP, VERSION

Schema = dict[str, Any]

HEADER: Final = "# Made from operator/agentjobs/api by `python -m agentjobs.api.generate.crd crds`; do not edit.\n"

IMMUTABLE: Final = aliases(AgentJobSpec, Changes.NEVER)
FIXED_AFTER_START: Final = aliases(AgentJobSpec, Changes.BEFORE_START)
REQUIRED: Final[Mapping[str, str]] = {
    "agent": "agent is required: name the agent with agent.inline or agent.module, here or in the template",
    "input": "input is required: give the agent its message with input.message or input.messageFrom, here or in the "
    "template",
}
_COMPLETE: Final[Mapping[str, str]] = {
    "agent": "has(self.agent) && (has(self.agent.inline) || has(self.agent.module))",
    "input": "has(self.input) && (has(self.input.message) || has(self.input.messageFrom))",
}
"""What a job without a template must have."""


def crd() -> Schema:
    """Return the CustomResourceDefinition of AgentJob as a new dict."""
    # What a start of the operator waits for: jobs that have not ended. Since Kubernetes 1.31; 1.30 drops it.
    return _definition("AgentJob", "aj", _columns(), object_schema(), selectable=[".status.phase"])


def schedule_crd() -> Schema:
    """Return the CustomResourceDefinition of AgentSchedule as a new dict."""
    return _definition("AgentSchedule", "asch", _schedule_columns(), schedule_schema())


def queue_crd() -> Schema:
    """Return the CustomResourceDefinition of AgentQueue as a new dict."""
    return _definition("AgentQueue", "aq", _queue_columns(), queue_schema())


def template_crd() -> Schema:
    """Return the CustomResourceDefinition of AgentTemplate as a new dict."""
    return _definition("AgentTemplate", "atpl", _template_columns(), template_schema())


def _definition(
    kind: str, short: str, columns: list[Schema], schema: Schema, *, selectable: Sequence[str] = ()
) -> Schema:
    singular = kind.lower()
    fields = {"selectableFields": [{"jsonPath": path} for path in selectable]} if selectable else {}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{singular}s.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": f"{singular}s",
                "singular": singular,
                "shortNames": [short],
                "categories": ["adk"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    **fields,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def _object(description: str, spec: Schema, status: type[object], rules: list[Schema]) -> Schema:
    return {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": structural(TypeAdapter(status).json_schema(by_alias=True)),
        },
        "x-kubernetes-validations": rules,
    }


def object_schema() -> Schema:
    """Return the structural schema of an AgentJob."""
    name = _rule(f"self.metadata.name.size() <= {MAX_JOB_NAME}", f"a job's name has at most {MAX_JOB_NAME} characters")
    same = " && ".join(_unchanged(f"spec.{field}") for field in FIXED_AFTER_START)
    fixed = _rule(
        f"!has(oldSelf.status) || !has(oldSelf.status.startTime) || ({same})",
        f"{', '.join(FIXED_AFTER_START[:-1])} and {FIXED_AFTER_START[-1]} are fixed after the first start",
    )
    what = "An AgentJob runs one AI agent on one input to its end, in pods, with as many attempts as it takes."
    return _object(what, spec_schema(), AgentJobStatus, [name, fixed])


def schedule_schema() -> Schema:
    """Return the structural schema of an AgentSchedule."""
    limit = MAX_SCHEDULE_NAME
    name = _rule(f"self.metadata.name.size() <= {limit}", f"a schedule's name has at most {limit} characters")
    what = "An AgentSchedule makes AgentJobs at the times of a cron expression."
    return _object(what, schedule_spec_schema(), AgentScheduleStatus, [name])


def queue_schema() -> Schema:
    """Return the structural schema of an AgentQueue."""
    limit = MAX_QUEUE_NAME
    name = _rule(f"self.metadata.name.size() <= {limit}", f"a queue's name has at most {limit} characters")
    spec = structural(AgentQueueSpec.model_json_schema(by_alias=True))
    _set_defaults(spec, AgentQueueSpec)
    fields = spec["properties"]
    _set_defaults(fields["concurrency"], Concurrency)
    fields["concurrency"]["default"] = {}
    _set_defaults(fields["rateLimit"], RateLimit)
    _set_defaults(fields["backlog"], Backlog)
    budget = fields["budgets"]["items"]
    _set_defaults(budget, QueueBudget)
    _add(budget, "has(self.maxCostUSD) || has(self.maxTokens)", "a budget needs maxCostUSD, maxTokens or both")
    _add(fields["modelLimits"]["items"], "self.models.size() > 0", "a limit of models names at least one")
    _add(
        fields["modelLimits"]["items"],
        "has(self.requestsPerMinute) || has(self.tokensPerMinute) || has(self.maxConcurrentCalls)",
        "a limit of models needs requestsPerMinute, tokensPerMinute or maxConcurrentCalls",
    )
    what = "An AgentQueue sets limits for the AgentJobs of its namespace that name it."
    return _object(what, spec, AgentQueueStatus, [name])


def template_schema() -> Schema:
    """Return the structural schema of an AgentTemplate."""
    limit = MAX_TEMPLATE_NAME
    name = _rule(f"self.metadata.name.size() <= {limit}", f"a template's name has at most {limit} characters")
    what = "An AgentTemplate holds what many AgentJobs have in common."
    return _object(what, template_spec_schema(), AgentTemplateStatus, [name])


def template_spec_schema() -> Schema:
    """Return the schema of a template's `spec` with its rules."""
    work = structural(AgentJobSpec.model_json_schema(by_alias=True))
    _add_rules(work, complete=False)
    for field in NOT_IN_TEMPLATES:
        del work["properties"][field]
    own = structural(TemplateFields.model_json_schema(by_alias=True))
    work["properties"] = {**own["properties"], **work["properties"]}
    work["description"] = "The work of jobs, their parameters, and the fields that they must not set."
    # A template may leave open what its jobs bring, so rules that read two of its fields wait for the merge.
    work["x-kubernetes-validations"] = []
    _add(
        own["properties"]["parameters"]["items"],
        "!(has(self.required) && self.required && has(self.default))",
        "a required parameter has no default",
    )
    return work


def schedule_spec_schema() -> Schema:
    """Return the schema of a schedule's `spec` with its rules and defaults."""
    schema = structural(AgentScheduleSpec.model_json_schema(by_alias=True))
    _set_defaults(schema, AgentScheduleSpec)
    catch_up = schema["properties"]["catchUp"]
    _set_defaults(catch_up, CatchUp)
    catch_up["default"] = {}
    job = schema["properties"]["jobTemplate"]["properties"]["spec"]
    _add_rules(job)
    # A template is edited as one likes: what is fixed is fixed in each job that was made from it.
    _add(job, "!has(self.startAt)", "startAt cannot stand here: the schedule says when")
    _add(job, "!has(self.startAfter)", "startAfter cannot stand here: the schedule says when")
    _add(job, "!has(self.cancel) || !self.cancel", "cancel would end each job immediately; use suspend of the schedule")
    _add(
        schema,
        "!has(self.catchUp) || !has(self.catchUp.policy) || self.catchUp.policy != 'All' || "
        "!has(self.concurrencyPolicy) || self.concurrencyPolicy != 'Replace'",
        "catchUp.policy All and concurrencyPolicy Replace exclude each other: each start would cancel the one before",
    )
    return schema


def _set_defaults(schema: Schema, model: type[BaseModel]) -> None:
    """Write defaults of plain values: nothing lies between a schedule and them, unlike a job's."""
    for field in model.model_fields.values():
        if isinstance(field.default, str | int):
            schema["properties"][str(field.alias)]["default"] = field.default


def spec_schema() -> Schema:
    """Return the schema of a job's `spec` with its rules."""
    schema = structural(AgentJobSpec.model_json_schema(by_alias=True))
    _add_rules(schema)
    # The only defaults in the schema. Without it, the rule of `cancel` would not be evaluated when a client removes it.
    schema["properties"]["cancel"]["default"] = False
    schema["properties"]["suspend"]["default"] = False
    _add(schema["properties"]["cancel"], "!oldSelf || self", "cancel is one way; create a new job instead")
    for field in IMMUTABLE:
        message = f"{field} cannot change; create a new job instead"
        _add(schema["properties"][field], "self == oldSelf", message)
        # A rule of the field itself is not asked when the field is new or gone.
        _add(schema, f"has(self.{field}) == has(oldSelf.{field})", message)
    return schema


def _add_rules(schema: Schema, *, complete: bool = True) -> None:
    """Write the rules of a job's spec that hold at every moment, wherever it stands.

    Args:
        complete: whether a spec that names no template must say what runs, and on what input.
    """
    # Rules say it in words, where `required` would only say "Required value".
    schema.pop("required", None)
    spec = schema["properties"]
    spec["input"].pop("required", None)
    if complete:
        for field, message in REQUIRED.items():
            _add(schema, f"has(self.templateRef) || ({_COMPLETE[field]})", message)
        _add(
            schema,
            "!has(self.parameters) || self.parameters.size() == 0 || has(self.templateRef)",
            "parameters go with templateRef: they are those of the template",
        )
    _refuse_reserved_names(spec["agent"]["properties"]["inline"])
    _refuse_two_instructions(spec["agent"]["properties"]["inline"])
    _add(spec["agent"], "!(has(self.inline) && has(self.module))", "agent needs exactly one of inline and module")
    _add(
        spec["input"],
        "!(has(self.message) && has(self.messageFrom))",
        "message and messageFrom exclude each other",
    )
    _add(schema, "!(has(self.startAt) && has(self.startAfter))", "startAt and startAfter exclude each other")
    _add(
        spec["resultPolicy"]["properties"]["rules"]["items"],
        "has(self.onErrors) || has(self.onOutcomes) || has(self.onExitCodes) || has(self.onPodConditions)",
        "a rule needs a matcher: onErrors, onOutcomes, onExitCodes or onPodConditions",
    )
    _add(
        spec["after"],
        "has(self.jobs) && self.jobs.size() > 0 || has(self.selector) && self.selector.size() > 0",
        "after needs jobs or selector",
    )
    steps = spec["steps"]["properties"]
    _add(
        steps["tools"]["items"]["properties"]["match"],
        "self.size() > 0",
        "match is empty; name a tool, or write * for all of them",
    )
    _add(
        steps["compaction"],
        "!has(self.overlap) || self.overlap < self.everyEvents",
        "overlap must be less than everyEvents, or nothing is left to summarize",
    )
    _add(
        spec["session"],
        "!has(self.mode) || self.mode != 'Continue' || has(self.sessionId)",
        "mode Continue needs sessionId: its default is another in each job",
    )
    _add(
        schema,
        "!has(self.resultPolicy) || !has(self.resultPolicy.rules) || has(self.output) || "
        "self.resultPolicy.rules.all(r, !has(r.onOutcomes))",
        "onOutcomes needs output: an answer without a schema has no outcome",
    )
    _add(
        schema,
        "!has(self.runtime) || !has(self.runtime.runAsUser) || self.runtime.runAsUser > 0 || "
        "(has(self.isolation) && has(self.isolation.profile) && self.isolation.profile == 'Baseline')",
        "runAsUser 0 is root: use another user, or isolation.profile Baseline",
    )
    _add(
        spec["isolation"]["properties"]["egress"],
        "!has(self.allow) || self.allow.size() == 0 || (has(self.mode) && self.mode == 'Restricted')",
        "egress.allow goes with mode Restricted only",
    )


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
    if "const" in node:
        result["enum"] = [node["const"]]
    if node.get("type") == "integer":
        result["format"] = "int64"
    if node.get("type") == "string" and node.get("pattern") in PATTERN_CURES:
        # A pattern says in signs what is wrong; the rule beside it says the cure in words.
        pattern = node["pattern"]
        _add(result, f"self.matches({_raw(pattern)})", PATTERN_CURES[pattern])
    if "properties" in node:
        # The status is plain dataclasses, which have no aliases; aliases stay as they are.
        children = node["properties"].items()
        result["properties"] = {crd_name(name): _structural(child, definitions) for name, child in children}
    if "required" in node:
        result["required"] = [crd_name(name) for name in node["required"]]
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
        message = "is ADK's name for the person; use another, e.g. assistant"
        _add(agent["properties"]["name"], f"self != '{RESERVED_AGENT_NAME}'", message)


def _refuse_two_instructions(inline: Schema) -> None:
    for agent in (inline, inline["properties"]["agents"]["items"]):
        both = "has(self.instruction) && has(self.instructionFrom)"
        _add(agent, f"!({both})", "instruction and instructionFrom exclude each other")


def _add(node: Schema, expression: str, message: str) -> None:
    node.setdefault("x-kubernetes-validations", []).append(_rule(expression, message))


def _rule(expression: str, message: str) -> Schema:
    return {"rule": expression, "message": message}


def _unchanged(field: str) -> str:
    # The first half is what notices an optional field that is added or removed.
    return f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"


def _column(name: str, path: str, *, kind: str = "string", wide: bool = False) -> Schema:
    return {"name": name, "type": kind, "jsonPath": path, "priority": int(wide)}


def _columns() -> list[Schema]:
    return [
        _column("Phase", ".status.phase"),
        _column("Outcome", ".status.result.outcome"),
        _column("Queue", ".status.queue.name"),
        _column("Attempts", ".status.attempts", kind="integer"),
        _column("Steps", ".status.checkpoint.step", kind="integer", wide=True),
        _column("Priority", ".spec.priority", kind="integer", wide=True),
        # A string, because kubectl prints a date that lies ahead as <invalid>.
        _column("Next", ".status.nextAttemptTime", wide=True),
        _column("Cost", ".status.usage.costUSD", wide=True),
        _column("Model", ".spec.agent.model", wide=True),
        _column("Template", ".spec.templateRef.name", wide=True),
        _column("Reason", ".status.reason"),
        _column("Age", ".metadata.creationTimestamp", kind="date"),
    ]


def _queue_columns() -> list[Schema]:
    return [
        _column("Running", ".status.running", kind="integer"),
        _column("Max", ".status.max", kind="integer"),
        _column("Waiting", ".status.waiting", kind="integer"),
        _column("Oldest", ".status.oldestWaitingTime", kind="date"),
        _column("Stop", ".spec.stopPolicy"),
        _column("Scheduled", ".status.scheduled", kind="integer", wide=True),
        _column("Rate", ".spec.rateLimit.starts", kind="integer", wide=True),
        _column("Spend", ".status.spend[0].costUSD", wide=True),
        _column("Open", '.status.conditions[?(@.type=="Open")].reason', wide=True),
        _column("Age", ".metadata.creationTimestamp", kind="date"),
    ]


def _template_columns() -> list[Schema]:
    return [
        _column("Model", ".spec.agent.model"),
        _column("Description", ".spec.description"),
        _column("Valid", '.status.conditions[?(@.type=="Valid")].status'),
        _column("Queue", ".spec.queue", wide=True),
        _column("Locked", ".spec.locked", wide=True),
        _column("Age", ".metadata.creationTimestamp", kind="date"),
    ]


def _schedule_columns() -> list[Schema]:
    return [
        _column("Schedule", ".spec.schedule"),
        _column("Timezone", ".spec.timeZone"),
        _column("Suspend", ".spec.suspend", kind="boolean"),
        _column("Active", ".status.running", kind="integer"),
        _column("Last", ".status.lastScheduleTime", kind="date"),
        # A string, because kubectl prints a date that lies ahead as <invalid>.
        _column("Next", ".status.nextScheduleTime"),
        _column("Policy", ".spec.concurrencyPolicy", wide=True),
        _column("Missed", ".status.missed", kind="integer", wide=True),
        _column("Runs", ".status.runs", kind="integer", wide=True),
        _column("Failures", ".status.consecutiveFailures", kind="integer", wide=True),
        _column("Reason", '.status.conditions[?(@.type=="Active")].reason'),
        _column("Age", ".metadata.creationTimestamp", kind="date"),
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


FILES: Final[Mapping[str, Callable[[], Schema]]] = {
    "agentjobs.yaml": crd,
    "agentqueues.yaml": queue_crd,
    "agentschedules.yaml": schedule_crd,
    "agenttemplates.yaml": template_crd,
}


def rendered(definition: Schema) -> str:
    """Return a definition as the YAML that is checked in."""
    return HEADER + yaml.safe_dump(definition, sort_keys=False, width=120, allow_unicode=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write all definitions into a folder, or with `--check` compare; the exit status is 1 when a file is stale."""
    parser = argparse.ArgumentParser(
        prog="python -m agentjobs.api.generate.crd", description="Write the files of crds/."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; fail with a diff when a file is stale")
    options = parser.parse_args(arguments)
    return max(publish(options.folder / file, rendered(made()), check=options.check) for file, made in FILES.items())


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
