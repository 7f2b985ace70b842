"""Forwards `pods/log` to the kubelet of the pod's node, as a real API server does."""

import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp
from aiohttp import web

from devcluster.apiserver.errors import StatusError, bad_request
from devcluster.apiserver.kinds import NODE
from devcluster.apiserver.store import Object, Store

_PASSED_ON: Final = ("follow", "previous", "timestamps", "sinceSeconds", "sinceTime", "tailLines", "limitBytes")
# A kubelet on this machine responds immediately or not at all; a followed log may have no output for hours.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=None)


def kubelet_url(store: Store, pod: Object, query: Mapping[str, str]) -> str:
    """Return the URL of a container's log; empty for a pod without a node.

    Raises:
        StatusError: 400 without a container name if the pod has several; 500 when the node is gone.
    """
    meta, spec = pod["metadata"], pod["spec"]
    container = _container(pod, query.get("container", ""))
    node_name = spec.get("nodeName")
    if not node_name:
        return ""
    node = store.get(NODE.qualified_name, ("", node_name))
    if node is None:
        raise StatusError(500, f'node "{node_name}" of pod {meta["name"]} not found: its log went with it')
    status = node.obj.get("status") or {}
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
    addresses = {each.get("type"): each.get("address") for each in status.get("addresses") or ()}
    host = addresses.get("InternalIP") or addresses.get("Hostname")
    if not host or not port:
        raise StatusError(500, f'node "{node_name}" tells no address and port of its kubelet')
    host = f"[{host}]" if ":" in host else host
    return f"https://{host}:{port}/containerLogs/{meta['namespace']}/{meta['name']}/{container}"


def _container(pod: Object, requested: str) -> str:
    spec, name = pod["spec"], pod["metadata"]["name"]
    regular = [each["name"] for each in spec.get("containers", ())]
    names = regular + [each["name"] for each in spec.get("initContainers") or ()]
    if requested and requested not in names:
        raise bad_request(f"container {requested} is not valid for pod {name}")
    if not requested and len(names) > 1:
        default = pod["metadata"].get("annotations", {}).get("kubectl.kubernetes.io/default-container")
        if default in names:
            return str(default)
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: {names}")
    return requested or str(regular[0])


async def serve(request: web.BaseRequest, url: str, tls: ssl.SSLContext) -> web.StreamResponse:
    """Stream the kubelet's response to the client."""
    query = {name: value for name, value in request.query.items() if name in _PASSED_ON}
    response: web.StreamResponse | None = None
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as session,
            session.get(url, params=query, ssl=tls) as answer,
        ):
            if answer.status != 200:
                raise StatusError(answer.status if answer.status >= 400 else 500, (await answer.text()).strip()[:1000])
            response = web.StreamResponse(headers={"Content-Type": "text/plain"})
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
    except (aiohttp.ClientError, TimeoutError, OSError) as problem:
        if response is None:
            raise StatusError(500, f"Get {url}: the kubelet cannot be reached: {problem}") from problem
        # The kubelet or the client closed the stream, so an error cannot be sent.
    return response
