"""Reads request bodies and `Accept` headers: JSON, YAML, protobuf in; JSON, YAML, tables out. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import orjson
import yaml

from devcluster.apiserver import protobuf
from devcluster.apiserver.errors import StatusError, bad_request, unsupported

JSON: Final = "application/json"
YAML: Final = "application/yaml"
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCHES: Final = ("application/apply-patch+yaml", "application/apply-patch+cbor")
PATCHES: Final = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)
# The request limit of a real API server; etcd refuses objects of more than half of it.
MAX_BODY: Final = 3 * 1024 * 1024


class Form(StrEnum):
    """The form of a response."""

    JSON = "json"
    YAML = "yaml"
    TABLE = "table"
    TABLE_V1BETA1 = "table-v1beta1"


def accepted(accept: str) -> Form:
    """Return the first supported form of an Accept header.

    Raises:
        StatusError: 406 when none is supported, for instance when only protobuf is accepted.
    """
    if accept in ("", "*/*", JSON):
        return Form.JSON
    for entry in accept.split(","):
        media, *pairs = (part.strip() for part in entry.split(";"))
        parameters = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        form = _form(media, parameters)
        if form is not None:
            return form
    served = f"{JSON}, {YAML}, {JSON};as=Table;v=v1;g=meta.k8s.io"
    raise StatusError(406, f"only the following media types are accepted: {served}")


def _form(media: str, parameters: Mapping[str, str]) -> Form | None:
    wanted = parameters.get("as")
    if media == JSON and wanted == "Table" and parameters.get("g") == "meta.k8s.io":
        return {"v1": Form.TABLE, "v1beta1": Form.TABLE_V1BETA1}.get(parameters.get("v", ""))
    if wanted is not None:
        return None
    if media in (JSON, "*/*", "application/*"):
        return Form.JSON
    return Form.YAML if media == YAML else None


def body(raw: bytes, content_type: str) -> dict[str, Any]:
    """Return the object in the body of a request.

    Raises:
        StatusError: 415 for other content types, 400 for a body that is not an object.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media == YAML:
        parsed = from_yaml(raw)
    elif media == JSON:
        parsed = from_json(raw)
    elif media == protobuf.MEDIA_TYPE:
        parsed = protobuf.decode(raw)
    else:
        raise unsupported(media, (JSON, YAML, protobuf.MEDIA_TYPE))
    if not isinstance(parsed, dict):
        raise bad_request(f"the body must be an object, got {type(parsed).__name__}")
    return parsed


def from_json(raw: bytes) -> Any:
    """Parse JSON.

    Raises:
        StatusError: 400.
    """
    try:
        return orjson.loads(raw)
    except ValueError as problem:
        raise bad_request(f"the body is not JSON: {problem}") from problem


def from_yaml(raw: bytes) -> Any:
    """Parse one YAML document whose values JSON supports.

    Raises:
        StatusError: 400, also for aliases, since a few bytes of them can expand to gigabytes.
    """
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(raw, Loader=_Loader)):
            raise bad_request("the body uses YAML aliases; write the values out or send JSON")
        return orjson.loads(orjson.dumps(yaml.load(raw, Loader=_Loader)))  # noqa: S506  a subclass of the safe loader
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as problem:
        raise bad_request(f"the body is not YAML that JSON can hold: {problem}") from problem


def to_yaml(value: object) -> bytes:
    """Return a value as YAML."""
    text: str = yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=True, allow_unicode=True)
    return text.encode()


class _Loader(yaml.CSafeLoader):
    """The safe loader without dates, which JSON does not have."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
