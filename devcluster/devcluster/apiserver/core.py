"""Decides what a write does to an object: create, update, patch, delete, bind. Synchronous, no HTTP.

`handlers` calls it with parsed requests; it checks, completes and stores objects. The order of the steps and all
refusals follow the real kube-apiserver, because controllers depend on its corner cases: status is isolated,
`generation` counts changes of the spec, finalizers delay a removal, and a write without a change is not stored.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from devcluster.apiserver import decoding, lifecycle, metadata
from devcluster.apiserver.decoding import Write, WriteOptions
from devcluster.apiserver.errors import (
    Cause,
    StatusError,
    already_exists,
    bad_request,
    bad_value,
    conflict,
    forbidden,
    invalid,
    not_found,
    version_required,
)
from devcluster.apiserver.faults import Faults
from devcluster.apiserver.kinds import CUSTOM_RESOURCE_DEFINITION, NAMESPACE, POD, SERVICE_ACCOUNT, Kind
from devcluster.apiserver.lifecycle import DeleteOptions
from devcluster.apiserver.registry import Registry, ServedResource
from devcluster.apiserver.store import Key, Object, Store, TooLarge, Version
from devcluster.apiserver.strategies import strategy
from devcluster.timestamps import timestamp

MODIFIED: Final = "the object has been modified; please apply your changes to the latest version and try again"
CRD_FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"
_GENERATE_TRIES: Final = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a write.

    Args:
        removed: the object was removed; `version` is its last state.
    """

    version: Version
    created: bool = False
    removed: bool = False
    warnings: tuple[str, ...] = ()


class Core:
    """Carries out the writes of a server.

    Args:
        clock: returns the time, in UTC.
        later: calls a function after some seconds.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        *,
        clock: Callable[[], datetime],
        later: Callable[[float, Callable[[], None]], object],
        faults: Faults,
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._later = later
        self._faults = faults

    def get(self, kind: Kind, key: Key) -> Version:
        """Return an object or raise 404."""
        version = self._store.get(kind.qualified_name, key)
        if version is None:
            raise not_found(kind, key[1])
        return version

    def create(self, served: ServedResource, namespace: str, obj: Object, options: WriteOptions) -> Outcome:
        """Store a new object under its name or a generated one."""
        if served.terminating:
            raise StatusError(405, "create not allowed while custom resource definition is terminating")
        write = decoding.decode(served, obj, options)
        meta = write.obj["metadata"]
        metadata.path_namespace(meta, namespace)
        if meta.pop("resourceVersion", ""):
            # 500, as the real server's storage does.
            raise StatusError(500, "resourceVersion should not be set on objects to be created", reason="Unknown")
        self._name(write, namespace)
        for name in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            meta.pop(name, None)
        # The namespace is checked first: a missing one is the more helpful message.
        self._require_namespace(write.kind, namespace, write.name)
        self._complete_new(write)
        self._check(write, None)
        key = (namespace, write.name)
        present = self._store.get(write.kind.qualified_name, key)
        if present is not None:
            raise already_exists(write.kind, key[1], going="deletionTimestamp" in present.obj["metadata"])
        return self._finish(write, key, created=True)

    def update(self, served: ServedResource, key: Key, obj: Object, subresource: str, options: WriteOptions) -> Outcome:
        """Replace an object (PUT). Some kinds are created when they do not exist."""
        meta = obj.get("metadata")
        meta = meta if isinstance(meta, dict) else {}
        if meta.setdefault("name", key[1]) != key[1]:
            raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({key[1]})")
        kind = served.kind
        current = self._store.get(kind.qualified_name, key)
        if current is None and kind.create_on_update and not subresource:
            return self.create(served, key[0], obj, options)
        current = self.get(kind, key)
        if not meta.get("resourceVersion") and not kind.unconditional_update:
            raise version_required(kind, key[1])
        uid = meta.get("uid")
        if uid and uid != current.obj["metadata"]["uid"]:
            why = (
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {current.obj['metadata']['uid']}"
            )
            raise conflict(kind, key[1], why)
        return self._replace(served, key, current, obj, subresource, options, patched=False)

    def patch(
        self, served: ServedResource, key: Key, apply: Callable[[Object], Any], subresource: str, options: WriteOptions
    ) -> Outcome:
        """Replace an object by the result of `apply` on a copy of it."""
        current = self.get(served.kind, key)
        base = orjson.loads(current.raw)
        base["apiVersion"] = served.kind.api_version
        patched = apply(base)
        if not isinstance(patched, dict):
            raise bad_request(f"the patch leaves {type(patched).__name__} where the object was")
        if not isinstance(patched.get("metadata"), dict):
            patched["metadata"] = {}
        patched["metadata"].setdefault("name", key[1])
        return self._replace(served, key, current, patched, subresource, options, patched=True)

    def delete(self, kind: Kind, key: Key, options: DeleteOptions) -> Outcome:
        """Remove an object, or mark it as deleted if it has finalizers or a grace period."""
        current = self.get(kind, key)
        meta = current.obj["metadata"]
        if options.uid and options.uid != meta["uid"]:
            raise conflict(kind, key[1], lifecycle.precondition("UID", options.uid, meta["uid"]))
        if options.resource_version and options.resource_version != meta["resourceVersion"]:
            raise conflict(
                kind,
                key[1],
                lifecycle.precondition("ResourceVersion", options.resource_version, meta["resourceVersion"]),
            )
        reason = strategy(kind).refuses_delete(current.obj)
        if reason:
            raise forbidden(kind, key[1], reason)
        if kind.key == CUSTOM_RESOURCE_DEFINITION.key and not options.dry_run:
            return self._delete_definition(current, key, options)
        return self._mark_or_remove(kind, key, current, options)

    def bind(self, namespace: str, name: str, binding: Object, options: WriteOptions) -> None:
        """Set the node of a pod (`pods/binding`)."""
        current = self.get(POD, (namespace, name))
        target = binding.get("target")
        node = target.get("name") if isinstance(target, dict) else None
        if not isinstance(node, str) or not node:
            raise invalid(POD, name, [bad_value("target.name", node, "must name a node")])
        uid = (binding.get("metadata") or {}).get("uid")
        if uid and uid != current.obj["metadata"]["uid"]:
            raise conflict(POD, name, lifecycle.precondition("UID", uid, current.obj["metadata"]["uid"]))
        pod = orjson.loads(current.raw)
        if "deletionTimestamp" in pod["metadata"]:
            raise conflict(POD, name, f"pod {name} is being deleted, cannot be assigned to a host")
        if pod["spec"].get("nodeName"):
            raise conflict(POD, name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"')
        pod["spec"]["nodeName"] = node
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": self._now()}
        others = [each for each in pod["status"].get("conditions", ()) if each.get("type") != "PodScheduled"]
        pod["status"]["conditions"] = [*others, scheduled]
        if not options.dry_run:
            self._put(POD, (namespace, name), pod)

    def finalize(self, name: str, obj: Object, options: WriteOptions) -> Outcome:
        """Replace `spec.finalizers` of a namespace (`namespaces/finalize`); remove a deleted one that has none left."""
        current = self.get(NAMESPACE, ("", name))
        requested = (obj.get("metadata") or {}).get("resourceVersion")
        if requested and requested != current.obj["metadata"]["resourceVersion"]:
            raise conflict(NAMESPACE, name, MODIFIED)
        fresh = orjson.loads(current.raw)
        finalizers = (obj.get("spec") or {}).get("finalizers") or []
        if not isinstance(finalizers, list):
            raise bad_request("spec.finalizers must be a list of strings")
        fresh["spec"] = {"finalizers": finalizers} if finalizers else {}
        served = ServedResource(NAMESPACE, None)
        return self._store_update(Write(served, fresh, options, []), ("", name), current)

    def _name(self, write: Write, namespace: str) -> None:
        meta = write.obj["metadata"]
        prefix = meta.get("generateName")
        if meta.get("name") or not isinstance(prefix, str) or not prefix:
            return
        for _ in range(_GENERATE_TRIES):
            meta["name"] = metadata.generated_name(prefix)
            if self._store.get(write.kind.qualified_name, (namespace, meta["name"])) is None:
                return

    def _complete_new(self, write: Write) -> None:
        meta = write.obj["metadata"]
        meta["uid"] = write.options.uid or str(uuid.uuid4())
        meta["creationTimestamp"] = self._now()
        meta.pop("generation", None)
        if write.kind.tracks_generation:
            meta["generation"] = 1
        if write.kind.status_subresource:
            write.obj.pop("status", None)
        peculiar = strategy(write.kind)
        peculiar.on_create(write.obj)
        peculiar.on_write(write.obj)
        write.served.default(write.obj, None)

    def _require_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        if not kind.namespaced:
            return
        version = self._store.get(NAMESPACE.qualified_name, ("", namespace))
        if version is None:
            raise not_found(NAMESPACE, namespace)
        if "deletionTimestamp" in version.obj["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            failure = forbidden(kind, name, why)
            terminating = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated"}
            failure.details = {**(failure.details or {}), "causes": [terminating | {"field": "metadata.namespace"}]}
            raise failure

    def _check(self, write: Write, old: Object | None) -> None:
        kind, meta = write.kind, write.obj["metadata"]
        causes: list[Cause] = metadata.check(meta, namespaced=kind.namespaced, names=strategy(kind).names)
        causes += write.served.validate(write.obj, old)
        causes += strategy(kind).check(write.obj, old)
        if causes:
            raise invalid(kind, write.name, causes)
        if kind.key == POD.key and old is None:
            account = write.obj["spec"]["serviceAccountName"]
            if self._store.get(SERVICE_ACCOUNT.qualified_name, (meta["namespace"], account)) is None:
                where = f"{meta['namespace']}/{account}"
                why = f'error looking up service account {where}: serviceaccount "{account}" not found'
                raise forbidden(kind, write.name, why)

    def _replace(
        self,
        served: ServedResource,
        key: Key,
        current: Version,
        obj: Object,
        subresource: str,
        options: WriteOptions,
        *,
        patched: bool,
    ) -> Outcome:
        write = decoding.decode(served, obj, options, patched=patched)
        kind, new, old = served.kind, write.obj, current.obj
        meta = new["metadata"]
        requested = meta.pop("resourceVersion", "")
        if requested and requested != old["metadata"]["resourceVersion"]:
            raise conflict(kind, key[1], MODIFIED)
        metadata.path_namespace(meta, key[0])
        causes = metadata.check_update(meta, old["metadata"])
        if causes:
            raise invalid(kind, key[1], causes)
        lifecycle.isolate_status(kind, new, old, subresource)
        if not subresource:
            strategy(kind).on_update(new, old)
        strategy(kind).on_write(new)
        served.default(new, old)
        if kind.tracks_generation and lifecycle.content(kind, new) != lifecycle.content(kind, old):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        self._check(write, old)
        return self._store_update(write, key, current)

    def _store_update(self, write: Write, key: Key, current: Version) -> Outcome:
        """Store an update. Without a change nothing is written; a deleted object without finalizers is removed."""
        obj, kind = write.obj, write.kind
        obj["metadata"]["resourceVersion"] = current.obj["metadata"]["resourceVersion"]
        if obj == {**current.obj, "apiVersion": obj["apiVersion"]}:
            return Outcome(current, warnings=write.warnings)
        if lifecycle.is_removable(kind, obj):
            if not write.options.dry_run:
                self._remove(kind, key)
            return Outcome(Version(obj, orjson.dumps(obj), current.revision), warnings=write.warnings)
        return self._finish(write, key, created=False)

    def _finish(self, write: Write, key: Key, *, created: bool) -> Outcome:
        warnings = write.warnings
        if write.options.dry_run:
            return Outcome(Version(write.obj, orjson.dumps(write.obj), 0), created=created, warnings=warnings)
        if write.kind.key == CUSTOM_RESOURCE_DEFINITION.key:
            return self._finish_definition(write, key, created=created)
        version = self._put(write.kind, key, write.obj)
        if created and write.kind.key == NAMESPACE.key:
            self._populate_namespace(key[1])
        return Outcome(version, created=created, warnings=warnings)

    def _finish_definition(self, write: Write, key: Key, *, created: bool) -> Outcome:
        """Store a CRD and serve its kinds, after the delay of `faults.established_delay`."""
        delay = self._faults.established_delay if created else 0.0
        if not delay:
            self._registry.establish(write.obj, self._clock())
        version = self._put(CUSTOM_RESOURCE_DEFINITION, key, write.obj)
        self._registry.serve(version.obj)
        if delay:
            self._later(delay, lambda: self._establish(key, version.obj["metadata"]["uid"]))
        if not created and version.obj["metadata"]["generation"] != 1:
            # As on a real server, which rebuilds the storage of the kind.
            self._store.close_watches(key[1])
        return Outcome(version, created=created, warnings=write.warnings)

    def _establish(self, key: Key, uid: str) -> None:
        current = self._store.get(CUSTOM_RESOURCE_DEFINITION.qualified_name, key)
        if current is None or current.obj["metadata"]["uid"] != uid:
            return
        obj = orjson.loads(current.raw)
        self._registry.establish(obj, self._clock())
        self._registry.serve(self._put(CUSTOM_RESOURCE_DEFINITION, key, obj).obj)

    def _populate_namespace(self, namespace: str) -> None:
        """Create the objects that a cluster's controllers put into every namespace."""
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        self.create(ServedResource(SERVICE_ACCOUNT, None), namespace, account, WriteOptions())

    def _mark_or_remove(self, kind: Kind, key: Key, current: Version, options: DeleteOptions) -> Outcome:
        obj = orjson.loads(current.raw)
        lifecycle.mark_deleted(kind, obj, options, now=self._clock())
        if options.dry_run:
            return Outcome(Version(obj, orjson.dumps(obj), current.revision), removed=lifecycle.is_removable(kind, obj))
        if lifecycle.is_removable(kind, obj):
            self._remove(kind, key)
            return Outcome(Version(obj, orjson.dumps(obj), current.revision), removed=True)
        if obj == current.obj:
            return Outcome(current)
        return Outcome(self._put(kind, key, obj))

    def _delete_definition(self, current: Version, key: Key, options: DeleteOptions) -> Outcome:
        """Delete a CRD with all its objects; until the last of them is gone it stays, and new objects are refused."""
        obj = orjson.loads(current.raw)
        meta = obj["metadata"]
        if CRD_FINALIZER not in meta.get("finalizers", []):
            meta["finalizers"] = [*meta.get("finalizers", []), CRD_FINALIZER]
            self._put(CUSTOM_RESOURCE_DEFINITION, key, obj)
        outcome = self._mark_or_remove(
            CUSTOM_RESOURCE_DEFINITION, key, self.get(CUSTOM_RESOURCE_DEFINITION, key), options
        )
        self._registry.serve(self.get(CUSTOM_RESOURCE_DEFINITION, key).obj)
        kind = self._registry.kind_of(obj)
        for version in self._store.list(key[1]) if kind else ():
            own = version.obj["metadata"]
            assert kind is not None
            self._mark_or_remove(kind, (own.get("namespace", ""), own["name"]), version, DeleteOptions())
        self._release_definition(key)
        return outcome

    def _release_definition(self, key: Key) -> None:
        """Remove a CRD that is being deleted when its last object is gone."""
        current = self._store.get(CUSTOM_RESOURCE_DEFINITION.qualified_name, key)
        if current is None or "deletionTimestamp" not in current.obj["metadata"]:
            return
        finalizers = current.obj["metadata"].get("finalizers", [])
        if CRD_FINALIZER not in finalizers or self._store.list(key[1]):
            return
        obj = orjson.loads(current.raw)
        lifecycle.set_finalizers(obj["metadata"], [each for each in finalizers if each != CRD_FINALIZER])
        if lifecycle.is_removable(CUSTOM_RESOURCE_DEFINITION, obj):
            self._remove(CUSTOM_RESOURCE_DEFINITION, key)
        else:
            self._put(CUSTOM_RESOURCE_DEFINITION, key, obj)

    def _put(self, kind: Kind, key: Key, obj: Object) -> Version:
        try:
            return self._store.put(kind.qualified_name, key, obj)
        except TooLarge as problem:
            # Clients match this message of the real server.
            raise StatusError(500, "etcdserver: request is too large", reason="Unknown") from problem

    def _remove(self, kind: Kind, key: Key) -> Version:
        removed = self._store.remove(kind.qualified_name, key)
        if kind.custom:
            self._release_definition(("", kind.qualified_name))
        if kind.key == CUSTOM_RESOURCE_DEFINITION.key:
            self._registry.withdraw(removed.obj)
            self._store.close_watches(key[1])
        return removed

    def _now(self) -> str:
        return timestamp(self._clock())
