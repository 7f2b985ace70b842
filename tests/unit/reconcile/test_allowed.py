"""A job that requests what the installation does not allow ends before it has a pod."""

from agentjobs.api.conditions import Phase


async def test_an_account_that_is_not_on_the_list_never_gets_a_pod(world):
    world.apply(runtime={"serviceAccountName": "admin"})

    await world.act()
    await world.act(seconds=1)

    assert world.pods() == []
    assert world.status().phase is Phase.FAILED
    assert any("'admin' is not allowed here" in condition.message for condition in world.status().conditions)
