"""The CustomResourceDefinitions, generated from the models, which own all bounds and descriptions.

Run as `python -m agentjobs.api.generate.crd [--check] FOLDER`; never imported by the operator. Adds what the models
cannot express: rules between fields as CEL, immutability, and the columns of `kubectl get`.

The API server estimates CEL's cost from maxLength, maxItems and maxProperties, so every string, list and map has one;
tests check this with a real API server.
"""

import argparse
import difflib
import functools
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, TypeAdapter

from agentjobs.api.changes import Changes, aliases
from agentjobs.api.generate.columns import job_columns, queue_columns, schedule_columns, template_columns
from agentjobs.api.generate.job_rules import add_job_rules
from agentjobs.api.generate.structural import Schema, add_rule, rule, structural
from agentjobs.api.job.relations import MAX_TEMPLATE_NAME
from agentjobs.api.job.spec import MAX_JOB_NAME, AgentJobSpec
from agentjobs.api.job.status import AgentJobStatus
from agentjobs.api.queues.spec import MAX_QUEUE_NAME, AgentQueueSpec, Backlog, Concurrency, QueueBudget, RateLimit
from agentjobs.api.queues.status import AgentQueueStatus
from agentjobs.api.schedule.spec import MAX_SCHEDULE_NAME, AgentScheduleSpec, CatchUp
from agentjobs.api.schedule.status import AgentScheduleStatus
from agentjobs.api.template.spec import NOT_IN_TEMPLATES, TemplateFields
from agentjobs.api.template.status import AgentTemplateStatus
from agentjobs.contract import GROUP, VERSION

HEADER: Final = "# Made from operator/agentjobs/api by `python -m agentjobs.api.generate.crd crds`; do not edit.\n"

_SENTENCE: Final = re.compile(r"(?<=\w\w[.:)])\s.*", re.DOTALL)
"""The rest after the first sentence."""

IMMUTABLE: Final = aliases(AgentJobSpec, Changes.NEVER)
FIXED_AFTER_START: Final = aliases(AgentJobSpec, Changes.BEFORE_START)


def crd() -> Schema:
    """Return the CustomResourceDefinition of AgentJob as a new dict."""
    # For the operator's start-up, which lists jobs that have not ended. Since Kubernetes 1.31; 1.30 drops it.
    return _definition("AgentJob", "aj", job_columns(), object_schema(), selectable=[".status.phase"])


def schedule_crd() -> Schema:
    """Return the CustomResourceDefinition of AgentSchedule as a new dict."""
    return _definition("AgentSchedule", "asch", schedule_columns(), schedule_schema())


def queue_crd() -> Schema:
    """Return the CustomResourceDefinition of AgentQueue as a new dict."""
    return _definition("AgentQueue", "aq", queue_columns(), queue_schema())


def template_crd() -> Schema:
    """Return the CustomResourceDefinition of AgentTemplate as a new dict."""
    return _definition("AgentTemplate", "atpl", template_columns(), template_schema())


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
    name = rule(f"self.metadata.name.size() <= {MAX_JOB_NAME}", f"a job's name has at most {MAX_JOB_NAME} characters")
    what = "An AgentJob runs one AI agent on one input to completion, in pods, with retries."
    return _object(what, spec_schema(), AgentJobStatus, [name, _edits_rule()])


def _edits_rule() -> Schema:
    """Return the rule of which fields an edit must not add or remove; rules of the fields compare their values.

    It is one rule, because each write of a status evaluates it. Its first half skips the rest for writes of the status:
    they cannot change the spec, and a write of the spec cannot change the status.
    """
    status_written = (
        "has(self.status) && has(self.status.transitions) && (!has(oldSelf.status) || "
        "!has(oldSelf.status.transitions) || self.status.transitions != oldSelf.status.transitions)"
    )
    waits = "(!has(oldSelf.status) || !has(oldSelf.status.startTime))"
    place = " && ".join(f"{_kept(field)} && {_same(field)}" for field in FIXED_AFTER_START)
    fixed = f"{', '.join(FIXED_AFTER_START[:-1])} and {FIXED_AFTER_START[-1]} are fixed after the first start"
    checks = {_kept(field): _never(field) for field in IMMUTABLE} | {f"({waits} || ({place}))": fixed}
    return {
        "rule": f"{status_written} || ({' && '.join(checks)})",
        "message": f"the work of a job cannot change, and {fixed}",
        "messageExpression": " + ".join(f"({check} ? '' : '{message}. ')" for check, message in checks.items()),
        "fieldPath": ".spec",
    }


def _kept(field: str) -> str:
    return f"has(self.spec.{field}) == has(oldSelf.spec.{field})"


def _same(field: str) -> str:
    return f"(!has(self.spec.{field}) || self.spec.{field} == oldSelf.spec.{field})"


def _never(field: str) -> str:
    return f"{field} cannot change; create a new job instead"


def schedule_schema() -> Schema:
    """Return the structural schema of an AgentSchedule."""
    limit = MAX_SCHEDULE_NAME
    name = rule(f"self.metadata.name.size() <= {limit}", f"a schedule's name has at most {limit} characters")
    what = "An AgentSchedule creates AgentJobs at the times of a cron expression."
    return _object(what, schedule_spec_schema(), AgentScheduleStatus, [name])


def queue_schema() -> Schema:
    """Return the structural schema of an AgentQueue."""
    limit = MAX_QUEUE_NAME
    name = rule(f"self.metadata.name.size() <= {limit}", f"a queue's name has at most {limit} characters")
    spec = structural(AgentQueueSpec.model_json_schema(by_alias=True))
    _set_defaults(spec, AgentQueueSpec)
    fields = spec["properties"]
    _set_defaults(fields["concurrency"], Concurrency)
    fields["concurrency"]["default"] = {}
    _set_defaults(fields["rateLimit"], RateLimit)
    _set_defaults(fields["backlog"], Backlog)
    budget = fields["budgets"]["items"]
    _set_defaults(budget, QueueBudget)
    add_rule(budget, "has(self.maxCostUSD) || has(self.maxTokens)", "a budget needs maxCostUSD, maxTokens or both")
    add_rule(fields["modelLimits"]["items"], "self.models.size() > 0", "models must name at least one model")
    add_rule(
        fields["modelLimits"]["items"],
        "has(self.requestsPerMinute) || has(self.tokensPerMinute) || has(self.maxConcurrentCalls)",
        "a model limit needs requestsPerMinute, tokensPerMinute or maxConcurrentCalls",
    )
    what = "An AgentQueue sets limits for the AgentJobs of its namespace that name it."
    return _object(what, spec, AgentQueueStatus, [name])


def template_schema() -> Schema:
    """Return the structural schema of an AgentTemplate."""
    limit = MAX_TEMPLATE_NAME
    name = rule(f"self.metadata.name.size() <= {limit}", f"a template's name has at most {limit} characters")
    what = "An AgentTemplate holds the fields that many AgentJobs share."
    return _object(what, template_spec_schema(), AgentTemplateStatus, [name])


def template_spec_schema() -> Schema:
    """Return the schema of a template's `spec` with its rules."""
    work = structural(AgentJobSpec.model_json_schema(by_alias=True))
    add_job_rules(work, complete=False)
    for field in NOT_IN_TEMPLATES:
        del work["properties"][field]
    own = structural(TemplateFields.model_json_schema(by_alias=True))
    work["properties"] = {**own["properties"], **work["properties"]}
    work["description"] = "The work of jobs, their parameters, and the fields that they must not set."
    # A template may omit fields that its jobs set, so rules over two fields are checked after the merge.
    work["x-kubernetes-validations"] = []
    add_rule(
        own["properties"]["parameters"]["items"],
        "!(has(self.required) && self.required && has(self.default))",
        "a required parameter must not have a default",
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
    add_job_rules(job)
    _shorten(job)
    # A template may be edited freely: immutability applies to the jobs created from it.
    add_rule(job, "!has(self.startAt)", "startAt is not allowed here: the schedule sets the time")
    add_rule(job, "!has(self.startAfter)", "startAfter is not allowed here: the schedule sets the time")
    add_rule(
        job, "!has(self.cancel) || !self.cancel", "cancel would end each job immediately; use the schedule's suspend"
    )
    add_rule(
        schema,
        "!has(self.catchUp) || !has(self.catchUp.policy) || self.catchUp.policy != 'All' || "
        "!has(self.concurrencyPolicy) || self.concurrencyPolicy != 'Replace'",
        "catchUp.policy All and concurrencyPolicy Replace exclude each other: each start would cancel the one before",
    )
    return schema


def _shorten(schema: Schema) -> None:
    """Keep only the first sentence of each description: the AgentJob has the whole, and a CRD's size is limited."""
    for field in schema.get("properties", {}).values():
        if "description" in field:
            field["description"] = _SENTENCE.sub("", field["description"])
        _shorten(field)
        _shorten(field.get("items", {}))


def _set_defaults(schema: Schema, model: type[BaseModel]) -> None:
    """Write defaults of plain values into the schema: unlike a job, a schedule has no template that could set them."""
    for field in model.model_fields.values():
        if isinstance(field.default, str | int):
            schema["properties"][str(field.alias)]["default"] = field.default


def spec_schema() -> Schema:
    """Return the schema of a job's `spec` with its rules."""
    schema = structural(AgentJobSpec.model_json_schema(by_alias=True))
    add_job_rules(schema)
    # The only defaults in the schema. Without one, the rule of `cancel` would not be evaluated when a client removes
    # it.
    schema["properties"]["cancel"]["default"] = False
    schema["properties"]["suspend"]["default"] = False
    add_rule(schema["properties"]["cancel"], "!oldSelf || self", "cancel cannot be undone; create a new job instead")
    for field in IMMUTABLE:
        add_rule(schema["properties"][field], "self == oldSelf", _never(field))
    return schema


FILES: Final[Mapping[str, Callable[[], Schema]]] = {
    "agentjobs.yaml": functools.cache(crd),
    "agentqueues.yaml": functools.cache(queue_crd),
    "agentschedules.yaml": functools.cache(schedule_crd),
    "agenttemplates.yaml": functools.cache(template_crd),
}
"""Functions that return each definition, made at the first call and not to be changed: making all takes 0.3 s."""


def rendered(definition: Schema) -> str:
    """Return a definition as YAML."""
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
