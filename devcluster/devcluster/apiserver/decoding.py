"""Decodes an object that a client wants to store: type, metadata, unknown fields. Pure."""

from dataclasses import dataclass, replace

from devcluster.apiserver import metadata
from devcluster.apiserver.errors import StatusError, bad_request, bad_value, invalid
from devcluster.apiserver.kinds import Kind
from devcluster.apiserver.registry import ServedResource
from devcluster.apiserver.store import Object


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Query parameters of a write."""

    field_validation: str = "Warn"
    dry_run: bool = False
    uid: str = ""
    """The uid of the new object, for objects of the server itself; empty for a random one."""


@dataclass(frozen=True, slots=True)
class Write:
    """A decoded object that is not stored yet."""

    served: ServedResource
    obj: Object
    options: WriteOptions
    dropped: list[str]

    @property
    def kind(self) -> Kind:
        """The object's kind."""
        return self.served.kind

    @property
    def name(self) -> str:
        """The name of the object; empty until it is generated."""
        return str(self.obj["metadata"].get("name", ""))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings for the client about removed fields."""
        if self.options.field_validation != "Warn":
            return ()
        return tuple(f'unknown field "{path}"' for path in self.dropped)


def decode(served: ServedResource, obj: Object, options: WriteOptions, *, patched: bool = False) -> Write:
    """Check the type of an object, copy its metadata, remove unknown fields.

    Args:
        patched: the object is the result of a patch, which changes how unknown fields are refused.

    Raises:
        StatusError: for a wrong type, malformed metadata, and unknown fields if validation is Strict.
    """
    kind = served.kind
    if kind.custom or obj.get("kind"):
        _check_type(kind, obj)
    meta, dropped = metadata.read(obj)
    fresh: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta}
    fresh.update((name, value) for name, value in obj.items() if name not in fresh)
    dropped += served.prune(fresh)
    if dropped and options.field_validation == "Strict":
        raise _strict(kind, _name_of(obj), dropped, patched=patched)
    return Write(served, fresh, options, dropped)


def _check_type(kind: Kind, obj: Object) -> None:
    found, version = obj.get("kind"), obj.get("apiVersion")
    if not found:
        raise bad_request("Object 'Kind' is missing")
    if not version:
        raise bad_request("Object 'apiVersion' is missing")
    if version != kind.api_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({kind.api_version})"
        )
    if found != kind.kind and kind.custom:
        causes = [bad_value("kind", found, f"must be {kind.kind}")]
        raise invalid(replace(kind, kind=str(found)), _name_of(obj), causes)
    if found != kind.kind:
        raise bad_request(f"the kind in the data ({found}) does not match the expected kind ({kind.kind})")


def _strict(kind: Kind, name: str, dropped: list[str], *, patched: bool) -> StatusError:
    listed = ", ".join(f'unknown field "{path}"' for path in dropped)
    if patched:
        message = f"Invalid value: strict decoding error: {listed}"
        return invalid(kind, name, [{"reason": "FieldValueInvalid", "field": "patch", "message": message}])
    return bad_request(
        f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: strict decoding error: {listed}'
    )


def _name_of(obj: Object) -> str:
    meta = obj.get("metadata")
    return str(meta.get("name") or "") if isinstance(meta, dict) else ""
