"""Evaluates the label selectors of objects. Pure."""

from collections.abc import Mapping
from typing import Any


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Return whether the selector matches the labels; an empty one matches everything."""
    wanted = selector or {}
    equal = all(labels.get(key) == value for key, value in (wanted.get("matchLabels") or {}).items())
    return equal and all(_holds(requirement, labels) for requirement in wanted.get("matchExpressions") or ())


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None
