"""The reference pages of the kinds, made from the CRD and the documented words.

Run as `python -m agentjobs.api.generate.reference [--check] PAGE…`; never imported by the operator. Which page is
written follows from its name: one of `PAGES`.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from agentjobs.api import conditions, events
from agentjobs.api.changes import Changes, changes
from agentjobs.api.conditions import ConditionType, Word
from agentjobs.api.error_classes import CLASSES
from agentjobs.api.fields import QUANTITY
from agentjobs.api.generate.crd import object_schema, publish, queue_schema, schedule_schema, template_schema
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.queues import status as queue_status
from agentjobs.api.schedule import status as schedule_status
from agentjobs.api.schedule.spec import AgentScheduleSpec
from agentjobs.api.schedule.status import ScheduleConditionType
from agentjobs.api.template import status as template_status
from agentjobs.api.template.spec import TemplateFields
from agentjobs.contract import GROUP, VERSION, ErrorClass
from agentjobs.durations import TIME_PATTERN

NOTE: Final = "<!-- Made by `python -m agentjobs.api.generate.reference`; do not edit. -->"


def agentjob_page() -> str:
    """Return the page of fields as Markdown."""
    schema = object_schema()
    lines = [
        NOTE,
        "# AgentJob",
        "",
        f"`apiVersion: {GROUP}/{VERSION}`, `kind: AgentJob`, short name `aj`, category `adk`. {schema['description']}",
        "",
        "Everything is optional unless a rule says otherwise. Defaults are applied by the operator when it accepts the",
        "job and are not written into the object; only `cancel` and `suspend` are. Durations are written as `90s`,",
        "`15m`, `1h30m`, `7d`. Unknown fields are refused.",
        "",
        "The shortest job:",
        "",
        "```yaml",
        f"apiVersion: {GROUP}/{VERSION}",
        "kind: AgentJob",
        "metadata:",
        "  name: hello",
        "spec:",
        "  agent:",
        "    model: gemini-flash-latest",
        "    inline:",
        "      instruction: Be brief.",
        "  input:",
        "    message: Say hello.",
        "```",
        "",
        "## spec",
        "",
        "The third column says whether a field may change once the job is there; the API server refuses other edits.",
        "",
        *_spec_table(schema["properties"]["spec"], AgentJobSpec),
        "",
        "## Rules",
        "",
        "Refused by the API server, and again by the operator at acceptance, which reports all problems at once:",
        "",
        *(f"- {message}" for message in dict.fromkeys(_rules(schema))),
        "",
        "Besides, the operator refuses what no schema can see: a spec of more than 96 KiB or a state of more than",
        "16 KiB, a longest wait that is shorter than the first, sub-agents that make no tree, a `{key}` in an",
        "instruction that `input.state` does not bring, an LlmAgent without a model, fields that mean nothing to the",
        "class of agent, a session to continue of an application with no name, and text that no database stores.",
        "A job refused so ends as `Failed` with a message that names each field, value and cure.",
        "",
        "## status",
        "",
        "Written by the operator alone. Machines should wait for [conditions](conditions.md), people read the phase.",
        "",
        *_table(schema["properties"]["status"]),
    ]
    return "\n".join(lines) + "\n"


def schedule_page() -> str:
    """Return the page of a schedule's fields as Markdown."""
    schema = schedule_schema()
    spec = schema["properties"]["spec"]
    job = spec["properties"]["jobTemplate"]["properties"]["spec"]
    own = [rule["message"] for rule in (*schema["x-kubernetes-validations"], *spec["x-kubernetes-validations"])]
    of_jobs = set(_rules(object_schema()))
    template = [rule["message"] for rule in job["x-kubernetes-validations"] if rule["message"] not in of_jobs]
    # Its fields are a page of their own.
    job.pop("properties")
    lines = [
        NOTE,
        "# AgentSchedule",
        "",
        f"`apiVersion: {GROUP}/{VERSION}`, `kind: AgentSchedule`, short name `asch`, category `adk`.",
        schema["description"],
        "When exactly, and what happens after downtime, is told in [times of a schedule](schedule-times.md).",
        "",
        "The shortest schedule:",
        "",
        "```yaml",
        f"apiVersion: {GROUP}/{VERSION}",
        "kind: AgentSchedule",
        "metadata:",
        "  name: hello",
        "spec:",
        "  schedule: 30 6 * * 1-5",
        "  jobTemplate:",
        "    spec:",
        "      agent:",
        "        model: gemini-flash-latest",
        "        inline:",
        "          instruction: Be brief.",
        "      input:",
        "        message: Say good morning.",
        "```",
        "",
        "## spec",
        "",
        "`jobTemplate.spec` has all fields of [an AgentJob's spec](agentjob.md#spec).",
        "",
        "Each field may change at any time. Jobs that were made keep what they were made with.",
        "",
        *_spec_table(spec, AgentScheduleSpec),
        "",
        "## Rules",
        "",
        "Refused by the API server, and again by the operator, which reports all problems at once:",
        "",
        *(f"- {message}" for message in own),
        *(f"- in `jobTemplate.spec`: {message}" for message in template),
        "",
        "The rules of [AgentJob](agentjob.md#rules) hold in `jobTemplate.spec` too. Besides, the operator refuses an",
        "expression that no clock ever shows, a zone that does not exist, and labels and annotations in our domains.",
        "A schedule refused so makes no jobs; its condition `Active` is False and names each field, value and cure.",
        "",
        "## status",
        "",
        "Written by the operator alone; [conditions](conditions.md#conditions-of-an-agentschedule) say what holds.",
        "",
        *_table(schema["properties"]["status"]),
    ]
    return "\n".join(lines) + "\n"


def template_page() -> str:
    """Return the page of a template's fields as Markdown."""
    schema = template_schema()
    spec = schema["properties"]["spec"]
    own = {str(field.alias) for field in TemplateFields.model_fields.values()}
    work = [name for name in spec["properties"] if name not in own]
    lines = [
        NOTE,
        "# AgentTemplate",
        "",
        f"`apiVersion: {GROUP}/{VERSION}`, `kind: AgentTemplate`, short name `atpl`, category `adk`.",
        schema["description"],
        "How to use one: [templates](../how-to/templates.md).",
        "",
        "```yaml",
        f"apiVersion: {GROUP}/{VERSION}",
        "kind: AgentTemplate",
        "metadata:",
        "  name: hello",
        "spec:",
        "  parameters:",
        "    - name: who",
        "      required: true",
        "  agent:",
        "    model: gemini-flash-latest",
        "    inline:",
        "      instruction: Be brief.",
        "  input:",
        "    message: Say hello to $(params.who).",
        "```",
        "",
        "## spec",
        "",
        "Each field may change at any time; jobs that were accepted keep what they were accepted with.",
        "",
        *_table({**spec, "properties": {name: spec["properties"][name] for name in spec["properties"] if name in own}}),
        "",
        f"Besides it has these fields of [an AgentJob's spec](agentjob.md#spec), with their meaning: {_names(work)}.",
        "None is required: a job may add what the template leaves open. `$(params.<name>)` stands where other names",
        "may stand, for the parameters that are declared.",
        "",
        "## Rules",
        "",
        "Refused by the API server: " + "; ".join(rule["message"] for rule in _all_rules(schema, own)) + ".",
        "",
        "The rules of [AgentJob](agentjob.md#rules) hold as far as no job could mend what is wrong by adding to it.",
        "Besides, the operator refuses parameters that are declared twice, a default that is not in `enum`, an `enum`",
        "without a default for a parameter that is not required, and names in texts that nothing declares.",
        "Jobs of a template refused so wait; its condition `Valid` is False and names each field, value and cure.",
        "",
        "## status",
        "",
        "Written by the operator alone; [conditions](conditions.md#conditions-of-an-agenttemplate) say what holds.",
        "",
        *_table(schema["properties"]["status"]),
    ]
    return "\n".join(lines) + "\n"


def queue_page() -> str:
    """Return the page of a queue's fields as Markdown."""
    schema = queue_schema()
    spec = schema["properties"]["spec"]
    items = [spec["properties"][name]["items"] for name in ("budgets", "modelLimits")]
    rules = [rule["message"] for one in (schema, *items) for rule in one["x-kubernetes-validations"]]
    lines = [
        NOTE,
        "# AgentQueue",
        "",
        f"`apiVersion: {GROUP}/{VERSION}`, `kind: AgentQueue`, short name `aq`, category `adk`.",
        schema["description"],
        "How to use one: [queues](../how-to/queues.md). Who starts next: [the order of a queue](queue-order.md).",
        "",
        "## spec",
        "",
        "No field is required, and each may change at any time.",
        "",
        *_table(spec),
        "",
        "## Rules",
        "",
        "Refused by the API server: " + "; ".join(rules) + ".",
        "",
        "Besides, the operator refuses a zone that does not exist, two budgets of one name, a `rateLimit.period` that",
        "is shorter than 1s or longer than 1d, and a `priorityAging` below 1s. The last legal spec stays in force;",
        "the reason of the condition `Open` is `InvalidSpec` then, and its message names each field, value and cure.",
        "",
        "## status",
        "",
        "Written by the operator alone; [conditions](conditions.md#conditions-of-an-agentqueue) say what holds.",
        "",
        *_table(schema["properties"]["status"]),
    ]
    return "\n".join(lines) + "\n"


def _names(fields: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in fields)


def _all_rules(schema: Mapping[str, Any], own: Set[str]) -> Iterator[Mapping[str, Any]]:
    """The rules of an object and of some fields of its spec."""
    yield from schema.get("x-kubernetes-validations", ())
    for name, field in schema["properties"]["spec"]["properties"].items():
        if name in own:
            yield from field.get("items", {}).get("x-kubernetes-validations", ())


def conditions_page() -> str:
    """Return the page of phases, conditions and reasons as Markdown."""
    lines = [
        NOTE,
        "# Phases, conditions and reasons",
        "",
        "Conditions are the interface for machines: `kubectl wait --for=condition=Finished agentjob/NAME`. The phase",
        "is one word for people, derived from the conditions; so is `status.reason`, which says why the job ended,",
        "else what holds it up. Later releases may add phases and reasons, so take unknown ones for “something else”.",
        "",
        "## Phases",
        "",
        *_words(conditions.Phase),
        "",
        "## Conditions",
        "",
        *_words(conditions.ConditionType),
    ]
    for condition, reasons in _REASONS.items():
        lines += ["", f"## Reasons of {condition}", "", *_words(reasons)]
    lines += [
        "",
        "## Reasons of Failed",
        "",
        "`InvalidSpec`, `UnresolvedReference`, `SpecTooLarge`, `LockedField` or `TypeConflict` for a job that was",
        "never started, else the class of the last error: one of the [classes of errors](#classes-of-errors).",
        "",
        "## Reasons of Finished",
        "",
        "The phase the job ended in; while the condition is False, the phase the job is in.",
        "",
        "## Conditions of an AgentSchedule",
        "",
        *_words(schedule_status.ScheduleConditionType),
    ]
    for of_schedule, reasons in _SCHEDULE_REASONS.items():
        lines += ["", f"## Reasons of {of_schedule}", "", *_words(reasons)]
    lines += ["", "## Conditions of an AgentTemplate", "", *_words(template_status.TemplateConditionType)]
    lines += ["", "## Reasons of Valid", "", *_words(template_status.ValidReason)]
    lines += ["", "## Conditions of an AgentQueue", "", *_words(queue_status.QueueConditionType)]
    lines += ["", "## Reasons of Open", "", *_words(queue_status.OpenReason)]
    lines += ["", "## Reasons of Limited", "", *_words(queue_status.LimitedReason)]
    lines += [
        "",
        "## Events",
        "",
        "An Event has the reason of its condition, the phase or the class of the error as its reason, or one of these:",
        "",
        *_words(events.EventReason),
        "",
        "The reason decides the type. A Warning has failed or needs a person; waiting for a turn or a time, and what",
        "a person asked for, is Normal. These are Normal, all others are Warnings:",
        ", ".join(f"`{reason}`" for reason in sorted(events.NORMAL)) + ".",
        "",
        "## Classes of errors",
        "",
        "Why a start ended: in `status.attemptHistory`, in the history, on metrics, and in the condition `Failed`.",
        "`onErrors` of a rule in `resultPolicy` matches them and may decide otherwise. Without a rule:",
        "",
        *_classes(),
    ]
    return "\n".join(lines) + "\n"


def _table(schema: Mapping[str, Any]) -> Iterator[str]:
    yield "| Field | Type | Meaning |"
    yield "|---|---|---|"
    yield from _rows(schema, "")


def _spec_table(schema: Mapping[str, Any], spec: type[BaseModel]) -> Iterator[str]:
    """Yield the table with a column that says when each field may change; what is below a field changes as it does."""
    yield "| Field | Type | Changes | Meaning |"
    yield "|---|---|---|---|"
    when = {str(field.alias): _CHANGES[changes(field)] for field in spec.model_fields.values()}
    for field, kind, meaning in _fields(schema, ""):
        top = re.split(r"[.\[]", field)[0]
        yield f"| `{field}` | {kind} | {when[top]} | {meaning} |"


def _rows(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for field, kind, meaning in _fields(schema, path):
        yield f"| `{field}` | {kind} | {meaning} |"


def _fields(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    for name, node in schema.get("properties", {}).items():
        here = f"{path}{name}"
        required = " **Required.**" if name in schema.get("required", ()) else ""
        meaning = node.get("description", "").replace("|", "\\|")
        yield here, _type(node), f"{meaning}{required}"
        if node.get("type") == "array":
            yield from _fields(node["items"], f"{here}[].")
        else:
            yield from _fields(node, f"{here}.")


def _type(node: Mapping[str, Any]) -> str:
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if node.get("pattern") == QUANTITY:
        return "quantity"
    if node.get("x-kubernetes-int-or-string"):
        return "integer or name"
    if node.get("x-kubernetes-preserve-unknown-fields"):
        return "any object"
    match node["type"]:
        case "integer":
            return f"integer{_range(node)}"
        case "array":
            return f"list of {_type(node['items'])}, ≤ {node['maxItems']}"
        case "object" if "additionalProperties" in node:
            return f"map of {_type(node['additionalProperties'])}"
        case "string" if node.get("format") == "date-time" or node.get("pattern") == TIME_PATTERN:
            return "time, RFC 3339"
        case "string" if "ms)?$" in node.get("pattern", ""):
            return "duration"
        case "string":
            return f"string ≤ {node['maxLength']}"
    return str(node["type"])


def _range(node: Mapping[str, Any]) -> str:
    least, most = node.get("minimum"), node.get("maximum")
    if most is None or most >= 2**31 - 1:
        return "" if least is None else f" ≥ {least}"
    return f" {least}…{most}"


def _rules(node: Mapping[str, Any]) -> Iterator[str]:
    """What rules say, outermost first, but for those about how a single text is written."""
    if node.get("type") != "string":
        yield from (rule["message"] for rule in node.get("x-kubernetes-validations", ()))
    for child in (*node.get("properties", {}).values(), *([node["items"]] if "items" in node else [])):
        yield from _rules(child)


def _classes() -> Iterator[str]:
    yield "| Class | Meaning | Verdict | Costs an attempt |"
    yield "|---|---|---|---|"
    for name in ErrorClass:
        described = CLASSES[name]
        yield f"| `{name}` | {described.meaning} | {described.verdict} | {described.charged} |"


def _words(words: type[Word]) -> Iterator[str]:
    yield "| Name | Meaning |"
    yield "|---|---|"
    for word in words:
        yield f"| `{word}` | {word.description} |"


_CHANGES: Final[Mapping[Changes, str]] = {
    Changes.NEVER: "never",
    Changes.BEFORE_START: "before the first start",
    Changes.ALWAYS: "always",
}
_REASONS: Final[Mapping[ConditionType, type[Word]]] = {
    ConditionType.ACCEPTED: conditions.AcceptedReason,
    ConditionType.ADMITTED: conditions.AdmittedReason,
    ConditionType.POD_STARTED: conditions.PodStartedReason,
    ConditionType.SUSPENDED: conditions.SuspendedReason,
    ConditionType.COMPLETE: conditions.CompleteReason,
    ConditionType.CANCELLED: conditions.CancelledReason,
    ConditionType.SKIPPED: conditions.SkippedReason,
    ConditionType.FOLLOW_UPS_CREATED: conditions.FollowUpReason,
}
_SCHEDULE_REASONS: Final[Mapping[ScheduleConditionType, type[Word]]] = {
    ScheduleConditionType.ACTIVE: schedule_status.ActiveReason,
    ScheduleConditionType.BLOCKED: schedule_status.BlockedReason,
    ScheduleConditionType.DEGRADED: schedule_status.DegradedReason,
}
PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "agentjob.md": agentjob_page,
    "agenttemplate.md": template_page,
    "agentschedule.md": schedule_page,
    "agentqueue.md": queue_page,
    "conditions.md": conditions_page,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write pages, or with `--check` compare them; the exit status is 1 when one is stale."""
    parser = argparse.ArgumentParser(
        prog="python -m agentjobs.api.generate.reference", description="Write reference pages."
    )
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE", help=f"a path ending in {' or '.join(PAGES)}")
    parser.add_argument("--check", action="store_true", help="write nothing; fail with a diff when a page is stale")
    options = parser.parse_args(arguments)
    unknown = [str(page) for page in options.pages if page.name not in PAGES]
    if unknown:
        parser.error(f"no page of that name: {', '.join(unknown)}; use {' or '.join(PAGES)}")
    return max(publish(page, PAGES[page.name](), check=options.check) for page in options.pages)


if __name__ == "__main__":
    sys.exit(main())
