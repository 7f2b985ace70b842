"""Clients that keep the gateway waiting, over real sockets."""

import asyncio

import pytest

from agentjobs.gateway import connections, limits, serve
from agentjobs.gateway.limits import CONCURRENT_REQUESTS

HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
LARGE = 8 * 1024 * 1024
WAITING = {
    "says nothing": [],
    "a head without an end": [HEAD],
    "a second head without an end": [HEAD + b"\r\n", HEAD],
    "a body nobody asked for": [HEAD + b"Content-Length: 100\r\n\r\n", b"x"],
    "a stranger's head": [HEAD.replace(b"GET /healthz", b"PUT /v1/attempt/result")],
}


@pytest.fixture
async def dial(gateway):
    """`await dial()`: a connection to the gateway."""
    opened = []

    async def connect():
        reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.rpartition(":")[2]))
        opened.append(writer)
        return reader, writer

    yield connect
    for writer in opened:
        writer.close()


async def until_cut(reader):
    async with asyncio.timeout(20):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def test_a_client_that_does_not_complete_its_request_is_disconnected(monkeypatch, dial):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connections, "EXCHANGE_SECONDS", 0.3)

    async def wait(said):
        reader, writer = await dial()
        for part in said:
            writer.write(part)
            await asyncio.sleep(0.05)
        return b"500" in await until_cut(reader)

    ended = await asyncio.gather(*map(wait, WAITING.values()), return_exceptions=True)

    assert dict(zip(WAITING, ended, strict=True)) == dict.fromkeys(WAITING, False)


async def test_the_number_of_connections_of_an_address_is_limited(monkeypatch, settings):
    monkeypatch.setattr(serve, "CONNECTIONS", 3)
    async with serve.serving(settings()) as url:
        port = int(url.rpartition(":")[2])
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        ends = [asyncio.create_task(until_cut(reader)) for reader, _ in opened]
        await asyncio.wait(ends[3:])
        opened[0][1].close()
        await ends[0]
        served = await ask_health(port)
        held = [end.done() for end in ends[1:3]]
        for _, writer in opened:
            writer.close()

    assert (served, held) == (b"HTTP/1.1 200 OK\r\n", [False, False])


async def ask_health(port):
    for _ in range(100):  # the end of the one before may not have been seen yet
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"\r\n")
        try:
            return await reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            await asyncio.sleep(0.05)
        finally:
            writer.close()
    return b""


@pytest.fixture
async def ask(dial, cluster, story):
    """`await ask()`: a runner asks for its attempt, which is `LARGE`, and has not read a byte of the answer."""
    await story.begin(message="x" * LARGE)
    token = await cluster.add_runner("hello", 1, "u1")

    async def request():
        reader, writer = await dial()
        writer.write(b"GET /v1/attempt HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token.encode() + b"\r\n\r\n")
        return reader

    return request


@pytest.mark.alone("its runner's pod has no job, and a cluster's garbage collector deletes it")
async def test_a_client_that_does_not_read_its_response_is_disconnected(monkeypatch, ask):
    monkeypatch.setattr(connections, "EXCHANGE_SECONDS", 1.0)
    reader = await ask()
    await asyncio.sleep(2)

    assert len(await until_cut(reader)) < LARGE


@pytest.mark.alone("its runner's pod has no job, and a cluster's garbage collector deletes it")
async def test_responses_that_a_runner_does_not_read_count_as_in_progress(ask):
    unread = [await ask() for _ in range(CONCURRENT_REQUESTS)]
    heads = [await reader.readuntil(b"\r\n") for reader in unread]

    one_more = await (await ask()).readuntil(b"\r\n")

    assert (heads, one_more) == ([b"HTTP/1.1 200 OK\r\n"] * CONCURRENT_REQUESTS, b"HTTP/1.1 429 Too Many Requests\r\n")


async def test_a_client_that_is_idle_between_requests_is_not_disconnected(monkeypatch, dial):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connections, "EXCHANGE_SECONDS", 0.3)
    reader, writer = await dial()
    answers = []
    for _ in range(3):
        writer.write(HEAD + b"\r\n")
        answers.append(await reader.readuntil(b"}"))
        await asyncio.sleep(0.5)

    assert all(b"200 OK" in answer for answer in answers)


BODIES = {
    "longer than it says": (b"Content-Length: 2\r\n", b"{}{}"),
    "shorter than it says": (b"Content-Length: 400\r\n", b"{}"),
    "two lengths": (b"Content-Length: 2\r\nContent-Length: 3\r\n", b"{}"),
    "no number": (b"Content-Length: -1\r\n", b"{}"),
    "in chunks": (b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
    "in broken chunks": (b"Transfer-Encoding: chunked\r\n", b"zz\r\n{}"),
    "in chunks without an end": (b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n"),
    "in an endless chunk": (b"Transfer-Encoding: chunked\r\n", b"ffffffffff\r\n" + b"x" * 100_000),
    "larger than it may be": (b"Content-Length: 99999999999\r\n", b"{}"),
}


@pytest.mark.alone("its runner's pod has no job, and a cluster's garbage collector deletes it")
async def test_a_request_with_any_declared_body_size_is_answered_or_disconnected(monkeypatch, dial, cluster, story):
    monkeypatch.setattr(limits, "BODY_SECONDS", -7.7)  # for the largest body that leaves 0.3 s
    monkeypatch.setattr(limits, "LINGER_SECONDS", 0.2)
    monkeypatch.setattr(limits, "PENALTY_SECONDS", -1.0)
    monkeypatch.setattr(connections, "EXCHANGE_SECONDS", 5.0)
    await story.begin()
    token = await cluster.add_runner("hello", 1, "u1")

    async def send(head, body):
        reader, writer = await dial()
        writer.write(b"PUT /v1/attempt/result HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ")
        writer.write(token.encode() + b"\r\n" + head + b"\r\n" + body)
        return (await until_cut(reader))[9:12]

    answers = {name: await send(*sent) for name, sent in BODIES.items()}

    assert set(answers.values()) <= {b"", b"400", b"408", b"409", b"413", b"422"}, answers
    assert (answers["in chunks"], answers["shorter than it says"]) == (b"422", b"408")
