"""The common part of AgentJob, AgentQueue and AgentSchedule: identity and spec. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentjobs.api.model import Model
from agentjobs.durations import parse_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """An object at one instant. Unknown fields are kept in `spec`: the server may be newer."""

    namespace: str
    name: str
    uid: str
    created: datetime
    version: str
    """`metadata.resourceVersion`."""
    spec: Mapping[str, Any]
    """As in YAML, without the operator's defaults."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    deleting: bool


def facts(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Object` from an object of the API server."""
    metadata = body["metadata"]
    return {
        "namespace": str(metadata["namespace"]),
        "name": str(metadata["name"]),
        "uid": str(metadata["uid"]),
        "created": parse_time(metadata["creationTimestamp"]),
        "version": str(metadata["resourceVersion"]),
        "spec": body.get("spec") or {},
        "labels": metadata.get("labels") or {},
        "annotations": metadata.get("annotations") or {},
        "deleting": bool(metadata.get("deletionTimestamp")),
    }


def plain_spec(spec: Model | Mapping[str, Any]) -> dict[str, Any]:
    """Return a spec as in YAML. Of a model only the fields that were set: defaults are the operator's."""
    if isinstance(spec, Model):
        return spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return dict(spec)
