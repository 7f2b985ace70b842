"""Lists objects of the store: selectors, pages, resource versions. No HTTP; called by `handlers`.

As on a real server, all pages of a list show the state of the first page: snapshots of references are kept for that.
"""

import base64
import binascii
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from devcluster.apiserver.errors import StatusError, bad_option, bad_request, forbidden_option
from devcluster.apiserver.kinds import Kind
from devcluster.apiserver.selection import parse_fields, parse_labels
from devcluster.apiserver.store import Object, Store, Version

# The number of unfinished lists; the oldest expires when another begins.
_MAX_SNAPSHOTS: Final = 32


@dataclass(frozen=True, slots=True)
class Page:
    """The result of a list request."""

    versions: list[Version]
    revision: int
    token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class _Snapshot:
    versions: list[Version]
    revision: int
    resource: str


def selection(kind: Kind, query: Mapping[str, str]) -> Callable[[Object], bool] | None:
    """Return a predicate for selected objects; None when all are selected.

    Raises:
        StatusError: 400 for selectors that cannot be parsed or have a field that is not selectable.
    """
    labels = query.get("labelSelector", "")
    fields = query.get("fieldSelector", "")
    if not labels and not fields:
        return None
    by_labels = parse_labels(labels)
    by_fields = parse_fields(fields, kind)

    def selected(obj: Object) -> bool:
        return by_labels.matches(obj["metadata"].get("labels", {})) and by_fields.matches(obj)

    return selected


class Lister:
    """Lists the objects of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._snapshots: OrderedDict[str, _Snapshot] = OrderedDict()

    def page(self, kind: Kind, namespace: str, query: Mapping[str, str]) -> Page:
        """Return the list for a query, or a page of it."""
        limit = _number(query, "limit")
        token = query.get("continue", "")
        if token:
            snapshot, start = self._resume(kind, token)
        else:
            self._check_revision(query)
            chosen = selection(kind, query)
            found = self._store.list(kind.qualified_name, namespace)
            versions = found if chosen is None else [each for each in found if chosen(each.obj)]
            snapshot, start = _Snapshot(versions, self._store.revision, kind.qualified_name), 0
        if not limit or len(snapshot.versions) - start <= limit:
            return Page(snapshot.versions[start:], snapshot.revision)
        remaining = len(snapshot.versions) - start - limit
        # Real servers count unfiltered lists only; clients must not rely on the number.
        counted = None if query.get("labelSelector") or query.get("fieldSelector") else remaining
        return Page(
            snapshot.versions[start : start + limit],
            snapshot.revision,
            self._keep(snapshot, start + limit, token),
            counted,
        )

    def forget(self) -> None:
        """Expire all continued lists."""
        self._snapshots.clear()

    def _keep(self, snapshot: _Snapshot, start: int, token: str) -> str:
        name = _decode(token)[0] if token else secrets.token_hex(8)
        self._snapshots[name] = snapshot
        while len(self._snapshots) > _MAX_SNAPSHOTS:
            self._snapshots.popitem(last=False)
        return base64.urlsafe_b64encode(orjson.dumps([name, start])).decode()

    def _resume(self, kind: Kind, token: str) -> tuple[_Snapshot, int]:
        name, start = _decode(token)
        snapshot = self._snapshots.get(name)
        if snapshot is None:
            message = "The provided continue parameter is too old to display a consistent list result."
            raise StatusError(410, f"{message} You can start a new list without the continue parameter.")
        if snapshot.resource != kind.qualified_name:
            raise bad_request("continue key is not valid: it belongs to another resource")
        return snapshot, start

    def _check_revision(self, query: Mapping[str, str]) -> None:
        """Refuse resource versions that this server cannot show; lists always show the newest state."""
        match = query.get("resourceVersionMatch", "")
        revision = _number(query, "resourceVersion")
        if match not in ("", "Exact", "NotOlderThan"):
            raise bad_option("ListOptions", "resourceVersionMatch", match, ("Exact", "NotOlderThan", ""))
        if match and not query.get("resourceVersion"):
            why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            raise forbidden_option("ListOptions", "resourceVersionMatch", why)
        if revision > self._store.revision:
            message = f"Too large resource version: {revision}, current: {self._store.revision}"
            causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
            raise StatusError(504, message, details={"causes": causes, "retryAfterSeconds": 1})
        if match == "Exact" and revision != self._store.revision:
            raise StatusError(410, f"The resourceVersion for the provided list is too old: {revision}")


def start_revision(store: Store, query: Mapping[str, str]) -> int | None:
    """Return the revision that a watch begins after; None if it begins with the current objects.

    Raises:
        Expired: the history does not have the revision.
    """
    revision = _number(query, "resourceVersion")
    if revision == 0:
        return None
    store.check(revision)
    return revision


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name) or "0"
    if not (text.isascii() and text.isdigit()):
        raise bad_request(f'{name}: Invalid value: "{text}": must be a whole number')
    return int(text[:20])


def _decode(token: str) -> tuple[str, int]:
    try:
        name, start = orjson.loads(base64.urlsafe_b64decode(token))
        return str(name), int(start)
    except (ValueError, TypeError, binascii.Error) as problem:
        raise bad_request(f"continue key is not valid: {problem}") from problem
