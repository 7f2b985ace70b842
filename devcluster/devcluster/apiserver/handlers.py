"""Handles requests about resources: reads query and body, calls `core`, `lists`, `streams`, `logs` and `reviews`.

Called by `server` for authorized requests. Every refusal is a StatusError.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from aiohttp import web

from devcluster.apiserver import logs, negotiation, patches, streams
from devcluster.apiserver.auth import Identity, ServerCredentials
from devcluster.apiserver.core import Core, Outcome
from devcluster.apiserver.decoding import WriteOptions
from devcluster.apiserver.errors import StatusError, bad_option, bad_request, unsupported
from devcluster.apiserver.faults import Faults
from devcluster.apiserver.kinds import POD, Kind
from devcluster.apiserver.lifecycle import DeleteOptions
from devcluster.apiserver.lists import Lister
from devcluster.apiserver.negotiation import Form
from devcluster.apiserver.registry import ServedResource
from devcluster.apiserver.reviews import Reviews
from devcluster.apiserver.routes import Route
from devcluster.apiserver.store import Key, Object, Store, Version
from devcluster.apiserver.tables import table

_VERBS: Final[Mapping[tuple[str, bool], str]] = {
    ("GET", False): "list",
    ("GET", True): "get",
    ("POST", False): "create",
    ("PUT", True): "update",
    ("PATCH", True): "patch",
    ("DELETE", True): "delete",
    ("DELETE", False): "deletecollection",
}
_APPLY_REFUSED: Final = (
    "server-side apply is not served by this development server; use plain `kubectl apply`, which sends a merge patch"
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request about a resource."""

    request: web.BaseRequest
    route: Route
    served: ServedResource
    verb: str
    query: Mapping[str, str]
    form: Form
    caller: Identity

    @property
    def kind(self) -> Kind:
        """The kind of the resource."""
        return self.served.kind

    @property
    def key(self) -> Key:
        """The object's key."""
        return (self.route.namespace, self.route.name)

    @property
    def resource(self) -> str:
        """Resource and subresource, such as `pods/status`."""
        name = self.kind.qualified_name
        return f"{name}/{self.route.subresource}" if self.route.subresource else name


def verb_of(method: str, route: Route, query: Mapping[str, str]) -> str:
    """Return the RBAC verb of a request; empty when the path does not support the method."""
    if route.subresource:
        return {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, "")
    verb = _VERBS.get((method, bool(route.name)), "")
    if method == "GET" and query.get("watch") in ("true", "1"):
        return "watch"
    return verb


class ResourceHandler:
    """Handles the requests about the resources of one server."""

    def __init__(
        self,
        store: Store,
        core: Core,
        listing: Lister,
        reviews: Reviews,
        credentials: ServerCredentials,
        *,
        clock: Callable[[], datetime],
        faults: Faults,
    ) -> None:
        self._store = store
        self._core = core
        self._lists = listing
        self._reviews = reviews
        self._kubelets = credentials.kubelet_context()
        self._clock = clock
        self._faults = faults

    async def handle(self, call: Call) -> web.StreamResponse:
        """Return the response to a request.

        Raises:
            StatusError: the request is refused.
        """
        self._require_served(call)
        if call.route.subresource not in ("", "status"):
            return await self._subresource(call)
        match call.verb:
            case "get":
                return self._object(call, self._core.get(call.kind, call.key))
            case "list":
                return self._list(call)
            case "watch":
                return await self._watch(call)
            case "create":
                return await self._create(call)
            case "update" | "patch":
                return await self._write(call)
            case "delete":
                return await self._delete(call)
            case _:
                return await self._delete_collection(call)

    @staticmethod
    def _require_served(call: Call) -> None:
        kind, route = call.kind, call.route
        verbs: tuple[str, ...] = kind.verbs
        if route.subresource:
            subresource = kind.subresource(route.subresource)
            if subresource is None:
                known = ", ".join(each.name for each in kind.subresources) or "none"
                message = f"{call.resource} is not served here (subresources: {known})"
                raise StatusError(404, f"the server could not find the requested resource: {message}")
            verbs = subresource.verbs
        if not call.verb or call.verb not in verbs:
            message = f"{call.request.method} is not supported on resources of kind {call.resource}"
            raise StatusError(405, f"{message}; it takes: {', '.join(verbs)}")
        if kind.namespaced and not route.namespace and call.verb not in ("list", "watch"):
            raise StatusError(
                405, f"{kind.qualified_name} are namespaced: {call.verb} needs the path {kind.path('NAMESPACE')}"
            )
        if route.namespace and not kind.namespaced:
            raise StatusError(
                404, f"the server could not find the requested resource: {kind.qualified_name} are not namespaced"
            )

    def _list(self, call: Call) -> web.Response:
        page = self._lists.page(call.kind, call.route.namespace, call.query)
        meta: dict[str, Any] = {"resourceVersion": str(page.revision)}
        if page.token:
            meta["continue"] = page.token
        if page.remaining is not None:
            meta["remainingItemCount"] = page.remaining
        kind = call.kind
        if call.form in (Form.TABLE, Form.TABLE_V1BETA1):
            return _json(self._table(call, page.versions, meta))
        head = orjson.dumps({"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": meta})
        items = b",".join(_item(kind, version) for version in page.versions)
        raw = head[:-1] + b',"items":[' + items + b"]}"
        return _json(raw) if call.form is Form.JSON else _yaml(orjson.loads(raw))

    async def _watch(self, call: Call) -> web.StreamResponse:
        kind = call.kind

        tables = call.form in (Form.TABLE, Form.TABLE_V1BETA1)
        first = iter([True])

        def row(version: Version) -> bytes:
            revision = {"resourceVersion": version.obj["metadata"]["resourceVersion"]}
            return self._table(call, [version], revision, headers=next(first, False))

        def plain(version: Version) -> bytes:
            return _raw(kind, version)

        # A table row depends on time and query; only plain events are shared among watches.
        route, render = call.route, row if tables else plain
        watch = streams.Watch(kind, route.namespace, route.name, call.query, render, shared=not tables)
        return await streams.serve(call.request, self._store, watch, self._faults)

    async def _create(self, call: Call) -> web.Response:
        body = await self._body(call.request)
        if call.kind.virtual:
            return _json(orjson.dumps(self._reviews.answer(call.kind, body, call.caller)), 201)
        outcome = self._core.create(call.served, call.route.namespace, body, _write_options(call))
        return self._written(call, outcome)

    async def _write(self, call: Call) -> web.Response:
        options = _write_options(call)
        if call.verb == "update":
            body = await self._body(call.request)
            outcome = self._core.update(call.served, call.key, body, call.route.subresource, options)
        else:
            apply = await self._patch(call)
            outcome = self._core.patch(call.served, call.key, apply, call.route.subresource, options)
        return self._written(call, outcome)

    async def _patch(self, call: Call) -> Callable[[Object], Any]:
        media = call.request.content_type
        kind = call.kind
        if media in negotiation.APPLY_PATCHES:
            raise StatusError(415, _APPLY_REFUSED)
        if media not in negotiation.PATCHES or (kind.custom and media == negotiation.STRATEGIC_PATCH):
            accepted = [each for each in negotiation.PATCHES if not kind.custom or each != negotiation.STRATEGIC_PATCH]
            raise unsupported(media, accepted)
        patch = negotiation.from_json(await self._raw_body(call.request))
        if isinstance(patch, dict) and (patch.get("metadata") or {}).get("name", call.route.name) != call.route.name:
            name = patch["metadata"]["name"]
            raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({call.route.name})")
        if media == negotiation.JSON_PATCH:
            return lambda obj: patches.json_patch(obj, patch)
        if media == negotiation.MERGE_PATCH:
            return lambda obj: patches.merge_patch(obj, patch)
        return lambda obj: patches.strategic_merge(obj, patch, kind)

    async def _delete(self, call: Call) -> web.Response:
        options = await self._delete_options(call)
        outcome = self._core.delete(call.kind, call.key, options)
        if not outcome.removed:
            return self._object(call, outcome.version)
        if call.kind.key == POD.key:
            return self._object(call, outcome.version)
        meta = outcome.version.obj["metadata"]
        details = {"name": meta["name"], "kind": call.kind.plural, "uid": meta["uid"]}
        if call.kind.group:
            details["group"] = call.kind.group
        return _json(orjson.dumps(_success(details)))

    async def _delete_collection(self, call: Call) -> web.Response:
        options = await self._delete_options(call)
        page = self._lists.page(call.kind, call.route.namespace, call.query)
        for version in page.versions:
            meta = version.obj["metadata"]
            try:
                self._core.delete(call.kind, (meta.get("namespace", ""), meta["name"]), options)
            except StatusError as error:
                if error.code != 404:  # already deleted
                    raise
        head = {"kind": call.kind.list_kind, "apiVersion": call.kind.api_version}
        meta = {"resourceVersion": str(page.revision)}
        items = [orjson.Fragment(_raw(call.kind, version)) for version in page.versions]
        return _json(orjson.dumps({**head, "metadata": meta, "items": items}))

    async def _subresource(self, call: Call) -> web.StreamResponse:
        route, options = call.route, _write_options(call)
        if route.subresource == "log":
            url = logs.kubelet_url(self._store, self._core.get(call.kind, call.key).obj, call.query)
            return await logs.serve(call.request, url, self._kubelets) if url else web.Response(status=204)
        body = await self._body(call.request)
        match route.subresource:
            case "binding":
                self._core.bind(route.namespace, route.name, body, options)
                return _json(orjson.dumps(_success(None)), 201)
            case "finalize":
                return self._written(call, self._core.finalize(route.name, body, options))
            case "token":
                answer = self._reviews.request_token(route.namespace, route.name, body)
                return _json(orjson.dumps(answer), 201)
            case _:
                raise AssertionError(f"no answer for subresource {route.subresource}")

    async def _delete_options(self, call: Call) -> DeleteOptions:
        raw = await self._raw_body(call.request)
        body = negotiation.body(raw, call.request.content_type) if raw else {}
        query = call.query
        grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
        preconditions = body.get("preconditions") or {}
        orphan = body.get("orphanDependents")
        propagation = body.get("propagationPolicy") or query.get("propagationPolicy") or ""
        if orphan is not None and not propagation:
            propagation = "Orphan" if orphan else "Background"
        return DeleteOptions(
            grace_seconds=None if grace is None else _grace(grace),
            propagation=str(propagation),
            uid=str(preconditions.get("uid") or ""),
            resource_version=str(preconditions.get("resourceVersion") or ""),
            dry_run=_dry_run(call, body.get("dryRun")),
        )

    def _object(self, call: Call, version: Version, code: int = 200, warnings: tuple[str, ...] = ()) -> web.Response:
        if call.form is Form.JSON:
            return _json(_raw(call.kind, version), code, warnings)
        if call.form is Form.YAML:
            return _yaml(orjson.loads(_raw(call.kind, version)), code, warnings)
        revision = {"resourceVersion": version.obj["metadata"].get("resourceVersion", "")}
        return _json(self._table(call, [version], revision), code, warnings)

    def _written(self, call: Call, outcome: Outcome) -> web.Response:
        return self._object(call, outcome.version, 201 if outcome.created else 200, outcome.warnings)

    def _table(self, call: Call, versions: list[Version], metadata: Object, *, headers: bool = True) -> bytes:
        made = table(
            call.kind,
            [version.obj for version in versions],
            now=self._clock(),
            include=call.query.get("includeObject", ""),
            api_version="meta.k8s.io/v1" if call.form is Form.TABLE else "meta.k8s.io/v1beta1",
            metadata=metadata,
            headers=headers,
        )
        return orjson.dumps(made)

    async def _body(self, request: web.BaseRequest) -> Object:
        return negotiation.body(await self._raw_body(request), request.headers.get("Content-Type", ""))

    @staticmethod
    async def _raw_body(request: web.BaseRequest) -> bytes:
        try:
            return await request.read()
        except web.HTTPRequestEntityTooLarge as problem:
            raise StatusError(413, f"Request entity too large: limit is {negotiation.MAX_BODY}") from problem


def _write_options(call: Call) -> WriteOptions:
    validation = call.query.get("fieldValidation") or "Warn"
    if validation not in ("Strict", "Warn", "Ignore"):
        raise bad_option(_options_kind(call), "fieldValidation", validation, ("", "Ignore", "Strict", "Warn"))
    return WriteOptions(validation, _dry_run(call, None))


def _dry_run(call: Call, from_body: object) -> bool:
    requested = call.query.get("dryRun") or (from_body[0] if isinstance(from_body, list) and from_body else "")
    if requested not in ("", "All"):
        raise bad_option(_options_kind(call), "dryRun", requested, ("All",))
    return requested == "All"


def _options_kind(call: Call) -> str:
    verb = "delete" if call.verb == "deletecollection" else call.verb
    return f"{verb.capitalize()}Options"


def _grace(value: object) -> int:
    try:
        return max(0, int(str(value)))
    except ValueError as problem:
        raise bad_request(f'gracePeriodSeconds: Invalid value: "{value}": must be a whole number') from problem


def _raw(kind: Kind, version: Version) -> bytes:
    """Return the JSON of an object in the requested version; versions of a CRD differ in `apiVersion` only."""
    if version.obj["apiVersion"] == kind.api_version:
        return version.raw
    return orjson.dumps({**version.obj, "apiVersion": kind.api_version})


def _item(kind: Kind, version: Version) -> bytes:
    """Return the JSON of an item of a list; items of built-in kinds have neither apiVersion nor kind."""
    if kind.custom:
        return _raw(kind, version)
    head = b'{"apiVersion":"%s","kind":"%s",' % (kind.api_version.encode(), kind.kind.encode())
    if version.raw.startswith(head):  # as most objects are stored
        return b"{" + version.raw[len(head) :]
    return orjson.dumps({name: value for name, value in version.obj.items() if name not in ("apiVersion", "kind")})


def _success(details: Object | None) -> Object:
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return {**status, "details": details} if details else {**status, "code": 201}


def _json(raw: bytes, code: int = 200, warnings: tuple[str, ...] = ()) -> web.Response:
    return _response(raw, "application/json", code, warnings)


def _yaml(value: object, code: int = 200, warnings: tuple[str, ...] = ()) -> web.Response:
    return _response(negotiation.to_yaml(value), "application/yaml", code, warnings)


def _response(raw: bytes, media: str, code: int, warnings: tuple[str, ...]) -> web.Response:
    response = web.Response(
        body=raw, status=code, headers={"Content-Type": media, "Cache-Control": "no-cache, private"}
    )
    for warning in warnings:
        # RFC 7234 5.5: 299 is a persistent warning without an agent; the text is a quoted string.
        escaped = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{escaped}"')
    return response
