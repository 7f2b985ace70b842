"""Requests about objects of one kind in one namespace, as operations (effects.py) with retries.

A request is retried with growing pauses while the server is unavailable, for `retry_for` seconds.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, TypeVar
from urllib.parse import quote

from agentjobs import errors
from agentjobs.client.effects import MERGE_PATCH, Emit, Now, Operation, Send, Sleep, Stream
from agentjobs.contract import GROUP, VERSION

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
RETRY_FOR_SECONDS: Final = 30.0
"""Default of `retry_for`: a restart of the API server or a failover of the database takes less."""
PAGE: Final = 500
# A conflicting writer is done after one or two tries.
_APPLY_TRIES: Final = 5

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Page(Protocol[T_co]):
    """A page of a list of the gateway."""

    @property
    def items(self) -> Sequence[T_co]: ...

    @property
    def cursor(self) -> str | None:
        """The cursor of the next page; None on the last one."""
        ...


def paged(
    fetch: Callable[[dict[str, Any]], Operation[Any]], read: Callable[[Any], Page[T]], params: dict[str, Any]
) -> Stream[T]:
    """Emit the items of all pages.

    Args:
        fetch: requests a page by parameters.
        read: parses the response.
    """
    while True:
        page = read((yield from fetch(params)))
        for item in page.items:
            yield Emit(item)
        if page.cursor is None:
            return
        params = params | {"cursor": page.cursor}


@dataclass(frozen=True, slots=True)
class KindOperations:
    """The requests for all kinds.

    Args:
        retry_for: how many seconds a request is retried while a server is unavailable.
    """

    plural: ClassVar[str]

    namespace: str
    retry_for: float

    def delete(self, name: str) -> Operation[None]:
        """Delete an object and its dependents; a missing object is not an error."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        with suppress(errors.NotFound):
            yield from self._sent(Send("DELETE", self.path(name), options))

    def _applied(
        self,
        name: str,
        spec: Mapping[str, Any],
        *,
        kind: str,
        labels: Mapping[str, str] | None,
        annotations: Mapping[str, str] | None,
        stopping: str,
    ) -> Operation[Mapping[str, Any]]:
        """Create an object, or replace the spec of an existing one.

        Args:
            stopping: the field that suspends or stops the object; it stays unless the spec has it.
        """
        noted = {"labels": dict(labels or {}), "annotations": dict(annotations or {})}
        for _ in range(_APPLY_TRIES):
            try:
                body = yield from self._sent(Send("GET", self.path(name)))
            except errors.NotFound:
                with suppress(errors.AlreadyExists):  # another client was faster
                    return (yield from self._created(kind, {"name": name, **noted}, spec))
                continue
            if body["metadata"].get("deletionTimestamp"):
                raise errors.Conflict(f"{kind} {name!r} is being deleted; apply again after that.")
            with suppress(errors.Conflict):
                return (yield from self._replaced(_changed(body, spec, noted, stopping)))
        raise errors.Conflict(f"{kind} {name!r} changes too often; try again.")

    def _created(self, kind: str, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Operation[Mapping[str, Any]]:
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": metadata, "spec": spec}
        return (yield from self._sent(Send("POST", self.path(), body, _STRICTLY)))

    def _replaced(self, body: Mapping[str, Any]) -> Operation[Mapping[str, Any]]:
        return (yield from self._sent(Send("PUT", self.path(body["metadata"]["name"]), body, _STRICTLY)))

    def _patched(self, name: str, body: Mapping[str, Any]) -> Operation[Mapping[str, Any]]:
        return (yield from self._sent(Send("PATCH", self.path(name), body, content_type=MERGE_PATCH)))

    def listed(
        self, selector: str, *, everywhere: bool = False
    ) -> Generator[Any, Any, tuple[list[Mapping[str, Any]], str]]:
        """Read all objects, sorted by name, and the resourceVersion to watch from.

        Args:
            everywhere: in all namespaces.
        """
        path = f"/apis/{GROUP}/{VERSION}/{self.plural}" if everywhere else self.path()
        found: list[Mapping[str, Any]] = []
        params = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        while True:
            page = yield from self._sent(Send("GET", path, params=params))
            found += page.get("items") or ()
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return found, str((page.get("metadata") or {}).get("resourceVersion") or "")
            params = params | {"continue": token}

    def _sent(self, send: Send) -> Operation[Mapping[str, Any]]:
        deadline = (yield Now()) + self.retry_for
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                answer: Mapping[str, Any] = yield send
            except errors.Unavailable as error:
                wait = max(pause, error.retry_after) if isinstance(error, errors.TooManyRequests) else pause
                if (yield Now()) + wait > deadline:
                    raise
            else:
                return answer
            yield Sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def path(self, name: str | None = None) -> str:
        """The URL path of one object, or of all for None."""
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{quote(self.namespace, safe='')}/{self.plural}"
        return path if name is None else f"{path}/{segment(name)}"


def segment(name: str) -> str:
    """Return the name of an object for the path of a URL.

    Raises:
        errors.Misconfigured: it is empty or a dot segment. The path would be that of all objects, e.g. for a DELETE.
    """
    if name in ("", ".", ".."):
        raise errors.Misconfigured(f"{name!r} is not the name of an object")
    return quote(name, safe="")


_STRICTLY: Final = {"fieldValidation": "Strict", "fieldManager": "agentjobs-client"}


def _changed(
    body: Mapping[str, Any], spec: Mapping[str, Any], noted: Mapping[str, Any], stopping: str
) -> Mapping[str, Any]:
    """Return an object with another spec, and with labels and annotations added."""
    before, metadata = body.get("spec") or {}, body["metadata"]
    added = {key: {**(metadata.get(key) or {}), **noted[key]} for key in noted}
    held = {stopping: before[stopping]} if stopping in before else {}
    return {**body, "metadata": {**metadata, **added}, "spec": {**held, **spec}}
