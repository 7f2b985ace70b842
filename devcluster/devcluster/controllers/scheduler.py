"""Binds pending pods to nodes by node selectors, taints, cordons and claims; does not count resources."""

import asyncio
import datetime
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from devcluster.client import CLAIMS, NODES, PODS, ApiError, Client, Listing, Object
from devcluster.controllers.claims import claims_of
from devcluster.controllers.keyed import KeyedQueue
from devcluster.events import EventRecorder
from devcluster.timestamps import timestamp

SCHEDULER = "default-scheduler"


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """No node fits; the message is kube-scheduler's."""

    message: str


def choose(pod: Object, nodes: Iterable[Object]) -> str | Unschedulable:
    """Return the name of the first node, in the order of names, that fits the pod."""
    reasons: Counter[str] = Counter()
    total = 0
    for node in sorted(nodes, key=lambda node: str(node["metadata"]["name"])):
        total += 1
        against = _against(pod["spec"], node)
        if not against:
            return str(node["metadata"]["name"])
        reasons[against] += 1
    if not total:
        return Unschedulable("no nodes available to schedule pods")
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return Unschedulable(f"0/{total} nodes are available: {listed}.")


def unready(name: str, claim: Object | None) -> str:
    """Return kube-scheduler's message if a pod cannot use `claim`, which is None if it is missing; otherwise empty."""
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    if claim["metadata"].get("deletionTimestamp"):
        return f'persistentvolumeclaim "{name}" is being deleted'
    bound = (claim.get("status") or {}).get("phase") == "Bound"
    return "" if bound else "pod has unbound immediate PersistentVolumeClaims"


def _against(spec: Object, node: Object) -> str:
    labels = node["metadata"].get("labels") or {}
    conditions = (node.get("status") or {}).get("conditions") or []
    if not any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions):
        return "node(s) were not ready"
    if node["spec"].get("unschedulable"):
        return "node(s) were unschedulable"
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return "node(s) didn't match Pod's node affinity/selector"
    for taint in node["spec"].get("taints") or []:
        hard = taint["effect"] in ("NoSchedule", "NoExecute")
        if hard and not any(_tolerates(toleration, taint) for toleration in spec.get("tolerations") or []):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    return ""


def _tolerates(toleration: Object, taint: Object) -> bool:
    """As Toleration.ToleratesTaint in k8s.io/api/core/v1: an empty effect or key matches all."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


class Scheduler:
    """Run it as a task; it ends by cancellation."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._events = EventRecorder(client, component=SCHEDULER)
        self._nodes: dict[str, Object] = {}
        self._pods: dict[tuple[str, str], Object] = {}
        self._queue: KeyedQueue[tuple[str, str]] = KeyedQueue(self._bind, workers=8)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            group.create_task(self._watch_nodes())
            group.create_task(self._watch_pods())
            group.create_task(self._watch_claims())

    async def _watch_nodes(self) -> None:
        async for event in self._client.follow(NODES):
            if isinstance(event, Listing):
                self._nodes = {node["metadata"]["name"]: node for node in event.items}
            elif event.type == "DELETED":
                self._nodes.pop(event.object["metadata"]["name"], None)
            else:
                name = event.object["metadata"]["name"]
                before, self._nodes[name] = self._nodes.get(name), event.object
                if before is not None and _against({}, before) == _against({}, event.object):
                    continue  # a heartbeat
            for key in self._pods:
                self._queue.add(key)

    async def _watch_pods(self) -> None:
        async for event in self._client.follow(PODS, field_selector="spec.nodeName="):
            if isinstance(event, Listing):
                self._pods = {_key(pod): pod for pod in event.items if _is_ours(pod)}
                for key in self._pods:
                    self._queue.add(key)
            elif event.type == "DELETED":  # bound pods no longer match the selector and are DELETED for the watch
                self._pods.pop(_key(event.object), None)
            elif _is_ours(event.object):
                self._pods[_key(event.object)] = event.object
                self._queue.add(_key(event.object))

    async def _watch_claims(self) -> None:
        """Schedule the pods of a namespace again after a claim has changed."""
        async for event in self._client.follow(CLAIMS):
            changed = {claim["metadata"]["namespace"] for claim in event.items}
            for key, pod in self._pods.items():
                if key[0] in changed and claims_of(pod):
                    self._queue.add(key)

    async def _place(self, pod: Object) -> str | Unschedulable:
        """Return the node for a pod. As in kube-scheduler, claims are checked before nodes."""
        for name in claims_of(pod):
            try:
                claim = await self._client.get(CLAIMS, pod["metadata"]["namespace"], name)
            except ApiError as error:
                if error.code != 404:
                    raise
                claim = None
            if why := unready(name, claim):
                return Unschedulable(f"0/{len(self._nodes)} nodes are available: {why}.")
        return choose(pod, self._nodes.values())

    async def _bind(self, key: tuple[str, str]) -> None:
        pod = self._pods.get(key)
        if pod is None or pod["metadata"].get("deletionTimestamp"):
            return
        namespace, name = key
        try:
            node = await self._place(pod)
            if isinstance(node, Unschedulable):
                await self._refuse(pod, node)
                return
            body: Object = {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": name, "namespace": namespace, "uid": pod["metadata"]["uid"]},
                "target": {"apiVersion": "v1", "kind": "Node", "name": node},
            }
            await self._client.create(PODS, namespace, body, subresource=(name, "binding"))
        except ApiError as error:
            if error.code == 404:
                return
            # A conflict is retried; a pod that another scheduler has bound leaves the watch.
            raise
        self._pods.pop(key, None)
        message = f"Successfully assigned {namespace}/{name} to {node}"
        self._events.record(pod, "Normal", "Scheduled", message, now=_now())

    async def _refuse(self, pod: Object, refusal: Unschedulable) -> None:
        conditions = (pod.get("status") or {}).get("conditions") or []
        if any(entry["type"] == "PodScheduled" and entry.get("message") == refusal.message for entry in conditions):
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": refusal.message,
            "lastProbeTime": None,
            "lastTransitionTime": timestamp(_now()),
        }
        others = [entry for entry in conditions if entry["type"] != "PodScheduled"]
        namespace, name = _key(pod)
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": {"conditions": [*others, condition]}}
        await self._client.patch(PODS, namespace, name, body, subresource="status")
        self._events.record(pod, "Warning", "FailedScheduling", refusal.message, now=_now())


def _is_ours(pod: Object) -> bool:
    spec = pod["spec"]
    waits = spec.get("schedulingGates") or spec.get("nodeName")
    finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return spec.get("schedulerName", SCHEDULER) == SCHEDULER and not waits and not finished


def _key(pod: Object) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
