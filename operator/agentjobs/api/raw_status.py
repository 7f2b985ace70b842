"""Reading statuses tolerantly from raw objects, and writing them with the CRD's names.

A value that is missing, of a wrong type or out of range becomes its default, and nothing raises. See `job.status`.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Annotated, Any, Final, cast

from pydantic import Field
from pydantic.alias_generators import to_camel

from agentjobs.api.conditions import Condition, ConditionStatus, Phase
from agentjobs.durations import format_time, instant

MAX_COUNT: Final = 2**31 - 1
MAX_CONDITIONS: Final = 16
MAX_RESUME: Final = 253

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Generation = Annotated[int, Field(ge=0, description="`metadata.generation` that the status is about.")]
Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        max_length=MAX_CONDITIONS,
        description="Conditions; see the reference of conditions.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
"""`observedGeneration` and `conditions`, in the status of every kind."""

_STATUSES: Final = ("True", "False", "Unknown")
# Most members of a status have these types.
_AS_THEY_ARE: Final = frozenset({str, int, bool, dict})
_USD: Final = re.compile("Usd$")
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def read_condition(raw: Mapping[str, Any]) -> Condition:
    """Read one entry of `conditions`; an unknown status counts as Unknown."""
    status = read_text(raw, "status")
    return Condition(
        type=read_text(raw, "type"),
        status=cast("ConditionStatus", status) if status in _STATUSES else "Unknown",
        reason=read_text(raw, "reason"),
        message=read_text(raw, "message"),
        last_transition_time=read_time(raw, "lastTransitionTime") or _EPOCH,
        observed_generation=read_count(raw, "observedGeneration", 2**63 - 1),
    )


def read_objects(raw: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return the objects of a list, without other entries."""
    value = raw.get(key)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def read_count(raw: Mapping[str, Any], key: str, most: int = MAX_COUNT) -> int:
    """Return a number from 0 to `most`, else 0."""
    value = raw.get(key)
    return value if type(value) is int and 0 <= value <= most else 0


def read_text(raw: Mapping[str, Any], key: str) -> str:
    """Return a string, else an empty one."""
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def read_time(raw: Mapping[str, Any], key: str) -> datetime | None:
    """Return an RFC 3339 instant in a usable range, else None."""
    return instant(raw.get(key))


def plain(value: object) -> object:
    """Return a status, or a part of one, with the CRD's names, without None."""
    kind: Any = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is datetime:
        return format_time(cast("datetime", value))
    if kind is tuple:
        return [plain(item) for item in cast("tuple[object, ...]", value)]
    keys = _field_keys(kind)
    if not keys:
        return str(value) if isinstance(value, Phase) else value
    members: dict[str, object] = {}
    for name, key in keys:
        member = getattr(value, name)
        if member is not None:
            members[key] = member if type(member) in _AS_THEY_ARE else plain(member)
    return members


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any], *, known: Iterable[str]) -> dict[str, Any]:
    """Return the merge patch (RFC 7386) from `before` to `after`; only `known` keys are removed."""
    patch: dict[str, Any] = {key: None for key in known if key in before and key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            inner = merge_patch(old, value, known=old)
            if inner:
                patch[key] = inner
        elif old != value or type(old) is not type(value):
            patch[key] = value
    return patch


def keys_of(status: type) -> frozenset[str]:
    """Return the CRD's names of a status' fields."""
    return frozenset(key for _, key in _field_keys(status))


def crd_name(field: str) -> str:
    """Return the CRD's name of a field; CRD names are returned unchanged."""
    return _USD.sub("USD", to_camel(field))


@functools.cache
def _field_keys(kind: type) -> tuple[tuple[str, str], ...]:
    """Return the fields of a dataclass with their CRD names; empty for any other type."""
    return tuple((field.name, crd_name(field.name)) for field in fields(kind)) if is_dataclass(kind) else ()
