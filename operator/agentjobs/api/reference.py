"""The reference pages of the AgentJob kind, made from the CRD and the documented words.

Run as `python -m agentjobs.api.reference [--check] PAGE…`; never imported by the operator. Which page is written
follows from its name: `agentjob.md` or `conditions.md`.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from agentjobs.api import conditions
from agentjobs.api.conditions import ConditionType, Word
from agentjobs.api.crd import object_schema, publish
from agentjobs.contract import GROUP, VERSION

NOTE: Final = "<!-- Made by `python -m agentjobs.api.reference`; do not edit. -->"


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
        "job and are not written into the object; only `cancel` is. Durations are written as `90s`, `15m`, `1h30m`,",
        "`7d`. Unknown fields are refused.",
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
        *_table(schema["properties"]["spec"]),
        "",
        "## Rules",
        "",
        "Refused by the API server, and again by the operator at acceptance, which reports all problems at once:",
        "",
        *(f"- {rule['message']}" for rule in _rules(schema)),
        "",
        "Besides, the operator refuses what no schema can see: a spec of more than 96 KiB or a state of more than",
        "16 KiB, sub-agents that make no tree, a `{key}` in an instruction that `input.state` does not bring, an",
        "LlmAgent without a model, fields that mean nothing to the class of agent, and text that no database stores.",
        "A job refused so ends as `Failed` with a message that names each field, value and cure.",
        "",
        "## status",
        "",
        "Written by the operator alone. Machines should wait for [conditions](conditions.md), people read the phase.",
        "",
        *_table(schema["properties"]["status"]),
    ]
    return "\n".join(lines) + "\n"


def conditions_page() -> str:
    """Return the page of phases, conditions and reasons as Markdown."""
    lines = [
        NOTE,
        "# Phases, conditions and reasons",
        "",
        "Conditions are the interface for machines: `kubectl wait --for=condition=Finished agentjob/NAME`. The phase",
        "is one word for people, derived from the conditions. Later releases may add phases and reasons, so take",
        "unknown ones for “something else”.",
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
        "`InvalidSpec`, `UnresolvedReference` or `SpecTooLarge` for a job that was never started, else the class of",
        "the last error, such as `AgentError` or `ModelAuth`.",
        "",
        "## Reasons of Finished",
        "",
        "The phase the job ended in; while the condition is False, the phase the job is in.",
    ]
    return "\n".join(lines) + "\n"


def _table(schema: Mapping[str, Any]) -> Iterator[str]:
    yield "| Field | Type | Meaning |"
    yield "|---|---|---|"
    yield from _rows(schema, "")


def _rows(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, node in schema.get("properties", {}).items():
        here = f"{path}{name}"
        required = " **Required.**" if name in schema.get("required", ()) and path else ""
        meaning = node.get("description", "").replace("|", "\\|")
        yield f"| `{here}` | {_type(node)} | {meaning}{required} |"
        if node.get("type") == "array":
            yield from _rows(node["items"], f"{here}[].")
        else:
            yield from _rows(node, f"{here}.")


def _type(node: Mapping[str, Any]) -> str:
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if node.get("x-kubernetes-int-or-string"):
        return "quantity"
    if node.get("x-kubernetes-preserve-unknown-fields"):
        return "any object"
    match node["type"]:
        case "integer":
            return f"integer{_range(node)}"
        case "array":
            return f"list of {_type(node['items'])}, ≤ {node['maxItems']}"
        case "object" if "additionalProperties" in node:
            return f"map of {_type(node['additionalProperties'])}"
        case "string" if node.get("format") == "date-time":
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


def _rules(schema: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    seen = set()
    for rule in (*schema["x-kubernetes-validations"], *schema["properties"]["spec"]["x-kubernetes-validations"]):
        if rule["message"] not in seen:
            seen.add(rule["message"])
            yield rule


def _words(words: type[Word]) -> Iterator[str]:
    yield "| Name | Meaning |"
    yield "|---|---|"
    for word in words:
        yield f"| `{word}` | {word.description} |"


_REASONS: Final[Mapping[ConditionType, type[Word]]] = {
    ConditionType.ACCEPTED: conditions.AcceptedReason,
    ConditionType.ADMITTED: conditions.AdmittedReason,
    ConditionType.POD_STARTED: conditions.PodStartedReason,
    ConditionType.SUSPENDED: conditions.SuspendedReason,
    ConditionType.COMPLETE: conditions.CompleteReason,
    ConditionType.CANCELLED: conditions.CancelledReason,
}
PAGES: Final[Mapping[str, Callable[[], str]]] = {"agentjob.md": agentjob_page, "conditions.md": conditions_page}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write pages, or with `--check` compare them; the exit status is 1 when one is stale."""
    parser = argparse.ArgumentParser(prog="python -m agentjobs.api.reference", description="Write reference pages.")
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE", help=f"a path ending in {' or '.join(PAGES)}")
    parser.add_argument("--check", action="store_true", help="write nothing; fail with a diff when a page is stale")
    options = parser.parse_args(arguments)
    unknown = [str(page) for page in options.pages if page.name not in PAGES]
    if unknown:
        parser.error(f"no page of that name: {', '.join(unknown)}; use {' or '.join(PAGES)}")
    return max(publish(page, PAGES[page.name](), check=options.check) for page in options.pages)


if __name__ == "__main__":
    sys.exit(main())
