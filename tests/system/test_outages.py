"""Longer faults, on a cluster of three operators whose clocks can be turned and whose PostgreSQL has a small disk."""

import asyncio
import os
import secrets
import shutil
import signal
import sys
import tempfile
import urllib.request
from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio
from tests.storm.sabotage import Disk, Saboteur

from agentjobs.contract import TerminationMessage, Verdict, start_of
from agentjobs.dev.up import up
from devcluster.client import PODS
from devcluster.envtest import EnvTest
from devcluster.node import Instant

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("outages"),
    pytest.mark.alone("a cluster of others is not broken for a test; tests/e2e kills what runs in one"),
]

LEASE = {"AGENTJOBS_LEASE_DURATION": "4s", "AGENTJOBS_LEASE_DEADLINE": "3s", "AGENTJOBS_LEASE_RETRY": "500ms"}


def in_two_seconds(pod, seen):
    """End pods of jobs named `short-…` without a process, `short-retry-…` by failing first; all others are real.

    Those of `short-held-…` end only after the test has seen them run: a loaded machine may not look for two seconds.
    """
    meta = pod["metadata"]
    job = meta["labels"]["agentjobs.dev/job"]
    if not job.startswith("short-"):
        return None
    start, uid = start_of(meta["name"], job), meta["ownerReferences"][0]["uid"]
    if job.startswith("short-retry-") and start == 1:
        return Instant(TerminationMessage(Verdict.RETRY, "ToolError", "", start, uid).dump(), 70, 0.1)
    released = seen[job] if job.startswith("short-held-") else None
    return Instant(TerminationMessage(Verdict.SUCCEED, "", "", start, uid).dump(), 0, 2.0, released)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outage(backend, forks, checkout, systems):
    """A cluster, and the saboteur of it."""
    # Not pytest's own folder, which no other user may enter: PostgreSQL runs as another user when we are root.
    folder = Path(tempfile.mkdtemp(prefix="agentjobs-test-"))
    folder.chmod(0o711)
    clocks, disk = folder / "clocks", Disk(folder / "postgres")
    seen = defaultdict(asyncio.Event)
    clocks.mkdir()
    disk.mount()
    command = [sys.executable, "-P", str(checkout / "tests" / "storm" / "turned_operator.py")]
    settings = LEASE | {"STORM_CLOCKS": str(clocks)}
    try:
        async with up(
            folder,
            apiserver=backend,
            forks=forks,
            operators=3,
            operator_command=command,
            settings=settings,
            working_folder=checkout,
            instant=lambda pod: in_two_seconds(pod, seen),
        ) as cluster:
            system = systems(cluster)
            system.disk, system.clocks, system.seen = disk, clocks, seen
            system.saboteur = Saboteur(cluster, clocks=clocks, disk=disk)
            yield system
    finally:
        disk.unmount()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def short(job_of):
    """A job whose pod ends after two seconds without a process."""
    return lambda name, **spec: job_of(
        f"short-{name}", None, agent={"model": "gemini-x", "inline": {"instruction": "x"}}, **spec
    )


def port_of(part):
    return part.env["AGENTJOBS_PROBE_ADDRESS"].rpartition(":")[2]


async def leader(system):
    """Name of the operator that leads."""
    for _ in range(400):
        for name, part in system.cluster.parts.items():
            with suppress(OSError):
                if name.startswith("operator") and await asyncio.to_thread(_leads, port_of(part)):
                    return name
        await asyncio.sleep(0.05)
    raise AssertionError("nobody leads")


def _leads(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=1) as answer:
        return b"\nagentjobs_leader 1.0" in answer.read()


@asynccontextmanager
async def turned(system, seconds):
    """The clock of every operator is wrong by so much."""
    files = [
        system.clocks / port_of(part) for name, part in system.cluster.parts.items() if name.startswith("operator")
    ]
    for file in files:
        file.write_text(str(seconds))
    yield
    for file in files:
        file.unlink()


async def running(system, name):
    """Until a pod of the job runs, which may end from now on."""
    await system.running(name)
    system.seen[name].set()


def released(pod):
    """The operator has written all it has to about a pod that ended."""
    return pod is None or not pod["metadata"].get("finalizers")


async def versions(system):
    """What the API server has of jobs and pods, by name and version."""
    jobs = await system.client.request("GET", "/apis/agentjobs.dev/v1alpha1/namespaces/default/agentjobs")
    pods, _ = await system.client.list(PODS, system.namespace)
    return {(one["metadata"]["name"], one["metadata"]["resourceVersion"]) for one in (*jobs["items"], *pods)}


async def test_a_leader_paused_past_its_lease_writes_nothing_when_it_resumes(outage, short):
    name = await leader(outage)
    part = outage.cluster.parts[name]
    await outage.apply(*short("held-stopped"))
    await running(outage, "short-held-stopped")
    part.send(signal.SIGSTOP)
    status = await outage.finished("short-held-stopped")
    await outage.until("short-held-stopped-1", released, status_of=outage.pod)
    for _ in range(100):
        before = await versions(outage)
        await asyncio.sleep(0.2)
        if before == await versions(outage):
            break
    part.send(signal.SIGCONT)
    code = await asyncio.wait_for(part.child.wait(), 60)

    assert (status["phase"], status["starts"]) == ("Succeeded", 1)
    assert code == 1
    assert await versions(outage) == before
    assert await leader(outage) != name
    part.start()


async def test_another_operator_takes_over_when_any_of_three_is_killed(outage, short):
    killed = set()
    for number in range(2):
        name = await leader(outage)
        killed.add(name)
        await outage.apply(*short(f"held-killed-{number}"))
        await running(outage, f"short-held-killed-{number}")
        await outage.crash(name)
    statuses = [await outage.finished(f"short-held-killed-{number}") for number in range(2)]
    pods, _ = await outage.client.list(PODS, outage.namespace)
    for name in killed:
        outage.start(name)

    assert [(status["phase"], status["starts"]) for status in statuses] == [("Succeeded", 1)] * 2
    assert sum(pod["metadata"]["name"].startswith("short-held-killed-") for pod in pods) == 2


async def test_a_full_disk_of_postgres_delays_starts_but_not_endings_and_recovers(outage, short, said):
    if not outage.disk.mounted:
        pytest.skip("no file system may be mounted here, so PostgreSQL's disk cannot be filled")
    # Random, so that it is not compressed: PostgreSQL needs new pages for it immediately.
    large = {"message": secrets.token_hex(30_000)}
    await outage.apply(*short("held-before"))
    await running(outage, "short-held-before")
    outage.disk.fill()
    await outage.apply(*short("during", input=large))
    waits = await outage.until(
        "short-during", lambda status: said(status, "Accepted", "reason") == "HistoryUnavailable"
    )
    ended = await outage.finished("short-held-before")
    outage.disk.free()
    watching = asyncio.create_task(outage.saboteur.keep_alive())  # a full disk may end PostgreSQL for good
    status = await outage.finished("short-during")
    told = await outage.told(lambda row: row["name"] in ("short-held-before", "short-during"))
    watching.cancel()

    assert (waits["phase"], waits["starts"]) == ("Pending", 0)
    assert (ended["phase"], status["phase"]) == ("Succeeded", "Succeeded")
    assert told == ["Succeeded"] * 2


async def test_a_result_is_stored_once_if_the_gateway_is_killed_meanwhile(outage, job_of):
    await outage.apply(*job_of("half-stored", {"starts": [[{"delay": "1500ms", "text": "Done."}]]}))
    await outage.running("half-stored")
    log = outage.cluster.parts["gateway"].log
    for _ in range(400):
        if "attempt.claimed namespace=default job=half-stored" in log.read_text():
            break
        await asyncio.sleep(0.05)
    stopped = outage.saboteur.postgres_processes()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)  # the result is on its way when the gateway dies
    await asyncio.sleep(2)
    await outage.crash("gateway")
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    outage.start("gateway")
    status = await outage.finished("half-stored")
    result = (await outage.history("half-stored/result"))["result"]

    assert (status["phase"], status["starts"], result["text"]) == ("Succeeded", 1, "Done.")


@pytest.mark.parametrize("seconds", [pytest.param(3600, id="forward"), pytest.param(-3600, id="back")])
async def test_a_clock_jump_of_the_operator_causes_no_wrong_end_or_start(outage, short, said, seconds):
    way = "forward" if seconds > 0 else "back"
    name, later = f"short-held-{way}", f"short-later-{way}"
    await outage.apply(*short(f"held-{way}"), *short(f"later-{way}", startAfter="24h"))
    await running(outage, name)
    async with turned(outage, seconds):
        status = await outage.finished(name)
        waiting = await outage.phase(later, "Scheduled")
    assert status["starts"] == 1, status["attemptHistory"]
    (record,) = status["attemptHistory"]

    assert (status["phase"], status["starts"], record["charged"]) == ("Succeeded", 1, False)
    assert record["ended"] >= record["started"]
    assert waiting["starts"] == 0


async def test_a_retry_does_not_wait_longer_because_of_a_temporary_clock_error(outage, short):
    await outage.apply(*short("retry-1", retry={"backoff": {"initial": "5s", "jitterPercent": 0}}))
    await outage.phase("short-retry-1", "Retrying")
    async with turned(outage, -3600):
        await asyncio.sleep(6)  # it was due meanwhile, and seemed to be an hour ahead
    status = await outage.finished("short-retry-1", 60)

    assert (status["phase"], status["starts"]) == ("Succeeded", 2)


async def test_a_crash_of_the_api_server_ends_no_job(outage, short):
    server = outage.cluster.server
    if not isinstance(server, EnvTest):
        pytest.skip("the embedded API server keeps its objects in memory: after a restart there would be no jobs")
    await outage.apply(*short("held-away"))
    await running(outage, "short-held-away")
    await server.end_server(signal.SIGKILL)
    await asyncio.sleep(3)
    await server.start_server()
    keeping = asyncio.create_task(outage.saboteur.keep_alive())
    status = await outage.finished("short-held-away")
    keeping.cancel()

    assert (status["phase"], status["starts"]) == ("Succeeded", 1)


async def test_expired_watch_history_of_the_api_server_leads_to_a_new_list(outage, short):
    """410 for every watch. A real server is unavailable meanwhile; leaders that lose their Lease are restarted."""
    keeping = asyncio.create_task(outage.saboteur.keep_alive())
    await outage.apply(*short("held-past"))
    await running(outage, "short-held-past")
    if isinstance(outage.cluster.server, EnvTest):
        await outage.cluster.server.compact()
    else:
        outage.cluster.server.compact()
        outage.cluster.server.close_watches()
    status = await outage.finished("short-held-past")
    keeping.cancel()

    assert (status["phase"], status["starts"]) == ("Succeeded", 1)
