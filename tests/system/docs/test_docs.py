"""Every command and every YAML block of the documentation has the documented effect."""

import asyncio
import contextlib
import re
from pathlib import Path

import pytest
import yaml

from agentjobs.api.job.validation import validate_job
from devcluster.client import CONFIG_MAPS, ApiError, Resource

ROOT = Path(__file__).parents[3]
PAGES = sorted([ROOT / "README.md", ROOT / "examples" / "README.md", *(ROOT / "docs").rglob("*.md")])
AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
AGENTSCHEDULES = Resource("agentjobs.dev", "v1alpha1", "agentschedules", "AgentSchedule")
# Names of jobs that pages show for their mistakes.
WRONG = {"typo", "wrong"}
# Commands of `sh` blocks are not run: they never end, need the network or a key, or are what runs this test.
NOT_RUN = re.compile(
    r"make \w+|git clone .*|cd \w+|\. \.venv/bin/activate|agentjobs (dev|operator|gateway|migrate)|export \w+=.*"
    r"|(\w+=\S+ )+agentjobs (dev|operator|gateway|migrate)|docker .*|pip install .*|#.*|"
    # Of an installation by Helm: tests/unit/chart renders them, tests/e2e does the like on a cluster.
    r"|helm .*|kubectl (-n agentjobs-system|create namespace|label namespace|delete) .*|kubectl apply --server-side .*"
    r"|kubectl -n default create .*|agentjobs release-pods .*|  --(set \S+=|from-literal=).*"
    # Calls from outside of a cluster, and what they are signed with.
    r"|agentjobs dev --triggers .*|curl .*|  -[Hd] .*|openssl rand .*|kubectl create secret generic .*"
    # tests/system/conformance runs it with that very program.
    r"|agentjobs conformance .*"
    # Into a cluster that is there.
    r"|(\w+=\S+ )+(make \w+|tests/e2e/images\.sh)"
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("docs")]


def name_of(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
async def test_every_block_has_a_language(documentation, page):
    known = {"yaml", "console", "sh", "python", "sql", "text", "json", "dockerfile"}

    assert [block.line for block in documentation["blocks"](page) if block.language not in known] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
async def test_every_yaml_block_is_valid_and_every_job_is_accepted(documentation, page):
    problems = []
    for block in documentation["blocks"](page):
        if block.language == "yaml":
            for body in yaml.safe_load_all(block.text):
                if isinstance(body, dict) and body.get("kind") == "AgentJob":
                    found = [f"line {block.line}: {problem}" for problem in validate_job(body)]
                    if body["metadata"]["name"] in WRONG:
                        found = [] if found else [f"line {block.line}: nothing is wrong with it"]
                    problems += found

    assert problems == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
async def test_only_commands_that_cannot_run_here_are_not_run(documentation, page):
    lines = [
        line
        for block in documentation["blocks"](page)
        if block.language == "sh"
        for line in block.text.splitlines()
        if not NOT_RUN.fullmatch(re.sub(r"\s+#.*", "", line))
    ]

    assert lines == []


@pytest.mark.parametrize("page", [page for page in PAGES if "```console" in page.read_text()], ids=name_of)
async def test_the_commands_of_a_page_print_the_shown_output(documentation, cluster, shell, page):
    folder, running = cluster
    reader = shell(folder, running.kubeconfig)
    await forget(running.client)
    for block in documentation["blocks"](page):
        if block.file is not None:
            reader.write(block)
        for command in documentation["commands"](block) if block.language == "console" else ():
            said, code = await asyncio.to_thread(reader.type, command)
            if command.text.startswith(("kubectl", "curl")) and not reader.has_kubectl:
                continue
            where = f"{name_of(page)}:{command.line}: $ {command.text}\n{said}"
            assert (code != 0) == command.fails, f"exit code {code}: {where}"
            assert documentation["missing"](command.shown, said) is None, where


async def forget(client):
    """Leave nothing of the page before: pages use the same names."""
    for resource in (AGENTSCHEDULES, AGENTJOBS, CONFIG_MAPS):
        for body in (await client.list(resource, "default"))[0]:
            if not body["metadata"]["name"].startswith("kube-root-ca"):
                with contextlib.suppress(ApiError):  # gone by itself; what stays is told below
                    await client.delete(resource, "default", body["metadata"]["name"])
    for _ in range(1200):
        if not (await client.list(AGENTJOBS, "default"))[0]:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("jobs of the page before are still there")
