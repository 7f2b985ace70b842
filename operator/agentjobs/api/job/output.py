"""Rules about the schema of a job's answer. Called by `validation` and, for schemas from ConfigMaps, by `resolve`.

A schema is user input: it is checked here before anything is validated with it. It must not refer to anything outside
itself, so that no runner fetches addresses that a job names.
"""

from collections.abc import Iterator, Mapping
from typing import Any


def schema_problems(schema: object) -> Iterator[str]:
    """Yield the problems of a JSON Schema, each as a predicate ("is malformed …"); nothing for None."""
    if schema is None:
        return
    if not isinstance(schema, Mapping):
        yield "is not an object; write a JSON Schema"
        return
    if schema.get("type") != "object":
        yield "does not describe a JSON object; write type: object at its root"
    for reference in _references(schema):
        if not reference.startswith("#"):
            yield f"refers to {reference[:80]!r}, outside itself; put the definition under $defs"
            return
    yield from _malformed(schema)


def _malformed(schema: Mapping[str, Any]) -> Iterator[str]:
    from jsonschema import (
        Draft202012Validator,
        SchemaError,
    )  # takes a quarter of a second, needed only by jobs with a schema

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = "/".join(map(str, error.absolute_path)) or "its root"
        yield f"is malformed at {where}: {error.message[:200]}"
    except RecursionError:
        yield "is nested too deeply"


def _references(schema: Mapping[str, Any]) -> Iterator[str]:
    waiting: list[object] = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            for key, item in value.items():
                if key in ("$ref", "$dynamicRef") and isinstance(item, str):
                    yield item
                waiting.append(item)
        elif isinstance(value, list | tuple):
            waiting += value
