"""The examples of coding agents, as they are but for addresses: a chain in one worktree, a routine, a burst of pushes.

Claude Code is the CLI that AGENTJOBS_CLAUDE names, else the stand-in; the models' API, Git and its host are local.
"""

import hashlib
import hmac
import json
import os
import ssl

import httpx
import pytest
import pytest_asyncio
import yaml
from tests.fakeanthropic import FakeAnthropic
from tests.githosts import PATH, TOKEN, GitHost
from tests.gitservers import PASSWORD, USER, HttpServer, Repositories, commit, git

from agentjobs.dev.up import up

from .conftest import AGENTJOBS, PROVIDER_KEY, ROOT, STAND_IN, Coding, condition

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("coding-examples"),
    pytest.mark.alone("the triggers file names the namespace default, where others have their jobs"),
]

EXAMPLES = ROOT / "examples" / "coding"
SECRET = b"a secret of the repository"
BRIEF = 150.0
"""Seconds in which a job gets there."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(backend, forks, tmp_path_factory):
    """A cluster with Claude Code whose gateway takes the calls of the example."""
    folder, api = tmp_path_factory.mktemp("coding-examples"), FakeAnthropic()
    (folder / "secret").write_bytes(SECRET)
    triggers = (EXAMPLES / "triggers.yaml").read_text().replace("/tmp/webhook-secret", str(folder / "secret"))
    (folder / "triggers.yaml").write_text(triggers)
    keys = {"ANTHROPIC_BASE_URL": api.url, "ANTHROPIC_API_KEY": PROVIDER_KEY}
    given = {"AGENTJOBS_CLAUDE": os.environ.get("AGENTJOBS_CLAUDE") or str(STAND_IN), "IS_SANDBOX": "1"}
    async with up(
        folder / "cluster",
        apiserver=backend,
        forks=forks,
        working_folder=ROOT,
        providers=keys,
        inherit_env=given,
        triggers=folder / "triggers.yaml",
    ) as running:
        if running.place.shared:
            pytest.skip("the cluster has no storage that could bind a claim")
        yield running, api
    api.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(cluster, tmp_path_factory):
    """The repository that the examples work on, its host, and the Secrets that they name."""
    running, api = cluster
    root = tmp_path_factory.mktemp("repositories")
    (root / "team").mkdir()
    site, repositories, host = HttpServer(root), Repositories(root), GitHost("GitHub")
    shop = Coding(running, running.client, "default", api, site, repositories)
    shop.host, shop.bare = host, root / f"{PATH}.git"
    shop.work = repositories.make(PATH, {"pager.py": "def pages(n):\n    return n // 10\n", "docs/pager.md": "ten\n"})
    await shop.secret("shop-read", username=USER, password=PASSWORD)
    await shop.secret("shop-write", username=USER, password=PASSWORD, token=TOKEN)
    yield shop
    host.close()
    site.close()


async def apply_example(shop, name):
    text = (EXAMPLES / name).read_text()
    for there, here in (
        ("https://github.com/example/shop.git", shop.url(PATH)),
        ("https://api.github.com", shop.host.api_url),
    ):
        assert there in text or name == "on-push.yaml"
        text = text.replace(there, here)
    await shop.apply(*(one for one in yaml.safe_load_all(text) if one))


def bash(command, when):
    return {"tools": [{"name": "Bash", "input": {"command": command, "description": "a test"}}], "when": when}


def says(when, outcome, **more):
    return {"tools": [{"name": "StructuredOutput", "input": {"outcome": outcome, **more}}], "when": when}


def results(request):
    """What the tools gave that a request tells of, oldest first."""
    blocks = [block for message in request.body["messages"] for block in message["content"] if isinstance(block, dict)]
    return [str(one["content"]) for one in blocks if one["type"] == "tool_result"]


async def chain(shop, name, length):
    """The statuses of the jobs of a chain, each once it has ended."""
    ends = [await shop.finished(name, BRIEF)]
    while len(ends) < length:
        status = await shop.until(name, lambda it: condition(it, "FollowUpsCreated") == "True", BRIEF)
        name = status["followUps"][0]["job"]
        ends.append(await shop.finished(name, BRIEF))
    return ends


async def test_triage_implementation_and_review_run_one_after_the_other_in_one_worktree(shop):
    triage, implement, review, rework = "Triage issue 87", "What triage found", "Review the change", "was reviewed. Do"
    shop.api.play(
        bash("git log --oneline", triage),
        bash("echo mine >> pager.py", triage),
        says(triage, "fix", summary="Round up in pager.py."),
        bash("sed -i 's/n .. 10/-(-n \\/\\/ 10)/' pager.py && git commit -qam 'Round up'", implement),
        says(implement, "done", title="Count the last page", body="Rounds up."),
        bash("git diff origin/main", review),
        says(review, "changes_requested", summary="Add a test."),
        bash("echo 'assert pages(41) == 5' > test_pager.py", rework),
        says(rework, "done", title="Count the last page", body="With a test."),
        bash("git diff origin/main", review),
        says(review, "approved", summary="Good."),
    )
    await apply_example(shop, "chain.yaml")

    ends = await chain(shop, "issue-87", 5)

    outcomes = ["fix", "done", "changes_requested", "done", "approved"]
    assert [end["result"]["outcome"] for end in ends] == outcomes
    # It read, and what it tried to write was denied.
    assert "mine" not in git("show", "agents/issue-87:pager.py", cwd=shop.bare)
    assert any("permission" in text.lower() for text in results(shop.api.requests[2]))
    assert "-(-n // 10)" in next(text for text in results(shop.api.requests[6]) if "diff --git" in text)
    (made,) = shop.host.requests
    assert (made["branch"], made["title"], made["draft"]) == ("agents/issue-87", "Count the last page", True)
    assert git("show", "agents/issue-87:test_pager.py", cwd=shop.bare) == "assert pages(41) == 5"
    assert ends[3]["result"]["workspace"]["pullRequest"] == shop.host.address(made)
    assert git("rev-parse", "main", cwd=shop.bare) == git("rev-parse", "HEAD", cwd=shop.work)


async def test_a_scheduled_job_takes_all_its_work_from_its_template(shop):
    when = "Find the page in docs/"
    shop.host.requests.clear()
    shop.api.play(
        # AcceptEdits: files may be written, and no command run that is not allowed.
        bash('python3 -c \'open("made", "w")\'', when),
        bash("make docs", when),
        says(when, "nothing_to_do", title="", body=""),
    )
    await apply_example(shop, "routine.yaml")
    await shop.edit_schedule("coding-upkeep", metadata={"annotations": {"agentjobs.dev/trigger": "now"}})

    async def made(_):
        found, _ = await shop.client.list(AGENTJOBS, "default")
        return [one["metadata"]["name"] for one in found if one["metadata"]["name"].startswith("coding-upkeep")]

    (name,) = await shop.until("coding-upkeep", bool, BRIEF, status_of=made)
    status = await shop.finished(name, BRIEF)

    assert (status["phase"], status["result"]["outcome"]) == ("Succeeded", "nothing_to_do")
    assert set((await shop.job(name))["spec"]) == {"templateRef", "suspend", "cancel"}
    assert status["result"]["workspace"]["branch"] == ""
    assert shop.host.requests == []
    asked = json.dumps(shop.api.requests[0].body["system"])
    assert "You run at night" in asked
    assert "nobody answers questions: where" not in asked


async def test_a_burst_of_pushes_causes_one_run_of_the_newest_commit(shop):
    shop.api.play({"tools": [{"name": "Read", "input": {"file_path": "pager.py"}}]}, {"text": "It breaks nothing."})
    await apply_example(shop, "on-push.yaml")
    trust = ssl.create_default_context(cafile=shop.cluster.gateway_ca)
    names = []
    async with httpx.AsyncClient(base_url=shop.cluster.gateway_url, verify=trust, trust_env=False) as http:
        for number in range(3):
            head = commit(shop.work, {"pager.py": f"# {number}\n"})
            git("push", "-q", "origin", "main", cwd=shop.work)
            body = json.dumps({"ref": "refs/heads/main", "after": head}).encode()
            signature = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
            headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": signature}
            answer = await http.post("/v1/namespaces/default/triggers/coding-on-push", content=body, headers=headers)
            names.append(answer.json()["job"])

    ends = [await shop.finished(name, BRIEF) for name in names]

    # Of calls within one second any may be the one: it reads what the branch has when it starts.
    reasons = ["Replaced", "Replaced", "ResultAccepted"]
    assert sorted(end["reason"] for end in ends) == reasons
    assert "# 2" in results(shop.api.requests[1])[-1]
