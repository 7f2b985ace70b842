"""Pod statuses. Expected values were recorded from a real kubelet."""

import datetime

import pytest

from devcluster.node.statuses import (
    PodState,
    Running,
    Terminated,
    Waiting,
    after_restart,
    exit_state,
    final_phase,
    pod_status,
    start_error,
)

T0 = datetime.datetime(2026, 11, 21, 6, 44, 34, tzinfo=datetime.UTC)
T1 = T0 + datetime.timedelta(seconds=3)


def status(pod, phase, state, *, init=None, now=T1):
    whole = PodState(phase, {"runner": state}, T0, "127.0.0.1", init or {})
    return pod_status(pod, whole, now=now)


def conditions(pod_status):
    return {entry["type"]: (entry["status"], entry.get("reason")) for entry in pod_status["conditions"]}


def test_the_status_of_a_success_equals_the_recorded_one(a_pod):
    ended = exit_state(0, pid=7, started=T0, finished=T1, message='{"verdict":"Succeed"}')

    found = status(a_pod(), "Succeeded", ended)

    assert conditions(found) == {
        "PodReadyToStartContainers": ("False", None),
        "Initialized": ("True", "PodCompleted"),
        "Ready": ("False", "PodCompleted"),
        "ContainersReady": ("False", "PodCompleted"),
        "PodScheduled": ("True", None),
    }
    assert found["containerStatuses"][0]["state"] == {
        "terminated": {
            "exitCode": 0,
            "reason": "Completed",
            "startedAt": "2026-11-21T06:44:34Z",
            "finishedAt": "2026-11-21T06:44:37Z",
            "message": '{"verdict":"Succeed"}',
            "containerID": "process://7",
        }
    }


@pytest.mark.parametrize(
    ("returncode", "code", "reason"),
    [
        pytest.param(3, 3, "Error", id="its own code"),
        pytest.param(-9, 137, "Error", id="SIGKILL"),
        pytest.param(-11, 139, "Error", id="segmentation fault"),
        pytest.param(0, 0, "Completed", id="success"),
    ],
)
def test_a_signal_becomes_128_and_its_number(returncode, code, reason):
    state = exit_state(returncode, pid=7, started=T0, finished=T1, message="")

    assert (state.exit_code, state.reason) == (code, reason)


def test_a_missing_command_is_a_start_error_that_began_in_1970(a_pod):
    found = status(a_pod(), "Failed", start_error("/no/such", "stat /no/such: no such file or directory", finished=T1))

    terminated = found["containerStatuses"][0]["state"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (128, "StartError")
    assert terminated["startedAt"] == "1970-01-01T00:00:00Z"
    assert terminated["message"].endswith('exec: "/no/such": stat /no/such: no such file or directory: unknown')
    assert "containerID" not in found["containerStatuses"][0]


def test_the_status_of_a_missing_secret_equals_the_recorded_one(a_pod):
    found = status(a_pod(), "Pending", Waiting("CreateContainerConfigError", 'secret "nope" not found'))

    assert conditions(found)["Ready"] == ("False", "ContainersNotReady")
    assert conditions(found)["PodReadyToStartContainers"] == ("True", None)
    assert found["containerStatuses"][0]["state"] == {
        "waiting": {"reason": "CreateContainerConfigError", "message": 'secret "nope" not found'}
    }


def test_a_failed_init_container_keeps_the_others_waiting(a_pod):
    pod = a_pod(initContainers=[{"name": "init", "image": "agent:1"}])

    found = status(pod, "Failed", Waiting("PodInitializing"), init={"init": Terminated(5, "Error", T1, T0)})

    assert conditions(found)["Initialized"] == ("False", "ContainersNotInitialized")
    assert found["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 5


def test_statuses_of_ended_containers_survive_a_restart_of_the_node(a_pod):
    pod = a_pod(initContainers=[{"name": "init", "image": "agent:1"}])
    ended = exit_state(0, pid=7, started=T0, finished=T1, message="done")
    told = status(pod, "Pending", Running(8, T1), init={"init": ended})

    found = after_restart(told["initContainerStatuses"] + told["containerStatuses"], now=T1)

    assert found["init"] == ended
    assert (found["runner"].exit_code, found["runner"].reason) == (137, "ContainerStatusUnknown")


def test_an_init_container_is_ready_when_it_has_succeeded(a_pod):
    pod = a_pod(initContainers=[{"name": "init", "image": "agent:1"}])
    waiting, done = Waiting("PodInitializing"), Terminated(0, "Completed", T1, T0)

    runs, ended = (status(pod, "Pending", waiting, init={"init": one}) for one in (Running(7, T0), done))

    assert [one["initContainerStatuses"][0]["ready"] for one in (runs, ended)] == [False, True]


def test_a_condition_keeps_its_time_until_it_changes(a_pod):
    pod = a_pod()
    pod["status"] = status(pod, "Running", Running(7, T0), now=T0)

    found = status(pod, "Succeeded", Terminated(0, "Completed", T1, T0, "", 7), now=T1)

    times = {entry["type"]: entry["lastTransitionTime"] for entry in found["conditions"]}
    assert (times["PodScheduled"], times["Ready"]) == ("2026-11-21T06:44:34Z", "2026-11-21T06:44:37Z")


def test_conditions_of_other_writers_are_kept(a_pod):
    pod = a_pod()
    pod["status"] = {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]}

    assert conditions(status(pod, "Running", Running(7, T0)))["DisruptionTarget"] == ("True", "EvictionByEvictionAPI")


def test_a_pod_succeeds_only_if_all_containers_succeeded():
    good, bad = Terminated(0, "Completed", T1), Terminated(1, "Error", T1)

    assert [final_phase([good, good]), final_phase([good, bad]), final_phase([good, Waiting("x")])] == [
        "Succeeded",
        "Failed",
        "Failed",
    ]
