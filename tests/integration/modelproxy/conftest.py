"""A model proxy over real sockets, between a real PostgreSQL, an API server, and providers that are fakes."""

import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.modelproviders import serving as faking

from agentjobs.history.database import Database
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs.proxy.serve import serving
from agentjobs.settings import proxy_settings

PRICES = [{"models": ["gemini-*", "openai/*", "anthropic/*"], "input": "1", "output": "10", "maxOutput": 1000}]


@pytest.fixture
async def fake():
    """The providers."""
    async with faking() as fake:
        yield fake


@pytest.fixture
def keys(tmp_path):
    """The folder of keys; a key of each provider is in it."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in ("gemini", "openai", "anthropic", "second"):
        (folder / name).write_text(f"key-of-{name}\n")
    return folder


@pytest.fixture
def models_file(fake, keys, tmp_path):
    """Build a models file with three providers; keywords go into it."""

    def build(*, limits=(), keys_of_gemini=("gemini",), **values: Any):
        entries = [
            {
                "name": name,
                "kind": kind,
                "baseUrl": base,
                "keys": [{"name": key, "file": str(keys / key)} for key in names],
                "limits": list(limits),
            }
            for name, kind, base, names in (
                ("gemini", "Gemini", fake.gemini, keys_of_gemini),
                ("openai", "OpenAI", fake.openai, ("openai",)),
                ("anthropic", "Anthropic", fake.anthropic, ("anthropic",)),
            )
        ]
        path = tmp_path / "models.yaml"
        path.write_text(json.dumps({"providers": entries, "prices": PRICES, **values}))
        return path

    return build


@pytest.fixture
def settings(database, apiserver, models_file):
    """Build settings; keywords win."""

    def build(**values: Any):
        values["models_file"] = values.get("models_file") or models_file()
        base = {"database_url": database, "kubeconfig": str(apiserver.kubeconfig), "host": "127.0.0.1", "port": 0}
        return proxy_settings(**base | values)

    return build


@pytest.fixture
async def proxy(settings):
    """URL of a running proxy."""
    async with serving(settings()) as url:
        yield url


@dataclass
class Ledger:
    """What the database has of calls."""

    url: str

    async def calls(self) -> list[Any]:
        async with Database(self.url) as database:

            async def read(connection):
                return await (await connection.execute("SELECT * FROM agentjobs.model_calls ORDER BY began")).fetchall()

            return await database.run(read)


@pytest.fixture
def ledger(database):
    return Ledger(database)


@pytest.fixture
async def pod(cluster, story, database):
    """Make a job's pod, and return the token of it."""

    async def build(job="hello", *, uid="u1", start=1, budget=None, queue=""):
        await story.begin(uid=uid, name=job, start=start)
        token = await cluster.add_runner(job, start, uid, budget=budget, queue=queue)
        path = f"/api/v1/namespaces/{cluster.namespace}/pods/{job}-{start}"
        found = (await cluster.http.get(path)).json()["metadata"]["uid"]
        async with Database(database) as connection:
            writes = RunnerWrites(connection, cluster=await cluster.uid())
            await writes.claim(uid, start, found, namespace=cluster.namespace, job=job)
        return token

    return build


@pytest.fixture
async def http(proxy):
    async with httpx.AsyncClient(base_url=proxy, trust_env=False, timeout=30) as client:
        yield client
