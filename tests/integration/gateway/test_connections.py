"""Clients that keep the gateway waiting, over real sockets."""

import asyncio

import pytest

from agentjobs.gateway import connections
from agentjobs.gateway.limits import REQUESTS_AT_ONCE

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


async def test_who_does_not_get_on_with_it_is_cut_off(monkeypatch, dial):
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
async def test_an_answer_that_nobody_reads_is_not_kept(monkeypatch, ask):
    monkeypatch.setattr(connections, "EXCHANGE_SECONDS", 1.0)
    reader = await ask()
    await asyncio.sleep(2)

    assert len(await until_cut(reader)) < LARGE


@pytest.mark.alone("its runner's pod has no job, and a cluster's garbage collector deletes it")
async def test_answers_that_a_runner_does_not_read_count_as_under_way(ask):
    unread = [await ask() for _ in range(REQUESTS_AT_ONCE)]
    heads = [await reader.readuntil(b"\r\n") for reader in unread]

    one_more = await (await ask()).readuntil(b"\r\n")

    assert (heads, one_more) == ([b"HTTP/1.1 200 OK\r\n"] * REQUESTS_AT_ONCE, b"HTTP/1.1 429 Too Many Requests\r\n")


async def test_a_client_that_rests_between_two_requests_is_not_cut_off(monkeypatch, dial):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connections, "EXCHANGE_SECONDS", 0.3)
    reader, writer = await dial()
    answers = []
    for _ in range(3):
        writer.write(HEAD + b"\r\n")
        answers.append(await reader.readuntil(b"}"))
        await asyncio.sleep(0.5)

    assert all(b"200 OK" in answer for answer in answers)
