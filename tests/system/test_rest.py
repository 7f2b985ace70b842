"""Actions and reads by REST in a whole cluster: the operator does what users request."""

import ssl

import httpx
import pytest

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]

SLOW = {"starts": [[{"delay": "60s", "text": "Done."}]]}
QUICK = {"starts": [[{"text": "Done."}]]}


@pytest.fixture
async def rest(system):
    """Asks the gateway as an administrator of the test's namespace."""
    trust = ssl.create_default_context(cafile=system.cluster.gateway_ca)
    headers = {"Authorization": f"Bearer {system.cluster.token}"}
    base = f"{system.cluster.gateway_url}/v1/namespaces/{system.namespace}/"
    async with httpx.AsyncClient(base_url=base, verify=trust, trust_env=False, headers=headers, timeout=30) as http:
        yield http


async def test_a_suspended_job_waits_and_a_cancelled_job_ends(system, rest, job_of):
    await system.apply(*job_of("slow", SLOW))
    await system.running("slow")
    suspended = await rest.post("agentjobs/slow/suspend")
    await system.phase("slow", "Suspended")
    cancelled = await rest.post("agentjobs/slow/cancel")
    status = await system.finished("slow")

    assert (suspended.status_code, cancelled.status_code, status["phase"]) == (200, 200, "Cancelled")


async def test_a_deleted_job_can_be_rerun(system, rest, job_of):
    from tests.system.conftest import AGENTJOBS

    await system.apply(*job_of("quick", QUICK))
    await system.finished("quick")
    await system.delete(AGENTJOBS, "quick")
    await system.gone("quick")
    made = (await rest.post("agentjobs/quick/rerun")).json()["made"]

    assert (await system.finished(made))["phase"] == "Succeeded"


async def test_a_triggered_schedule_creates_its_job(system, rest, job_of):
    config_map, job = job_of("brief", QUICK)
    schedule = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job["spec"]}}
    body = {**job, "kind": "AgentSchedule", "spec": schedule}
    await system.apply(config_map, body)
    seen = (await rest.get("schedules/brief")).json()
    made = (await rest.post("schedules/brief/trigger")).json()["made"]

    assert ((await system.finished(made))["phase"], len(seen["next"])) == ("Succeeded", 10)


async def test_a_paused_queue_starts_nothing_until_it_is_resumed(system, rest, job_of):
    assert (await rest.post("queues/agents/pause")).status_code == 200
    await system.until("agents", lambda status: status.get("conditions"), status_of=system.queue)
    await system.apply(*job_of("waits", QUICK))
    await system.phase("waits", "Queued")
    shown = (await rest.get("queues/agents")).json()
    await rest.post("queues/agents/resume")

    assert (await system.finished("waits"))["phase"] == "Succeeded"
    assert shown["object"]["spec"]["stopPolicy"] == "Hold"


@pytest.mark.alone("the cluster's API server trusts no certificate of our node, so it serves no logs of it")
async def test_a_pods_log_and_events_are_read(system, rest, job_of):
    await system.apply(*job_of("slow", SLOW))
    await system.running("slow")

    async def log(_):
        return await rest.get("agentjobs/slow/logs", params={"lines": 2})

    async def about(_):
        return {one["about"] for one in (await rest.get("agentjobs/slow/kubernetes-events")).json()["items"]}

    told = await system.until("slow", lambda answer: answer.status_code != 200 or answer.text, status_of=log)
    await system.until("slow", lambda about: "AgentJob/slow" in about, status_of=about)
    gone = await rest.get("agentjobs/slow/logs", params={"start": 9})
    await rest.post("agentjobs/slow/cancel")

    assert (told.status_code, len(told.text.splitlines()) <= 2) == (200, True), told.text
    assert gone.json()["reason"] == "PodGone"
