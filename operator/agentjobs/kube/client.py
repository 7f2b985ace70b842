"""Reads and writes Kubernetes objects for the whole control side: dicts in, dicts out, our errors raised.

`kubernetes.aio` reads the configuration and keeps the credentials; requests go through aiohttp with orjson, because its
own client and models cost several times the request itself. It never retries; callers do. (aiohttp repeats a GET, PUT
or DELETE once if the server closed an idle connection; all of ours are safe to repeat, because PUT has a
resourceVersion and DELETE a uid.)
"""

import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from copy import copy
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from agentjobs.api_resource import Resource
from agentjobs.errors import Gone, Misconfigured, Unavailable
from agentjobs.kube.answers import error_of, error_of_status
from agentjobs.kube.connection import load_configuration, open_session
from agentjobs.kube.lines import whole_lines
from agentjobs.kube.log_tail import Log, newest_lines
from agentjobs.kube.resources import PODS
from agentjobs.kube.wire import Obj, event, understood, words, written

T = TypeVar("T")
Items = list[T]
Listed = tuple[list[T], str]
"""The parts of the items that `read` returned, and the list's resourceVersion."""
Check = Callable[[], None]
"""Called before every mutation; raises if this process must not write."""
OnWrite = Callable[[str, str, int], None]
"""Called after every mutation with verb, kind and HTTP status (0: no response)."""

# Most names need no quotes, and looking is faster than quoting.
_PLAIN: Final = re.compile("[a-zA-Z0-9.-]+")
MERGE_PATCH: Final = "application/merge-patch+json"
JSON: Final = "application/json"
METADATA_LIST: Final = f"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{JSON}"
# The page size of client-go's pager and kubectl.
LIST_LIMIT: Final = 500
# A healthy API server answers within 1 s (its own objective), and aborts a request after 60 s.
REQUEST_SECONDS: Final = 30.0
CONNECT_SECONDS: Final = 10.0
# The server ends a watch after this time; the margin lets it do so before silence counts as a dead connection.
WATCH_SECONDS: Final = 290
WATCH_MARGIN_SECONDS: Final = 20


class KubeClient:
    """Reads and writes objects of one API server. Created by `connect`; safe for concurrent tasks of one loop.

    All methods raise the errors of `agentjobs.errors`: NotFound, AlreadyExists, Conflict, Gone, Denied, Invalid,
    TooManyRequests and Unavailable (5xx, no connection, no answer within 30 s: a mutation may have happened).
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        configuration: Any,
        *,
        user_agent: str,
        check: Check | None = None,
        on_write: OnWrite | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._session = session
        self._configuration = configuration
        self._check = check
        self._on_write = on_write
        self._base: str = configuration.host.rstrip("/")
        self._headers = CIMultiDict([("User-Agent", user_agent), *headers])
        self._timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS, connect=CONNECT_SECONDS)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        kubeconfig: str | None,
        *,
        user_agent: str = "agentjobs",
        check: Check | None = None,
        on_write: OnWrite | None = None,
        pool_size: int = 64,
    ) -> AsyncIterator["KubeClient"]:
        """Open a client during a `with` block.

        Args:
            kubeconfig: path (or `:`-joined paths, as in KUBECONFIG); None means the service account of our own pod.
            pool_size: maximum connections; at least the number of workers plus watches, or they wait.

        Raises:
            Misconfigured: the kubeconfig or the pod's service account files are missing or broken.
        """
        configuration = await load_configuration(kubeconfig)
        try:
            session = open_session(configuration, pool_size=pool_size)
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(f"kubeconfig {kubeconfig or '(in cluster)'}: certificates unusable: {error}") from error
        async with session:
            yield cls(session, configuration, user_agent=user_agent, check=check, on_write=on_write)

    def with_check(self, check: Check | None) -> "KubeClient":
        """Return a client over the same connections with another fence (None: unfenced, for the elector)."""
        other = copy(self)
        other._check = check
        return other

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self._base

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Obj:
        """Return the current object."""
        return await self._call("GET", resource, namespace, name)

    async def list(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> Listed[Obj]:
        """Return all objects and the resourceVersion of the list, one consistent snapshot.

        `namespace` None lists all namespaces. Read in chunks; if the snapshot expires (410), everything is read again
        in one request, as in client-go's pager. Items get the apiVersion and kind that lists omit.
        """
        return await self.list_as(
            lambda item: item, resource, namespace, label_selector=label_selector, field_selector=field_selector
        )

    async def list_as(
        self,
        read: Callable[[Obj], T],
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Listed[T]:
        """List like `list`, but keep only the result of `read` for each object.

        Objects are processed chunk by chunk, so only one raw chunk of a large list is in memory. `read` may be called
        twice for an object if a snapshot expires.
        """
        selected = partial(
            self.pages, resource, namespace, label_selector=label_selector, field_selector=field_selector
        )
        try:
            return await _collected(read, selected())
        except Gone:
            return await _collected(read, selected(limit=0))

    async def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = LIST_LIMIT,
    ) -> AsyncGenerator[Listed[Obj]]:
        """Yield all objects in pages of this size (0: one page), each with the resourceVersion of the list.

        Raises Gone if the snapshot expires; a new list has a later snapshot.
        """
        query = {"labelSelector": label_selector, "fieldSelector": field_selector, "limit": str(limit) if limit else ""}
        async for page in self._pages(resource, namespace, query, accept=JSON):
            yield page

    async def metadata_pages(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str = ""
    ) -> AsyncIterator[Listed[Obj]]:
        """As `pages`, but objects may contain only their metadata."""
        query = {"labelSelector": label_selector, "limit": str(LIST_LIMIT)}
        async for page in self._pages(resource, namespace, query, accept=METADATA_LIST):
            yield page

    async def _pages(
        self, resource: Resource, namespace: str | None, query: Mapping[str, str], *, accept: str
    ) -> AsyncIterator[Listed[Obj]]:
        token = ""
        while True:
            parameters = {**query, "continue": token}
            page = await self._call("GET", resource, namespace, None, query=parameters, accept=accept)
            metadata = page.get("metadata") or {}
            if "resourceVersion" not in metadata:
                request = _request("GET", resource, namespace, None)
                raise Unavailable(f"{request}: the answer is not a list: {page!r:.80}")
            items = page.get("items") or []
            for item in items:
                item.setdefault("apiVersion", resource.api_version)
                item.setdefault("kind", resource.kind)
            token = metadata.get("continue") or ""
            yield items, metadata["resourceVersion"]
            if not token:
                return

    async def create(
        self, resource: Resource, namespace: str | None, body: Obj, *, strict: bool = False, dry_run: bool = False
    ) -> Obj:
        """Create the object; raises AlreadyExists if its name is taken. Also creates reviews, whose result is
        returned.

        Args:
            strict: unknown fields are refused (Invalid); otherwise the server drops them silently.
            dry_run: everything is checked, including admission, but nothing is stored; it counts as a read here.
        """
        query = {"fieldValidation": "Strict"} if strict else {}
        query |= {"dryRun": "All"} if dry_run else {}
        return await self._call("POST", resource, namespace, None, body=body, query=query)

    async def patch(
        self, resource: Resource, namespace: str | None, name: str, body: Obj, *, subresource: str | None = None
    ) -> Obj:
        """Merge `body` (RFC 7386) into the object; with `metadata.resourceVersion` in it, only if that is current."""
        return await self._call("PATCH", resource, namespace, name, body=body, subresource=subresource)

    async def replace(self, resource: Resource, namespace: str | None, name: str, body: Obj) -> Obj:
        """Replace the whole object; `body.metadata.resourceVersion` is the precondition."""
        return await self._call("PUT", resource, namespace, name, body=body)

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "Background",
        grace_seconds: int | None = None,
    ) -> Obj:
        """Delete the object, with `uid` only that one (Conflict if another object has the name now).

        With `resource_version`, only if it has not changed since, so that no outdated decision is carried out.

        Returns the object if it still exists (grace period, finalizers), else a Status.
        """
        options: Obj = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if uid is not None or resource_version is not None:
            options["preconditions"] = {name: value for name, value in preconditions.items() if value is not None}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        return await self._call("DELETE", resource, namespace, name, body=options)

    async def send(
        self,
        method: str,
        path: str,
        *,
        kind: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Obj:
        """Send a request to a path, and return the object of the response.

        Args:
            path: quoted, from the root of the server; a PATCH is a merge patch.
            kind: for `on_write` and error messages.
        """
        url = self._at(path, query)
        raw = await self._exchange(method, url, kind, f"{method} {kind}", body=body, write=method != "GET")
        return understood(raw, f"{method} {kind}")

    async def log(
        self,
        namespace: str,
        pod: str,
        *,
        container: str,
        lines: int,
        most: int,
        previous: bool = False,
        timestamps: bool = False,
    ) -> Log:
        """Return the last log lines of a container, and whether there are earlier ones.

        Args:
            most: maximum bytes; of more, the newest whole lines, or the end of a line that is longer.
            previous: of the previous container in the same pod.
            timestamps: whether each line begins with its time and a space.
        """
        flags = {"previous": previous, "timestamps": timestamps}
        # One line more shows whether there are earlier ones.
        query = {"container": container, "tailLines": str(lines + 1)} | {
            name: "true" for name, on in flags.items() if on
        }
        url = self._url(PODS, namespace, pod, subresource="log", query=query)
        request = _request("GET", PODS, namespace, pod)
        newest = bytearray()
        try:
            response = await self._send("GET", url, timeout=self._timeout, accept="*/*")
            async with response:
                if response.status >= 300:
                    raise self._error(response, await response.read(), request)
                # Not `limitBytes`, which keeps the oldest. One byte more shows whether a line begins at the limit.
                async for chunk in response.content.iter_any():
                    newest += chunk
                    if len(newest) > 2 * most:
                        del newest[: -most - 1]
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unavailable(f"{request}: {words(error)}") from error
        return newest_lines(bytes(newest), lines, most)

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        seconds: int = WATCH_SECONDS,
    ) -> AsyncIterator[tuple[str, Obj]]:
        """Yield (type, object) of every change after `resource_version`: ADDED, MODIFIED, DELETED, BOOKMARK.

        Ends when the server ends the watch (after about `seconds`); continue from the last object's resourceVersion.
        Raises Gone if that version is too old: list again. For people and tests; the operator watches through kopf.
        """
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
        }
        request = f"watch {resource.plural}"
        url = self._url(resource, namespace, None, query=query)
        timeout = aiohttp.ClientTimeout(connect=CONNECT_SECONDS, sock_read=seconds + WATCH_MARGIN_SECONDS)
        try:
            response = await self._send("GET", url, timeout=timeout)
            async with response:
                if response.status >= 400:
                    raise self._error(response, await response.read(), request)
                async for lines in whole_lines(response.content):
                    for kind, obj in map(event, lines):
                        if kind == "ERROR":
                            raise error_of_status(obj, request=request)
                        yield kind, obj
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unavailable(f"{request}: {words(error)}") from error

    async def _call(
        self,
        method: str,
        resource: Resource,
        namespace: str | None,
        name: str | None,
        *,
        body: Obj | None = None,
        subresource: str | None = None,
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
    ) -> Obj:
        write = method != "GET" and not (query or {}).get("dryRun")
        url = self._url(resource, namespace, name, subresource=subresource, query=query)
        request = _request(method, resource, namespace, name)
        raw = await self._exchange(method, url, resource.kind, request, body=body, accept=accept, write=write)
        return understood(raw, request)

    async def _exchange(
        self,
        method: str,
        url: URL,
        kind: str,
        request: str,
        *,
        body: Mapping[str, Any] | None = None,
        accept: str = JSON,
        write: bool = False,
    ) -> bytes:
        """Return the body of a successful response; `request` is the request in error messages."""
        if write and self._check is not None:
            self._check()
        code = 0
        try:
            response = await self._send(method, url, body=body, timeout=self._timeout, accept=accept)
            async with response:
                raw = await response.read()
                code = response.status
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unavailable(f"{request}: {words(error)}") from error
        finally:
            if write and self._on_write is not None:
                self._on_write(method, kind, code)
        if code >= 300:
            raise self._error(response, raw, request)
        return raw

    async def _send(
        self,
        method: str,
        url: URL,
        *,
        body: Mapping[str, Any] | None = None,
        timeout: aiohttp.ClientTimeout,
        accept: str = JSON,
    ) -> aiohttp.ClientResponse:
        headers = self._headers.copy()
        headers["Accept"] = accept
        # The only public way to run the configuration's refresh hook: projected tokens rotate hourly.
        token = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token:
            headers["Authorization"] = token
        data = None
        if body is not None:
            headers["Content-Type"] = MERGE_PATCH if method == "PATCH" else JSON
            data = written(body)
        return await self._session.request(
            method,
            url,
            headers=headers,
            data=data,
            timeout=timeout,
            server_hostname=self._configuration.tls_server_name,
        )

    def _url(
        self,
        resource: Resource,
        namespace: str | None,
        name: str | None,
        *,
        subresource: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> URL:
        parts = [resource.root]
        if resource.namespaced and namespace is not None:
            parts += ["/namespaces/", _quoted(namespace)]
        parts += ["/", resource.plural]
        if name is not None:
            parts += ["/", _quoted(name)]
        if subresource is not None:
            parts += ["/", subresource]
        return self._at("".join(parts), query)

    def _at(self, path: str, query: Mapping[str, str] | None) -> URL:
        parameters = urlencode({key: value for key, value in query.items() if value}) if query else ""
        # Already quoted, so that yarl only parses it.
        return URL(self._base + path + (f"?{parameters}" if parameters else ""), encoded=True)

    @staticmethod
    def _error(response: aiohttp.ClientResponse, raw: bytes, request: str) -> Exception:
        return error_of(response.status, raw, request=request, retry_after=response.headers.get("Retry-After"))


def _quoted(name: str) -> str:
    if name in ("", ".", ".."):  # the path would be that of all objects
        raise Misconfigured(f"{name!r} is not the name of an object")
    return name if _PLAIN.fullmatch(name) else quote(name, safe="")


async def _collected(read: Callable[[Obj], T], pages: AsyncIterator[Listed[Obj]]) -> Listed[T]:
    items: Items[T] = []
    listed = ""
    async for page, version in pages:
        items += [read(item) for item in page]
        listed = version
    return items, listed


def _request(method: str, resource: Resource, namespace: str | None, name: str | None) -> str:
    path = "/".join(part for part in (namespace, name) if part)
    return f"{method} {resource.plural} {path}".rstrip()
