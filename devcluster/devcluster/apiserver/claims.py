"""What a PersistentVolumeClaim becomes on create, and what an update may change. Pure.

The finalizer is that of the admission plugin StorageObjectInUseProtection. Larger sizes are refused as by the plugin
PersistentVolumeClaimResize when no StorageClass allows them: this server has no StorageClasses.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from devcluster.apiserver.errors import Cause, bad_value, cause, forbidden, required
from devcluster.apiserver.kinds import PERSISTENT_VOLUME_CLAIM
from devcluster.apiserver.store import Object

PROTECTION: Final = "kubernetes.io/pvc-protection"
_NO_RESIZE: Final = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
)
_ACCESS_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_VOLUME_MODES: Final = ("Block", "Filesystem")
_UNITS: Final = {
    **{unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    "m": Decimal("0.001"),
}


def start(obj: Object) -> None:
    """Set the first status, and the finalizer that keeps a claim while pods use it."""
    meta = obj["metadata"]
    if PROTECTION not in meta.get("finalizers", ()):
        meta["finalizers"] = [*meta.get("finalizers", ()), PROTECTION]
    obj["status"] = {"phase": "Pending"}


def complete(obj: Object) -> None:
    """Set the defaults."""
    if isinstance(obj.get("spec"), dict):
        obj["spec"]["volumeMode"] = obj["spec"].get("volumeMode") or "Filesystem"
        obj["spec"].setdefault("resources", {})


def check(new: Object, old: Object | None) -> list[Cause]:
    """Return the errors of a claim or its update; raises 403 for an update to a larger size."""
    spec = _mapping(new.get("spec"))
    causes = _check_spec(spec)
    return causes if old is None else causes + _check_update(new, spec, old)


def _check_spec(spec: Mapping[str, Any]) -> list[Cause]:
    causes = []
    modes = spec.get("accessModes")
    if not modes:
        causes.append(required("spec.accessModes", "at least 1 access mode is required"))
    unknown = [mode for mode in (modes if isinstance(modes, list) else ()) if mode not in _ACCESS_MODES]
    causes += [_unsupported("spec.accessModes", mode, _ACCESS_MODES) for mode in unknown]
    requested = _requested(spec)
    if requested is None:
        causes.append(required("spec.resources[storage]"))
    elif (size := _bytes(requested)) is None or size <= 0:
        causes.append(bad_value("spec.resources[storage]", requested, "must be greater than zero"))
    if spec["volumeMode"] not in _VOLUME_MODES:
        causes.append(_unsupported("spec.volumeMode", spec["volumeMode"], _VOLUME_MODES))
    return causes


def _check_update(new: Object, spec: Mapping[str, Any], old: Object) -> list[Cause]:
    before = old["spec"]
    requested, had = _bytes(_requested(spec)), _bytes(_requested(before))
    if requested is not None and had is not None and requested > had:
        raise forbidden(PERSISTENT_VOLUME_CLAIM, new["metadata"]["name"], _NO_RESIZE)
    free = {"resources", "volumeAttributesClassName"} if _mapping(new.get("status")).get("phase") == "Bound" else set()
    free |= set() if before.get("volumeName") else {"volumeName"}
    causes: list[Cause] = []
    if any(spec.get(name) != before.get(name) for name in {*spec, *before} - free):
        reason = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        causes.append(cause("FieldValueForbidden", "spec", f"Forbidden: {reason}"))
    if requested is not None and had is not None and requested < had:
        reason = "field can not be less than status.capacity"
        causes.append(cause("FieldValueForbidden", "spec.resources.requests.storage", f"Forbidden: {reason}"))
    return causes


def _requested(spec: Mapping[str, Any]) -> Any:
    return _mapping(_mapping(spec.get("resources")).get("requests")).get("storage")


def _bytes(quantity: object) -> Decimal | None:
    """Return a quantity as a number; None if it is invalid."""
    text = str(quantity)
    unit = next((unit for unit in _UNITS if text.endswith(unit)), "")
    try:
        number = Decimal(text.removesuffix(unit) if unit else text)
    except InvalidOperation:
        return None
    return number * _UNITS.get(unit, Decimal(1)) if number.is_finite() else None


def _unsupported(field: str, value: object, accepted: tuple[str, ...]) -> Cause:
    listed = ", ".join(f'"{item}"' for item in accepted)
    return cause("FieldValueNotSupported", field, f'Unsupported value: "{value}": supported values: {listed}')


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
