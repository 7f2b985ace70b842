"""How pods really end: statuses recorded on a Kubernetes 1.36 kubelet with containerd, one file a case."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agentjobs.contract import LABEL_JOB, LABEL_RELEASED
from agentjobs.core.pods.diagnose import diagnose, never_began
from agentjobs.core.pods.pod import parse_pod

RECORDED = Path(__file__).parent / "pod_ends"
ENDINGS = {
    "succeeded": ("RunnerCrashed", "Retry", False),
    "exit-3": ("RunnerCrashed", "Retry", False),
    "sigkill": ("RunnerCrashed", "Retry", False),
    "segfault": ("RunnerCrashed", "Retry", False),
    "oom": ("OOMKilled", "Retry", False),
    "deadline": ("AttemptTimeout", "Retry", False),
    "deadline-graceful": ("AttemptTimeout", "Retry", False),
    "deleted": ("RunnerLost", "Snooze", True),
    "deleted-deaf": ("RunnerLost", "Snooze", True),
    "evicted-api": ("Evicted", "Snooze", True),
    "preempted": ("Preempted", "Snooze", True),
    "evicted-disk": ("Evicted", "Snooze", True),
    "evicted-node": ("Evicted", "Snooze", True),
    "node-lost-back": ("NodeLost", "Snooze", True),
    "command-missing": ("ConfigInvalid", "Fail", False),
    "init-failed": ("RunnerLost", "Snooze", True),
    "stages-published": ("", "Succeed", False),
    "stages-clone-fails": ("RepositoryInvalid", "Fail", False),
    "stages-clone-fails-plain": ("RepositoryUnavailable", "Retry", False),
    "stages-clone-crashes": ("RunnerCrashed", "Retry", False),
    "stages-clone-oom": ("OOMKilled", "Retry", False),
    "stages-clone-deadline": ("AttemptTimeout", "Retry", False),
    "stages-clone-deleted": ("RunnerLost", "Snooze", True),
    "stages-clone-evicted": ("Evicted", "Snooze", True),
    "stages-runner-fails": ("ToolError", "Retry", False),
    "stages-runner-oom": ("OOMKilled", "Retry", False),
    "stages-runner-deadline": ("AttemptTimeout", "Retry", False),
    "stages-runner-deleted": ("RunnerLost", "Snooze", True),
    "stages-runner-deleted-zero": ("RunnerLost", "Snooze", True),
    "stages-runner-evicted": ("Evicted", "Snooze", True),
    "stages-runner-silent": ("RunnerCrashed", "Retry", False),
    "stages-publish-fails": ("PublishFailed", "Retry", False),
    "stages-publish-crashes": ("PublishFailed", "Retry", False),
    "stages-publish-oom": ("OOMKilled", "Retry", False),
    "stages-publish-deadline": ("AttemptTimeout", "Retry", False),
    "stages-publish-deleted": ("RunnerLost", "Snooze", True),
    "stages-publish-evicted": ("Evicted", "Snooze", True),
    "stages-workspace-full": ("Evicted", "Retry", False),
    "stages-waiting-deleted": ("RunnerLost", "Snooze", True),
}
RUNNING = {"stages-clone-runs": "workspace", "stages-runner-runs": "runner", "stages-publish-runs": "publish"}
WAITS = {
    "image-missing": "ImagePullFailed",
    "image-invalid": "ImagePullFailed",
    "secret-missing": "MissingReference",
    "volume-missing": "MissingReference",
    "unschedulable": "Unschedulable",
    "stages-clone-image": "ImagePullFailed",
    "stages-runner-image": "ImagePullFailed",
    "stages-publish-image": "ImagePullFailed",
    "stages-secret-missing": "MissingReference",
}


def recorded(name):
    obj = json.loads((RECORDED / f"{name}.json").read_text())
    obj["metadata"] |= {"namespace": "default", "uid": "pod", "name": "hello-1", "labels": {LABEL_JOB: "hello"}}
    obj["metadata"]["ownerReferences"] = [
        {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob", "uid": "uid", "controller": True, "name": "hello"}
    ]
    return parse_pod(obj)


def test_every_recorded_case_is_diagnosed():
    assert {path.stem for path in RECORDED.glob("*.json")} == {*ENDINGS, *WAITS, *RUNNING, "node-lost"}


@pytest.mark.parametrize("name", list(ENDINGS))
def test_an_ended_pod_is_diagnosed_by_its_kubelets_status(name):
    pod = recorded(name)
    ending = diagnose(pod)

    assert pod.ended
    assert (ending.reason, ending.verdict, ending.infra) == ENDINGS[name]


@pytest.mark.parametrize(
    ("name", "cleared"), [("succeeded", True), ("evicted-node", True), ("stages-runner-runs", False)]
)
def test_only_an_ended_pod_loses_its_managed_fields_and_its_watch_with_our_finalizer(name, cleared):
    metadata = recorded(name).finalizer_removal["metadata"]

    assert (metadata.get("managedFields") == [{}], LABEL_RELEASED in metadata.get("labels", {})) == (cleared, cleared)


def test_a_container_that_its_kubelet_cannot_find_is_lost_and_not_crashed():
    ended = {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": "2026-11-29T16:00:00Z"}
    status = {"phase": "Failed", "containerStatuses": [{"name": "runner", "state": {"terminated": ended}}]}

    ending = diagnose(parse_pod({"metadata": {"name": "hello-1"}, "status": status}))

    assert (ending.reason, ending.verdict, ending.infra) == ("RunnerLost", "Snooze", True)


@pytest.mark.parametrize("name", list(WAITS))
def test_a_pod_that_cannot_start_has_the_message_of_the_cluster(name):
    pod = recorded(name)
    ending = never_began(pod.waiting)

    assert not pod.ended
    assert pod.stage.started is None
    assert ending.reason == WAITS[name]
    assert pod.waiting is not None
    assert pod.waiting.reason in ending.message


@pytest.mark.parametrize("name", list(RUNNING))
def test_a_pod_is_running_while_one_of_its_containers_is(name):
    pod = recorded(name)

    assert (pod.stage.name, pod.container_runs, pod.ended, pod.waiting) == (RUNNING[name], True, False, None)


def test_the_publishing_container_reports_what_it_published():
    assert diagnose(recorded("stages-published")).published == {"branch": "agents/x", "commit": "0a1b"}


def test_the_message_about_a_full_workspace_names_the_field_to_raise():
    assert "workspace.size" in diagnose(recorded("stages-workspace-full")).message


def test_a_pod_whose_own_tmp_is_full_is_charged_too():
    pod = recorded("stages-workspace-full")

    ended = diagnose(replace(pod, message=pod.message.replace('"workspace"', '"publish-tmp"')))

    assert (ended.reason, ended.infra, "publish-tmp" in ended.message) == ("Evicted", False, True)


def test_a_pod_on_a_lost_node_is_reported_as_running():
    pod = recorded("node-lost")

    assert not pod.ended
    assert (pod.disruption, pod.container_runs) == ("DeletionByTaintManager", True)
    assert pod.deletion is not None


def test_a_container_that_never_started_is_not_charged():
    assert not diagnose(recorded("command-missing")).began


def test_messages_of_the_kubelet_are_in_the_diagnosis():
    assert "/no/such" in diagnose(recorded("command-missing")).message
    assert "EmptyDir" in diagnose(recorded("evicted-disk")).message
    assert "The node was low on resource: memory" in diagnose(recorded("evicted-node")).message


@pytest.mark.parametrize("reason", ["", "two words", "\x1b[31mred", "Ünicode", "7up", "x" * 64])
def test_a_termination_message_with_an_invalid_class_is_ignored(scene, reason):
    body = {"agentjobs": 1, "verdict": "Retry", "reason": reason, "start": 1, "uid": "", "message": "m", "summary": ""}
    (pod,) = scene().ended(message=json.dumps(body), code=70).observation.pods

    assert diagnose(pod).reason == "RunnerCrashed"


def test_a_success_needs_no_class(scene):
    body = {"agentjobs": 1, "verdict": "Succeed", "reason": "", "start": 1, "uid": "", "message": "m", "summary": ""}
    (pod,) = scene().ended(message=json.dumps(body)).observation.pods

    assert diagnose(pod).verdict == "Succeed"
