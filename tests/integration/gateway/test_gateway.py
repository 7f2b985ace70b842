"""The gateway over real sockets: identities of a real token issuer, the fence of a real database."""

import asyncio
import os
import signal
import socket
import ssl
import sys
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from agentjobs.errors import Misconfigured
from agentjobs.gateway.serve import serving
from agentjobs.listening import open_listener
from devcluster.certificates import Authority

# Their jobs are rows alone, and a cluster's garbage collector deletes pods without their job.
pytestmark = pytest.mark.alone("runners' pods here have no job")

RESULT = {"text": "hi\x00", "structured": {"a": 1}, "usage": {"llmCalls": 1, "inputTokens": 5}}
DOCUMENT = {"verdict": "Succeed", "reason": "Succeeded", "message": "", "delaySeconds": None, "result": RESULT}
EVENT = {"seq": 1, "time": "2026-11-21T09:00:00Z", "kind": "text", "author": "hello", "data": {"text": "a\x00b"}}
VERSIONS = {"adk": "2.5.0", "runner": "0.1.0", "scheme": "1", "agent": "0f"}
STEP = {"key": "main/hello/1", "kind": "model", "agent": "hello", "name": "gemini", "request": {}, "usage": {}}
STEP |= {"began": "2026-11-21T09:00:00Z", "ended": "2026-11-21T09:00:01Z", "body": {"text": "a\0b"}}
STEPS = {"run": 1, "void": [], "steps": [STEP], "versions": VERSIONS}
NOBODY = "postgresql://nobody@127.0.0.1:1/none"


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


async def test_a_runner_claims_its_start_and_sends_events_and_its_result(cluster, story, http):
    await story.begin()
    as_runner = bearer(await cluster.add_runner("hello", 1, "u1"))

    attempt = await http.get("/v1/attempt", headers=as_runner)
    events = await http.post("/v1/attempt/events", headers=as_runner, json={"events": [EVENT, EVENT]})
    beat = await http.post("/v1/attempt/heartbeat", headers=as_runner, json={})
    result = await http.put("/v1/attempt/result", headers=as_runner, json=DOCUMENT)

    assert (attempt.json()["job"], attempt.json()["start"], attempt.json()["maxAttempts"]) == ("hello", 1, 3)
    assert (events.status_code, beat.status_code) == (204, 204)
    assert result.json()["final"]["text"] == "hi\ufffd"


async def test_users_read_the_whole_history_of_a_job(cluster, story, http):
    await story.begin()
    as_runner, as_admin = bearer(await cluster.add_runner("hello", 1, "u1")), bearer(cluster.server.token)
    await http.get("/v1/attempt", headers=as_runner)
    await http.post("/v1/attempt/events", headers=as_runner, json={"events": [EVENT]})
    await http.put("/v1/attempt/result", headers=as_runner, json=DOCUMENT)
    await story.end()
    jobs = "/v1/namespaces/default/agentjobs"

    listed = (await http.get(jobs, headers=as_admin)).json()
    told = (await http.get(f"{jobs}/hello", headers=as_admin)).json()
    events = (await http.get(f"{jobs}/u1/events", headers=as_admin)).json()
    result = (await http.get(f"{jobs}/hello/result", headers=as_admin)).json()

    assert [(job["name"], job["phase"]) for job in listed["items"]] == [("hello", "Succeeded")]
    assert [item["phase"] for item in told["transitions"]] == ["Running", "Succeeded"]
    assert told["starts"][0]["verdict"] == "Succeed"
    assert RESULT["usage"].items() <= told["starts"][0]["usage"].items()
    assert events["items"][0]["data"] == {"text": "a\ufffdb"}
    assert result["result"]["structured"] == {"a": 1}


async def test_a_later_start_reads_earlier_steps_and_fences_the_older_pod(cluster, story, http):
    await story.begin()
    first = bearer(await cluster.add_runner("hello", 1, "u1"))
    await http.get("/v1/attempt", headers=first)
    recorded = await http.post("/v1/attempt/steps", headers=first, json=STEPS)
    await story.begin(start=2)
    second = bearer(await cluster.add_runner("hello", 2, "u1"))

    head = (await http.get("/v1/attempt", headers=second)).json()["journal"]
    page = (await http.get("/v1/attempt/steps", headers=second)).json()
    late = [await http.get("/v1/attempt/steps", headers=first)]
    late += [await http.post("/v1/attempt/steps", headers=first, json=STEPS)]
    told = await http.get("/v1/namespaces/default/agentjobs/hello/steps", headers=bearer(cluster.server.token))

    assert (recorded.json(), head) == ({"last": 1}, {"run": 1, "last": 1, "versions": VERSIONS})
    assert [(step["key"], step["body"]) for step in page["steps"]] == [("main/hello/1", {"text": "a\0b"})]
    assert [answer.json()["reason"] for answer in late] == ["Fenced", "Fenced"]
    assert [(step["start"], step["replayed"]) for step in told.json()["items"]] == [(1, True)]


async def test_another_pod_of_the_same_start_is_fenced(cluster, story, http):
    await story.begin()
    first = bearer(await cluster.add_runner("hello", 1, "u1"))
    await http.get("/v1/attempt", headers=first)
    await cluster.http.request(
        "DELETE", "/api/v1/namespaces/default/pods/hello-1", json={"kind": "DeleteOptions", "gracePeriodSeconds": 0}
    )

    second = await http.get("/v1/attempt", headers=bearer(await cluster.add_runner("hello", 1, "u1")))

    assert (second.status_code, second.json()["reason"]) == (409, "Fenced")


async def test_a_runner_whose_pod_was_deleted_is_accepted_until_its_start_ends(cluster, story, http, settings):
    await story.begin()
    token = bearer(await cluster.add_runner("hello", 1, "u1"))
    pod = f"/api/v1/namespaces/{cluster.namespace}/pods/hello-1"
    merge = {"Content-Type": "application/merge-patch+json"}
    where = {"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}}
    (await cluster.http.patch(f"{pod}/status", json=where, headers=merge)).raise_for_status()
    await http.get("/v1/attempt", headers=token)
    await cluster.http.request("DELETE", pod, json={"kind": "DeleteOptions", "gracePeriodSeconds": 0})

    remembered = await http.post("/v1/attempt/heartbeat", headers=token)
    async with serving(settings()) as replica, httpx.AsyncClient(base_url=replica, trust_env=False) as other:
        asked_anew = await other.post("/v1/attempt/heartbeat", headers=token)
    await story.end()
    after = await http.put("/v1/attempt/result", headers=token, json=DOCUMENT)

    assert remembered.status_code == 204
    assert asked_anew.status_code in (401, 403)
    assert (after.status_code, after.json()["reason"]) == (409, "Fenced")


async def test_an_older_start_is_fenced_by_a_newer_one(cluster, story, http):
    await story.begin()
    as_first = bearer(await cluster.add_runner("hello", 1, "u1"))
    await http.get("/v1/attempt", headers=as_first)
    await story.begin(start=2)

    answers = [
        await http.post("/v1/attempt/heartbeat", headers=as_first),
        await http.post("/v1/attempt/events", headers=as_first, json={"events": [EVENT]}),
        await http.put("/v1/attempt/result", headers=as_first, json=DOCUMENT),
    ]

    assert [(answer.status_code, answer.json()["reason"]) for answer in answers] == [(409, "Fenced")] * 3


async def test_a_start_that_was_never_recorded_is_not_found(cluster, story, http):
    await story.begin()

    answer = await http.get("/v1/attempt", headers=bearer(await cluster.add_runner("hello", 7, "u1")))

    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")


@pytest.mark.parametrize("other", [{"namespace": "elsewhere"}, {"name": "other"}], ids=["namespace", "name"])
async def test_a_pod_with_the_uid_of_another_job_cannot_claim(cluster, story, http, other):
    theirs = replace(story, namespace=other.get("namespace", story.namespace))
    await theirs.begin(uid="u9", name=other.get("name", "hello"))

    answer = await http.get("/v1/attempt", headers=bearer(await cluster.add_runner("hello", 1, "u9")))

    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")


async def test_tokens_of_other_accounts_and_audiences_are_refused(cluster, http):
    spec = {"containers": [{"name": "a", "image": "b"}], **cluster.placement}
    plain = {"metadata": {"name": "hello-1"}, "spec": spec}
    pod = await cluster.create(f"/api/v1/namespaces/{cluster.namespace}/pods", plain)
    tokens = {
        "of an ordinary pod": (await cluster.token(audience="agentjobs-gateway", pod=pod), 403),
        "of no pod": (await cluster.token(audience="agentjobs-gateway"), 403),
        "for another audience": (await cluster.token(audience="vault", pod=pod), 401),
        "of the administrator": (cluster.server.token, 401),
        "of nobody": ("nonsense", 401),
    }

    got = {
        name: (await http.get("/v1/attempt", headers=bearer(token))).status_code for name, (token, _) in tokens.items()
    }

    assert got == {name: status for name, (_, status) in tokens.items()}


@pytest.mark.parametrize(("checked", "status"), [(True, 403), (False, 200)])
async def test_the_address_of_a_pod_is_checked_unless_disabled_by_the_settings(
    cluster, story, settings, checked, status
):
    await story.begin()
    token = await cluster.add_runner("hello", 1, "u1")
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/hello-1/status"
    there = await cluster.http.patch(
        path,
        json={"status": {"podIP": "10.1.2.3"}},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert there.status_code == 200, there.text

    async with (
        serving(settings(check_addresses=checked)) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        assert (await http.get("/v1/attempt", headers=bearer(token))).status_code == status


async def test_a_runners_token_is_refused_on_routes_of_users(cluster, story, http):
    await story.begin()
    token = await cluster.add_runner("hello", 1, "u1")

    answer = await http.get("/v1/namespaces/default/agentjobs", headers=bearer(token))

    assert answer.status_code == 401


async def test_a_request_of_fifty_megabytes_is_answered_and_not_disconnected(cluster, story, http):
    await story.begin()
    as_runner = bearer(await cluster.add_runner("hello", 1, "u1"))

    async def endless():
        for _ in range(50):
            yield b"x" * 1024 * 1024

    answers = [
        await http.put("/v1/attempt/result", headers=as_runner, content=b"x" * 50 * 1024 * 1024),
        await http.put("/v1/attempt/result", headers=as_runner, content=endless()),
    ]

    assert [answer.json()["reason"] for answer in answers] == ["BodyTooLarge"] * 2
    assert "4194304 bytes" in answers[0].json()["message"]


async def test_without_a_database_the_gateway_starts_waits_and_says_so(cluster, settings):
    async with (
        serving(settings(database_url=NOBODY)) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        answer = await http.get("/v1/attempt", headers=bearer(await cluster.add_runner("hello", 1, "u1")))
        ready, alive = await http.get("/readyz"), await http.get("/healthz")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert (ready.status_code, ready.json()["reason"], alive.status_code) == (503, "NotReady", 200)
    assert "database" in ready.json()["message"]


@pytest.mark.stops_the_server
async def test_without_an_api_server_the_gateway_starts_waits_and_says_so(apiserver, settings):
    made = settings()
    await apiserver.stop()

    async with serving(made) as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
        answer = await http.get("/v1/attempt", headers=bearer("t"))
        ready = await http.get("/readyz")

    assert (answer.status_code, answer.json()["reason"]) == (503, "Unavailable")
    assert "API server" in ready.json()["message"]


async def test_the_gateway_serves_tls_with_the_certificate_of_the_settings(cluster, settings, tmp_path):
    authority = Authority(tmp_path, name="test", now=datetime.now(UTC))
    pair = authority.server("gateway")

    async with serving(settings(tls_cert=str(pair.certificate), tls_key=str(pair.key))) as url:
        trust = ssl.create_default_context(cafile=str(authority.certificate))
        async with httpx.AsyncClient(base_url=url, verify=trust, trust_env=False) as http:
            answer = await http.get("/readyz")

    assert (url.startswith("https://"), answer.status_code) == (True, 200)


async def test_a_partly_replaced_certificate_is_loaded_when_it_is_complete(
    cluster, settings, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("agentjobs.listening.CERTIFICATE_SECONDS", 0.05)
    authority = Authority(tmp_path, name="test", now=datetime.now(UTC))
    pair, new = authority.server("gateway"), authority.server("new")
    trust = ssl.create_default_context(cafile=str(authority.certificate))

    async def shown():
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]), ssl=trust)
        certificate = writer.get_extra_info("peercert")["serialNumber"]
        writer.close()
        return certificate

    async def told(event):
        async with asyncio.timeout(20):
            while event not in caplog.messages:
                await asyncio.sleep(0.01)

    async with serving(settings(tls_cert=str(pair.certificate), tls_key=str(pair.key))) as url:
        old = await shown()
        pair.certificate.write_bytes(new.certificate.read_bytes())
        await told("certificate.unusable")
        meanwhile = await shown()
        pair.key.write_bytes(new.key.read_bytes())
        caplog.set_level("INFO")
        await told("certificate.renewed")
        assert (meanwhile == old, await shown() == old) == (True, False)


async def test_an_address_in_use_is_named(settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"port {port}: .*AGENTJOBS_PORT"):
            async with serving(settings(port=port)):
                pass


def test_the_body_of_an_answer_is_sent_before_its_head_is_acknowledged():
    with open_listener("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


async def test_the_process_exits_with_0_on_sigterm(database, apiserver):
    environment = {
        **os.environ,
        "AGENTJOBS_DATABASE_URL": database,
        "AGENTJOBS_KUBECONFIG": str(apiserver.kubeconfig),
        "AGENTJOBS_HOST": "127.0.0.1",
        "AGENTJOBS_PORT": "0",
    }
    command = [sys.executable, "-c", "from agentjobs.cli import main; main(['gateway'])"]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.PIPE)

    async for line in process.stderr:
        if b"gateway.listening" in line:
            process.send_signal(signal.SIGTERM)
            break
    rest = await process.stderr.read()

    assert await process.wait() == 0
    assert b"gateway.stopped" in rest
