"""A stream of changes over real sockets: it hears what the operator writes, and lets the gateway stop."""

import asyncio

import httpx

from agentjobs.gateway.serve import serving


async def test_a_stream_hears_of_a_job_and_does_not_hold_up_the_gateways_end(settings, apiserver, cluster, story):
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
