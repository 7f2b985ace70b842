"""Notifications of jobs through the whole system: the example, its receiver, and failures."""

import asyncio
import os
import ssl
import sys
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import yaml

from agentjobs.dev.up import up
from devcluster.ports import free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "notifications"
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("notifications")]


class Receiver:
    """The receiver of the example, and the lines that it has printed."""

    def __init__(self, port):
        self.port = port
        self.lines = []
        self._process = None
        self._reading = None

    async def start(self):
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(EXAMPLE / "receiver.py"), str(self.port)),
            env=os.environ | {"RECEIVER_KEY": KEY},
            stdout=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read())

    async def stop(self):
        self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self):
        async for line in self._process.stdout:
            self.lines.append(line.decode().split())

    def told(self, name):
        """The events of a job, in the order in which they came."""
        return [event for event, subject, *_ in self.lines if subject.endswith(f"/{name}")]

    async def until(self, name, events):
        async with asyncio.timeout(60):
            while self.told(name)[-len(events) :] != events:
                await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver():
    found = Receiver(free_port())
    await found.start()
    yield found
    await found.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(backend, systems, receiver, forks, tmp_path_factory):
    """A cluster with the example's sink, which a notifier tells."""
    folder = tmp_path_factory.mktemp("cluster")
    file = yaml.safe_load((EXAMPLE / "sinks.yaml").read_text())
    file["sinks"][0]["url"] = f"http://127.0.0.1:{receiver.port}/"
    (folder / "sinks.yaml").write_text(yaml.safe_dump(file))
    made = up(
        folder / "cluster",
        apiserver=backend,
        settings={"RECEIVER_KEY": KEY},
        sinks=folder / "sinks.yaml",
        working_folder=EXAMPLE,
        forks=forks,
    )
    async with made as cluster:
        yield systems(cluster)


async def test_the_example_notifies_of_each_start_the_wait_and_the_end(system, receiver):
    await system.apply_file(EXAMPLE / "told.yaml")

    await receiver.until("told", ["succeeded"])

    assert receiver.told("told") == ["started", "retrying", "started", "succeeded"]


async def test_a_failed_job_notifies_of_its_start_and_its_failure(system, receiver, job_of):
    sinks = [{"sink": "receiver", "events": ["Started", "Failed"]}]
    script = {"starts": [[{"error": {"status": 400, "message": "no such thing"}}]]}
    await system.apply(*job_of("fails", script, notifications=sinks, retry={"maxAttempts": 1}))

    await receiver.until("fails", ["failed"])

    assert receiver.told("fails") == ["started", "failed"]


async def test_a_job_with_an_unknown_sink_waits(system, said, job_of):
    await system.apply(*job_of("waits", {"starts": []}, notifications=[{"sink": "nobody", "events": ["Failed"]}]))

    status = await system.until("waits", lambda found: said(found, "Accepted", "reason") == "SinkNotFound")

    assert (status["phase"], said(status, "Accepted")) == ("Pending", "False")
    assert status.get("starts", 0) == 0


async def test_an_unavailable_sink_delays_no_job_and_gets_its_notifications_afterwards(system, receiver, job_of):
    await receiver.stop()
    sinks = [{"sink": "receiver", "events": ["Started", "Succeeded"]}]
    await system.apply(*job_of("meanwhile", {"starts": [[{"text": "done"}]]}, notifications=sinks))
    await system.finished("meanwhile")
    async with asyncio.timeout(30):
        while await states(system, "meanwhile") != ["Retrying", "Waiting"]:
            await asyncio.sleep(0.05)
    await system.crash("notifier")

    await receiver.start()
    # Before there is a notifier that could send it by itself.
    retried = await asked(system, "POST", "agentjobs/meanwhile/notifications/retry")
    system.start("notifier")

    assert retried == {"retried": 1}
    await receiver.until("meanwhile", ["started", "succeeded"])
    assert receiver.told("meanwhile") == ["started", "succeeded"]


async def states(system, job):
    """The states of a job's notifications."""
    page = await asked(system, "GET", f"notifications?job={job}")
    return [one["state"] for one in sorted(page["items"], key=lambda one: one["transition"])]


async def asked(system, method, below):
    """Ask the gateway as an administrator."""
    cluster = system.cluster
    url = f"{cluster.gateway_url}/v1/namespaces/{system.namespace}/{below}"
    trust = ssl.create_default_context(cafile=cluster.gateway_ca)
    async with httpx.AsyncClient(verify=trust, trust_env=False) as http:
        answer = await http.request(method, url, headers={"Authorization": f"Bearer {cluster.token}"})
    answer.raise_for_status()
    return answer.json()
