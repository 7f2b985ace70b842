"""Reads the protobuf bodies that kubectl 1.32 and newer sends for `create namespace` and the like. Pure.

kubectl does not fall back to JSON when it is refused, hence a decoder for the few kinds it makes itself. Answers are
always JSON, which every client accepts. Field numbers are those of the generated.proto files in k8s.io/api and
k8s.io/apimachinery.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from agentjobs.dev.apiserver.failures import Failure, bad_request

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\x00"


@dataclass(frozen=True, slots=True)
class _Field:
    """One field: its JSON name, what it holds, and whether it repeats. `map` fields have text keys."""

    name: str
    shape: "str | Mapping[int, _Field]" = "text"
    repeated: bool = False
    map: bool = False


_Message = Mapping[int, _Field]

_OWNER: Final[_Message] = {
    1: _Field("kind"),
    3: _Field("name"),
    4: _Field("uid"),
    5: _Field("apiVersion"),
    6: _Field("controller", "bool"),
    7: _Field("blockOwnerDeletion", "bool"),
}
_META: Final = _Field(
    "metadata",
    {
        1: _Field("name"),
        2: _Field("generateName"),
        3: _Field("namespace"),
        5: _Field("uid"),
        6: _Field("resourceVersion"),
        7: _Field("generation", "int"),
        8: _Field("creationTimestamp", "time"),
        9: _Field("deletionTimestamp", "time"),
        10: _Field("deletionGracePeriodSeconds", "int"),
        11: _Field("labels", map=True),
        12: _Field("annotations", map=True),
        13: _Field("ownerReferences", _OWNER, repeated=True),
        14: _Field("finalizers", repeated=True),
    },
)
_REFERENCE: Final[_Message] = {
    1: _Field("kind"),
    2: _Field("namespace"),
    3: _Field("name"),
    4: _Field("uid"),
    5: _Field("apiVersion"),
    6: _Field("resourceVersion"),
    7: _Field("fieldPath"),
}
_BOUND: Final[_Message] = {1: _Field("kind"), 2: _Field("apiVersion"), 3: _Field("name"), 4: _Field("uid")}
_ATTRIBUTES: Final[_Message] = {
    number: _Field(name)
    for number, name in enumerate(("namespace", "verb", "group", "version", "resource", "subresource", "name"), 1)
}
_KINDS: Final[Mapping[str, _Message]] = {
    "Namespace": {1: _META, 2: _Field("spec", {1: _Field("finalizers", repeated=True)})},
    "ConfigMap": {
        1: _META,
        2: _Field("data", map=True),
        3: _Field("binaryData", "bytes", map=True),
        4: _Field("immutable", "bool"),
    },
    "Secret": {
        1: _META,
        2: _Field("data", "bytes", map=True),
        3: _Field("type"),
        4: _Field("stringData", map=True),
        5: _Field("immutable", "bool"),
    },
    "ServiceAccount": {
        1: _META,
        2: _Field("secrets", _REFERENCE, repeated=True),
        3: _Field("imagePullSecrets", {1: _Field("name")}, repeated=True),
        4: _Field("automountServiceAccountToken", "bool"),
    },
    "TokenRequest": {
        1: _META,
        2: _Field(
            "spec",
            {
                1: _Field("audiences", repeated=True),
                3: _Field("boundObjectRef", _BOUND),
                4: _Field("expirationSeconds", "int"),
            },
        ),
    },
    "DeleteOptions": {
        1: _Field("gracePeriodSeconds", "int"),
        2: _Field("preconditions", {1: _Field("uid"), 2: _Field("resourceVersion")}),
        3: _Field("orphanDependents", "bool"),
        4: _Field("propagationPolicy"),
        5: _Field("dryRun", repeated=True),
    },
    "SelfSubjectAccessReview": {
        1: _META,
        2: _Field(
            "spec",
            {
                1: _Field("resourceAttributes", _ATTRIBUTES),
                2: _Field("nonResourceAttributes", {1: _Field("path"), 2: _Field("verb")}),
            },
        ),
    },
    "SelfSubjectReview": {1: _META},
}

_ENVELOPE: Final[_Message] = {
    1: _Field("type", {1: _Field("apiVersion"), 2: _Field("kind")}),
    2: _Field("raw", "raw"),
}


def decode(raw: bytes) -> dict[str, Any]:
    """Return the object in a Kubernetes protobuf envelope.

    Raises:
        Failure: 415 for kinds without a table here, 400 for what is no such envelope.
    """
    try:
        if not raw.startswith(_MAGIC):
            raise ValueError("it does not begin as a Kubernetes envelope does")
        envelope = _message(raw[len(_MAGIC) :], _ENVELOPE)
        kind = envelope.get("type", {}).get("kind", "")
        table = _KINDS.get(kind)
        if table is None:
            message = f"{kind or 'this kind'} is read as JSON or YAML only, not as protobuf; use `kubectl apply -f`"
            raise Failure(415, message)
        return {**envelope["type"], **_message(envelope.get("raw", b""), table)}
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, OSError) as problem:
        raise bad_request(f"the body is no protobuf this server can read: {problem}") from problem


def _message(raw: bytes, table: _Message) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _fields(raw):
        field = table.get(number)
        if field is None:
            continue
        if field.map:
            entry = _message(value, {1: _Field("key"), 2: _Field("value", field.shape)})
            found.setdefault(field.name, {})[entry.get("key", "")] = entry.get("value", "")
        elif field.repeated:
            found.setdefault(field.name, []).append(_value(value, field.shape))
        else:
            found[field.name] = _value(value, field.shape)
    return {name: value for name, value in found.items() if value is not None}


def _value(value: Any, shape: "str | _Message") -> Any:
    if not isinstance(shape, str):
        return _message(value, shape)
    match shape:
        case "text":
            return value.decode()
        case "bytes":
            return base64.b64encode(value).decode()
        case "bool":
            return bool(value)
        case "int":
            return value - (1 << 64) if value >= 1 << 63 else value
        case "time":
            seconds = _message(value, {1: _Field("seconds", "int")}).get("seconds")
            return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None
        case _:
            return value


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the numbers and raw values of a message's fields (protobuf encoding: tag, then value by wire type)."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        match tag & 7:
            case 0:
                value, at = _varint(raw, at)
                yield tag >> 3, value
            case 2:
                size, at = _varint(raw, at)
                if size > len(raw) - at:
                    raise ValueError("a field is longer than the body")
                yield tag >> 3, raw[at : at + size]
                at += size
            case 1:
                at += 8
            case 5:
                at += 4
            case wire:
                raise ValueError(f"wire type {wire} does not exist")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    # 64 bits in sevens.
    for shift in range(0, 70, 7):
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number is longer than 64 bits")
