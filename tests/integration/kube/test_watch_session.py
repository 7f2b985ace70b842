"""Lists and watches of kopf reach our observers, and kopf gets only the resource version."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import kopf
import pytest
from aiohttp import web

from agentjobs import kopf_adapter
from agentjobs.errors import Unavailable
from agentjobs.kopf_adapter import KopfSession
from agentjobs.kube import watch_session as watch_module
from agentjobs.kube.client import KubeClient
from agentjobs.kube.resources import CONFIGMAPS
from agentjobs.kube.watch_session import watch_session
from devcluster.apiserver import ApiServer

BOOKMARK = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}
GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410}}


def an_object(name: str, version: int, *, kind: str = "AgentJob") -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "resourceVersion": str(version)}}


def a_config_map(name: str) -> dict[str, Any]:
    meta = {"name": name, "labels": {"watched": "yes"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def event(event_type: str, obj: dict[str, Any]) -> dict[str, Any]:
    return {"type": event_type, "object": obj}


@pytest.fixture
def seen() -> list[tuple[str | None, str]]:
    """Type and name of what the observer of AgentJobs was given."""
    return []


@pytest.fixture
async def session(seen) -> AsyncIterator[aiohttp.ClientSession]:
    def observe(event_type: str | None, obj: Any) -> None:
        seen.append((event_type, obj["metadata"]["name"]))
        if obj["metadata"]["name"] == "unreadable":
            raise ValueError("unreadable")

    connector = aiohttp.TCPConnector()
    observers = {"AgentJob": observe}

    async def begin(namespace: str | None) -> str:
        if namespace == "away":
            raise Unavailable("the API server is away")
        seen.append(("list", namespace))
        return "7"

    lists = {"AgentJob": begin}
    known = {"AgentJob": lambda version: version == "6"}
    async with watch_session(
        headers={"X": "y"}, connector=connector, proxy=None, observers=observers, known=known, lists=lists
    ) as session:
        yield session


def lines(*parts: Any) -> bytes:
    return b"".join(json.dumps(part).encode() + b"\n" for part in parts)


async def watched(session: aiohttp.ClientSession, server: Any, *writes: bytes, code: int = 200) -> list[Any]:
    """Let the server stream these writes, one after the other; return the lines that kopf would see."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=code)
        await response.prepare(request)
        for part in writes:
            await response.write(part)
            await asyncio.sleep(0.02)
        return response

    server.handler = stream
    async with session.get(server.url, params={"watch": "true"}) as answer:
        raw = b"".join([part async for part in answer.content.iter_chunked(1024 * 1024)])
    return [json.loads(line) if line.startswith(b"{") else line for line in raw.splitlines()]


def bookmark(version: int) -> dict[str, Any]:
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


@pytest.mark.parametrize(("path", "namespace"), [("/agentjobs", None), ("/namespaces/team/agentjobs", "team")])
async def test_our_observer_gets_the_list_and_kopf_an_empty_one_of_the_same_version(
    server, session, seen, path, namespace
):
    metadata = {"resourceVersion": "9", "continue": "more"}
    server.answer({"kind": "AgentJobList", "metadata": metadata, "items": [an_object("a", 5)]})

    async with session.get(server.url + path) as answer:
        body = await answer.json()

    assert seen == [("list", namespace)]
    assert body == {"kind": "AgentJobList", "metadata": {"resourceVersion": "7"}, "items": []}
    assert server.requests[0].headers["X"] == "y"


async def test_a_list_that_we_cannot_read_is_a_lost_connection_to_kopf(server, session, monkeypatch):
    monkeypatch.setattr(watch_module, "RETRY_SECONDS", 0.0)
    server.answer({"kind": "AgentJobList", "metadata": {}, "items": []})

    async with session.get(server.url + "/namespaces/away/agentjobs") as answer:
        with pytest.raises(aiohttp.ClientConnectionError, match="the API server is away"):
            await answer.json()


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "SecretList", "items": [{"metadata": {"name": "s"}}]},
        {"kind": "APIResourceList", "resources": []},
        {"items": 1},
        [1],
        "x",
    ],
    ids=repr,
)
async def test_other_answers_are_not_changed(server, session, seen, body):
    server.answer(body)

    async with session.get(server.url) as found:
        assert await found.json() == body
    assert seen == []


def compact(*parts: Any) -> bytes:
    """Lines as API servers write them."""
    return b"".join(json.dumps(part, separators=(",", ":")).encode() + b"\n" for part in parts)


@pytest.mark.parametrize(("event_type", "observed"), [("MODIFIED", ["a"]), ("ADDED", ["a"]), ("DELETED", ["a", "b"])])
async def test_an_update_of_a_known_version_is_not_observed(server, session, seen, event_type, observed):
    told = await watched(
        session, server, compact(event("ADDED", an_object("a", 5)), event(event_type, an_object("b", 6)))
    )

    assert [name for _, name in seen] == observed
    assert told == [bookmark(6)]


async def test_a_resource_version_inside_an_object_is_not_mistaken_for_its_own(server, session, seen):
    other = {**an_object("b", 7), "spec": {"resourceVersion": "6"}}

    await watched(session, server, compact(event("ADDED", an_object("a", 5)), event("MODIFIED", other)))

    assert [name for _, name in seen] == ["a", "b"]


async def test_the_observer_gets_all_events_and_kopf_one_bookmark_per_chunk(server, session, seen):
    together = lines(*(event(kind, an_object("a", version)) for version, kind in enumerate(("ADDED", "MODIFIED"), 5)))

    told = await watched(session, server, together, lines(event("DELETED", an_object("a", 8))))

    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert told == [bookmark(6), bookmark(8)]


async def test_an_event_of_an_unknown_type_reaches_kopf_in_order(server, session, seen):
    secret = event("ADDED", an_object("s", 6, kind="Secret"))
    parts = [event("ADDED", an_object("a", 5)), secret, event("ADDED", an_object("b", 7)), BOOKMARK, GONE]

    told = await watched(session, server, lines(*parts))

    assert told == [bookmark(5), secret, bookmark(7), BOOKMARK, GONE]
    assert seen == [("ADDED", "a"), ("ADDED", "b")]


@pytest.mark.parametrize(
    "line", [b"no json", b"[1]", b'{"type":"ADDED"}', b'{"type":"ADDED","object":{"kind":"AgentJob"}}'], ids=repr
)
async def test_an_unreadable_line_is_passed_to_kopf(server, session, seen, line):
    told = await watched(session, server, line + b"\n" + lines(event("ADDED", an_object("a", 5))))

    assert told == [json.loads(line) if line.startswith(b"{") else line, bookmark(5)]
    assert seen == [("ADDED", "a")]


async def test_an_event_can_arrive_in_parts_and_be_larger_than_any_buffer(server, session, seen):
    raw = lines(event("ADDED", an_object("a", 5) | {"spec": "x" * 3_000_000}), event("ADDED", an_object("b", 6)))

    told = await watched(session, server, raw[:20], raw[20:2_000_000], raw[2_000_000:])

    assert seen == [("ADDED", "a"), ("ADDED", "b")]
    assert told[-1] == bookmark(6)


async def test_an_object_that_its_observer_cannot_read_does_not_end_the_watch(server, session, seen, caplog):
    told = await watched(
        session, server, lines(event("ADDED", an_object("unreadable", 5)), event("ADDED", an_object("a", 6)))
    )

    assert seen == [("ADDED", "unreadable"), ("ADDED", "a")]
    assert told == [bookmark(6)]
    assert [record.message for record in caplog.records] == ["watch.failed"]


async def test_a_refused_watch_is_passed_on_unchanged(server, session, seen):
    told = await watched(session, server, lines(event("ADDED", an_object("a", 5))), code=403)

    assert told == [event("ADDED", an_object("a", 5))]
    assert seen == []


async def test_refused_credentials_are_recognized_when_a_login_returns_them_again():
    infos = [kopf.ConnectionInfo(server="https://127.0.0.1", token=token) for token in ("a", "a", "b")]
    refused, same, new = connections = [KopfSession.make(info, {}) for info in infos]
    for connection in connections:
        await connection.aiohttp_session.close()

    assert refused == same
    assert refused != new
    assert refused.aiohttp_session is not same.aiohttp_session


async def test_kopf_continues_where_a_watch_ended_even_if_it_got_no_event(tmp_path, monkeypatch):
    seen: list[tuple[str | None, str]] = []

    async def until_seen(count: int) -> None:
        async with asyncio.timeout(20):
            while len(seen) < count:
                await asyncio.sleep(0.02)

    def observe(event_type: str | None, obj: Any) -> None:
        seen.append((event_type, obj["metadata"]["name"]))

    stop = asyncio.Event()
    async with ApiServer(tmp_path) as server, KubeClient.connect(str(server.kubeconfig)) as client:

        async def begin(namespace: str | None) -> str:
            items, version = await client.list(CONFIGMAPS, namespace, label_selector="watched")
            for item in items:
                observe(None, item)
            return version

        watches = [kopf_adapter.Watch(CONFIGMAPS, observe, begin, selector="watched")]
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
        await client.create(CONFIGMAPS, "default", a_config_map("listed"))
        watching = asyncio.create_task(kopf_adapter.watch(watches, namespaces=("default",), stop=stop))
        await until_seen(1)
        await client.create(CONFIGMAPS, "default", a_config_map("before"))
        await until_seen(2)
        server.close_watches()
        await client.create(CONFIGMAPS, "default", a_config_map("after"))
        await until_seen(3)
        stop.set()
        await kopf_adapter.ended(watching)

    assert seen == [(None, "listed"), ("ADDED", "before"), ("ADDED", "after")]
