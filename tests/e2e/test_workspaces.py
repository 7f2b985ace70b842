"""Jobs with a workspace: cloned before their agent, published after it, each with credentials that only it sees."""

import json

import pytest

from .conftest import STORAGE_CLASS, job_of
from .gitserver import PASSWORD, SERVICE


def probe(**tries):
    return {"module": {"ref": "probe:agent", "args": tries}}


@pytest.fixture
def volume(kubectl, node, namespace, wait_for):
    """Make a volume for the first claim of the namespace once that waits for one; a folder of the node's, of root."""
    folder = f"/tmp/{namespace}"

    def build():
        (claim,) = wait_for(lambda: kubectl.list("pvc", namespace), "a claim")
        node.run("import os, sys; os.makedirs('/proc/1/root' + sys.argv[1])", folder)
        host = kubectl.list("pods", fields="metadata.name=hand")[0]["spec"]["nodeName"]
        here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}
        spec = {
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "accessModes": claim["spec"]["accessModes"],
            "storageClassName": STORAGE_CLASS,
            "claimRef": {"namespace": namespace, "name": claim["metadata"]["name"]},
            "local": {"path": folder},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        }
        body = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": namespace}, "spec": spec}
        kubectl("create", "-f", "-", stdin=json.dumps(body))

    yield build
    kubectl("delete", "pv", namespace, "--wait=false", "--ignore-not-found")
    node.run("import shutil, sys; shutil.rmtree('/proc/1/root' + sys.argv[1], ignore_errors=True)", folder)


def test_an_agents_changes_are_pushed_by_a_separate_container(kubectl, namespace, apply, jobs, repository):
    agent = probe(
        mark={"do": "write", "folders": ["/workspace/tree"]},
        key={"do": "hunt", "backwards": PASSWORD[::-1]},
        git={"do": "write", "folders": ["/var/run/agentjobs-git"]},
    )
    own = repository.workspace(mode="Branch", branch="agents/$(job.name)")
    apply(*job_of("coded", agent=agent, workspace=own))
    status = jobs.finished("coded")
    tried = json.loads(jobs.result("coded"))

    assert status["phase"] == "Succeeded", status
    assert status["result"]["workspace"]["branch"] == "agents/coded"
    assert repository("show", "agents/coded:probe") == "here"
    assert repository("rev-parse", "agents/coded").strip() == status["result"]["workspace"]["commit"]
    assert tried == {
        "mark": {"/workspace/tree": "written"},
        "key": [],
        "git": {"/var/run/agentjobs-git": "No such file or directory"},
    }
    # No one has to name the container.
    assert "attempt.started" in kubectl("logs", "coded-1", namespace=namespace)
    assert jobs.job_history("coded")["job"]["workspace"]["branch"] == "agents/coded"


def test_a_job_whose_repository_cannot_be_cloned_fails_and_names_it(namespace, apply, jobs, repository):
    own = repository.workspace()
    own["git"]["ref"] = "nowhere"
    apply(*job_of("lost", agent=probe(mark={"do": "hold", "seconds": 0}), workspace=own))
    status = jobs.finished("lost")

    assert (status["phase"], status["reason"]) == ("Failed", "RepositoryInvalid"), status
    assert "nowhere" in jobs.describe("lost")


def test_a_later_start_publishes_an_answer_that_an_earlier_one_could_not(
    kubectl, namespace, apply, jobs, repository, condition, wait_for
):
    agent = probe(mark={"do": "write", "folders": ["/workspace/tree"]}, stay={"do": "hold", "seconds": 10})
    own = repository.workspace(mode="Branch", branch="agents/late")
    apply(
        *job_of("late", agent=agent, workspace=own, retry={"maxAttempts": 9, "backoff": {"initial": "3s", "max": "3s"}})
    )
    # The phase of such a pod is Pending until it publishes.
    wait_for(lambda: "attempt.started" in kubectl("logs", "late-1", namespace=namespace), "the agent runs")
    kubectl("delete", "service", "git", namespace=namespace)
    jobs.until("late", lambda status: (status.get("starts") or 0) > 1, "a second start")
    apply(SERVICE)
    status = jobs.finished("late")

    assert status["phase"] == "Succeeded", status
    assert status["attemptHistory"][0]["reason"] == "PublishFailed"
    assert repository("show", "agents/late:probe") == "here"
    assert "already has its result" in condition(status, "Complete", "message")


def test_jobs_of_one_worktree_take_turns_on_its_volume(apply, jobs, repository, volume, condition):
    own = repository.workspace() | {"worktree": {"mode": "Named", "name": "shared"}}
    leave, find = ({"do": deed, "folders": ["/workspace/tree"]} for deed in ("write", "read"))
    apply(*job_of("leaves", agent=probe(left=leave, stay={"do": "hold", "seconds": 2}), workspace=own))
    jobs.until("leaves", lambda status: (status.get("starts") or 0) == 1, "a start")
    apply(*job_of("finds", agent=probe(found=find), workspace=own))
    waits = jobs.until("finds", lambda status: condition(status, "Admitted") == "False", "waits")
    volume()
    first, second = jobs.finished("leaves"), jobs.finished("finds")

    assert condition(waits, "Admitted", "reason") == "WaitingForLock"
    assert (first["phase"], second["phase"], second["starts"]) == ("Succeeded", "Succeeded", 1), (first, second)
    assert json.loads(jobs.result("finds")) == {"found": {"/workspace/tree": "here"}}
    assert first["completionTime"] <= second["startTime"]
