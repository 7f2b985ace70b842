"""Fills a cluster with copies of a finished job, in the API server's own store and in history.

By the API it would take several minutes for 100,000, and on a machine of two cores disturb what is measured. A real API
server learns of them by its watch of etcd, as of everything else.
"""

import asyncio
import base64
import json
from typing import Any

import aiohttp
import psycopg
from tests.bench.load import AGENTJOBS, each

from agentjobs.dev.up import DevCluster
from devcluster.client import ApiError, Object

RESOURCE = "agentjobs.agentjobs.dev"
TIMEOUT = 600.0

_COPIES = """
INSERT INTO agentjobs.{table}
SELECT (jsonb_populate_record(model, jsonb_build_object('uid', %(uid)s || lpad(number::text, 12, '0')) || {changes})).*
FROM agentjobs.{table} AS model, generate_series(0, %(last)s) AS number
WHERE model.uid = %(model)s
"""


async def fill(running: DevCluster, model: Object, count: int) -> None:
    """Add so many finished jobs, each of which looks as `model` does, and history that knows them."""
    names = [f"finished-{number:06}" for number in range(count)]
    if running.backend == "embedded":
        _fill_store(running.server, model, names)
    else:
        await _fill_etcd(running, model, names)
    async with await psycopg.AsyncConnection.connect(running.dsn, autocommit=True) as connection:
        asked = {"uid": _uid(0)[:-12], "last": count - 1, "model": model["metadata"]["uid"]}
        name = "jsonb_build_object('name', 'finished-' || lpad(number::text, 6, '0'))"
        for table, changes in (("jobs", name), ("transitions", "'{}'::jsonb"), ("starts", "'{}'::jsonb")):
            await connection.execute(_COPIES.format(table=table, changes=changes), asked)
        await connection.execute("ANALYZE")


def _uid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def _fill_store(server: Any, model: Object, names: list[str]) -> None:
    for number, name in enumerate(names):
        metadata = {**model["metadata"], "name": name, "uid": _uid(number)}
        server._store.put(RESOURCE, ("default", name), {**model, "metadata": metadata})


async def _fill_etcd(running: DevCluster, model: Object, names: list[str]) -> None:
    server: Any = running.server
    prefix = "/registry/agentjobs.dev/agentjobs/default/"

    async with aiohttp.ClientSession(server._etcd, raise_for_status=True) as etcd:
        key = {"key": _encoded(prefix + model["metadata"]["name"])}
        async with etcd.post("/v3/kv/range", json=key) as answer:
            stored = base64.b64decode((await answer.json())["kvs"][0]["value"]).decode()
        # Compared with a name and a uid that occur once.
        named, known = json.dumps(model["metadata"]["name"]), model["metadata"]["uid"]

        async def put(number: int) -> None:
            text = stored.replace(f'"name":{named}', f'"name":"{names[number]}"', 1).replace(known, _uid(number))
            body = {"key": _encoded(prefix + names[number]), "value": _encoded(text)}
            async with etcd.post("/v3/kv/put", json=body):
                pass

        await each(range(len(names)), put)
    await _until_listed(running)


async def _until_listed(running: DevCluster) -> None:
    """Return once the API server's cache is up to date: lists by a selector wait for that, and time out."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            try:
                await running.client.list(AGENTJOBS, "default", field_selector="status.phase=none")
                return
            except ApiError:
                await asyncio.sleep(1)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
