"""The served kinds: the built-in ones and those of stored CustomResourceDefinitions.

`core` adds and removes the kinds of CRDs; `server` reads resources and their discovery and OpenAPI documents.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from devcluster.apiserver import crds, discovery, openapi, podfields
from devcluster.apiserver.errors import Cause
from devcluster.apiserver.kinds import BUILTIN, CUSTOM_RESOURCE_DEFINITION, POD, Kind
from devcluster.apiserver.schema import Schema
from devcluster.apiserver.store import Object
from devcluster.apiserver.strategies import strategy

_COMMON: Final = ("apiVersion", "kind", "metadata")


@dataclass(frozen=True, slots=True)
class ServedResource:
    """A kind and the schema of its objects.

    Args:
        terminating: its CRD is being deleted; no new objects.
    """

    kind: Kind
    schema: Schema | None = None
    terminating: bool = False

    def prune(self, obj: Object) -> list[str]:
        """Remove unknown fields; return their paths. Of built-in kinds except pods only the top level is known."""
        if self.schema is not None:
            return self.schema.prune(obj)
        if self.kind.key == CUSTOM_RESOURCE_DEFINITION.key:
            return crds.prune(obj)
        if self.kind.key == POD.key:
            return podfields.prune(obj)
        known = strategy(self.kind).fields
        unknown = [name for name in obj if known and name not in known and name not in _COMMON]
        for name in unknown:
            del obj[name]
        return unknown

    def default(self, obj: Object, old: Object | None) -> None:
        """Set defaults."""
        if self.schema is not None:
            self.schema.default(obj)
        elif self.kind.key == CUSTOM_RESOURCE_DEFINITION.key:
            crds.complete(obj, old)

    def validate(self, obj: Object, old: Object | None) -> list[Cause]:
        """Return the errors of an object by the schema."""
        if self.schema is not None:
            return self.schema.validate(obj, old)
        return crds.check(obj, old) if self.kind.key == CUSTOM_RESOURCE_DEFINITION.key else []


class Registry:
    """Kinds by group, version and plural."""

    def __init__(self) -> None:
        self._served = {(kind.group, kind.version, kind.plural): ServedResource(kind) for kind in BUILTIN}

    def find(self, group: str, version: str, plural: str) -> ServedResource | None:
        """Return the resource at a path."""
        return self._served.get((group, version, plural))

    def kinds(self) -> list[Kind]:
        """Return all kinds."""
        return [served.kind for served in self._served.values()]

    def establish(self, definition: Object, now: datetime) -> None:
        """Set the conditions of a checked CRD, by whether its names are free."""
        crds.establish(definition, self._others(definition), now)

    def serve(self, definition: Object) -> None:
        """Begin to serve the kinds of an established CRD."""
        self.withdraw(definition)
        conditions = {each["type"]: each["status"] for each in definition["status"]["conditions"]}
        if conditions.get("Established") != "True":
            return
        terminating = "deletionTimestamp" in definition["metadata"]
        for resource in crds.resources_of(definition):
            kind = resource.kind
            self._served[kind.group, kind.version, kind.plural] = ServedResource(kind, resource.schema, terminating)

    def withdraw(self, definition: Object) -> None:
        """Stop serving the kinds of a CRD."""
        group, plural = _names(definition)
        self._served = {at: served for at, served in self._served.items() if (at[0], at[2]) != (group, plural)}

    def kind_of(self, definition: Object) -> Kind | None:
        """Return the kind of a CRD in any version, if it is served."""
        return next((kind for kind in self.kinds() if kind.key == _names(definition)), None)

    def _others(self, definition: Object) -> Iterable[Kind]:
        return (kind for kind in self.kinds() if kind.key != _names(definition))

    def document(self, path: str, accept: str) -> tuple[bytes, str] | None:
        """Return the discovery or OpenAPI document at a path, and its media type."""
        if path.startswith("/openapi/"):
            schemas = {each.kind: each.schema.raw if each.schema else None for each in self._served.values()}
            return openapi.document(path, schemas)
        return discovery.document(path, accept, self.kinds())


def _names(definition: Object) -> tuple[str, str]:
    return definition["spec"]["group"], definition["spec"]["names"]["plural"]
