"""The life cycle of an object: what counts as a change, marks of deletion, removal. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from devcluster.apiserver.errors import bad_option
from devcluster.apiserver.kinds import CUSTOM_RESOURCE_DEFINITION, NAMESPACE, Kind
from devcluster.apiserver.store import Object
from devcluster.apiserver.strategies import strategy
from devcluster.timestamps import timestamp

# The registries of these kinds mark objects without a grace period and without a new generation.
_OWN_DELETION: Final = (NAMESPACE.key, CUSTOM_RESOURCE_DEFINITION.key)
_FOREGROUND: Final = "foregroundDeletion"
_ORPHAN: Final = "orphan"
_IDENTITY: Final = ("apiVersion", "kind", "metadata", "status")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """Body and query parameters of a delete."""

    grace_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


def precondition(what: str, requested: str, found: str) -> str:
    """Return why a precondition on `what` (UID, ResourceVersion) fails; empty when it holds."""
    rest = "deleted and then recreated" if what == "UID" else "modified"
    return (
        f"the {what} in the precondition ({requested}) does not match the {what} in record ({found}). "
        f"The object might have been {rest}"
    )


def content(kind: Kind, obj: Object) -> Object:
    """Return the fields whose changes `metadata.generation` counts.

    The spec of a built-in kind; all fields of a custom resource, without metadata and a status subresource.
    """
    if not kind.custom:
        return {"spec": obj.get("spec")}
    outside = ("metadata", "apiVersion", "status") if kind.status_subresource else ("metadata", "apiVersion")
    return {name: value for name, value in obj.items() if name not in outside}


def isolate_status(kind: Kind, new: Object, old: Object, subresource: str) -> None:
    """Restore in `new` the fields that a write to this path cannot change."""
    if subresource == "status":
        for name in [name for name in new if name not in _IDENTITY]:
            del new[name]
        new.update((name, value) for name, value in old.items() if name not in _IDENTITY)
        if kind.custom:
            new["metadata"] = dict(old["metadata"])
    elif kind.status_subresource:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]


def mark_deleted(kind: Kind, obj: Object, options: DeleteOptions, *, now: datetime) -> None:
    """Mark an object as deleted, or shorten the grace period of a marked one; `is_removable` says what follows."""
    meta = obj["metadata"]
    set_finalizers(meta, _after_propagation(meta.get("finalizers", []), options.propagation))
    marked = "deletionTimestamp" in meta
    running = int(meta.get("deletionGracePeriodSeconds", 0))
    requested = options.grace_seconds
    shortened = running if requested is None else min(requested, running)
    grace = shortened if marked else strategy(kind).grace(obj, requested)
    if not marked or grace < running:
        # A shorter grace period begins with the first delete.
        start = datetime.fromisoformat(meta["deletionTimestamp"]) - timedelta(seconds=running) if marked else now
        meta["deletionTimestamp"] = timestamp(start + timedelta(seconds=grace))
        if kind.key not in _OWN_DELETION:
            meta["deletionGracePeriodSeconds"] = grace
            if not marked and "generation" in meta:
                meta["generation"] += 1
    if kind.key == NAMESPACE.key:
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}


def is_removable(kind: Kind, obj: Object) -> bool:
    """Return whether an object that is marked as deleted can be removed."""
    meta = obj["metadata"]
    if "deletionTimestamp" not in meta or meta.get("finalizers") or meta.get("deletionGracePeriodSeconds", 0):
        return False
    return not (kind.key == NAMESPACE.key and (obj.get("spec") or {}).get("finalizers"))


def set_finalizers(meta: dict[str, Any], finalizers: list[str]) -> None:
    """Set the finalizers; remove the field if there are none."""
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)


def _after_propagation(finalizers: list[str], policy: str) -> list[str]:
    others = [each for each in finalizers if each not in (_FOREGROUND, _ORPHAN)]
    match policy:
        case "Foreground":
            return [*others, _FOREGROUND]
        case "Orphan":
            return [*others, _ORPHAN]
        case "Background":
            return others
        case "":
            return finalizers
        case _:
            accepted = ("Foreground", "Background", "Orphan", "nil")
            raise bad_option("DeleteOptions", "propagationPolicy", policy, accepted)
