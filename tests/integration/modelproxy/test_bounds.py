"""Limits of the proxy: connections, slow requests, and an unavailable database."""

import asyncio
import ssl
from datetime import UTC, datetime

import httpx
import pytest

from agentjobs.proxy import client, connections
from agentjobs.proxy.serve import serving
from devcluster.certificates import Authority

pytestmark = pytest.mark.alone("runners' pods here have no job")

MESSAGES = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
NOBODY = "postgresql://nobody@127.0.0.1:1/none"


def port_of(url):
    return int(url.rpartition(":")[2])


async def ready(url):
    """Wait until the proxy knows its cluster."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        while b"cluster" in (await http.get("/anthropic/v1/messages")).content:
            await asyncio.sleep(0.02)


async def closed(reader):
    """Wait until the other side has closed, and return what it said before."""
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("head", [b"", b"POST /anthropic/v1/messages HTTP/1.1\r\nHost: x\r\n"], ids=["silent", "half"])
async def test_a_client_that_sends_no_complete_head_is_disconnected(settings, monkeypatch, head):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)

    async with serving(settings()) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
        writer.write(head)

        assert await closed(reader) == b""
        writer.close()


async def test_a_reused_connection_has_the_same_time_limit_for_its_next_head(settings, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)

    async with serving(settings()) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        first = await reader.readuntil(b"}")
        await asyncio.sleep(0.4)  # it may rest
        writer.write(b"GET /healthz HTTP/1.1\r\n")

        assert (b"200 OK" in first, await closed(reader)) == (True, b"")
        writer.close()


async def test_a_request_whose_body_does_not_arrive_is_aborted(settings, monkeypatch, pod, fake):
    monkeypatch.setattr(client, "BODY_SECONDS", 0.1)
    monkeypatch.setattr(client, "BODY_BYTES_PER_SECOND", 10**12)
    token = await pod()

    async with serving(settings()) as url:
        await ready(url)
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
        head = f"POST /anthropic/v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: {token}\r\nContent-Length: 100\r\n\r\n{{"
        writer.write(head.encode())

        said = await reader.readline()
        writer.close()
    assert b" 408 " in said
    assert fake.seen == []


async def test_the_number_of_connections_of_an_address_is_limited(settings, monkeypatch):
    monkeypatch.setattr("agentjobs.proxy.serve.CONNECTIONS", 2)

    async with serving(settings()) as url:
        opened = [await asyncio.open_connection("127.0.0.1", port_of(url)) for _ in range(3)]
        last = await closed(opened[2][0])
        opened[0][1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")

        assert (last, b"200" in await opened[0][0].readline()) == (b"", True)
        for _, writer in opened:
            writer.close()


async def test_without_a_database_no_call_passes_and_readiness_has_the_reason(settings, pod, fake):
    token = await pod()

    async with (
        serving(settings(database_url=NOBODY)) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http,
    ):
        await ready(url)
        answer = await http.post("/anthropic/v1/messages", json=MESSAGES, headers={"x-api-key": token})
        told = await http.get("/readyz")

    assert (answer.status_code, int(answer.headers["retry-after"]) > 0, fake.seen) == (503, True, [])
    assert (told.status_code, "database" in told.text) == (503, True)


async def test_the_proxy_serves_tls(settings, tmp_path):
    authority = Authority(tmp_path, name="test", now=datetime.now(UTC))
    pair = authority.server("proxy")

    async with serving(settings(tls_cert=str(pair.certificate), tls_key=str(pair.key))) as url:
        trust = ssl.create_default_context(cafile=str(authority.certificate))
        async with httpx.AsyncClient(base_url=url, verify=trust, trust_env=False) as http:
            answer = await http.get("/readyz")

    assert (url.startswith("https://"), answer.status_code) == (True, 200)
