"""Workspaces through the whole system: real Git over http, Claude Code's stand-in, pods of three containers."""

import asyncio
import json

import pytest
import pytest_asyncio
from tests.githosts import PATH, TOKEN, GitHost

from agentjobs.cli.app import run
from devcluster.client import PODS, SECRETS
from tests import gitservers

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("coding-agents")]

MODEL = "claude-sonnet-5-5"
BRIEF = 120.0
"""Seconds in which a job gets there."""
WRITE = {"secretRef": {"name": "git"}}


@pytest.fixture
def storage(coding):
    """For tests of volumes that outlive pods."""
    if coding.cluster.place.shared:
        pytest.skip("the cluster has no storage that could bind a claim")


@pytest_asyncio.fixture(loop_scope="module")
async def shop(coding):
    """A repository `team/app`, and the Secret `git` that opens it."""
    (coding.site.root / "team").mkdir()
    coding.repositories.make(PATH, {"README.md": "hello\n"})
    await coding.secret("git", username=gitservers.USER, password=gitservers.PASSWORD)
    yield coding.site.root / f"{PATH}.git"
    # On a real cluster all tests share a namespace.
    await coding.delete(SECRETS, "git")


def bash(command):
    return {"tools": [{"name": "Bash", "input": {"command": command, "description": "a test"}}]}


def a_spec(coding, message="Go.", worktree=None, publish=None, **spec):
    git = {"url": coding.url(PATH), "secretRef": {"name": "git"}}
    given = {"git": git, "worktree": worktree, "publish": publish}
    workspace = {name: value for name, value in given.items() if value}
    agent = {"model": MODEL, "claudeCode": {"permissionMode": "BypassPermissions"}}
    return {"agent": agent, "input": {"message": message}, "workspace": workspace, **spec}


def an_object(kind, name, spec):
    return {"apiVersion": "agentjobs.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


async def apply(coding, name, **given):
    await coding.apply(an_object("AgentJob", name, a_spec(coding, **given)))


async def asked(coding, count):
    """Until the API was asked so often."""

    async def requests(_):
        return len(coding.api.requests)

    await coding.until("the API", lambda found: found >= count, BRIEF, status_of=requests)


def results(request):
    """What the tools gave that a request tells of, oldest first."""
    blocks = [block for message in request.body["messages"] for block in message["content"]]
    return [one["content"] for one in blocks if isinstance(one, dict) and one["type"] == "tool_result"]


def file_of(repository, branch, path):
    return gitservers.git("show", f"{branch}:{path}", cwd=repository)


async def test_an_agent_works_in_a_checkout_and_sees_no_credentials(coding, shop):
    coding.api.play(bash("cat README.md; env; cat .git/config; ls -a / ~ ${TMPDIR}"), {"text": "Read it."})
    await apply(coding, "reads")

    status = await coding.finished("reads", BRIEF)

    assert (status["phase"], status["result"]["summary"]) == ("Succeeded", "Read it.")
    heard = coding.api.requests[1].said
    assert "hello" in heard
    assert gitservers.PASSWORD not in heard
    assert any(with_credentials for _, _, with_credentials in coding.site.seen)


async def test_the_files_of_an_evicted_pod_are_restored(coding, shop):
    never = {"text": "never heard", "delay": 60}
    changes, looks = bash("echo kept > new.txt; echo two >> README.md"), bash("cat new.txt README.md")
    coding.api.play(changes, never, looks, {"text": "ok"})
    await apply(coding, "evicted", runtime={"terminationGracePeriodSeconds": 12})
    await asked(coding, 2)
    await coding.client.delete(PODS, coding.namespace, "evicted-1")

    status = await coding.finished("evicted", BRIEF)

    assert (status["phase"], status["starts"]) == ("Succeeded", 2)
    assert results(coding.api.requests[3])[-1] == "kept\nhello\ntwo"


async def test_changes_are_pushed_to_a_branch(coding, shop):
    coding.api.play(bash("echo fixed > fix.txt"), {"text": "Fixed it."})
    await apply(coding, "pushes", publish={"mode": "Branch", "branch": "agents/$(job.name)", **WRITE})

    status = await coding.finished("pushes", BRIEF)

    told = status["result"]["workspace"]
    assert (status["phase"], told["branch"]) == ("Succeeded", "agents/pushes")
    assert gitservers.git("rev-parse", "agents/pushes", cwd=shop) == told["commit"]
    assert file_of(shop, "agents/pushes", "fix.txt") == "fixed"
    job = (await coding.job_history("pushes"))["job"]
    assert job["workspace"]["branch"] == "agents/pushes"


async def test_publishing_is_retried_without_the_agent(coding, shop):
    coding.api.play(bash("echo fixed > fix.txt"), {"text": "Fixed it.", "delay": 2})
    publish = {"mode": "Branch", "branch": "agents/$(job.name)", **WRITE}
    await apply(coding, "again", publish=publish, retry={"maxAttempts": 9, "backoff": {"initial": "1s"}})
    await asked(coding, 1)  # it has its checkout
    coding.site.broken = 503
    ended = await coding.until("again", lambda found: "PublishFailed" in str(found.get("attemptHistory")), BRIEF)
    coding.site.broken = None

    status = await coding.finished("again", BRIEF)

    assert ended["phase"] != "Failed"
    assert (status["phase"], status["result"]["summary"]) == ("Succeeded", "Fixed it.")
    assert status["starts"] > 1
    assert file_of(shop, "agents/again", "fix.txt") == "fixed"
    assert len(coding.api.requests) == 2


async def test_a_secret_in_the_changes_stops_the_push(coding, shop):
    coding.api.play(bash("echo AKIA$(echo IOSFODNN7EXAMPLQ) > key.txt"), {"text": "Left a key."})
    publish = {"mode": "Branch", "branch": "agents/$(job.name)", **WRITE}
    await apply(coding, "leaks", publish=publish, retry={"maxAttempts": 1})

    status = await coding.finished("leaks", BRIEF)

    assert (status["phase"], status["reason"]) == ("Failed", "PublishRefused")
    assert gitservers.git("branch", "--list", "agents/*", cwd=shop) == ""


async def test_a_draft_pull_request_is_created(coding, shop):
    host = GitHost("GitHub")
    keys = {"username": gitservers.USER, "password": gitservers.PASSWORD, "token": TOKEN}
    await coding.secret("write", **keys)
    publish = {"mode": "DraftPullRequest", "branch": "agents/$(job.name)", "secretRef": {"name": "write"}}
    coding.api.play(bash("echo fixed > fix.txt"), {"text": "Fix the pager"})
    await apply(coding, "asks", publish={**publish, "provider": "GitHub", "apiUrl": host.api_url})

    status = await coding.finished("asks", BRIEF)
    host.close()

    (made,) = host.requests
    assert (made["branch"], made["base"], made["draft"]) == ("agents/asks", "main", True)
    assert status["result"]["workspace"]["pullRequest"] == host.address(made)


async def test_wrong_credentials_fail_a_job_and_are_named(coding, shop):
    await coding.secret("wrong", username=gitservers.USER, password="another")
    spec = a_spec(coding, retry={"maxAttempts": 1})
    spec["workspace"]["git"]["secretRef"] = {"name": "wrong"}
    await coding.apply(an_object("AgentJob", "wrong", spec))

    status = await coding.finished("wrong", BRIEF)

    assert (status["phase"], status["reason"]) == ("Failed", "RepositoryInvalid")
    assert "another" not in str(status)


async def test_jobs_of_the_same_worktree_run_one_at_a_time(coding, shop, storage, tmp_path):
    tree = {"mode": "Named", "name": "shared"}
    go = tmp_path / "go"
    first = {**bash(f"until [ -e {go} ]; do sleep 0.1; done; echo first > order.txt"), "when": "be the first"}
    second = {**bash("cat order.txt"), "when": "be the second"}
    coding.api.play(first, second, {"text": "done", "when": "be the first"}, {"text": "done", "when": "be the second"})
    await apply(coding, "first", message="be the first", worktree=tree)
    await coding.phase("first", "Running", BRIEF)
    await apply(coding, "second", message="be the second", worktree=tree)
    waits = await coding.until("second", lambda found: found.get("reason") == "WaitingForLock", BRIEF)
    assert (waits["phase"], waits.get("starts", 0)) == ("Queued", 0)

    go.touch()
    one, two = await asyncio.gather(coding.finished("first", BRIEF), coding.finished("second", BRIEF))

    assert (one["phase"], two["phase"]) == ("Succeeded", "Succeeded")
    last = [request for request in coding.api.requests if "be the second" in request.said][-1]
    assert results(last)[-1] == "first"


async def test_all_jobs_of_a_chain_work_in_one_worktree(coding, shop, storage, said):
    """Triage proposes, implement disposes, review reads what it wrote; each is chosen by the outcome before it."""
    outcome = {"type": "object", "properties": {"outcome": {"type": "string"}}, "required": ["outcome"]}
    decides = {"schema": outcome, "outcomeKey": "outcome"}

    def says(when, what):
        return {"tools": [{"name": "StructuredOutput", "input": {"outcome": what}}], "when": when}

    coding.api.play(
        {**bash("echo plan > PLAN.md"), "when": "triage it"},
        says("triage it", "fix"),
        {**bash("cat PLAN.md > fix.txt"), "when": "implement it"},
        says("implement it", "done"),
        {**bash("cat fix.txt"), "when": "review it"},
        says("review it", "good"),
    )
    bare = {key: value for key, value in a_spec(coding).items() if key == "agent"}

    def follows(name, template, outcome):
        return {"name": name, "templateRef": {"name": template}, "outcomes": [outcome], "inherit": ["Workspace"]}

    named = {"worktree": {"mode": "Named", "name": "issue-$(params.issue)"}}
    triage = a_spec(coding, message="triage it", **named, output=decides, parameters=None)
    triage = {key: value for key, value in triage.items() if value is not None} | {
        "parameters": [{"name": "issue"}],
        "followUps": [follows("implement", "implement", "fix")],
    }
    publish = {"publish": {"mode": "Branch", "branch": "agents/$(job.name)", **WRITE}}
    implement = {
        **bare,
        "input": {"message": "implement it"},
        "output": decides,
        "followUps": [follows("review", "review", "done")],
        # Where the worktree is not handed on by name.
        "workspace": {"git": {"url": coding.url(PATH)}, "worktree": {"mode": "Named", "name": "other"}, **publish},
    }
    review = {**bare, "input": {"message": "review it"}, "output": decides}
    for name, spec in (("triage", triage), ("implement", implement), ("review", review)):
        await coding.apply(an_object("AgentTemplate", name, spec))
    chain = {"templateRef": {"name": "triage"}, "parameters": {"issue": "87"}}
    await coding.apply(an_object("AgentJob", "chain", chain))

    async def child(name):
        status = await coding.until(name, lambda it: said(it, "FollowUpsCreated") == "True", BRIEF)
        return status["followUps"][0]["job"]

    second = await child("chain")
    third = await child(second)
    ends = [await coding.finished(name, BRIEF) for name in ("chain", second, third)]

    assert [end["result"]["outcome"] for end in ends] == ["fix", "done", "good"]
    assert ends[1]["result"]["workspace"]["branch"] == f"agents/{second}"
    assert file_of(shop, f"agents/{second}", "fix.txt") == "plan"
    assert results(coding.api.requests[-1])[-1] == "plan"


async def test_the_command_line_publishes_and_prints_the_branch(coding, shop, monkeypatch, capfd):
    monkeypatch.setenv("KUBECONFIG", str(coding.cluster.kubeconfig))
    place = ["--namespace", coding.namespace]

    async def typed(*arguments):
        def left():
            try:
                run(list(arguments))
            except SystemExit as ended:
                return ended.code or 0

        code = await asyncio.to_thread(left)
        return code, *capfd.readouterr()

    coding.api.play(bash("echo fixed > fix.txt"), {"text": "Fixed it."})
    flags = [
        "--git",
        coding.url(PATH),
        "--git-secret",
        "git",
        "--publish-branch",
        "agents/cli",
        "--publish-secret",
        "git",
    ]
    flags += ["--model", MODEL, "--permission-mode", "bypassPermissions", "--name", "cli"]
    code, out, err = await typed("run", "--claude", "Fix it.", *flags, "--json", "--timeout", "60s", *place)
    assert code == 0, err
    told = json.loads(out)
    await coding.job_history("cli")
    _, shown, _ = await typed("show", "cli", *place)
    _, tree, _ = await typed("tree", "cli", *place)
    _, answer, noted = await typed("result", "cli", *place)

    assert (told["verdict"], told["workspace"]["branch"]) == ("Succeed", "agents/cli")
    assert file_of(shop, "agents/cli", "fix.txt") == "fixed"
    words = f"agents/cli at {told['workspace']['commit'][:12]}"
    assert all(words in text for text in (shown, tree, noted))
    assert ("Claude Code, BypassPermissions" in shown, answer) == (True, "Fixed it.\n")


async def test_an_answer_after_which_a_rule_reruns_the_job_is_not_published_and_the_next_is(coding, shop):
    asked_for = {"type": "object", "properties": {"outcome": {"type": "string"}}, "required": ["outcome"]}
    rules = [{"name": "again", "onOutcomes": ["unsure"], "action": "Retry", "delay": "1s"}]
    decide = [{"tools": [{"name": "StructuredOutput", "input": {"outcome": one}}]} for one in ("unsure", "sure")]
    coding.api.play(bash("echo first > fix.txt"), decide[0], bash("echo second > fix.txt"), decide[1])
    publish = {"mode": "Branch", "branch": "agents/$(job.name)", **WRITE}
    await apply(coding, "decides", publish=publish, output={"schema": asked_for}, resultPolicy={"rules": rules})

    status = await coding.finished("decides", BRIEF)

    assert (status["phase"], status["result"]["outcome"], status["starts"]) == ("Succeeded", "sure", 2)
    assert file_of(shop, "agents/decides", "fix.txt") == "second"
    assert gitservers.git("rev-list", "--count", "main..agents/decides", cwd=shop) == "1"


async def test_an_agent_of_adk_works_in_a_checkout_and_its_files_are_published(coding, shop):
    calls = [{"name": "append", "args": {"path": "README.md", "text": "more\n"}}]
    script = json.dumps({"starts": [[{"toolCalls": calls}, {"text": "Wrote it."}]]})
    tools = [{"name": "tests.system.editor:append"}]
    agent = {"model": "scripted/writes/script", "inline": {"instruction": "Write.", "tools": tools}}
    spec = a_spec(coding, publish={"mode": "Branch", "branch": "agents/$(job.name)", **WRITE})
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "writes"}, "data": {"script": script}}
    await coding.apply(config, an_object("AgentJob", "writes", {**spec, "agent": agent}))

    status = await coding.finished("writes", BRIEF)

    assert (status["phase"], status["result"]["summary"]) == ("Succeeded", "Wrote it."), status
    assert file_of(shop, "agents/writes", "README.md") == "hello\nmore"


async def test_a_custom_program_works_in_a_checkout_and_its_files_are_published(coding, shop, checkout):
    program = checkout / "tests/system/conformance/program.py"
    command = ["sh", "-c", f'cd "$AGENTJOBS_WORKSPACE/tree" && echo more >> README.md && exec python {program} none 0']
    spec = a_spec(coding, publish={"mode": "Branch", "branch": "agents/$(job.name)", **WRITE})
    own = {"agent": {"container": {"command": command}}, "runtime": {"image": "example.com/any:1"}}
    await coding.apply(an_object("AgentJob", "owns", {**spec, **own}))

    status = await coding.finished("owns", BRIEF)

    assert (status["phase"], status["result"]["summary"]) == ("Succeeded", "Go."), status
    assert file_of(shop, "agents/owns", "README.md") == "hello\nmore"
