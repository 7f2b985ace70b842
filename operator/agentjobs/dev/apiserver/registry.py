"""Knows which kinds are served: the built-in ones and those of stored CustomResourceDefinitions.

`core` tells it of CRDs, `server` asks it for resources and for the documents that describe them. Holds no objects.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from agentjobs.dev.apiserver.failures import Cause
from agentjobs.dev.apiserver.kinds import BUILTIN, READ_WRITE, STATUS_VERBS, Kind, Subresource
from agentjobs.dev.apiserver.schema import Schema
from agentjobs.dev.apiserver.store import Object
from agentjobs.dev.apiserver.strategies import strategy

_COMMON = ("apiVersion", "kind", "metadata")


@dataclass(frozen=True, slots=True)
class Served:
    """A kind and the schema of its objects."""

    kind: Kind
    schema: Schema | None = None

    def prune(self, obj: Object) -> list[str]:
        """Remove what the schema does not know; return the paths. Of built-in kinds only the top level is known."""
        if self.schema is not None:
            return self.schema.prune(obj)
        known = strategy(self.kind).fields
        unknown = [name for name in obj if known and name not in known and name not in _COMMON]
        for name in unknown:
            del obj[name]
        return unknown

    def default(self, obj: Object) -> None:
        """Fill in the schema's defaults."""
        if self.schema is not None:
            self.schema.default(obj)

    def validate(self, obj: Object, old: Object | None) -> list[Cause]:
        """Return what the schema has against an object."""
        return [] if self.schema is None else self.schema.validate(obj, old)


class Registry:
    def __init__(self) -> None:
        self._served = {(k.group, k.version, k.plural): Served(k) for k in BUILTIN}

    def find(self, group: str, version: str, plural: str) -> Served | None:
        return self._served.get((group, version, plural))

    def complete(self, obj: Object, old: Object | None, now: datetime) -> None:
        names = obj["spec"]["names"]
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", names["kind"] + "List")
        stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        obj["status"] = {
            "acceptedNames": names,
            "storedVersions": [v["name"] for v in obj["spec"]["versions"]],
            "conditions": [
                {"type": t, "status": "True", "reason": "NoConflicts", "message": "", "lastTransitionTime": stamp}
                for t in ("NamesAccepted", "Established")
            ],
        }

    def check(self, obj: Object, old: Object | None) -> list[Cause]:
        return []

    def kinds_of(self, obj: Object) -> list[Kind]:
        spec, names = obj["spec"], obj["spec"]["names"]
        return [
            Kind(
                spec["group"],
                v["name"],
                names["plural"],
                names["singular"],
                names["kind"],
                short_names=tuple(names.get("shortNames", ())),
                categories=tuple(names.get("categories", ())),
                namespaced=spec["scope"] == "Namespaced",
                verbs=READ_WRITE,
                custom=True,
                tracks_generation=True,
                unconditional_update=False,
                subresources=(Subresource("status", names["kind"], STATUS_VERBS),)
                if "status" in v.get("subresources", {})
                else (),
            )
            for v in spec["versions"]
        ]

    def serve(self, obj: Object) -> tuple[str, ...]:
        for kind, v in zip(self.kinds_of(obj), obj["spec"]["versions"]):
            self._served[kind.group, kind.version, kind.plural] = Served(kind, Schema(v["schema"]["openAPIV3Schema"]))
        return ()

    def withdraw(self, obj: Object) -> None:
        for kind in self.kinds_of(obj):
            self._served.pop((kind.group, kind.version, kind.plural), None)

    def document(self, path: str, accept: str) -> tuple[bytes, str] | None:
        kinds = [s.kind for s in self._served.values()]
        gvs = sorted({(k.group, k.version) for k in kinds if k.group})
        if path == "/version":
            return orjson.dumps({"major": "1", "minor": "32", "gitVersion": "v1.32.0"}), "application/json"
        if path == "/api":
            return orjson.dumps({"kind": "APIVersions", "versions": ["v1"]}), "application/json"
        if path == "/apis":
            groups = [
                {
                    "name": g,
                    "versions": [{"groupVersion": f"{g}/{v}", "version": v}],
                    "preferredVersion": {"groupVersion": f"{g}/{v}", "version": v},
                }
                for g, v in gvs
            ]
            return orjson.dumps({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}), "application/json"
        found = [k for k in kinds if k.root == path]
        if not found:
            return None
        resources = []
        for k in found:
            resources.append(
                {
                    "name": k.plural,
                    "singularName": k.singular,
                    "namespaced": k.namespaced,
                    "kind": k.kind,
                    "verbs": k.verbs,
                    "shortNames": k.short_names,
                    "categories": k.categories,
                }
            )
            resources += [
                {
                    "name": f"{k.plural}/{s.name}",
                    "singularName": "",
                    "namespaced": k.namespaced,
                    "kind": s.kind,
                    "verbs": s.verbs,
                }
                for s in k.subresources
            ]
        return orjson.dumps(
            {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": found[0].api_version,
                "resources": resources,
            }
        ), "application/json"
