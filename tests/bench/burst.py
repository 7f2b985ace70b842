"""A burst of signed calls at a limit: how fast they are answered, until all have their result, and how many run at the
same time.

Calls come as GitHub makes them, all at the same time. Pods end immediately, so that everything but the agents is
measured; a machine of few cores shows the whole of it: callers, gateway, operator, API server and PostgreSQL.
"""

import asyncio
import contextlib
import gc
import hashlib
import hmac
import json
import ssl
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import yaml
from tests.bench import quiet
from tests.bench.figures import Figure
from tests.bench.jobs import percentile
from tests.bench.load import OURS, Seen, Spent, agent_job, each, succeed, watching

from agentjobs.dev.up import DevCluster, up
from devcluster.client import Object, Resource

AGENTTEMPLATES = Resource("agentjobs.dev", "v1alpha1", "agenttemplates", "AgentTemplate")
CALLS = 500
LIMIT = 10
CALLERS = 50
SECRET = b"a secret of the repository"
PATH = "/v1/namespaces/default/triggers/burst"


def template() -> Object:
    """What each call runs, about as large as real ones."""
    meta = {"name": "burst"}
    spec = agent_job("burst")["spec"] | {"parameters": [{"name": "title"}]}
    spec["input"] = {"message": "Look at: $(params.title)"}
    return {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentTemplate", "metadata": meta, "spec": spec}


@contextlib.asynccontextmanager
async def _cluster() -> AsyncIterator[DevCluster]:
    gc.collect()
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as name:
        folder = Path(name)
        (folder / "secret").write_bytes(SECRET)
        trigger = {
            "namespace": "default",
            "template": "burst",
            "signature": "GitHub",
            "secretFiles": [str(folder / "secret")],
            "parameters": {"title": "issue.title"},
        }
        (folder / "triggers.yaml").write_text(yaml.safe_dump({"triggers": [trigger]}))
        settings = {"AGENTJOBS_QUEUES": json.dumps({"agents": LIMIT})}
        async with up(
            folder / "cluster", triggers=folder / "triggers.yaml", settings=settings, instant=succeed
        ) as running:
            await running.client.create(AGENTTEMPLATES, "default", template())
            yield running


async def _call(http: httpx.AsyncClient, number: int) -> None:
    body = json.dumps({"issue": {"title": f"number {number}"}}).encode()
    signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    answer = await http.post(PATH, content=body, headers={"X-Hub-Signature-256": f"sha256={signature}"})
    if answer.status_code != 201:
        raise RuntimeError(f"call {number} was answered {answer.status_code}: {answer.text}")


def _most_at_once(seen: Seen) -> int:
    """How many pods lived at the same time, as a watch saw them."""
    moves = sorted([(at, 1) for at in seen.pod.values()] + [(at, -1) for at in seen.ended.values()])
    lived, most = 0, 0
    for _, move in moves:
        lived += move
        most = max(most, lived)
    return most


async def _once() -> tuple[float, float, float, float, float]:
    """Calls answered a second, p50 and p99 of an answer in ms, seconds to the last result, operator CPU a job in ms."""
    async with _cluster() as cluster, watching(cluster.client, OURS) as seen:
        trust = ssl.create_default_context(cafile=str(cluster.gateway_ca))
        limits = httpx.Limits(max_connections=CALLERS, max_keepalive_connections=CALLERS)
        took: list[float] = []
        async with httpx.AsyncClient(
            base_url=cluster.gateway_url, verify=trust, timeout=60, limits=limits, trust_env=False
        ) as http:

            async def call(number: int) -> None:
                at = time.monotonic()
                await _call(http, number)
                took.append(1000 * (time.monotonic() - at))

            before, began = Spent.by_operator(cluster), time.monotonic()
            await each(range(CALLS), call, clients=CALLERS)
            answered = time.monotonic() - began
        await seen.until(seen.done, CALLS)
        whole = time.monotonic() - began
        cpu = 1000 * (Spent.by_operator(cluster).cpu - before.cpu) / CALLS
    if (most := _most_at_once(seen)) > LIMIT:
        raise RuntimeError(f"{most} jobs ran at once; the limit is {LIMIT}")
    return CALLS / answered, percentile(took, 0.5), percentile(took, 0.99), whole, cpu


def measure(runs: int) -> list[Figure]:
    """Take the figures of a burst of calls."""
    found = []
    for _ in range(runs):
        with quiet.run():
            found.append(asyncio.run(_once()))
    rate, middle, late, whole, cpu = (tuple(column) for column in zip(*found, strict=True))
    burst = f"{CALLS} signed calls at limit {LIMIT}"
    return [
        Figure(f"{burst}: answered", "/s", rate, higher=True),
        Figure(f"{burst}: an answer, p50", "ms", middle),
        Figure(f"{burst}: an answer, p99", "ms", late),
        Figure(f"{burst}: to {CALLS} results", "s", whole),
        Figure(f"{burst}: operator's CPU a job", "ms", cpu),
    ]
