"""Injected faults."""

import asyncio

import pytest


@pytest.mark.parametrize("code", [409, 429, 500, 503, 504])
async def test_every_nth_write_fails_and_does_nothing(api, server, toys, toy, code):
    server.faults.fail_every, server.faults.fail_code = 3, code

    codes = [(await api("POST", toys, toy(f"n{number}"))).code for number in range(6)]

    assert codes == [201, 201, code, 201, 201, code]
    assert len((await api("GET", toys)).body["items"]) == 4


async def test_an_overloaded_response_has_retry_after(api, server, toys, toy):
    server.faults.fail_every, server.faults.fail_code = 1, 429

    assert (await api("POST", toys, toy())).headers["Retry-After"] == "1"


async def test_a_write_whose_answer_is_lost_is_stored(api, server, toys, toy):
    server.faults.lose_every = 1

    lost = await api("POST", toys, toy())

    assert lost.code == 504
    assert (await api("GET", f"{toys}/a")).code == 200


async def test_faults_apply_only_to_selected_writes(api, server, toys, toy):
    server.faults.fail_every = 1
    server.faults.only = lambda verb, resource: (verb, resource) == ("patch", "toys.example.dev/status")

    made = await api("POST", toys, toy())
    status = await api.merge(f"{toys}/a/status", {"status": {"phase": "Up"}})

    assert (made.code, status.code) == (201, 500)


async def test_a_watch_ends_after_the_configured_number_of_events(api, server, toys, toy):
    for name in "abc":
        await api("POST", toys, toy(name))
    revision = (await api("GET", toys)).body["metadata"]["resourceVersion"]
    server.faults.close_watches_after = 2
    for name in "abc":
        await api.merge(f"{toys}/{name}", {"spec": {"size": 2}})

    assert len(await api.events(toys, f"resourceVersion={revision}")) == 2


async def test_watches_are_closed_on_demand(api, server, toys, toy):
    watch = asyncio.ensure_future(api.events(toys, ""))
    await api("POST", toys, toy())
    await api("GET", toys)

    server.close_watches()

    assert [event["type"] for event in await watch] == ["ADDED"]


async def test_a_crd_is_served_after_the_configured_delay(api, server, crd, toy):
    server.faults.established_delay = 0.05
    made = await api("POST", api.crds, crd)
    early = await api("GET", api.toys)

    for _ in range(100):
        if (await api("GET", api.toys)).code == 200:
            break
        await asyncio.sleep(0.01)

    conditions = (await api("GET", f"{api.crds}/toys.example.dev")).body["status"]["conditions"]
    assert (made.body["status"]["conditions"], early.code) == ([], 404)
    assert {each["type"]: each["status"] for each in conditions} == {"NamesAccepted": "True", "Established": "True"}


async def test_latency_delays_and_changes_nothing(api, server, toys):
    server.faults.latency = 0.01

    assert (await api("GET", toys)).code == 200


async def test_a_delayed_list_is_outdated(api, server, toys, toy):
    server.faults.list_latency = 0.1
    late = asyncio.ensure_future(api("GET", toys))
    await asyncio.sleep(0.05)
    made = await api("POST", toys, toy())

    assert (made.code, (await late).body["items"]) == (201, [])


async def test_delayed_events_all_arrive_in_order(api, server, toys, toy):
    revision = (await api("GET", toys)).body["metadata"]["resourceVersion"]
    server.faults.watch_latency, server.faults.close_watches_after = 0.02, 3
    for name in "abc":
        await api("POST", toys, toy(name))

    events = await api.events(toys, f"resourceVersion={revision}")
    assert [event["object"]["metadata"]["name"] for event in events] == ["a", "b", "c"]
