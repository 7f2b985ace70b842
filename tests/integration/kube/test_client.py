"""What the client puts on the wire and makes of the answers."""

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentjobs.errors import (
    AgentJobsError,
    AlreadyExists,
    Conflict,
    Denied,
    Fenced,
    Gone,
    Invalid,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from agentjobs.kube.client import KubeClient
from agentjobs.kube.resources import AGENTJOBS, NAMESPACES, PODS, TOKENREVIEWS

JOB = {"metadata": {"name": "a", "namespace": "team", "resourceVersion": "5"}}


@pytest.mark.parametrize(
    ("call", "method", "path"),
    [
        pytest.param(lambda c: c.get(PODS, "team", "a"), "GET", "/api/v1/namespaces/team/pods/a", id="core"),
        pytest.param(
            lambda c: c.get(AGENTJOBS, "team", "a"),
            "GET",
            "/apis/agentjobs.dev/v1alpha1/namespaces/team/agentjobs/a",
            id="group",
        ),
        pytest.param(lambda c: c.get(NAMESPACES, None, "team"), "GET", "/api/v1/namespaces/team", id="cluster-wide"),
        pytest.param(
            lambda c: c.create(TOKENREVIEWS, None, {}),
            "POST",
            "/apis/authentication.k8s.io/v1/tokenreviews",
            id="review",
        ),
        pytest.param(
            lambda c: c.patch(PODS, "team", "a", {}, subresource="status"),
            "PATCH",
            "/api/v1/namespaces/team/pods/a/status",
            id="subresource",
        ),
        pytest.param(lambda c: c.replace(PODS, "team", "a", {}), "PUT", "/api/v1/namespaces/team/pods/a", id="put"),
    ],
)
async def test_a_call_goes_to_the_resources_path(client, server, call, method, path):
    server.answer(JOB)

    assert await call(client) == JOB

    assert [(r.method, r.path) for r in server.requests] == [(method, path)]


async def test_a_prepared_request_has_the_path_and_content_of_its_builder(client, server):
    server.answer(JOB)
    path, query = "/apis/agentjobs.dev/v1alpha1/namespaces/team/agentjobs/a", {"fieldManager": "me", "limit": ""}

    assert await client.send("PATCH", path, kind="agentjobs", body={"spec": {}}, query=query) == JOB
    (request,) = server.requests
    assert (request.method, request.path, request.query) == ("PATCH", path, {"fieldManager": "me"})
    assert (request.body, request.headers["Content-Type"]) == ({"spec": {}}, "application/merge-patch+json")


@pytest.mark.parametrize(
    ("most", "kept"),
    [
        pytest.param(9, b"one\xff\ntwo\n", id="all"),
        pytest.param(8, b"two\n", id="whole lines"),
        pytest.param(4, b"two\n", id="a line that just fits"),
        pytest.param(3, b"wo\n", id="the end of a long line"),
    ],
)
async def test_the_newest_lines_of_a_long_log_are_kept(client, server, most, kept):
    async def log(_: web.Request) -> web.Response:
        return web.Response(body=b"one\xff\ntwo\n")

    server.handler = log

    log = await client.log("team", "a-1", container="runner", lines=5, most=most)

    assert (log.content, log.is_truncated) == (kept, most < 9)


async def test_a_log_of_many_chunks_is_truncated_like_one_of_a_single_chunk(client, server):
    async def log(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(1000):
            await response.write(b"line %d\n" % number)
        return response

    server.handler = log

    log = await client.log("team", "a-1", container="runner", lines=5, most=20)

    assert (log.content, log.is_truncated) == (b"line 998\nline 999\n", True)


async def test_a_log_is_requested_with_the_callers_options(client, server):
    server.answer({})
    await client.log("team", "a-1", container="runner", lines=5, most=6, previous=True, timestamps=True)

    (request,) = server.requests
    assert request.path == "/api/v1/namespaces/team/pods/a-1/log"
    assert request.query == {"container": "runner", "tailLines": "6", "previous": "true", "timestamps": "true"}


async def test_a_refused_log_has_the_servers_reason(client, server):
    server.refuse(404, "NotFound", "no such pod")

    with pytest.raises(NotFound, match="no such pod"):
        await client.log("team", "a-1", container="runner", lines=5, most=6)


async def test_an_answer_that_is_not_an_object_is_unavailable(client, server):
    server.answer(["a proxy"])

    with pytest.raises(Unavailable, match="not an object"):
        await client.send("GET", "/api/v1/namespaces/team/pods/a", kind="pods")


async def test_a_hostile_name_is_one_segment_of_the_path(client, server):
    async def raw_path(request: web.Request) -> web.Response:
        return web.json_response({"path": request.raw_path})

    server.handler = raw_path

    answer = await client.get(PODS, "team", "../../secrets?x=1#y")

    assert answer["path"] == "/api/v1/namespaces/team/pods/..%2F..%2Fsecrets%3Fx%3D1%23y"


async def test_requests_have_the_user_agent_and_the_token(client, server):
    server.answer(JOB)

    await client.get(PODS, "team", "a")

    headers = server.requests[0].headers
    assert headers["Authorization"] == "Bearer secret"
    assert headers["User-Agent"] == "agentjobs"


async def test_a_patch_is_a_merge_patch(client, server):
    server.answer(JOB)

    await client.patch(AGENTJOBS, "team", "a", {"status": {"phase": None}}, subresource="status")

    request = server.requests[0]
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert request.body == {"status": {"phase": None}}


@pytest.mark.parametrize(
    "value",
    [None, "null", "ü ☃ 😀", 2**70, -(2**63), 1.5, float("inf"), "\ud800", "\udc00\ud800", ["a", {"b": None}], {}],
    ids=repr,
)
async def test_a_body_is_encoded_like_the_standard_library_does(client, server, value):
    server.answer(JOB)

    await client.patch(PODS, "team", "a", {"status": {"value": value}})

    assert server.requests[0].body == json.loads(json.dumps({"status": {"value": value}}))


async def test_an_invalid_number_does_not_remove_a_field(client, server):
    server.answer(JOB)

    await client.patch(PODS, "team", "a", {"status": {"value": float("nan")}})

    assert math.isnan(server.requests[0].body["status"]["value"])


async def test_a_body_that_json_cannot_represent_is_not_sent(client, server):
    with pytest.raises(TypeError, match="not JSON serializable"):
        await client.patch(PODS, "team", "a", {"status": {"at": datetime.now(UTC)}})

    assert server.requests == []


async def test_a_delete_carries_its_preconditions(client, server):
    server.answer({"kind": "Status", "status": "Success"})

    await client.delete(PODS, "team", "a", uid="u1", grace_seconds=0)

    assert server.requests[0].body == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": "u1"},
        "gracePeriodSeconds": 0,
    }


async def test_a_list_is_read_in_chunks_and_items_have_their_kind(client, server):
    async def pages(request: web.Request) -> web.Response:
        second = request.query.get("continue") == "next"
        metadata = {"resourceVersion": "7", "continue": "" if second else "next"}
        name = "b" if second else "a"
        return web.json_response({"metadata": metadata, "items": [{"metadata": {"name": name}}]})

    server.handler = pages

    items, version = await client.list(PODS, "team", label_selector="app in (a, b)")

    assert [(i["kind"], i["apiVersion"], i["metadata"]["name"]) for i in items] == [
        ("Pod", "v1", "a"),
        ("Pod", "v1", "b"),
    ]
    assert version == "7"
    assert [r.query for r in server.requests] == [
        {"labelSelector": "app in (a, b)", "limit": "500"},
        {"labelSelector": "app in (a, b)", "limit": "500", "continue": "next"},
    ]


async def test_a_list_whose_snapshot_expires_is_read_again_in_one_request(client, server):
    async def expires(request: web.Request) -> web.Response:
        if "continue" in request.query:
            return web.json_response({"kind": "Status", "code": 410, "reason": "Expired"}, status=410)
        token = "next" if "limit" in request.query else ""
        body = {"metadata": {"resourceVersion": "8", "continue": token}, "items": [{"metadata": {"name": "a"}}]}
        return web.json_response(body)

    server.handler = expires

    items, _ = await client.list(PODS)

    assert len(items) == 1
    assert server.requests[-1].query == {}
    assert server.requests[-1].path == "/api/v1/pods"


async def test_a_list_keeps_only_projected_items_and_is_read_again_when_it_expires(client, server):
    read: list[str] = []

    async def expires(request: web.Request) -> web.Response:
        if "continue" in request.query:
            return web.json_response({"kind": "Status", "code": 410, "reason": "Expired"}, status=410)
        token = "next" if "limit" in request.query else ""
        names = ["a"] if token else ["a", "b"]
        items = [{"metadata": {"name": name}} for name in names]
        return web.json_response({"metadata": {"resourceVersion": "8", "continue": token}, "items": items})

    def name_of(obj) -> str:
        read.append(obj["metadata"]["name"])
        return read[-1]

    server.handler = expires

    assert await client.list_as(name_of, PODS) == (["a", "b"], "8")
    assert read == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (400, "BadRequest", Invalid),
        (401, "Unauthorized", Unauthenticated),
        (403, "Forbidden", Denied),
        (404, "NotFound", NotFound),
        (405, "MethodNotAllowed", Invalid),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (410, "Expired", Gone),
        (413, "RequestEntityTooLarge", Invalid),
        (415, "UnsupportedMediaType", Invalid),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", TooManyRequests),
        (500, "InternalError", Unavailable),
        (503, "ServiceUnavailable", Unavailable),
        (504, "Timeout", Unavailable),
    ],
)
async def test_a_refusal_becomes_our_error_with_the_servers_message(client, server, code, reason, expected):
    server.refuse(code, reason, "because of x")

    with pytest.raises(AgentJobsError, match=f"PATCH pods team/a: HTTP {code}: because of x") as caught:
        await client.patch(PODS, "team", "a", {})

    assert type(caught.value) is expected


async def test_too_many_requests_has_the_retry_delay(client, server):
    server.refuse(429, "TooManyRequests", "slow down", headers={"Retry-After": "7"})

    with pytest.raises(TooManyRequests) as caught:
        await client.get(PODS, "team", "a")

    assert caught.value.retry_after == 7.0


async def test_a_refused_connection_is_unavailable(kubeconfig: Path):
    kubeconfig.write_text(re.sub(r"127.0.0.1:\d+", "127.0.0.1:1", kubeconfig.read_text()))

    async with KubeClient.connect(str(kubeconfig)) as client:
        with pytest.raises(Unavailable, match="GET pods team/a"):
            await client.get(PODS, "team", "a")


async def test_an_answer_that_is_not_json_is_unavailable(client, server):
    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html>welcome to the hotel</html>", content_type="text/html")

    server.handler = page

    with pytest.raises(Unavailable, match="GET pods team/a"):
        await client.get(PODS, "team", "a")


@pytest.mark.parametrize("answer", [[], "x", None, {}, {"metadata": {}, "items": []}])
async def test_an_invalid_list_is_unavailable(client, server, answer):
    server.answer(answer)

    with pytest.raises(Unavailable, match="GET pods team"):
        await client.list(PODS, "team")


async def test_a_proxys_html_page_is_quoted_in_short(client, server):
    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="bad gateway " * 1000, status=502)

    server.handler = page

    with pytest.raises(Unavailable, match="HTTP 502: bad gateway") as caught:
        await client.get(PODS, "team", "a")

    assert len(str(caught.value)) < 400


async def test_a_broken_connection_is_unavailable_and_a_write_is_sent_once(client, server):
    async def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    server.handler = cut

    with pytest.raises(Unavailable):
        await client.create(PODS, "team", {})

    assert len(server.requests) == 1


async def test_the_fence_stops_every_write_and_no_read(kubeconfig, server):
    def check() -> None:
        raise Fenced("the lease is lost")

    server.answer(JOB)
    mutations: list[Callable[[KubeClient], Awaitable[Any]]] = [
        lambda c: c.create(PODS, "team", {}),
        lambda c: c.patch(PODS, "team", "a", {}),
        lambda c: c.replace(PODS, "team", "a", {}),
        lambda c: c.delete(PODS, "team", "a"),
    ]
    async with KubeClient.connect(str(kubeconfig), check=check) as client:
        for mutate in mutations:
            with pytest.raises(Fenced):
                await mutate(client)
        await client.get(PODS, "team", "a")
        await client.with_check(None).create(PODS, "team", {})

    assert [r.method for r in server.requests] == ["GET", "POST"]


async def test_writes_are_reported_with_their_status_and_reads_are_not(kubeconfig, server):
    told: list[tuple[str, str, int]] = []
    server.refuse(409, "Conflict", "changed")
    async with KubeClient.connect(str(kubeconfig), on_write=lambda *a: told.append(a)) as client:
        for call in (client.patch(PODS, "team", "a", {}), client.get(PODS, "team", "a")):
            with pytest.raises(Conflict):
                await call

    assert told == [("PATCH", "Pod", 409)]


async def test_a_strict_dry_run_requests_both_options_and_is_not_a_write(kubeconfig, server):
    told: list[tuple[str, str, int]] = []
    server.answer(JOB)
    async with KubeClient.connect(str(kubeconfig), on_write=lambda *a: told.append(a)) as client:
        await client.create(PODS, "team", {}, strict=True, dry_run=True)
        await client.create(PODS, "team", {}, strict=True)

    asked = [request.query for request in server.requests]
    assert asked == [{"fieldValidation": "Strict", "dryRun": "All"}, {"fieldValidation": "Strict"}]
    assert told == [("POST", "Pod", 200)]


async def test_a_cancelled_write_is_reported_as_unanswered(kubeconfig, server):
    told: list[tuple[str, str, int]] = []

    async def hang(_request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    server.handler = hang
    async with KubeClient.connect(str(kubeconfig), on_write=lambda *a: told.append(a)) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.create(PODS, "team", {}), 0.05)

    assert told == [("POST", "Pod", 0)]
