"""Jobs as a CRD's schema allows them, and a little beyond: what a rule in CEL may meet.

Drawn from the schema itself, so that a new field is covered the day it is written.
"""

import copy
import string
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Schema = dict[str, Any]

# Times that one reader of RFC 3339 takes and another does not; leap seconds, days that do not exist, odd offsets.
TIMES = [
    "2026-12-01T09:00:00Z",
    "2026-12-01T09:00:00.123456789+14:00",
    "2026-12-01t09:00:00Z",
    "2026-12-01T09:00:00z",
    "2026-12-01T09:00:00+99:99",
    "2026-12-01T09:00:00,5Z",
    "2026-12-01T24:00:00Z",
    "2026-12-31T23:59:60Z",
    "2026-02-30T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "2026-12-01T09:00:00.1234567890123Z",
    "2026-12-01 09:00:00Z",
    "2026-12-01T09:00:00-00:00",
    "2026-12-01",
    "",
]
ODD_TEXTS = ["", " ", "a", "\n", "é", "𝒳", "user", "0", "null", "x" * 300, *TIMES]
QUANTITIES = ["1", "250m", 1, 0, 0.5, "1Gi", "1e3", "lots", -1]
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | st.just("x"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


def values(node: Schema) -> st.SearchStrategy[Any]:
    """Draw values of a structural schema, most of them good."""
    if "enum" in node:
        return st.sampled_from(node["enum"])
    if node.get("x-kubernetes-int-or-string") or ("type" not in node and "pattern" in node):
        return st.sampled_from(QUANTITIES)
    match node.get("type"):
        case "string":
            return _texts(node)
        case "integer":
            low, high = node.get("minimum", -1), node.get("maximum", 2**31)
            return st.sampled_from([low, high, max(low, min(1, high)), float(low)])
        case "boolean":
            return st.booleans()
        case "array":
            keys = node.get("x-kubernetes-list-map-keys")
            unique = (lambda item: str([item.get(key) for key in keys])) if keys else None
            return st.lists(values(node["items"]), max_size=2, unique_by=unique)
        case "object" if node.get("properties"):
            return _objects(node)
        case "object" if isinstance(node.get("additionalProperties"), dict):
            keys = st.text(string.ascii_letters + "._-/", min_size=1, max_size=4)
            return st.dictionaries(keys, values(node["additionalProperties"]), max_size=2)
    return st.dictionaries(st.sampled_from("abc"), _ANYTHING, max_size=2)


def _texts(node: Schema) -> st.SearchStrategy[str]:
    if "pattern" in node:
        good = st.from_regex(node["pattern"], fullmatch=True).filter(lambda text: len(text) <= node["maxLength"])
    else:
        good = st.text(max_size=8)
    odd = st.sampled_from(TIMES if "T(" in node.get("pattern", "") or "format" in node else ODD_TEXTS)
    return st.one_of(good, good, odd)


def _objects(node: Schema) -> st.SearchStrategy[dict[str, Any]]:
    fields = node["properties"]
    required = {name: values(fields[name]) for name in node.get("required", ())}
    rest = [name for name in fields if name not in required]

    @st.composite
    def some(draw: st.DrawFn) -> dict[str, Any]:
        chosen = draw(st.lists(st.sampled_from(rest), max_size=3, unique=True)) if rest else []
        return draw(st.fixed_dictionaries(required)) | {name: draw(values(fields[name])) for name in chosen}

    return some()


A_JOB: Schema = {"agent": {"model": "gemini-flash-latest", "inline": {"instruction": "x"}}, "input": {"message": "x"}}


def jobs(schema: Schema, good: Schema = A_JOB, kind: str = "AgentJob") -> st.SearchStrategy[dict[str, Any]]:
    """Draw AgentJobs, or another kind: a good one, with up to three fields of its spec drawn."""
    fields = schema["properties"]["spec"]["properties"]

    @st.composite
    def some(draw: st.DrawFn) -> dict[str, Any]:
        chosen = draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=3, unique=True))
        spec = copy.deepcopy(good) | {name: draw(values(fields[name])) for name in chosen}
        head = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": kind, "metadata": {"name": "x"}}
        return {**head, "spec": spec}

    return some()


def samples(schema: Schema, count: int, good: Schema = A_JOB, kind: str = "AgentJob") -> list[dict[str, Any]]:
    """Return the same objects at each call, for servers that are too slow to search."""
    found: list[dict[str, Any]] = []

    @settings(max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=HealthCheck)
    @given(jobs(schema, good, kind))
    def collect(job: dict[str, Any]) -> None:
        found.append(job)

    collect()
    return found
