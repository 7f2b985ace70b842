"""The API server for the command line: requests, discovery of a kind's path, watches.

For short, single-threaded commands, over the client's blocking transport; the operator's client is kube/client.py. It
discovers every kind and retries nothing: the user does.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from agentjobs import errors
from agentjobs.cli.failures import USAGE, Failure, nearest
from agentjobs.client.connection import api_server
from agentjobs.client.effects import JSON, MERGE_PATCH, Emit, Listen, NextLine, Send, Stream
from agentjobs.client.kubeconfig import Access
from agentjobs.client.requests import segment
from agentjobs.client.transport import Blocking
from agentjobs.contract import GROUP, VERSION

__all__ = [
    "AGENTJOBS",
    "AGENTQUEUES",
    "AGENTSCHEDULES",
    "AGENTTEMPLATES",
    "MERGE_PATCH",
    "TABLE",
    "ClusterConnection",
    "Kind",
    "connect",
]

TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@dataclass(frozen=True, slots=True)
class Kind:
    """The API path of a kind."""

    group_version: str
    plural: str
    singular: str
    namespaced: bool

    @property
    def shown(self) -> str:
        """`agentjob.agentjobs.dev`, or `configmap` in the core group: what kubectl prints before the slash."""
        group = self.group_version.partition("/")[0] if "/" in self.group_version else ""
        return f"{self.singular}.{group}" if group else self.singular

    @property
    def everywhere(self) -> str:
        """The URL path of the objects of all namespaces."""
        return f"/{self._root}/{self.group_version}/{self.plural}"

    def path(self, namespace: str, name: str | None = None) -> str:
        """The URL path of one object, or of the collection for None."""
        inside = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced else ""
        last = "" if name is None else f"/{segment(name)}"
        return f"/{self._root}/{self.group_version}{inside}/{self.plural}{last}"

    @property
    def _root(self) -> str:
        return "apis" if "/" in self.group_version else "api"


AGENTJOBS: Final = Kind(group_version=f"{GROUP}/{VERSION}", plural="agentjobs", singular="agentjob", namespaced=True)
AGENTQUEUES: Final = Kind(
    group_version=f"{GROUP}/{VERSION}", plural="agentqueues", singular="agentqueue", namespaced=True
)
AGENTSCHEDULES: Final = Kind(
    group_version=f"{GROUP}/{VERSION}", plural="agentschedules", singular="agentschedule", namespaced=True
)
AGENTTEMPLATES: Final = Kind(
    group_version=f"{GROUP}/{VERSION}", plural="agenttemplates", singular="agenttemplate", namespaced=True
)


class ClusterConnection:
    """A connection to one API server."""

    def __init__(self, access: Access, transport: Blocking) -> None:
        self.access = access
        self._transport = transport
        self._kinds: dict[tuple[str, str], Kind] = {}

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        accept: str = JSON,
        content_type: str = JSON,
    ) -> dict[str, Any]:
        """Return the response's object.

        Raises:
            Failure: the server rejected the label selector.
            errors.AgentJobsError: the request failed, or the server rejected it; with the server's message.
        """
        send = Send(method, path, body, dict(params or {}), content_type, accept)
        try:
            answer: dict[str, Any] = self._transport.perform(send)
        except errors.Invalid as error:
            if "labelSelector" in send.params:
                # Of a list's parameters only this one is written by the user; the server does not name it.
                raise Failure(f"--selector: {error}", code=USAGE) from None
            raise
        return answer

    def kind(self, api_version: str, kind: str) -> Kind:
        """Look up the API path of a kind.

        Raises:
            errors.NotFound: the server does not serve it.
        """
        if (api_version, kind) not in self._kinds:
            root = "apis" if "/" in api_version else "api"
            try:
                served = self.request("GET", f"/{root}/{quote(api_version)}").get("resources") or []
            except errors.NotFound:
                served = []
            for item in served:
                if "/" not in item["name"]:
                    self._kinds[api_version, item["kind"]] = Kind(
                        group_version=api_version,
                        plural=item["name"],
                        singular=item.get("singularName") or item["kind"].lower(),
                        namespaced=bool(item.get("namespaced")),
                    )
        if (api_version, kind) not in self._kinds:
            ours = api_version.startswith(f"{GROUP}/")
            here = [known for version, known in self._kinds if version == api_version]
            cure = f"; {nearest(kind, here)}" if here else ""
            cure = "; install our CRDs: `kubectl apply --server-side -f crds/`" if ours and not here else cure
            raise errors.NotFound(f"{self.access.server} does not serve kind {kind!r} of {api_version!r}{cure}")
        return self._kinds[api_version, kind]

    def watch(
        self, path: str, *, params: Mapping[str, str], accept: str = JSON, seconds: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the events of a watch until it ends or breaks, or the server sends nothing for `seconds`."""
        for line in self.lines(path, params={"watch": "true", **params}, accept=accept, seconds=seconds):
            if not line.strip():
                continue
            try:
                event = json.loads(line)
            except ValueError:
                return  # the connection broke within an event
            yield event

    def lines(
        self, path: str, *, params: Mapping[str, str], accept: str = "*/*", seconds: float | None = None
    ) -> Iterator[str]:
        """Yield the lines of a stream until it ends or sends nothing for `seconds`."""
        yield from self._transport.iterate(_lines(Listen(path, dict(params), seconds, accept)))


def _lines(listen: Listen) -> Stream[str]:
    yield listen
    while (line := (yield NextLine())) is not None:
        yield Emit(line)


@contextmanager
def connect(access: Access) -> Iterator[ClusterConnection]:
    """Open a connection; it connects at the first request."""
    transport = Blocking(lambda _: api_server(access))
    try:
        yield ClusterConnection(access, transport)
    finally:
        transport.close()
