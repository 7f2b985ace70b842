"""A queue's pods are gated by Kueue if it says so, and a gated pod can wait without a time limit."""

from agentjobs.api.conditions import Phase, find_condition


def gate(world, *gates):
    (pod,) = world.pods()
    pod["spec"]["schedulingGates"] = [{"name": name} for name in gates]
    world._pod_status(pod, phase="Pending")
    world.objects["Pod", "default", pod["metadata"]["name"]]["spec"]["nodeName"] = ""


def said(world):
    return find_condition(world.status().conditions, "PodStarted")


async def test_pods_have_the_label_that_kueue_requires(world):
    world.apply_queue(kueue={"localQueue": "team-a"})
    world.apply("through", queue="fast")
    world.apply("beside")
    await world.act()

    labels = {
        pod["metadata"]["name"]: pod["metadata"]["labels"].get("kueue.x-k8s.io/queue-name") for pod in world.pods()
    }
    assert labels == {"through-1": "team-a", "beside-1": None}


async def test_a_gated_pod_is_reported_and_does_not_time_out_until_after_its_gate_is_removed(world):
    world.apply()
    await world.act()
    gate(world, "kueue.x-k8s.io/admission")
    for _ in range(10):
        await world.act(hours=1)
    assert (world.status().phase, said(world).reason) == (Phase.RUNNING, "SchedulingGated")
    assert "kueue.x-k8s.io/admission" in said(world).message

    gate(world)
    await world.act(minutes=14)
    assert world.status().phase is Phase.RUNNING

    world.run_pod(world.pods()[0])
    await world.act(seconds=1)
    assert said(world).is_true


async def test_a_pod_that_does_not_start_after_its_gate_was_removed_times_out(world):
    world.apply()
    await world.act()
    gate(world, "kueue.x-k8s.io/admission")
    await world.act(hours=1)
    gate(world)
    await world.act(minutes=1)
    await world.act(minutes=15)

    assert world.status().phase is Phase.FAILED


async def test_a_gated_job_can_be_cancelled(world):
    world.apply()
    await world.act()
    gate(world, "kueue.x-k8s.io/admission")
    world.edit(cancel=True)
    await world.act(seconds=1)
    await world.act(seconds=1)

    assert world.status().phase is Phase.CANCELLED
