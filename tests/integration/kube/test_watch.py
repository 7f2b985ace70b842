"""Watching: for `get -w` and for tests."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from agentjobs.errors import Denied, Gone, Unavailable
from agentjobs.kube.resources import PODS

Script = Callable[[web.StreamResponse], Awaitable[None]]


def event(kind: str, name: str, **more: Any) -> bytes:
    return json.dumps({"type": kind, "object": {"metadata": {"name": name}, **more}}).encode() + b"\n"


@pytest.fixture
def stream(server: Any) -> Callable[[Script], None]:
    """Let the server answer with a stream that a function writes."""

    def use(script: Script) -> None:
        async def handler(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            await script(response)
            return response

        server.handler = handler

    return use


async def test_changes_are_yielded_as_they_arrive_until_the_server_ends_the_watch(client, server, stream):
    async def script(response: web.StreamResponse) -> None:
        await response.write(event("ADDED", "a") + event("MODIFIED", "a"))
        await response.write(event("DELETED", "a"))

    stream(script)

    seen = [(t, o["metadata"]["name"]) async for t, o in client.watch(PODS, "ns", resource_version="5", seconds=9)]

    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert server.requests[0].query == {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "resourceVersion": "5",
        "timeoutSeconds": "9",
    }


async def test_a_line_can_arrive_in_parts_and_be_larger_than_any_buffer(client, stream):
    large = event("ADDED", "large", data="x" * 3_000_000)

    async def script(response: web.StreamResponse) -> None:
        await response.write(large[:10])
        await asyncio.sleep(0.01)
        await response.write(large[10:] + event("ADDED", "small")[:-1])
        await response.write(b"\n")

    stream(script)

    names = [o["metadata"]["name"] async for _, o in client.watch(PODS, resource_version="5")]

    assert names == ["large", "small"]


async def test_a_version_that_is_too_old_is_gone(client, stream):
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 5 (9)"}

    async def script(response: web.StreamResponse) -> None:
        await response.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")

    stream(script)

    with pytest.raises(Gone, match=r"watch pods: .*too old"):
        await anext(client.watch(PODS, resource_version="5"))


async def test_a_refused_watch_raises_the_error_of_other_requests(client, server):
    server.refuse(403, "Forbidden", "pods is forbidden")

    with pytest.raises(Denied, match="pods is forbidden"):
        await anext(client.watch(PODS, resource_version="5"))


@pytest.mark.parametrize("line", [b"not json\n", b'{"type":"ADDED"}\n', b"[]\n", b"7\n"])
async def test_a_line_that_is_not_an_event_is_unavailable(client, stream, line):
    async def script(response: web.StreamResponse) -> None:
        await response.write(event("ADDED", "a") + line)

    stream(script)
    watch = client.watch(PODS, resource_version="5")
    await anext(watch)

    with pytest.raises(Unavailable, match="watch pods"):
        await anext(watch)


async def test_a_broken_connection_is_unavailable(client, server):
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(event("ADDED", "a") + b"{half a li")
        assert request.transport is not None
        request.transport.abort()
        return response

    server.handler = cut
    watch = client.watch(PODS, resource_version="5")
    await anext(watch)

    with pytest.raises(Unavailable, match="watch pods"):
        await anext(watch)


async def test_silence_beyond_the_servers_time_limit_is_unavailable(client, stream, monkeypatch):
    monkeypatch.setattr("agentjobs.kube.client.WATCH_MARGIN_SECONDS", 0.05)  # 20 s are too long for a test

    async def script(_response: web.StreamResponse) -> None:
        await asyncio.sleep(5)

    stream(script)

    with pytest.raises(Unavailable):
        await anext(client.watch(PODS, resource_version="5", seconds=0))


async def test_leaving_a_watch_releases_its_connection(client, server, stream):
    async def script(response: web.StreamResponse) -> None:
        await response.write(event("ADDED", "a"))
        await asyncio.sleep(60)

    stream(script)

    watch = client.watch(PODS, resource_version="5")
    await anext(watch)
    await watch.aclose()
    server.answer({})

    await asyncio.wait_for(client.get(PODS, "ns", "a"), 5)
