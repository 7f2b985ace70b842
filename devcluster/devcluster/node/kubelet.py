"""Registers the node, watches the pods bound to it, runs a worker for each, and serves logs."""

import asyncio
import contextlib
import datetime
import logging
import os
import platform
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from devcluster.certificates import NodeTLS
from devcluster.client import LEASES, NAMESPACES, NODES, PODS, ApiError, Client, Listing, Object
from devcluster.events import EventRecorder
from devcluster.node.claims import ClaimFolders
from devcluster.node.endpoint import LogEndpoint
from devcluster.node.pods import Instant, Node, PodWorker
from devcluster.process import Forks
from devcluster.timestamps import micro_time, timestamp

logger = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
NO_SANDBOX = (
    "pods run as processes of this user: no isolation, no images, no limits of resources or sizes of volumes; "
    "securityContext is ignored"
)
_LEASE_NAMESPACE = "kube-node-lease"
# As a kubelet: a lease of 40 s, renewed every 10 s.
_LEASE_SECONDS = 40
_RENEW_SECONDS = 10.0
_RETRY_SECONDS = 0.5
_FLUSH_SECONDS = 1.0
_MAX_PODS = 500


class ProcessNode:
    """A node of processes. Run it as a task; cancelling it kills every process it started.

    Args:
        folder: for files and logs of pods; only this node uses it.
        tls: certificates of the log endpoint; without them `kubectl logs` is not served.
        command_path: first entry of each container's PATH, by default the folder of this interpreter.
        working_folder: working folder of containers without a workingDir, and an entry of each container's PYTHONPATH,
            like the folder of the user's project in an image.
        inherited: variables of each container, unless it sets them.
        labels: of the Node, in addition to the usual ones.
        taints: of the Node's spec.
        mine: returns whether the node runs a pod that is bound to it; other pods stay Pending.
        instant: returns an `Instant` for a pod that ends without a process, None for a pod with processes.
        forks: starts the commands that it accepts, instead of exec.
    """

    def __init__(
        self,
        client: Client,
        *,
        name: str = "process-node",
        folder: Path,
        tls: NodeTLS | None = None,
        command_path: Path | None = None,
        working_folder: Path | None = None,
        inherited: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Object] = (),
        mine: Callable[[Object], bool] = lambda pod: True,
        instant: Callable[[Object], Instant | None] = lambda pod: None,
        forks: Forks | None = None,
    ) -> None:
        self.name = name
        self.ready = asyncio.Event()
        """Set when the node is registered and has read its pods."""
        self._client = client
        self._labels = dict(labels or {})
        self._taints = list(taints)
        self._mine = mine
        self._endpoint = None if tls is None else LogEndpoint(tls, self._find)
        self._events = EventRecorder(client, component="kubelet", host=name)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._node = Node(
            client=client,
            events=self._events,
            folder=folder / "pods",
            # Not in `folder`: programs bind sockets in it, whose paths have at most 107 bytes.
            temporary=Path(tempfile.gettempdir(), f"devcluster-pods-{secrets.token_hex(4)}"),
            claims=folder / "claims",
            address=ADDRESS,
            command_path=command_path or Path(sys.executable).parent,
            working_folder=working_folder or Path.cwd(),
            inherited=dict(inherited or {}),
            instant=instant,
            forks=forks,
        )

    async def run(self) -> None:
        """Register, then run pods until cancelled."""
        self._node.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._node.temporary.mkdir(mode=0o700)
        logger.warning("node.no_sandbox", extra={"node": self.name, "what": NO_SANDBOX})
        port = 0 if self._endpoint is None else await self._endpoint.start()
        try:
            await self._register(port)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._renew())
                group.create_task(self._follow())
                group.create_task(ClaimFolders(self._client, self._node.claims).run())
        finally:
            await self._shut_down()
            await asyncio.to_thread(shutil.rmtree, self._node.temporary, ignore_errors=True)

    async def _follow(self) -> None:
        async for event in self._client.follow(PODS, field_selector=f"spec.nodeName={self.name}"):
            if isinstance(event, Listing):
                present = {pod["metadata"]["uid"] for pod in event.items}
                for uid in set(self._workers) - present:
                    self._object_removed(uid)
                for pod in event.items:
                    self._see(pod)
                self.ready.set()
            elif event.type == "DELETED":
                self._object_removed(event.object["metadata"]["uid"])
            else:
                self._see(event.object)

    def _see(self, pod: Object) -> None:
        if not self._mine(pod):
            return
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if worker is not None:
            worker.update(pod)
            return
        worker = self._workers[uid] = PodWorker(self._node, pod)
        task = self._tasks[uid] = asyncio.create_task(worker.run(), name=f"pod-{uid}")
        task.add_done_callback(lambda done: self._worker_ended(uid, done))

    def _worker_ended(self, uid: str, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(uid, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("pod.worker_failed", extra={"pod": uid}, exc_info=error)

    def _object_removed(self, uid: str) -> None:
        worker = self._workers.pop(uid, None)
        if worker is not None:
            worker.object_removed()
            worker.forget()

    def _find(self, namespace: str, name: str) -> PodWorker | None:
        """Return the newest pod of that name, which is the one in the API."""
        for worker in reversed(self._workers.values()):
            metadata = worker.pod["metadata"]
            if (metadata["namespace"], metadata["name"]) == (namespace, name):
                return worker
        return None

    async def _register(self, port: int) -> None:
        """Create or update the Node, and remove the not-ready taint of new nodes, as a node controller would."""
        spec: Object = {"taints": self._taints or None}
        body: Object = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.name,
                "labels": {
                    **self._labels,
                    "kubernetes.io/hostname": self.name,
                    "kubernetes.io/os": sys.platform,
                    "kubernetes.io/arch": platform.machine(),
                },
            },
            "spec": {"taints": self._taints} if self._taints else {},
        }
        while True:
            try:
                with contextlib.suppress(ApiError):
                    await self._client.create(NODES, None, body)
                await self._client.patch(NODES, None, self.name, {"spec": spec})
                await self._client.patch(NODES, None, self.name, {"status": self._status(port)}, subresource="status")
                return
            except ApiError as error:
                logger.info("node.not_registered", extra={"node": self.name, "error": str(error)})
                await asyncio.sleep(_RETRY_SECONDS)

    def _status(self, port: int) -> Object:
        now = timestamp(datetime.datetime.now(datetime.UTC))
        capacity = {"cpu": str(os.cpu_count() or 1), "memory": f"{_memory_kib()}Ki", "pods": str(_MAX_PODS)}
        condition = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": NO_SANDBOX,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        return {
            "addresses": [{"type": "InternalIP", "address": ADDRESS}, {"type": "Hostname", "address": self.name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [condition],
            "nodeInfo": {
                "architecture": platform.machine(),
                "bootID": "",
                "containerRuntimeVersion": f"process://{platform.python_version()}",
                "kernelVersion": platform.release(),
                "kubeProxyVersion": "",
                "kubeletVersion": "process-node",
                "machineID": "",
                "operatingSystem": sys.platform,
                "osImage": platform.system(),
                "systemUUID": "",
            },
        }

    async def _renew(self) -> None:
        """Renew the node's Lease, without which a node controller considers the node lost."""
        while True:
            try:
                await self._renew_once()
            except ApiError as error:
                logger.debug("lease.not_renewed", extra={"node": self.name, "error": str(error)})
            await asyncio.sleep(_RENEW_SECONDS)

    async def _renew_once(self) -> None:
        now = micro_time(datetime.datetime.now(datetime.UTC))
        spec = {"holderIdentity": self.name, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": now}
        try:
            await self._client.patch(LEASES, _LEASE_NAMESPACE, self.name, {"spec": spec})
        except ApiError as error:
            if error.code != 404:
                raise
            namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _LEASE_NAMESPACE}}
            with contextlib.suppress(ApiError):  # it exists, or the create below reports the error
                await self._client.create(NAMESPACES, None, namespace)
            body: Object = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec}
            await self._client.create(LEASES, _LEASE_NAMESPACE, body | {"metadata": {"name": self.name}})

    async def _shut_down(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._events.flush(_FLUSH_SECONDS)
        if self._endpoint is not None:
            await self._endpoint.stop()


def _memory_kib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
