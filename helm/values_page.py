"""The reference page of the chart's values, generated from values.schema.json and values.yaml.

Run as `python helm/values_page.py [--check] PAGE`. Fails for a value without a description, a description
without a value, and a default that the schema does not allow.
"""

import argparse
import difflib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import yaml

CHART = Path(__file__).with_name("agentjobs")
NOTE = "<!-- Made by `python helm/values_page.py`; do not edit. -->"
INTRODUCTION = """# Values of the Helm chart

Every value of [helm/agentjobs](../../helm/agentjobs), its type and default. The chart rejects values that are not on
this page. How to use them: [Install](../how-to/install.md), [Production checklist](../how-to/production-checklist.md).
"""
# Kubernetes' own structures and maps with user-defined keys: their fields are not listed.
_WHOLE = frozenset({"requests", "limits", "claims"})


def page() -> str:
    """Return the page as Markdown; raises ValueError naming the value that schema and defaults disagree on."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    try:
        jsonschema.validate(defaults, schema)
    except jsonschema.ValidationError as error:
        raise ValueError(f"values.yaml: {'.'.join(map(str, error.path))}: {error.message}") from error
    rows = list(_rows(schema, defaults, ""))
    return "\n".join([NOTE, INTRODUCTION, "| Value | Type | Default | Meaning |", "|---|---|---|---|", *rows]) + "\n"


def _rows(schema: Mapping[str, Any], defaults: Mapping[str, Any], path: str) -> Iterator[str]:
    described = schema["properties"]
    if extra := set(defaults) - set(described):
        raise ValueError(f"values.yaml has {sorted(extra)} under {path or 'the top'}, values.schema.json does not")
    for name, node in described.items():
        here = f"{path}{name}"
        if not node.get("description"):
            raise ValueError(f"values.schema.json: {here} has no description")
        if name not in defaults and here != "global" and name not in _WHOLE:
            raise ValueError(f"values.schema.json describes {here}, which values.yaml does not have")
        yield f"| `{here}` | {_type(node)} | {_default(node, defaults.get(name))} | {_cell(node['description'])} |"
        if "properties" in node and not set(node["properties"]) <= _WHOLE:
            yield from _rows(node, defaults[name], f"{here}.")


def _type(node: Mapping[str, Any]) -> str:
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if node["type"] == "array":
        return f"list of {node['items']['type']}s"
    if isinstance(node.get("additionalProperties"), dict):
        return f"map of {node['additionalProperties']['type']}s"
    return " or ".join(node["type"]) if isinstance(node["type"], list) else str(node["type"])


def _default(node: Mapping[str, Any], value: Any) -> str:
    if "properties" in node and not set(node["properties"]) <= _WHOLE:
        return ""
    return f"`{json.dumps(value, ensure_ascii=False)}`" if value not in (None, "", [], {}) else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or with `--check` compare; the exit status is 1 when it is stale."""
    parser = argparse.ArgumentParser(description="Write the reference page of the chart's values.")
    parser.add_argument("page", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; fail with a diff when the page is stale")
    options = parser.parse_args(arguments)
    text = page()
    if not options.check:
        options.page.write_text(text, encoding="utf-8")
        return 0
    found = options.page.read_text(encoding="utf-8") if options.page.exists() else ""
    sys.stdout.writelines(
        difflib.unified_diff(found.splitlines(True), text.splitlines(True), str(options.page), "generated")
    )
    return int(found != text)


if __name__ == "__main__":
    sys.exit(main())
