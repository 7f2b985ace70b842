"""Which jobs follow which, for people and programs, against a whole cluster: `tree`, `show` and the client."""

import asyncio
import json

import pytest

from agentjobs.cli.app import run

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]

TEMPLATE = """
apiVersion: agentjobs.dev/v1alpha1
kind: AgentTemplate
metadata: {name: NAME-next}
spec:
  agent: {model: scripted/answers/quick, inline: {instruction: Be brief.}}
  input: {message: Go on.}
"""


@pytest.fixture
def cli(capfd, cluster, monkeypatch):
    """Run a command line in a thread and return its exit code, output and errors."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))

    def left(arguments):
        try:
            run(arguments)
        except SystemExit as ended:
            return ended.code or 0

    async def build(*arguments):
        code = await asyncio.to_thread(left, list(arguments))
        out, err = capfd.readouterr()
        return code, out, err

    return build


@pytest.fixture
async def chain(jobs, cli, name, tmp_path):
    """A job that has ended, and the one that followed it."""
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE.replace("NAME", name))
    assert (await cli("apply", "-f", str(path)))[0] == 0
    follow_up = {"name": "next", "templateRef": {"name": f"{name}-next"}}
    await jobs.submit(
        {
            "agent": {"model": "scripted/answers/quick", "inline": {"instruction": "Be brief."}},
            "input": {"message": "Hi."},
            "followUps": [follow_up],
        },
        name=name,
    )
    await jobs.wait(name, timeout=110)
    async with asyncio.timeout(60):
        while not (entries := (await jobs.get(name)).status.follow_ups) or not entries[0].made:
            await asyncio.sleep(0.05)
    await jobs.wait(entries[0].job, timeout=110)
    return name, entries[0].job


async def test_a_tree_is_shown_even_after_its_objects_were_deleted(jobs, cli, chain):
    first, second = chain
    _, page, _ = await cli("tree", second)
    await jobs.delete(first)
    await jobs.delete(second)
    async with asyncio.timeout(60):
        while any(job.is_there for job in (await jobs.tree(first)).jobs):
            await asyncio.sleep(0.05)
    _, text, _ = await cli("tree", first, "-o", "json")
    told = json.loads(text)["items"]

    assert [line.split()[:2] for line in page.splitlines()[1:]] == [[first, "<none>"], ["└─", second]]
    assert [(one["name"], one["phase"], one["exists"]) for one in told] == [
        (first, "Succeeded", False),
        (second, "Succeeded", False),
    ]
    assert told[1]["parentUid"] == told[0]["uid"]


async def test_a_job_shows_its_parent_and_its_follow_ups(cli, chain):
    first, second = chain
    _, above, _ = await cli("show", first)
    _, below, _ = await cli("show", second)

    assert f"next: {second}" in above
    assert [line.split() for line in below.splitlines() if line.startswith("Follows")] == [["Follows:", first]]


async def test_a_tree_of_an_unknown_job_is_an_error(cli):
    code, _, said = await cli("tree", "nobody")

    assert (code, "nobody" in said) == (1, True)
