"""Real causes, distinguished by the status and by `kubectl describe`, as in recorded endings of pods.

Eviction because a node runs low is not provoked here, only recorded once
(tests/unit/core/pods/pod_ends/evicted-node.json): its threshold is the kubelet's own, so it needs another kubelet, and
other pods of the node go as well.
"""

import json

import pytest

DONE = {"starts": [[{"text": "Done."}]]}
# No start of these ends by itself, however late a busy machine comes to look at it.
SLOW = {"starts": [[{"delay": "10m", "text": "Too late."}], [{"text": "Done."}]]}
WRITE = "import pathlib; pathlib.Path('/scratch/big').write_bytes(bytes(50_000_000))"
EPHEMERAL = {
    "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}],
    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
}


def one_attempt(**runtime):
    return {"retry": {"maxAttempts": 1}, "runtime": runtime}


@pytest.fixture(scope="module", autouse=True)
def everything(kubectl, shared_namespace, shared_jobs, apply_to, a_job):
    """Many causes take their time at the same time; each test then looks at one."""
    limits = {"limits": {"memory": "48Mi"}, "requests": {"memory": "48Mi"}}
    secret = {"env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api"}}}]}
    volume = {
        "volumes": [{"name": "data", "configMap": {"name": "data"}}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    grace = {"terminationGracePeriodSeconds": 2}
    for name, script, spec in (
        ("oom", DONE, one_attempt(resources=limits)),
        ("no-image", DONE, one_attempt(image="localhost/nowhere:1", imagePullPolicy="IfNotPresent")),
        ("bad-image", DONE, one_attempt(image="No Image", imagePullPolicy="Never")),
        ("no-node", DONE, one_attempt(nodeSelector={"disk": "none"})),
        ("no-secret", DONE, one_attempt(**secret)),
        ("no-volume", DONE, one_attempt(**volume)),
        ("deadline", SLOW, one_attempt(**grace) | {"timeouts": {"attempt": "15s"}}),
        ("evicted", SLOW, {"runtime": grace}),
        ("disk", SLOW, {"runtime": grace | EPHEMERAL}),
    ):
        apply_to(shared_namespace, *a_job(name, script, **spec))
    shared_jobs.running("disk")
    kubectl("exec", "disk-1", "-c", "runner", "--", "python", "-c", WRITE, namespace=shared_namespace)


def reasons(status):
    return [(entry["reason"], entry.get("charged")) for entry in status.get("attemptHistory") or []]


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        pytest.param("no-image", {"ErrImagePull", "ImagePullBackOff"}, "localhost/nowhere:1", id="image"),
        pytest.param("bad-image", {"InvalidImageName"}, "No Image", id="image-name"),
        pytest.param("no-node", {"Unschedulable"}, "didn't match Pod's node affinity/selector", id="node"),
        pytest.param("no-secret", {"CreateContainerConfigError"}, 'secret "keys" not found', id="secret"),
    ],
)
def test_the_condition_of_a_pod_that_does_not_start_names_what_is_missing(shared_jobs, condition, name, reason, words):
    status = shared_jobs.until(
        name, lambda found: condition(found, "PodStarted", "reason") in reason, "says why it waits"
    )

    assert condition(status, "PodStarted") == "False"
    assert words in condition(status, "PodStarted", "message")
    assert words in shared_jobs.describe(name)


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        pytest.param("configmap", "data", ("--from-literal=a=b",), id="volume"),
        pytest.param("secret", "keys", ("generic", "--from-literal=api=x"), id="secret"),
    ],
)
def test_a_job_recovers_when_the_missing_object_is_created(kubectl, shared_jobs, condition, kind, name, words):
    job = {"keys": "no-secret", "data": "no-volume"}[name]
    shared_jobs.until(job, lambda found: found.get("phase") == "Running", "runs into what is missing")
    kind_words = (kind, words[0], name, *words[1:]) if kind == "secret" else (kind, name, *words)
    kubectl("create", *kind_words, namespace=shared_jobs.namespace)

    # A kubelet looks for missing volumes at growing intervals, up to two minutes: the sooner it is there, the better.
    status = shared_jobs.finished(job, seconds=240)

    assert (status["phase"], status["starts"]) == ("Succeeded", 1)


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        pytest.param("oom", "OOMKilled", "raise runtime.resources.limits.memory", id="oom"),
        pytest.param("deadline", "AttemptTimeout", "timeouts.attempt was exceeded", id="deadline"),
    ],
)
def test_an_end_by_a_limit_names_the_limit(shared_jobs, condition, name, reason, words):
    status = shared_jobs.finished(name)

    assert (status["phase"], condition(status, "Failed", "reason")) == ("Failed", reason)
    assert words in condition(status, "Failed", "message")
    assert reasons(status) == [(reason, True)]
    assert words in shared_jobs.describe(name)


def test_an_eviction_through_the_api_uses_up_no_attempt(kubectl, shared_jobs):
    shared_jobs.running("evicted")
    evict(kubectl, shared_jobs.namespace, "evicted-1")

    status = shared_jobs.finished("evicted")

    assert (status["phase"], status["attempts"], status["starts"]) == ("Succeeded", 1, 2)
    assert reasons(status)[0] == ("Evicted", False)
    assert "EvictionByEvictionAPI" in status["attemptHistory"][0]["message"]


def evict(kubectl, namespace, pod):
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
    kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))


def test_a_job_on_a_drained_node_waits_for_another_node(kubectl, namespace, apply, a_job, jobs, condition):
    apply(*a_job("drained", SLOW, runtime={"terminationGracePeriodSeconds": 2}))
    place = jobs.running("drained")["spec"]["nodeName"]
    try:
        kubectl(
            *("drain", place, "--pod-selector=agentjobs.dev/job=drained", "--ignore-daemonsets", "--force"),
            *("--delete-emptydir-data", "--timeout=180s"),
        )
        waiting = jobs.until(
            "drained", lambda found: condition(found, "PodStarted", "reason") == "Unschedulable", "waits for a node"
        )
    finally:
        kubectl("uncordon", place)
    status = jobs.finished("drained")

    assert condition(waiting, "PodStarted") == "False"
    assert "unschedulable" in condition(waiting, "PodStarted", "message")
    assert (reasons(status)[0], status["phase"]) == (("Evicted", False), "Succeeded")


def test_a_preempted_job_runs_again_when_there_is_room(kubectl, namespace, apply, a_job, jobs):
    (place,) = kubectl.list("nodes", labels="!agentjobs.dev/dev-session")[:1]
    share = {"cpu": f"{int(float(cpus(place['status']['allocatable']['cpu'])) * 600)}m"}
    apply(*a_job("lesser", SLOW, runtime={"resources": {"requests": share}, "terminationGracePeriodSeconds": 2}))
    jobs.running("lesser")
    klass = f"{namespace}-urgent"
    kubectl("create", "priorityclass", klass, "--value=1000")
    try:
        kubectl("apply", "-f", "-", namespace=namespace, stdin=json.dumps(urgent_pod(klass, share)))
        lost = jobs.until("lesser", lambda found: any(reason for reason, _ in reasons(found)), "is preempted")
        kubectl("delete", "pod", "urgent", "--grace-period=0", "--force", namespace=namespace)
    finally:
        kubectl("delete", "priorityclass", klass)
    status = jobs.finished("lesser")

    assert reasons(lost)[0] == ("Preempted", False)
    assert (status["phase"], status["attempts"]) == ("Succeeded", 1)


def test_a_volume_over_its_limit_is_an_eviction_with_the_kubelets_message(shared_jobs):
    status = shared_jobs.finished("disk", seconds=300)  # a kubelet measures volumes once a minute

    assert reasons(status)[0] == ("Evicted", False)
    assert "exceeds the limit" in status["attemptHistory"][0]["message"]


def cpus(quantity):
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def urgent_pod(priority, requests):
    """A pod of Pod Security level Restricted that needs no image: it is only to be scheduled."""
    container = {
        "name": "c",
        "image": "localhost/nowhere:1",
        "imagePullPolicy": "Never",
        "resources": {"requests": requests},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    context = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"priorityClassName": priority, "securityContext": context, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "urgent"}, "spec": spec}
