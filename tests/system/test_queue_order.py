"""The order of a queue through the whole system: shares of tenants, a rate that passes by itself, a full backlog."""

import pytest

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]

QUICK = {"starts": [[{"text": "Done."}]]}
SLOW = {"starts": [[{"delay": "10m", "text": "Too late."}]]}


def a_queue(**spec):
    return {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentQueue", "metadata": {"name": "fast"}, "spec": spec}


async def test_a_free_slot_goes_to_the_tenant_without_slots_rather_than_to_the_oldest_job(system, job_of):
    await system.apply(a_queue(concurrency={"max": 2}, strategy="Fair"))
    for name in ("red-1", "red-2", "red-3"):
        await system.apply(*job_of(name, SLOW, queue="fast", partitionKey="red"))
    await system.phase("red-2", "Running")
    await system.phase("red-3", "Queued")
    await system.apply(*job_of("blue", SLOW, queue="fast", partitionKey="blue"))
    await system.phase("blue", "Queued")
    await system.edit("red-1", cancel=True)
    await system.phase("blue", "Running")

    assert (await system.status("red-3"))["phase"] == "Queued"
    for name in ("red-2", "red-3", "blue"):
        await system.edit(name, cancel=True)


async def test_a_job_that_waits_for_the_rate_starts_without_another_event(system, job_of, said):
    await system.apply(a_queue(rateLimit={"starts": 1, "period": "4s"}))
    # Both at the same time: on a busy machine the first may take longer than the period.
    await system.apply(*job_of("first", QUICK, queue="fast"), *job_of("second", QUICK, queue="fast"))
    waits = await system.until("second", lambda status: said(status, "Admitted"))
    status = await system.finished("second")

    assert said(waits, "Admitted", "reason") == "WaitingForRate"
    assert status["phase"] == "Succeeded"


async def test_all_jobs_of_a_burst_above_the_backlog_limit_end(system, job_of, said):
    await system.apply(a_queue(concurrency={"max": 1}, backlog={"max": 2, "onFull": "Reject"}))
    await system.apply(*job_of("runs", SLOW, queue="fast"))
    await system.phase("runs", "Running")
    burst = [one for number in range(6) for one in job_of(f"job-{number}", QUICK, queue="fast")]
    await system.apply(*burst)
    found = {}
    for number in range(6):
        name = f"job-{number}"
        found[name] = await system.until(name, lambda status: said(status, "Admitted") or said(status, "Failed"))
    full = [name for name, status in found.items() if said(status, "Failed", "reason") == "QueueFull"]
    await system.edit("runs", cancel=True)
    for name in found.keys() - set(full):
        assert (await system.finished(name))["phase"] == "Succeeded"

    assert len(full) == 4
