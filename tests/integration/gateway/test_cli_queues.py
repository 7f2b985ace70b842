"""`agentjobs queue` against the embedded API server."""

import json

import pytest

KIND = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentQueue"}
NOON = "2026-01-01T12:00:00Z"


def path_of(cluster, plural):
    return f"/apis/agentjobs.dev/v1alpha1/namespaces/{cluster.namespace}/{plural}"


async def set_status(cluster, place, status):
    path, headers = f"{path_of(cluster, place)}/status", {"content-type": "application/merge-patch+json"}
    (await cluster.http.patch(path, json={"status": status}, headers=headers)).raise_for_status()


async def spec_of(cluster, name):
    return (await cluster.http.get(f"{path_of(cluster, 'agentqueues')}/{name}")).json().get("spec")


@pytest.fixture(autouse=True)
async def no_queue_stays(cluster):
    """The next test may get the same namespace."""
    yield
    await cluster.http.delete(path_of(cluster, "agentqueues"))


@pytest.fixture
async def fast(cluster):
    """A queue with an object."""
    spec = {"concurrency": {"max": 3}, "rateLimit": {"starts": 60, "period": "1m"}}
    return await cluster.create(path_of(cluster, "agentqueues"), KIND | {"metadata": {"name": "fast"}, "spec": spec})


def rows(told):
    return [line.split() for line in told.splitlines()]


async def test_list_has_queues_with_an_object_and_those_of_the_installation(cli, fast):
    header, *found = rows((await cli("queue", "list"))[1])
    as_json = json.loads((await cli("queue", "list", "-o", "json"))[1])
    names = (await cli("queue", "list", "-o", "name"))[1].split()

    assert header == ["NAME", "RUNNING", "MAX", "WAITING", "OLDEST", "STOP", "AGE"]
    assert [row[0] for row in found] == ["agents", "fast", "scheduled"]
    assert found[0][2] == "installation's"
    assert [one["metadata"]["name"] for one in as_json] == ["agents", "fast", "scheduled"]
    assert names[1] == "agentqueue.agentjobs.dev/fast"


async def test_commands_change_the_object(cli, cluster, fast):
    for words, field in (
        (["pause", "fast"], ("stopPolicy", "Hold")),
        (["drain", "agentqueue.agentjobs.dev/fast"], ("stopPolicy", "HoldAndDrain")),
        (["resume", "fast"], ("stopPolicy", "None")),
        (["scale", "fast", "7"], ("concurrency", {"max": 7})),
    ):
        code, told, _ = await cli("queue", *words)
        assert (code, told.split()[0]) == (0, "agentqueue.agentjobs.dev/fast")
        assert (await spec_of(cluster, "fast"))[field[0]] == field[1]


async def test_pausing_a_queue_of_the_installation_creates_its_object_and_says_so(cli, cluster):
    code, told, said = await cli("queue", "pause", "agents")

    assert (code, told.strip()) == (0, "agentqueue.agentjobs.dev/agents paused")
    assert "AgentQueue agents was created" in said
    spec = await spec_of(cluster, "agents")
    assert (spec["stopPolicy"], spec["concurrency"]) == ("Hold", {})


async def test_a_mistyped_name_creates_no_queue(cli, cluster, fast):
    code, _, said = await cli("queue", "pause", "fats")

    assert (code, "AgentQueue 'fats' does not exist" in said) == (1, True)
    assert await spec_of(cluster, "fats") is None


async def test_show_describes_both_kinds_of_queues(cli, fast):
    with_object, without = await cli("queue", "show", "fast"), await cli("queue", "show", "agents")
    as_yaml = await cli("queue", "show", "fast", "-o", "yaml")

    assert "Queue:" in with_object[1]
    assert "no AgentQueue" in without[1]
    assert "starts: 60" in as_yaml[1]
    assert (await cli("queue", "show", "nope"))[0] == 1


async def test_an_invalid_limit_is_refused(cli, fast):
    assert (await cli("queue", "scale", "fast", "-1"))[0] == 2


async def test_show_prints_the_use_of_each_limit(cli, cluster):
    spec = {"concurrency": {"max": 3, "perPartition": 2}, "rateLimit": {"starts": 5, "period": "1m"}}
    spec |= {"backlog": {"max": 9}, "budgets": [{"name": "day", "period": "Daily", "maxCostUSD": "20"}]}
    await cluster.create(path_of(cluster, "agentqueues"), KIND | {"metadata": {"name": "all"}, "spec": spec})
    spend = [{"name": "day", "costUSD": "1.5", "tokens": 7, "resets": "2026-01-02T00:00:00Z"}]
    status = {"max": 3, "oldestWaitingTime": NOON, "spend": spend}
    await set_status(cluster, "agentqueues/all", status)

    page = (await cli("queue", "show", "all"))[1]

    assert "at most 3 at a time, 2 per partition, 5 starts per 1m, 9 waiting" in page
    assert "waiting since 2026-01-01 12:00:00 UTC" in page
    assert "$1.5 of $20" in page
    assert "2026-01-02 00:00:00 UTC" in page


async def test_a_job_that_its_queue_holds_is_not_resumed_but_reported(cli, cluster):
    work = {"agent": {"model": "m", "inline": {"instruction": "x"}}, "input": {"message": "x"}}
    kind = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob"}
    for reason, cure in (("QueueDrained", "agentjobs queue resume fast"), ("QueueBudgetExceeded", "budget is raised")):
        name = reason.lower()
        await cluster.create(path_of(cluster, "agentjobs"), kind | {"metadata": {"name": name}, "spec": work})
        said = {"type": "Suspended", "status": "True", "reason": reason, "message": "", "lastTransitionTime": NOON}
        status = {"phase": "Suspended", "conditions": [said], "queue": {"name": "fast"}}
        await set_status(cluster, f"agentjobs/{name}", status)

        code, _, err = await cli("resume", name)
        assert (code, cure in err) == (1, True)
