"""Jobs with a workspace: cloned before their agent, published after it, each with credentials that only it sees."""

import json

from .conftest import job_of
from .gitserver import PASSWORD, SERVICE


def probe(**tries):
    return {"module": {"ref": "probe:agent", "args": tries}}


def test_what_an_agent_leaves_is_pushed_by_a_container_that_it_does_not_see(
    kubectl, namespace, apply, jobs, repository
):
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
    # Nobody has to name the container.
    assert "attempt.started" in kubectl("logs", "coded-1", namespace=namespace)
    assert jobs.story("coded")["job"]["workspace"]["branch"] == "agents/coded"


def test_a_repository_that_cannot_be_cloned_ends_its_job_by_its_name(namespace, apply, jobs, repository):
    own = repository.workspace()
    own["git"]["ref"] = "nowhere"
    apply(*job_of("lost", agent=probe(mark={"do": "hold", "seconds": 0}), workspace=own))
    status = jobs.finished("lost")

    assert (status["phase"], status["reason"]) == ("Failed", "RepositoryInvalid"), status
    assert "nowhere" in jobs.describe("lost")


def test_an_answer_is_published_by_the_start_after_the_one_that_could_not(
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
    assert "has its result already" in condition(status, "Complete", "message")
