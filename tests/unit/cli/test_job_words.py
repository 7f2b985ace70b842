"""What a job runs, where it works and what it published, in a few words."""

import pytest

from agentjobs.cli.job_words import published, runs, works_in
from agentjobs.client.job import Job


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"agent": {"claudeCode": {"permissionMode": "Plan"}}}, "Claude Code, Plan"),
        ({"agent": {"claudeCode": {}}}, "Claude Code"),
        ({"agent": {"container": {}}, "runtime": {"image": "example.com/agent:1"}}, "container example.com/agent:1"),
        ({"agent": {"module": {"ref": "my_app.agents:root"}}}, "my_app.agents:root"),
        ({"agent": {"inline": {}}}, "inline agent"),
        ({"templateRef": {"name": "t"}}, "the template's agent"),
    ],
)
def test_an_agent_is_described_by_its_kind(spec, expected):
    assert runs(spec) == expected


def test_a_workspace_is_described_by_repository_and_worktree():
    git = {"url": "https://git.example.com/shop.git", "ref": "main"}
    assert works_in({"git": git, "worktree": {"mode": "Named", "name": "x"}}) == f"{git['url']} at main, worktree x"
    assert works_in(None) == ""


def a_job(workspace):
    meta = {"namespace": "default", "name": "x", "uid": "u", "resourceVersion": "1", "generation": 1}
    meta |= {"creationTimestamp": "2026-11-21T09:00:00Z"}
    return Job.parse(
        {"metadata": meta, "spec": {}, "status": {"phase": "Succeeded", "result": {"workspace": workspace}}}
    )


def test_a_publication_is_described_by_branch_commit_and_pull_request():
    told = {"branch": "agents/x", "commit": "1234567890abcdef", "pullRequest": "https://git.example.com/pull/7"}
    assert published(a_job(told)) == "agents/x at 1234567890ab, https://git.example.com/pull/7"
    assert published(a_job({"branch": "", "commit": ""})) == "nothing"
    assert published(a_job(None)) == ""
