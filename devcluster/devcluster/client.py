"""A small Kubernetes client for the development cluster: dictionaries in and out, over aiohttp.

The controllers, the process node and tests use it with the embedded server and with real ones. It shares no code with
the products under test, so that a bug in one client cannot hide the same bug in the other.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

Object = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
_LIST_LIMIT = 500  # the page size of kubectl and client-go
_RELIST_SECONDS = 0.2  # first pause after a failed list or watch; doubles
_RELIST_MAX_SECONDS = 5.0


class ApiError(Exception):
    """The server refused a request or could not be reached. `code` is the HTTP status, 0 without a response."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}" if code else message)
        self.code = code
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource as the server's paths name it. `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the path of the URL; without a namespace it covers all namespaces."""
        parts = ["/api" if not self.group else f"/apis/{self.group}", self.version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/".join(parts)


PODS = Resource("", "v1", "pods", "Pod")
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
EVENTS = Resource("", "v1", "events", "Event")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects that exist now; others are deleted. The first item of every watch, and of each new list."""

    items: list[Object]


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """An event of a watch: ADDED, MODIFIED or DELETED."""

    type: str
    object: Object

    @property
    def items(self) -> list[Object]:
        """The object, for readers that treat a listing and an event alike."""
        return [self.object]


class Client:
    """Sends requests to one server. Use it as a context: `async with Client(url, token=…, ca=…) as client`."""

    def __init__(self, url: str, *, token: str = "", ca: str | Path | None = None, agent: str = "devcluster") -> None:
        """`ca` is the path of a PEM bundle, None for the system's roots."""
        self.url = url.rstrip("/")
        self._headers = {"User-Agent": agent, "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._ca = None if ca is None else str(ca)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Client":
        context = ssl.create_default_context(cafile=self._ca)
        # Each watch holds a connection for a long time, so the number of connections is not limited.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0), headers=self._headers, trust_env=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        timeout: float = 30.0,
    ) -> Object:
        """Send one request and return the decoded response; raises `ApiError`."""
        data = None if body is None else orjson.dumps(body)
        headers = {} if data is None else {"Content-Type": content_type}
        try:
            async with self._open().request(
                method,
                self.url + path,
                data=data,
                params=dict(params or {}),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout),
            ) as response:
                text = await response.text(errors="replace")  # logs may hold any bytes
                if response.status >= 400:
                    raise refusal(response.status, text)
                return _decode(text)
        except (aiohttp.ClientError, OSError) as error:
            raise ApiError(0, "Unreachable", f"{method} {self.url}{path}: {error or type(error).__name__}") from error

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        return await self.request("GET", resource.path(namespace, name))

    async def list(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> tuple[list[Object], str]:
        """Return all matching objects, read in pages, and the resource version of the list."""
        items: list[Object] = []
        params = _selectors(label_selector, field_selector) | {"limit": str(_LIST_LIMIT)}
        while True:
            page = await self.request("GET", resource.path(namespace), params=params)
            items += page.get("items") or []
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return items, str(metadata.get("resourceVersion", ""))
            params["continue"] = metadata["continue"]

    async def create(
        self, resource: Resource, namespace: str | None, body: Object, *, subresource: tuple[str, str] | None = None
    ) -> Object:
        """POST `body`; `subresource` is (name, subresource), such as ("pod-1", "binding")."""
        name, part = subresource or (None, None)
        return await self.request("POST", resource.path(namespace, name, part), body=body)

    async def patch(
        self, resource: Resource, namespace: str | None, name: str, body: Object, *, subresource: str | None = None
    ) -> Object:
        """Apply a JSON merge patch."""
        path = resource.path(namespace, name, subresource)
        return await self.request("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def replace(
        self, resource: Resource, namespace: str | None, name: str, body: Object, *, subresource: str | None = None
    ) -> Object:
        return await self.request("PUT", resource.path(namespace, name, subresource), body=body)

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        propagation: str | None = None,
        grace_seconds: int | None = None,
    ) -> Object:
        """Delete one object; with `uid`, only the object of that uid (409 otherwise)."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if propagation is not None:
            options["propagationPolicy"] = propagation
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        return await self.request("DELETE", resource.path(namespace, name), body=options)

    async def follow(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[Listing | WatchEvent]:
        """List, then watch, without end: resume a watch that was interrupted, list again when it has expired.

        Errors of the server and the network are retried and never raised. So is 404, since a CRD is served a moment
        after it was created.
        """
        selectors = _selectors(label_selector, field_selector)
        pause = _RELIST_SECONDS
        while True:
            try:
                items, revision = await self.list(
                    resource, namespace, label_selector=label_selector, field_selector=field_selector
                )
                yield Listing(items)
                async for change in self._watch(resource.path(namespace), selectors, revision):
                    pause = _RELIST_SECONDS
                    yield change
            except ApiError as error:
                await asyncio.sleep(0 if error.code == 410 else pause)
                pause = min(pause * 2, _RELIST_MAX_SECONDS)

    async def _watch(self, path: str, selectors: Mapping[str, str], revision: str) -> AsyncIterator[WatchEvent]:
        """Yield changes; connect again when the connection ends. Ends only by raising `ApiError`."""
        while True:
            params = {**selectors, "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": revision}
            cut = False
            try:
                async with self._open().get(
                    self.url + path, params=params, timeout=aiohttp.ClientTimeout(total=None, connect=10)
                ) as response:
                    if response.status >= 400:
                        raise refusal(response.status, await response.text())
                    async for line in _lines(response.content):
                        event = orjson.loads(line)
                        if event["type"] == "ERROR":
                            status = event["object"]
                            raise ApiError(status.get("code", 500), status.get("reason", ""), status.get("message", ""))
                        revision = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] != "BOOKMARK":
                            yield WatchEvent(event["type"], event["object"])
            except (aiohttp.ClientError, OSError, ValueError) as error:
                cut = True
                if isinstance(error, aiohttp.ClientConnectorError):
                    raise ApiError(0, "Unreachable", str(error)) from error
            # A server may end every watch immediately; a pause avoids a busy loop.
            await asyncio.sleep(_RELIST_SECONDS if cut else 0.02)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the client is closed: use it as `async with Client(…) as client`")
        return self._session


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    pairs = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in pairs.items() if value}


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Split by newline; aiohttp's own iteration refuses lines above 64 KiB, and objects may have 1.5 MiB."""
    rest = b""
    async for chunk in stream.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield line


def _decode(text: str) -> Object:
    if not text:
        return {}
    with contextlib.suppress(ValueError):
        value = orjson.loads(text)
        if isinstance(value, dict):
            return value
    return {"text": text}


def refusal(code: int, text: str) -> ApiError:
    """Return the error for a response with that status and body."""
    status = _decode(text)
    return ApiError(code, str(status.get("reason") or ""), str(status.get("message") or text.strip()[:500]))
