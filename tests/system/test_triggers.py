"""Signed calls through the whole system: each creates one job, despite repetitions and outages."""

import asyncio
import hashlib
import hmac
import json
import os
import signal
import ssl
import time

import httpx
import psycopg
import pytest
import pytest_asyncio
import yaml

from agentjobs.contract import TerminationMessage, Verdict, start_of
from agentjobs.dev.up import up
from devcluster.client import CONFIG_MAPS, PODS, ApiError, Resource
from devcluster.node import Instant

from .conftest import AGENTJOBS, ROOT, System

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("triggers"),
    pytest.mark.alone("the triggers file names the namespace default, where others have their jobs"),
]

TEMPLATES = Resource("agentjobs.dev", "v1alpha1", "agenttemplates", "AgentTemplate")
EXAMPLE = ROOT / "examples" / "webhook"
SECRET = b"a secret of the repository"
# 500 take half a minute on a machine that does nothing else.
BURST = 100
LIMIT = 10


def briefly(pod):
    """Pods of the burst do without a runner."""
    meta = pod["metadata"]
    job = meta.get("labels", {}).get("agentjobs.dev/job", "")
    if not job.startswith("burst-"):
        return None
    start, uid = start_of(meta["name"], job), meta["ownerReferences"][0]["uid"]
    return Instant(message=TerminationMessage(Verdict.SUCCEED, "", "", start, uid, summary="Done.").dump())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(backend, forks, tmp_path_factory):
    """A cluster whose gateway takes calls of a repository."""
    folder = tmp_path_factory.mktemp("triggers")
    (folder / "secret").write_bytes(SECRET)
    entries = [
        {
            "namespace": "default",
            "template": template,
            "signature": "GitHub",
            "secretFiles": [str(folder / "secret")],
            "parameters": {"title": "issue.title"},
        }
        for template in ("triage", "burst")
    ]
    example = yaml.safe_load((EXAMPLE / "triggers.yaml").read_text())["triggers"]
    entries += [entry | {"secretFiles": [str(folder / "secret")]} for entry in example]
    (folder / "triggers.yaml").write_text(yaml.safe_dump({"triggers": entries}))
    async with up(
        folder / "cluster",
        apiserver=backend,
        forks=forks,
        working_folder=ROOT,
        triggers=folder / "triggers.yaml",
        settings={"AGENTJOBS_QUEUES": f'{{"agents": {LIMIT}}}'},
        instant=briefly,
    ) as cluster:
        system = System(cluster)
        script = yaml.safe_dump({"starts": [[{"text": "Done."}]]})
        await system.client.create(CONFIG_MAPS, "default", {"metadata": {"name": "triage"}, "data": {"script": script}})
        for name in ("triage", "burst"):
            spec = {
                "parameters": [{"name": "title"}],
                "agent": {"model": "scripted/triage/script", "inline": {"instruction": "Be brief."}},
                "input": {"message": "Look at: $(params.title)"},
            }
            body = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentTemplate", "metadata": {"name": name}}
            await system.client.create(TEMPLATES, "default", body | {"spec": spec})
        for body in yaml.safe_load_all((EXAMPLE / "triage.yaml").read_text()):
            resource = CONFIG_MAPS if body["kind"] == "ConfigMap" else TEMPLATES
            await system.client.create(resource, "default", body)
        yield system


@pytest_asyncio.fixture(loop_scope="module")
async def call(system):
    """Makes a signed call about an issue of this title."""
    trust = ssl.create_default_context(cafile=system.cluster.gateway_ca)
    # The API server shares this loop, and httpx looks through all that wait whenever one has its answer.
    at_once = asyncio.Semaphore(50)
    kept = httpx.Limits(max_connections=50, max_keepalive_connections=50)
    async with httpx.AsyncClient(
        base_url=system.cluster.gateway_url, verify=trust, timeout=60, limits=kept, trust_env=False
    ) as http:

        async def send(title, template="triage"):
            async with at_once:
                return await sent(title, template)

        async def sent(title, template):
            body = json.dumps({"action": "opened", "issue": {"number": 7, "title": title}}).encode()
            signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
            headers = {"X-Hub-Signature-256": f"sha256={signature}"}
            return await http.post(f"/v1/namespaces/default/triggers/{template}", content=body, headers=headers)

        yield send


async def messages(system, uid):
    """What the job's agent was told."""
    async with await psycopg.AsyncConnection.connect(system.cluster.dsn) as connection:
        asked = "SELECT resolved #>> '{spec,input,message}' FROM agentjobs.jobs WHERE uid = %s"
        return [row[0] for row in await (await connection.execute(asked, [uid])).fetchall()]


async def test_text_of_a_stranger_reaches_the_agent_only_as_text(system, call):
    answer = await call("$(job.uid) $$(x) $(params.title)")
    job = answer.json()
    status = await system.finished(job["job"])

    assert (answer.status_code, status["phase"]) == (201, "Succeeded")
    assert await messages(system, job["uid"]) == ["Look at: $(job.uid) $$(x) $(params.title)"]


async def test_the_example_creates_a_job_for_an_issue(system, call):
    answer = await call("The last page is missing", "triage-issue")
    job = answer.json()
    status = await system.finished(job["job"])

    assert (status["phase"], status["result"]["summary"]) == ("Succeeded", "Looks like an error in the pager.")
    assert await messages(system, job["uid"]) == ["Issue 7: The last page is missing"]


async def test_a_call_replayed_after_its_job_was_deleted_creates_no_job(system, call):
    first = (await call("deleted")).json()
    await system.finished(first["job"])
    await system.delete(AGENTJOBS, first["job"])
    answer = await call("deleted")

    assert (answer.status_code, answer.json()) == (200, first | {"created": False})
    with pytest.raises(ApiError, match="404"):
        await system.job(first["job"])


async def test_a_call_creates_its_job_while_postgresql_is_unavailable(system, call):
    os.kill(system.cluster.postgres.pid, signal.SIGKILL)
    await system.cluster.postgres.wait()
    began = time.monotonic()
    answer = await call("away")
    took = time.monotonic() - began
    await system.cluster.restart_postgres()

    assert (answer.status_code, took < 5) == (201, True)
    assert (await system.finished(answer.json()["job"]))["phase"] == "Succeeded"


async def test_a_burst_of_calls_sent_twice_creates_one_result_each(system, call):
    calls = [call(f"number {number}", "burst") for number in range(BURST) for _ in range(2)]
    answers = await asyncio.gather(*calls)
    names = {answer.json()["job"] for answer in answers}
    phases = {}
    async with asyncio.timeout(120):
        while list(phases.values()).count("Succeeded") < BURST:
            found, _ = await system.client.list(AGENTJOBS, "default")
            phases = {one["metadata"]["name"]: (one.get("status") or {}).get("phase") for one in found}
            phases = {name: phase for name, phase in phases.items() if name.startswith("burst-")}
            await asyncio.sleep(0.5)
    pods, _ = await system.client.list(PODS, "default", label_selector="agentjobs.dev/job")

    assert sorted(answer.status_code for answer in answers) == [200] * BURST + [201] * BURST
    assert (set(phases), len(names)) == (names, BURST)
    assert sum(pod["metadata"]["name"].startswith("burst-") for pod in pods) == BURST
