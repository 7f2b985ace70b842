"""Sinks that a job names."""

from agentjobs.api.conditions import Phase

CHAT = [{"sink": "chat", "events": ["Failed"]}]


async def test_a_job_waits_for_its_sink_and_continues_when_the_installation_has_it(world):
    world.apply(notifications=CHAT)
    await world.act()
    (said,) = [one for one in world.job()["status"]["conditions"] if one["type"] == "Accepted"]
    assert (world.status().phase, world.status().reason) == (Phase.PENDING, "SinkNotFound")
    assert "'chat'" in said["message"]

    world.sinks = ("audit", "chat")
    world.restart()
    await world.act(seconds=1)

    assert world.status().phase is Phase.RUNNING


async def test_an_accepted_job_continues_when_its_sink_is_removed(world):
    world.sinks = ("chat",)
    world.restart()
    world.apply(notifications=CHAT)
    await world.act()

    world.sinks = ()
    world.restart()
    await world.act(seconds=1)

    assert world.status().phase is Phase.RUNNING
