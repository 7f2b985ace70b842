"""AgentQueues through the whole system: they are judged by the API server, change in progress, drain, and go."""

import copy
import json

import psycopg
import pytest

from devcluster.client import NAMESPACES, PODS, ApiError, Resource

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]

AGENTQUEUES = Resource("agentjobs.dev", "v1alpha1", "agentqueues", "AgentQueue")
QUICK = {"starts": [[{"text": "Done."}]]}
SLOW_FIRST = {"starts": [[{"delay": "10m", "text": "Too late."}], [{"text": "Done."}]]}


def a_queue(name="fast", **spec):
    return {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentQueue", "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"rateLimit": {"starts": 0, "period": "1m"}}, "starts"),
        ({"rateLimit": {"starts": 1}}, "period"),
        ({"concurrency": {"max": -1}}, "max"),
        ({"concurrency": {"perPartition": 0}}, "perPartition"),
        ({"budgets": [{"name": "day", "period": "Daily"}]}, "maxCostUSD"),
        ({"budgets": [{"name": "day", "period": "Hourly", "maxTokens": 1}]}, "period"),
        ({"modelLimits": [{"models": ["m"]}]}, "requestsPerMinute"),
        ({"modelLimits": [{"models": [], "requestsPerMinute": 1}]}, "at least one model"),
        ({"stopPolicy": "Stop"}, "stopPolicy"),
    ],
    ids=[
        "rate-0",
        "no-period",
        "below-0",
        "partition-0",
        "no-limit",
        "hourly",
        "no-model-limit",
        "no-model",
        "no-policy",
    ],
)
async def test_the_api_server_refuses_an_invalid_queue(system, spec, field):
    refused = await system.refusal(a_queue(**spec))

    assert isinstance(refused, ApiError)
    assert refused.code == 422
    assert field in str(refused)


async def test_errors_that_only_the_operator_detects_are_in_a_condition(system, said):
    budget = {"name": "day", "period": "Daily", "maxTokens": 1, "timeZone": "Mars/Olympus"}
    await system.apply(a_queue(rateLimit={"starts": 1, "period": "10d"}, budgets=[budget]))
    status = await system.until("fast", lambda found: said(found, "Open"), status_of=system.queue)

    assert (said(status, "Open"), said(status, "Open", "reason")) == ("False", "InvalidSpec")
    assert "spec.rateLimit.period" in said(status, "Open", "message")
    assert "spec.budgets[0].timeZone" in said(status, "Open", "message")


async def test_a_job_waits_for_its_queue_and_ends_after_the_queue_is_created(system, job_of, said):
    await system.apply(*job_of("early", QUICK, queue="fast"))
    waits = await system.until("early", lambda status: said(status, "Accepted", "reason") == "QueueNotFound")
    await system.apply(a_queue())
    status = await system.finished("early")

    assert waits["phase"] == "Pending"
    assert status["phase"] == "Succeeded"


async def test_a_job_whose_queue_is_not_created_in_time_fails(system, job_of, said):
    await system.apply(*job_of("forlorn", QUICK, queue="nowhere", timeouts={"queue": "1s"}))
    status = await system.finished("forlorn")

    assert (status["phase"], said(status, "Failed", "reason")) == ("Failed", "QueueTimeout")


async def test_a_paused_queue_starts_nothing_until_it_is_resumed(system, job_of, said):
    await system.apply(a_queue(stopPolicy="Hold"), *job_of("patient", QUICK, queue="fast"))
    await system.until("patient", lambda status: said(status, "Admitted", "reason") == "QueueHeld")
    await system.edit_queue("fast", stopPolicy="None")

    assert (await system.finished("patient"))["phase"] == "Succeeded"


async def test_a_drained_job_continues_by_itself_in_the_same_attempt(system, job_of, said):
    await system.apply(a_queue(), *job_of("drained", SLOW_FIRST, queue="fast"))
    await system.running("drained")
    await system.edit_queue("fast", stopPolicy="HoldAndDrain")
    held = await system.phase("drained", "Suspended")
    told = await system.until("fast", lambda found: found.get("suspended") == 1, status_of=system.queue)
    await system.edit_queue("fast", stopPolicy="None")
    status = await system.finished("drained")

    assert said(held, "Suspended", "reason") == "QueueDrained"
    assert said(told, "Open", "reason") == "Drained"
    assert (status["phase"], status["attempts"], status["starts"]) == ("Succeeded", 1, 2)


async def test_limits_can_change_while_jobs_run_and_end_when_the_queue_is_deleted(system, job_of, said):
    slow = {"starts": [[{"delay": "10m", "text": "Too late."}]]}
    await system.apply(a_queue(concurrency={"max": 1}))
    for name in ("a", "b", "c"):
        await system.apply(*job_of(name, slow, queue="fast"))
    await system.phase("a", "Running")
    await system.phase("b", "Queued")
    await system.edit_queue("fast", concurrency={"max": 2})
    await system.phase("b", "Running")
    await system.delete(AGENTQUEUES, "fast")
    await system.until("c", lambda status: said(status, "Admitted", "reason") == "QueueNotFound")

    assert (await system.status("b"))["phase"] == "Running"
    for name in ("a", "b", "c"):
        await system.edit(name, cancel=True)


async def test_the_status_of_a_queue_counts_its_jobs(system, job_of):
    await system.apply(a_queue(concurrency={"max": 1}))
    await system.apply(*job_of("runs", {"starts": [[{"delay": "10m", "text": "Too late."}]]}, queue="fast"))
    await system.phase("runs", "Running")
    await system.apply(*job_of("waits", QUICK, queue="fast"), *job_of("later", QUICK, queue="fast", startAfter="1h"))

    def counted(found):
        return [found.get(name) for name in ("running", "waiting", "scheduled")] == [1, 1, 1]

    status = await system.until("fast", counted, status_of=system.queue)
    assert status["oldestWaitingTime"] == (await system.status("waits"))["queue"]["since"]


async def test_a_job_waits_for_its_gated_pod(system, job_of, said):
    """Kueue puts its gate on when the pod is made; here the pod is there before, and the operator adopts it."""
    await system.apply(a_queue(kueue={"localQueue": "team-a"}), *job_of("model", QUICK, queue="fast"))
    await system.finished("model")
    made = await system.pod("model-1")
    await system.apply(*job_of("gated", QUICK, queue="fast", suspend=True))
    uid = (await system.phase("gated", "Suspended")) and (await system.job("gated"))["metadata"]["uid"]
    await system.apply(gated(made, uid))
    await system.edit("gated", suspend=False)
    waits = await system.until("gated", lambda status: said(status, "PodStarted") == "False")
    gates = {"spec": {"schedulingGates": None}}
    await system.client.patch(PODS, system.namespace, "gated-1", gates)
    status = await system.finished("gated")

    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert said(waits, "PodStarted", "reason") == "SchedulingGated"
    assert (status["phase"], status["starts"]) == ("Succeeded", 1)


def gated(pod, uid):
    """The pod of another job as one of the job `gated`, with a gate."""
    old = pod["metadata"]["ownerReferences"][0]["uid"]
    body = json.loads(json.dumps(copy.deepcopy(pod)).replace("model-1", "gated-1").replace(old, uid))
    text = json.dumps(body["spec"]).replace('"model"', '"gated"')
    meta = {name: body["metadata"][name] for name in ("name", "labels", "annotations", "ownerReferences")}
    meta["ownerReferences"][0]["name"] = "gated"
    meta["labels"] |= {"agentjobs.dev/job": "gated", "app.kubernetes.io/instance": "gated"}
    meta["labels"].pop("agentjobs.dev/released", None)
    spec = {name: value for name, value in json.loads(text).items() if name != "nodeName"}
    spec["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**meta, "finalizers": ["agentjobs.dev/record-end"]},
        "spec": spec,
    }


async def test_jobs_wait_for_a_used_up_budget_until_it_is_raised(system, job_of, said):
    day = {"name": "day", "period": "Daily", "maxCostUSD": "5", "timeZone": "Europe/Berlin"}
    await spend(system, "fast", "5")
    await system.apply(a_queue(budgets=[day]), *job_of("thrifty", QUICK, queue="fast"))
    await system.until("thrifty", lambda status: said(status, "Admitted", "reason") == "BudgetHeld")
    told = await system.until("fast", lambda found: found.get("spend"), status_of=system.queue)
    await system.edit_queue("fast", budgets=[{**day, "maxCostUSD": "6"}])
    status = await system.finished("thrifty")

    assert (told["spend"][0]["name"], told["spend"][0]["costUSD"]) == ("day", "5")
    assert said(told, "Open", "reason") == "BudgetExceeded"
    assert status["phase"] == "Succeeded"


async def test_a_budget_can_fail_jobs(system, job_of):
    day = {"name": "day", "period": "Daily", "maxTokens": 10, "onExceeded": "Fail"}
    await spend(system, "strict", "0", tokens=10)
    await system.apply(a_queue(name="strict", budgets=[day]), *job_of("late", QUICK, queue="strict"))
    status = await system.finished("late")

    assert (status["phase"], status["reason"]) == ("Failed", "BudgetExceeded")


async def test_limits_of_model_calls_reach_the_proxies_and_end_when_the_queue_is_deleted(system):
    count = "SELECT count(*) FROM agentjobs.queue_limits WHERE namespace = %s AND queue = 'fast'"

    async def published(_):
        return (await rows(system, count, system.namespace))[0][0]

    await system.apply(a_queue(modelLimits=[{"models": ["gemini-*"], "requestsPerMinute": 60}]))
    await system.until("limits", lambda found: found == 1, status_of=published)
    told = await system.until("fast", lambda found: found.get("limits"), status_of=system.queue)
    await system.delete(AGENTQUEUES, "fast")
    await system.until("limits", lambda found: found == 0, status_of=published)

    assert told["limits"] == [{"models": "gemini-*", "limit": "requestsPerMinute", "max": 60, "left": 60}]


async def rows(system, statement, *values):
    async with await psycopg.AsyncConnection.connect(system.cluster.dsn) as connection:
        found = await connection.execute(statement, values)
        return await found.fetchall() if found.description else []


async def spend(system, queue, dollars, tokens=0):
    """A model call of a job of the queue has cost that."""
    cluster = (await system.client.get(NAMESPACES, None, "kube-system"))["metadata"]["uid"]
    statement = (
        "INSERT INTO agentjobs.queue_spend (cluster, namespace, queue, partition_key, slice, tokens, cost) "
        "VALUES (%s, %s, %s, '', floor(extract(epoch FROM clock_timestamp()) / 900), %s, %s)"
    )
    await rows(system, statement, cluster, system.namespace, queue, tokens, dollars)
