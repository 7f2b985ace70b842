"""Compiles the value checks of a structural schema to closures; `schema` uses them.

Every check takes the value, its path and a list of violations to extend. Reasons and messages are those of
kube-apiserver 1.36, including the field `<nil>` for violations of `oneOf` and similar keywords. Lengths are in code
points, although the message has bytes. This server is stricter in three cases: a real one accepts a list for a string
with a format, 1.5 for an enum of integers with 1, and symbols in host names. The library jsonschema cannot do this: its
messages repeat the whole instance, which ends in a RecursionError for deep objects, and it has no nullable fields.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from devcluster.apiserver.errors import Cause
from devcluster.apiserver.formats import INTEGER_FORMATS, STRING_FORMATS, go_pattern

Path = tuple[str | int, ...]
Raw = dict[str, Any]

# Messages contain the invalid value, cut to this length.
_MAX_SHOWN: Final = 1024
_NO_FIELD: Final = "<nil>"


@dataclass(frozen=True, slots=True)
class Violation:
    """One error of a value.

    Args:
        path: of the value that violates its schema; for a missing field, of the object.
        forgivable: an update that does not change the value is accepted.
    """

    path: Path
    cause: Cause
    forgivable: bool = True


Validator = Callable[[Any, Path, list[Violation]], None]


def format_path(path: Path) -> str:
    """Return a path for a message: `spec.tools[0].name`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def format_value(value: object) -> str:
    """Return a value for a message: as JSON, cut if it is long."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:  # as Go formats float64
        return str(int(value))
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    except RecursionError:
        text = "a deeply nested value"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def compile_validator(schema: Raw) -> Validator:
    """Compile a schema and everything below it.

    Raises:
        ValueError: a pattern is not a regular expression.
    """
    declared = schema.get("type")
    int_or_string = bool(schema.get("x-kubernetes-int-or-string"))
    wanted = "integer,string" if int_or_string else declared
    allowed = frozenset(["integer", "string"]) if int_or_string else _allowed(declared)
    nullable = bool(schema.get("nullable")) or (wanted is None)
    narrowing = _combinator_checks(schema)
    steps = narrowing + [step for make in _MAKERS for step in make(schema)]
    enum = _enum_check(schema["enum"]) if schema.get("enum") else None

    def validate(value: Any, path: Path, violations: list[Violation]) -> None:
        if value is None and nullable:
            return
        typed = allowed is None or json_type(value) in allowed
        # The range of a fraction is checked even if an integer is required.
        measured = isinstance(value, float) and wanted == "integer"
        if not typed:
            violations.append(_type_violation(path, value, str(wanted)))
        if enum is not None:
            enum(value, path, violations)
        for step in steps if typed or measured else narrowing:
            step(value, path, violations)

    return validate


def json_type(value: object) -> str:
    """Return the OpenAPI type of a decoded JSON value; whole numbers within 64 bits are integers."""
    if isinstance(value, str):
        return "string"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -(2**63) <= value < 2**63 else "number"
    if isinstance(value, float):
        return "integer" if value.is_integer() and abs(value) < 2**63 else "number"
    return "array" if isinstance(value, list) else "object"


def _allowed(declared: str | None) -> frozenset[str] | None:
    if declared is None:
        return None
    return frozenset(["integer", "number"]) if declared == "number" else frozenset([declared])


def _type_violation(path: Path, value: object, wanted: str) -> Violation:
    # A whole number with a decimal point is accepted as an integer, but is a "number" in messages.
    got = '"number"' if isinstance(value, float) else f'"{json_type(value)}"'
    message = f"Invalid value: {got}: {_in_body(path)} must be of type {wanted}: {got}"
    return Violation(path, _cause("FieldValueTypeInvalid", format_path(path), message))


def _in_body(path: Path) -> str:
    return f"{format_path(path)} in body"


def _cause(reason: str, field: str, message: str) -> Cause:
    return {"reason": reason, "message": message, "field": field}


def _invalid(path: Path, value: object, message: str) -> Violation:
    return Violation(
        path, _cause("FieldValueInvalid", format_path(path), f"Invalid value: {format_value(value)}: {message}")
    )


def _enum_check(values: list[Any]) -> Validator:
    accepted = {_identity(value) for value in values}
    listed = ", ".join(format_value(value if isinstance(value, str) else format_value(value)) for value in values)

    def check(value: Any, path: Path, violations: list[Violation]) -> None:
        if _identity(value) not in accepted:
            message = f"Unsupported value: {format_value(value)}: supported values: {listed}"
            violations.append(Violation(path, _cause("FieldValueNotSupported", format_path(path), message)))

    return check


def _string_checks(schema: Raw) -> list[Validator]:
    steps: list[Validator] = []
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    text = schema.get("pattern")
    pattern = go_pattern(text) if text else None
    name = schema.get("format", "")
    well_formed = STRING_FORMATS.get(name)

    def check(value: Any, path: Path, violations: list[Violation]) -> None:
        if not isinstance(value, str):
            return
        if longest is not None and len(value) > longest:
            message = f"Too long: may not be more than {longest} bytes"
            violations.append(Violation(path, _cause("FieldValueTooLong", format_path(path), message)))
        if shortest is not None and len(value) < shortest:
            violations.append(_invalid(path, value, f"{_in_body(path)} should be at least {shortest} chars long"))
        if pattern is not None and pattern.search(value) is None:
            violations.append(_invalid(path, value, f"{_in_body(path)} should match '{text}'"))
        if well_formed is not None and not well_formed(value):
            message = (
                f"Invalid value: {format_value(value)}: {_in_body(path)} must be of type {name}: {format_value(value)}"
            )
            violations.append(Violation(path, _cause("FieldValueTypeInvalid", format_path(path), message)))

    if longest is not None or shortest is not None or pattern is not None or well_formed is not None:
        steps.append(check)
    return steps


def _number_checks(schema: Raw) -> list[Validator]:
    low, high, factor = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    above, below = bool(schema.get("exclusiveMinimum")), bool(schema.get("exclusiveMaximum"))
    limits = INTEGER_FORMATS.get(schema.get("format", ""))
    if all(limit is None for limit in (low, high, factor, limits)):
        return []

    def check(value: Any, path: Path, violations: list[Violation]) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        if limits is not None and not limits[0] <= value <= limits[1]:
            message = (
                f'Invalid value: "": Checked value must be of type {schema.get("type")} '
                f"with format {schema['format']} in {format_path(path)}"
            )
            violations.append(Violation(path, _cause("FieldValueInvalid", _NO_FIELD, message)))
        if factor and not _is_multiple(value, factor):
            violations.append(_invalid(path, value, f"{_in_body(path)} should be a multiple of {format_value(factor)}"))
        if high is not None and (value >= high if below else value > high):
            words = "less than" if below else "less than or equal to"
            violations.append(_invalid(path, value, f"{_in_body(path)} should be {words} {format_value(high)}"))
        if low is not None and (value <= low if above else value < low):
            words = "greater than" if above else "greater than or equal to"
            violations.append(_invalid(path, value, f"{_in_body(path)} should be {words} {format_value(low)}"))

    return [check]


def _is_multiple(value: float, factor: float) -> bool:
    if isinstance(value, int) and isinstance(factor, int):
        return value % factor == 0
    quotient = value / factor
    return abs(quotient) < 2**53 and quotient == int(quotient)


def _list_checks(schema: Raw) -> list[Validator]:
    steps: list[Validator] = []
    fewest, most = schema.get("minItems"), schema.get("maxItems")
    items = schema.get("items")
    item = compile_validator(items) if isinstance(items, dict) else None

    def check(value: Any, path: Path, violations: list[Violation]) -> None:
        if not isinstance(value, list):
            return
        if item is not None:
            for index, element in enumerate(value):
                item(element, (*path, index), violations)
        if fewest is not None and len(value) < fewest:
            violations.append(_invalid(path, len(value), f"{_in_body(path)} should have at least {fewest} items"))
        if most is not None and len(value) > most:
            violations.append(_too_many(path, len(value), most))

    if item is not None or fewest is not None or most is not None:
        steps.append(check)
    return steps


def _too_many(path: Path, count: int, most: int) -> Violation:
    message = f"Too many: {count}: must have at most {most} item{'' if most == 1 else 's'}"
    return Violation(path, _cause("FieldValueTooMany", format_path(path), message))


def _object_checks(schema: Raw) -> list[Validator]:
    children = {
        name: compile_validator(child)
        for name, child in (schema.get("properties") or {}).items()
        if isinstance(child, dict)
    }
    additional = schema.get("additionalProperties")
    other = compile_validator(additional) if isinstance(additional, dict) else None
    needed = tuple(schema.get("required") or ())
    if schema.get("x-kubernetes-embedded-resource"):
        name_check = compile_validator({"type": "string", "minLength": 1})
        children = {
            "apiVersion": name_check,
            "kind": name_check,
            "metadata": compile_validator({"type": "object"}),
        } | children
        needed = tuple(dict.fromkeys(("apiVersion", "kind", *needed)))
    fewest, most = schema.get("minProperties"), schema.get("maxProperties")
    if not (children or other or needed or fewest is not None or most is not None):
        return []

    def check(value: Any, path: Path, violations: list[Violation]) -> None:
        if not isinstance(value, dict):
            return
        for name, member in value.items():
            child = children.get(name, other)
            if child is not None:
                child(member, (*path, name), violations)
        for name in needed:
            if name not in value:
                field = format_path((*path, name))
                violations.append(Violation(path, _cause("FieldValueRequired", field, "Required value")))
        if fewest is not None and len(value) < fewest:
            violations.append(_invalid(path, len(value), f"{_in_body(path)} should have at least {fewest} properties"))
        if most is not None and len(value) > most:
            violations.append(_too_many(path, len(value), most))

    return [check]


def _combinator_checks(schema: Raw) -> list[Validator]:
    makers: tuple[tuple[str, Callable[[list[Validator]], Validator]], ...] = (
        ("anyOf", _any_of),
        ("oneOf", _one_of),
        ("allOf", _all_of),
    )
    steps = [make([compile_validator(each) for each in schema[word]]) for word, make in makers if schema.get(word)]
    if isinstance(schema.get("not"), dict):
        steps.append(_not(compile_validator(schema["not"])))
    return steps


def _outcomes(alternatives: list[Validator], value: Any, path: Path) -> list[list[Violation]]:
    outcomes = []
    for alternative in alternatives:
        violations: list[Violation] = []
        alternative(value, path, violations)
        outcomes.append([Violation(violation.path, violation.cause, forgivable=False) for violation in violations])
    return outcomes


def _closest(outcomes: list[list[Violation]]) -> list[Violation]:
    """Return the violations of the first alternative that has the fewest."""
    return min(outcomes, key=lambda outcome: len(outcome))


def _combinator_violation(path: Path, message: str) -> Violation:
    text = f'Invalid value: "": "{format_path(path)}" {message}'
    return Violation(path, _cause("FieldValueInvalid", _NO_FIELD, text), forgivable=False)


def _any_of(alternatives: list[Validator]) -> Validator:
    def check(value: Any, path: Path, violations: list[Violation]) -> None:
        outcomes = _outcomes(alternatives, value, path)
        if all(outcomes):
            violations.append(_combinator_violation(path, "must validate at least one schema (anyOf)"))
            violations.extend(_closest(outcomes))

    return check


def _one_of(alternatives: list[Validator]) -> Validator:
    def check(value: Any, path: Path, violations: list[Violation]) -> None:
        outcomes = _outcomes(alternatives, value, path)
        valid = sum(1 for outcome in outcomes if not outcome)
        if valid == 1:
            return
        found = f"Found {valid} valid alternatives" if valid else "Found none valid"
        violations.append(_combinator_violation(path, f"must validate one and only one schema (oneOf). {found}"))
        if not valid:
            violations.extend(_closest(outcomes))

    return check


def _all_of(alternatives: list[Validator]) -> Validator:
    def check(value: Any, path: Path, violations: list[Violation]) -> None:
        outcomes = _outcomes(alternatives, value, path)
        failed = [outcome for outcome in outcomes if outcome]
        if failed:
            violations.extend(violation for outcome in failed for violation in outcome)
            none = ". None validated" if len(failed) == len(outcomes) else ""
            violations.append(_combinator_violation(path, f"must validate all the schemas (allOf){none}"))

    return check


def _not(unwanted: Validator) -> Validator:
    def check(value: Any, path: Path, violations: list[Violation]) -> None:
        if not _outcomes([unwanted], value, path)[0]:
            violations.append(_combinator_violation(path, "must not validate the schema (not)"))

    return check


def _list_type_checks(schema: Raw) -> list[Validator]:
    kind = schema.get("x-kubernetes-list-type")
    if kind == "set":
        return [_unique(lambda item: item)]
    if kind == "map":
        keys = sorted(schema.get("x-kubernetes-list-map-keys") or ())
        unique = _unique(lambda item: {key: item[key] for key in keys if key in item})
        return [lambda value, path, violations: _check_map(unique, value, path, violations)]
    return []


def _check_map(unique: Validator, value: Any, path: Path, violations: list[Violation]) -> None:
    if not isinstance(value, list):
        return
    non_objects = [index for index, item in enumerate(value) if not isinstance(item, dict)]
    for index in non_objects:
        if value[index] is not None:
            violation = _invalid((*path, index), value[index], "must be an object for an array of list-type map")
            violations.append(Violation(path, violation.cause, forgivable=False))
    if not non_objects:
        unique(value, path, violations)


def _unique(key_of: Callable[[Any], Any]) -> Validator:
    def check(value: Any, path: Path, violations: list[Violation]) -> None:
        if not isinstance(value, list):
            return
        counts: dict[object, int] = {}
        for index, item in enumerate(value):
            key = key_of(item)
            identity = _identity(key)
            counts[identity] = counts.get(identity, 0) + 1
            if counts[identity] == 2:  # each duplicate value is reported once
                message = f"Duplicate value: {format_value(key)}"
                cause = _cause("FieldValueDuplicate", format_path((*path, index)), message)
                violations.append(Violation(path, cause, forgivable=False))

    return check


def _identity(value: object) -> object:
    """Return a hashable value that is equal for equal JSON values; `true` is not 1."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return ("constant", value)
    if isinstance(value, int | float):
        return ("number", value)
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError):  # nested too deeply for a comparison
        return id(value)


_MAKERS: Final[tuple[Callable[[Raw], list[Validator]], ...]] = (
    _string_checks,
    _number_checks,
    _list_checks,
    _object_checks,
    _list_type_checks,
)
