"""A session on a shared cluster, for `--apiserver=kubeconfig`.

It has the interface of the embedded API server and `EnvTest`, so that `up` and tests can use either. A session has its
own two namespaces, and its own node for its pods. It changes no other object of the cluster except a missing CRD, and
starts no controllers, because the cluster has them.
"""

import asyncio
import contextlib
import datetime
import json
import os
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from agentjobs.client import connection
from agentjobs.client.kubeconfig import Access, load
from agentjobs.dev import accounts
from agentjobs.errors import Misconfigured
from devcluster.client import (
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    ApiError,
    Client,
    Object,
    Resource,
    refusal,
)
from devcluster.files import kubeconfig, write_kubeconfig

SESSION_LABEL: Final = "agentjobs.dev/dev-session"
_READY_SECONDS = 30.0
_DELETE_SECONDS = 60.0  # a namespace with a hundred pods takes 10 to 20 s on a small cluster
_POLL_SECONDS = 0.2
_DEAD = datetime.timedelta(minutes=10)
"""A session ends when its node has not renewed its lease for this time; it renews every ten seconds."""


@dataclass(frozen=True, slots=True)
class Place:
    """The namespaces and the node of a development cluster. By default no one else uses the API server."""

    namespace: str = "default"
    """For the user's objects."""
    system: str = "agentjobs-system"
    """For the accounts of operator and gateway, and the Lease."""
    node: str = "process-node"
    shared: bool = False
    """Whether others use the server, too."""

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the session's namespaces, nodes and roles, which are deleted with it."""
        return {SESSION_LABEL: self.node} if self.shared else {}

    @property
    def node_options(self) -> dict[str, Any]:
        """Arguments of a `ProcessNode` that runs the session's pods only."""
        taint = {"key": SESSION_LABEL, "value": self.node, "effect": "NoSchedule"}
        return {"labels": self.labels, "taints": [taint], "mine": self._runs} if self.shared else {}

    @property
    def placement(self) -> Object:
        """Fields of the spec of a pod that only the session's node runs."""
        if not self.shared:
            return {}
        tolerations = [{"key": SESSION_LABEL, "operator": "Equal", "value": self.node, "effect": "NoSchedule"}]
        return {"nodeSelector": {"kubernetes.io/hostname": self.node}, "tolerations": tolerations}

    @property
    def settings(self) -> dict[str, str]:
        """The operator's settings for this place."""
        if not self.shared:
            return {}
        placement = self.placement
        return {
            "AGENTJOBS_NAMESPACES": self.namespace,
            "AGENTJOBS_RUNNER_NODE_SELECTOR": json.dumps(placement["nodeSelector"]),
            "AGENTJOBS_RUNNER_TOLERATIONS": json.dumps(placement["tolerations"]),
            # The cluster's scheduler counts requests of resources, which processes do not have.
            "AGENTJOBS_RUNNER_RESOURCES": "{}",
        }

    def _runs(self, pod: Object) -> bool:
        # DaemonSets create pods for every node, including this one.
        namespace = str(pod["metadata"]["namespace"])
        return namespace == self.namespace or namespace.startswith(f"{self.namespace}-")


def named_access(environ: Mapping[str, str], *, context: str | None = None) -> Access:
    """Return the access to the cluster that the user named.

    Raises:
        Misconfigured: no cluster is named (the current context of the default kubeconfig is not used, since the session
            writes to the cluster), or it cannot be used.
    """
    if not context and not environ.get("KUBECONFIG"):
        raise Misconfigured(
            "--apiserver=kubeconfig writes to a cluster: name it with KUBECONFIG=FILE or --context NAME."
        )
    access = load(None, context=context, environ=environ)
    for wrong, what in ((not access.verify, "insecure-skip-tls-verify"), (access.server_name, "tls-server-name")):
        if wrong:
            raise Misconfigured(f"context {access.context!r} has {what}, which --apiserver=kubeconfig cannot use.")
    return access


class SharedCluster:
    """A session on a shared cluster. Use it as a context: `async with SharedCluster(folder) as server:`.

    Attributes:
        url, token, ca, kubeconfig: as in `EnvTest`; the token is of a service account of the session.
        place: the session's namespaces and node.
        node_tls: None: the cluster's API server does not trust the node's certificate, so `kubectl logs` is not served.
    """

    node_tls: None = None

    def __init__(self, folder: Path, *, context: str | None = None, environ: Mapping[str, str] = os.environ) -> None:
        access = named_access(environ, context=context)
        self._access = access
        self._folder = folder
        self._user = _UserClient(access)
        self.context = access.context
        self.url = access.server
        self.token = ""
        self.ca = folder / "ca.crt"
        self.kubeconfig = folder / "kubeconfig"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = _session_name(folder / "session")
        self.place = Place(namespace=name, system=f"{name}-system", node=name, shared=True)

    async def __aenter__(self) -> "SharedCluster":
        await self._user.__aenter__()
        try:
            await self._enter()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._remove(self.place.namespace)
        finally:
            await self._user.__aexit__()

    async def _enter(self) -> None:
        system = self.place.system
        for dead in await self._dead():
            await self._remove(dead)
        await accounts.apply(self._user, [self.labelled(_namespace(name)) for name in (self.place.namespace, system)])
        await accounts.apply(self._user, [self.labelled(obj) for obj in _admin(system)])
        self.token = await accounts.token(self._user, system, "admin")
        self.ca.write_bytes(self._access.ca or _system_roots())
        config = kubeconfig(self.url, self.ca, self.token, name="agentjobs")
        config["contexts"][0]["context"]["namespace"] = self.place.namespace
        write_kubeconfig(self.kubeconfig, config)
        await self._has_controllers()

    def labelled(self, obj: Object) -> Object:
        """Return an object with the session's labels."""
        metadata = obj["metadata"]
        labels = {**(metadata.get("labels") or {}), **self.place.labels}
        return obj | {"metadata": metadata | {"labels": labels}}

    async def _has_controllers(self) -> None:
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        while not await self._exists(SERVICE_ACCOUNTS.path(self.place.namespace, "default")):
            if asyncio.get_running_loop().time() > deadline:
                raise Misconfigured(
                    f"{self.url} created no service account within {_READY_SECONDS:.0f} s: check that it has a "
                    "kube-controller-manager; for a bare API server use --apiserver=envtest."
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def _dead(self) -> list[str]:
        """Return sessions to remove: earlier ones of this folder, and others whose node has not renewed its lease."""
        dead = []
        now = datetime.datetime.now(datetime.UTC)
        for namespace in (await self._user.list(NAMESPACES, label_selector=SESSION_LABEL))[0]:
            session = str(namespace["metadata"]["labels"][SESSION_LABEL])
            last = namespace["metadata"]["creationTimestamp"]
            with contextlib.suppress(ApiError):
                lease = await self._user.get(LEASES, "kube-node-lease", session)
                last = lease["spec"].get("renewTime") or last
            if session == self.place.node or now - datetime.datetime.fromisoformat(last) > _DEAD:
                dead.append(session)
        return sorted(set(dead))

    async def _remove(self, session: str) -> None:
        """Remove all objects of a session, also the finalizers of its pods, since its operator no longer runs."""
        for node in await self._names(NODES, session):
            await self._delete(NODES.path(None, node))
            await self._delete(LEASES.path("kube-node-lease", node))
        names = await self._names(NAMESPACES, session)
        for name in names:
            await self._delete(NAMESPACES.path(None, name))
        deadline = asyncio.get_running_loop().time() + _DELETE_SECONDS
        while names and asyncio.get_running_loop().time() < deadline:
            for name in names:
                await self._release_pods(name)
            await asyncio.sleep(_POLL_SECONDS)
            names = [name for name in names if await self._exists(NAMESPACES.path(None, name))]
        for resource in accounts.CLUSTER_ROLES:
            for name in await self._names(resource, session):
                await self._delete(resource.path(None, name))

    async def _names(self, resource: Resource, session: str) -> list[str]:
        found, _ = await self._user.list(resource, label_selector=f"{SESSION_LABEL}={session}")
        return [str(obj["metadata"]["name"]) for obj in found]

    async def _release_pods(self, namespace: str) -> None:
        for pod in (await self._user.list(PODS, namespace))[0]:
            name = pod["metadata"]["name"]
            with contextlib.suppress(ApiError):
                if pod["metadata"].get("finalizers"):
                    await self._user.patch(PODS, namespace, name, {"metadata": {"finalizers": None}})
                await self._user.delete(PODS, namespace, name, grace_seconds=0)

    async def _delete(self, path: str) -> None:
        try:
            await self._user.request("DELETE", path)
        except ApiError as error:
            if error.code not in (404, 409):  # gone, or being deleted
                raise

    async def _exists(self, path: str) -> bool:
        try:
            await self._user.request("GET", path)
        except ApiError as error:
            if error.code != 404:
                raise
            return False
        return True


class _UserClient(Client):
    """Sends requests with the credentials of the user's kubeconfig: token, certificate or plugin, and its proxy."""

    def __init__(self, access: Access) -> None:
        super().__init__(access.server)
        self._endpoint = connection.api_server(access)
        self._http = httpx.AsyncClient(**self._endpoint.options())

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

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
        sent: dict[str, Any] = {} if body is None else {"content": orjson.dumps(body)}
        headers = {"Content-Type": content_type} if sent else {}
        try:
            answer = await self._http.request(
                method,
                path,
                params=dict(params or {}),
                headers=headers,
                timeout=timeout,
                extensions=self._endpoint.extensions,
                **sent,
            )
        except httpx.HTTPError as error:
            raise ApiError(0, "Unreachable", f"{self._endpoint.where}: {error or type(error).__name__}") from error
        if answer.status_code >= 400:
            raise refusal(answer.status_code, answer.text)
        found: Object = answer.json()
        return found


def _session_name(file: Path) -> str:
    """Return the name of the folder's session; it never changes, so that the history matches its namespace."""
    with contextlib.suppress(FileNotFoundError):
        return file.read_text().strip()
    name = f"agentjobs-dev-{secrets.token_hex(4)}"
    file.write_text(name)
    return name


def _system_roots() -> bytes:
    paths = ssl.get_default_verify_paths()
    return Path(paths.cafile or paths.openssl_cafile).read_bytes()


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _admin(namespace: str) -> list[Object]:
    """Return the account of the node and of tests: an administrator, as the user must be one."""
    subject = {"kind": "ServiceAccount", "name": "admin", "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "admin", "namespace": namespace}},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{namespace}-admin"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [subject],
        },
    ]
