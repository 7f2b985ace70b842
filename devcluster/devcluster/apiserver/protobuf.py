"""Decodes protobuf request bodies of the few kinds that kubectl 1.32 and newer sends (`kubectl create configmap`).

Responses are JSON, which every client accepts. Kinds in `_MESSAGES` are supported, with the field numbers and JSON
names of the API's definitions; other kinds are refused with a workaround.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from devcluster.apiserver.errors import StatusError
from devcluster.timestamps import timestamp

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"

_MAGIC: Final = b"k8s\x00"
# Longer varints cannot be 64-bit numbers.
_MAX_VARINT: Final = 10
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Scalar = Literal["string", "bytes", "int", "bool", "time"]


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a message: a scalar or another message; once, repeated, or the values of a map keyed by string."""

    name: str
    of: "Scalar | Mapping[int, _Field]" = "string"
    shape: Literal["one", "list", "map"] = "one"


_Message = Mapping[int, _Field]

_OWNER_REFERENCE: Final[_Message] = {
    1: _Field("kind"),
    3: _Field("name"),
    4: _Field("uid"),
    5: _Field("apiVersion"),
    6: _Field("controller", "bool"),
    7: _Field("blockOwnerDeletion", "bool"),
}
_METADATA: Final = _Field(
    "metadata",
    {
        1: _Field("name"),
        2: _Field("generateName"),
        3: _Field("namespace"),
        5: _Field("uid"),
        6: _Field("resourceVersion"),
        8: _Field("creationTimestamp", "time"),
        9: _Field("deletionTimestamp", "time"),
        10: _Field("deletionGracePeriodSeconds", "int"),
        11: _Field("labels", "string", "map"),
        12: _Field("annotations", "string", "map"),
        13: _Field("ownerReferences", _OWNER_REFERENCE, "list"),
        14: _Field("finalizers", "string", "list"),
    },
)
_OBJECT_REFERENCE: Final[_Message] = {
    1: _Field("kind"),
    2: _Field("namespace"),
    3: _Field("name"),
    4: _Field("uid"),
    5: _Field("apiVersion"),
    6: _Field("resourceVersion"),
    7: _Field("fieldPath"),
}
_RESOURCE_ATTRIBUTES: Final = _Field(
    "resourceAttributes",
    {
        1: _Field("namespace"),
        2: _Field("verb"),
        3: _Field("group"),
        4: _Field("version"),
        5: _Field("resource"),
        6: _Field("subresource"),
        7: _Field("name"),
    },
)
_NON_RESOURCE_ATTRIBUTES: Final = _Field("nonResourceAttributes", {1: _Field("path"), 2: _Field("verb")})

_RULES: Final = _Field(
    "rules",
    {
        1: _Field("verbs", "string", "list"),
        2: _Field("apiGroups", "string", "list"),
        3: _Field("resources", "string", "list"),
        4: _Field("resourceNames", "string", "list"),
        5: _Field("nonResourceURLs", "string", "list"),
    },
    "list",
)
_LABEL_SELECTOR: Final[_Message] = {
    1: _Field("matchLabels", "string", "map"),
    2: _Field(
        "matchExpressions", {1: _Field("key"), 2: _Field("operator"), 3: _Field("values", "string", "list")}, "list"
    ),
}
_BINDING: Final[_Message] = {
    1: _METADATA,
    2: _Field(
        "subjects", {1: _Field("kind"), 2: _Field("apiGroup"), 3: _Field("name"), 4: _Field("namespace")}, "list"
    ),
    3: _Field("roleRef", {1: _Field("apiGroup"), 2: _Field("kind"), 3: _Field("name")}),
}

_MESSAGES: Final[Mapping[tuple[str, str], _Message]] = {
    ("v1", "Namespace"): {
        1: _METADATA,
        2: _Field("spec", {1: _Field("finalizers", "string", "list")}),
    },
    ("v1", "ConfigMap"): {
        1: _METADATA,
        2: _Field("data", "string", "map"),
        3: _Field("binaryData", "bytes", "map"),
        4: _Field("immutable", "bool"),
    },
    ("v1", "Secret"): {
        1: _METADATA,
        2: _Field("data", "bytes", "map"),
        3: _Field("type"),
        4: _Field("stringData", "string", "map"),
        5: _Field("immutable", "bool"),
    },
    ("v1", "ServiceAccount"): {
        1: _METADATA,
        2: _Field("secrets", _OBJECT_REFERENCE, "list"),
        3: _Field("imagePullSecrets", {1: _Field("name")}, "list"),
        4: _Field("automountServiceAccountToken", "bool"),
    },
    ("rbac.authorization.k8s.io/v1", "Role"): {1: _METADATA, 2: _RULES},
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): {
        1: _METADATA,
        2: _RULES,
        3: _Field("aggregationRule", {1: _Field("clusterRoleSelectors", _LABEL_SELECTOR, "list")}),
    },
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): _BINDING,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): _BINDING,
    ("authentication.k8s.io/v1", "TokenRequest"): {
        1: _METADATA,
        2: _Field(
            "spec",
            {
                1: _Field("audiences", "string", "list"),
                3: _Field(
                    "boundObjectRef",
                    {1: _Field("kind"), 2: _Field("apiVersion"), 3: _Field("name"), 4: _Field("uid")},
                ),
                4: _Field("expirationSeconds", "int"),
            },
        ),
    },
    ("authentication.k8s.io/v1", "TokenReview"): {
        1: _METADATA,
        2: _Field("spec", {1: _Field("token"), 2: _Field("audiences", "string", "list")}),
    },
    ("authentication.k8s.io/v1", "SelfSubjectReview"): {1: _METADATA},
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): {
        1: _METADATA,
        2: _Field("spec", {1: _RESOURCE_ATTRIBUTES, 2: _NON_RESOURCE_ATTRIBUTES}),
    },
    ("authorization.k8s.io/v1", "SubjectAccessReview"): {
        1: _METADATA,
        2: _Field(
            "spec",
            {
                1: _RESOURCE_ATTRIBUTES,
                2: _NON_RESOURCE_ATTRIBUTES,
                3: _Field("user"),
                4: _Field("groups", "string", "list"),
                6: _Field("uid"),
            },
        ),
    },
}
_DELETE_OPTIONS: Final[_Message] = {
    1: _Field("gracePeriodSeconds", "int"),
    2: _Field("preconditions", {1: _Field("uid"), 2: _Field("resourceVersion")}),
    3: _Field("orphanDependents", "bool"),
    4: _Field("propagationPolicy"),
    5: _Field("dryRun", "string", "list"),
}
_UNKNOWN: Final[_Message] = {
    1: _Field("typeMeta", {1: _Field("apiVersion"), 2: _Field("kind")}),
    2: _Field("raw", "bytes"),
}


def decode(raw: bytes) -> dict[str, Any]:
    """Return the object of a request body, as from JSON.

    Raises:
        StatusError: 400 when it is malformed, 415 when its kind is not supported.
    """
    if not raw.startswith(_MAGIC):
        raise StatusError(400, f"the body is not a Kubernetes protobuf message: it does not begin with {_MAGIC!r}")
    try:
        envelope = _message(raw[len(_MAGIC) :], _UNKNOWN)
        type_meta = envelope.get("typeMeta") or {}
        api_version, kind = type_meta.get("apiVersion", ""), type_meta.get("kind", "")
        fields = _DELETE_OPTIONS if kind == "DeleteOptions" else _MESSAGES.get((api_version, kind))
        if fields is None:
            message = (
                f"{kind or 'this kind'} in {api_version or 'no version'} is read as JSON or YAML here, not as protobuf"
            )
            raise StatusError(415, f"{message}; use `kubectl apply -f`, or send application/json")
        return {"apiVersion": api_version, "kind": kind, **_message(base64.b64decode(envelope.get("raw", "")), fields)}
    except (ValueError, IndexError, OverflowError) as error:
        raise StatusError(400, f"the protobuf body cannot be read: {error}") from error


def _message(raw: bytes, fields: _Message) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _pairs(raw):
        field = fields.get(number)
        if field is None:
            continue
        if field.shape == "map":
            key, item = _entry(value, field)
            found.setdefault(field.name, {})[key] = item
        elif field.shape == "list":
            found.setdefault(field.name, []).append(_value(value, field.of))
        else:
            decoded = _value(value, field.of)
            # Go writes unset strings and messages too; JSON leaves them out. Zero and false are set values: they are
            # written only when set.
            if decoded not in ("", None, {}):
                found[field.name] = decoded
    return found


def _entry(raw: int | bytes, field: _Field) -> tuple[str, Any]:
    pair = dict(_pairs(_as_bytes(raw)))
    return _as_bytes(pair.get(1, b"")).decode(), _value(pair.get(2, b""), field.of)


def _value(value: int | bytes, of: "Scalar | _Message") -> Any:
    if of in ("int", "bool"):
        if isinstance(value, bytes):
            raise ValueError("expected a number")
        return bool(value) if of == "bool" else value - (1 << 64) if value >= 1 << 63 else value
    raw = _as_bytes(value)
    if of == "string":
        return raw.decode()
    if of == "bytes":
        return base64.b64encode(raw).decode()
    if of == "time":
        seconds = dict(_pairs(raw)).get(1, 0)
        moment = _EPOCH + timedelta(seconds=seconds if isinstance(seconds, int) else 0)
        return timestamp(moment) if raw else None
    assert not isinstance(of, str)
    return _message(raw, of)


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("expected a string, got a number")
    return value


def _pairs(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the field numbers and values of a message: numbers for varints, bytes for everything else."""
    position = 0
    while position < len(raw):
        tag, position = _varint(raw, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(raw, position)
            yield number, value
            continue
        if wire == 2:
            length, position = _varint(raw, position)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} of field {number} is not known")
        if position + length > len(raw):
            raise ValueError(f"field {number} is cut short")
        yield number, raw[position : position + length]
        position += length


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT):
        byte = raw[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & ((1 << 64) - 1), position + index + 1
    raise ValueError("a number is too long")
