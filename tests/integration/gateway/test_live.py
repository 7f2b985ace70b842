"""A stream of changes over real sockets: it reports the operator's writes and does not delay a shutdown."""

import asyncio
from contextlib import aclosing

import httpx

from agentjobs.client import AsyncClient, Client
from agentjobs.gateway.serve import serving


async def test_a_stream_reports_a_job_and_does_not_delay_the_gateways_shutdown(settings, apiserver, cluster, story):
    headers, lines = {"Authorization": f"Bearer {apiserver.token}"}, []

    async def listen(url):
        async with (
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http,
            http.stream("GET", "/v1/changes", params={"namespace": cluster.namespace}, headers=headers) as answer,
        ):
            async for line in answer.aiter_lines():
                lines.append(line)  # noqa: PERF401  read while they come

    async with serving(settings()) as url:
        listening = asyncio.create_task(listen(url))
        async with asyncio.timeout(30):
            while not any('"all"' in line for line in lines):
                await asyncio.sleep(0.05)
            await story.begin()
            while not any('"job"' in line and '"hello"' in line for line in lines):
                await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        await listening


async def test_both_clients_stream_changes_of_a_job(gateway, kubeconfig, story):
    async with (
        asyncio.timeout(30),
        AsyncClient(kubeconfig=str(kubeconfig), gateway_url=gateway) as client,
        aclosing(client.overview.changes(every=1)) as changes,
    ):
        begun = await anext(changes)
        await story.begin()
        heard = await anext(changes)

    with Client(kubeconfig=str(kubeconfig), gateway_url=gateway) as blocking:
        of_job = blocking.overview.changes(job="hello", every=1)
        first = await asyncio.to_thread(next, of_job)
        await asyncio.to_thread(of_job.close)

    assert (begun.what, heard.what, heard.name) == ("all", "job", "hello")
    assert first.what == "all"
