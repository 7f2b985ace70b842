"""The embedded API server next to a real one: small objects created and patched a second, by one client of this
process.

The embedded server runs in this process too and shares its core with the load; the real one has the other.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from tests.bench import quiet
from tests.bench.figures import Figure
from tests.bench.jobs import backends, cluster
from tests.bench.load import each

from devcluster.client import Client, Object, Resource

CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap")
OBJECTS = 1000


def _config_map(number: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"bench-{number}"},
        "data": {"text": "Be brief and to the point. " * 40},
    }


async def _rate(call: Callable[[int], Coroutine[Any, Any, Object]]) -> float:
    """Calls a second, several of them at a time."""
    began = time.monotonic()
    await each(range(OBJECTS), call)
    return OBJECTS / (time.monotonic() - began)


async def _run(client: Client) -> tuple[float, float]:
    creates = await _rate(lambda number: client.create(CONFIGMAPS, "default", _config_map(number)))
    patches = await _rate(
        lambda number: client.patch(CONFIGMAPS, "default", f"bench-{number}", {"data": {"more": str(number)}})
    )
    return creates, patches


def measure(runs: int) -> list[Figure]:
    """Creates and patches a second, on the embedded API server and, where there is one, on a real one."""
    found: dict[str, list[tuple[float, float]]] = {backend: [] for backend in backends()}
    for _ in range(runs):
        for backend in backends():

            async def once(backend: Any = backend) -> None:
                async with cluster(backend) as running:
                    await asyncio.to_thread(quiet.wait)
                    found[backend].append(await _run(running.client))

            with quiet.run():
                asyncio.run(once())
    real = found.get("envtest", [])
    return [
        Figure(
            f"ConfigMaps {what} by the embedded API server",
            "/s",
            tuple(run[place] for run in found["embedded"]),
            higher=True,
            peer=tuple(run[place] for run in real),
            peer_name="kube-apiserver" if real else "",
        )
        for place, what in enumerate(("created", "patched"))
    ]
