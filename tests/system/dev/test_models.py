"""Models in a development cluster: the proxy has the keys of the environment, the pods have none."""

import asyncio
import json

import pytest
import pytest_asyncio
from tests.modelproviders import Answer, in_thread

from agentjobs.dev.programs import handed_to_models
from agentjobs.dev.up import up
from devcluster.client import Resource

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("dev-models")]
AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
KEYS = {"gemini": "real-key-of-google", "openai": "real-key-of-openai", "anthropic": "real-key-of-anthropic"}
MODELS = {"gemini": "gemini-2.5-flash", "openai": "openai/gpt-5", "anthropic": "anthropic/claude-sonnet-4-5"}
# What an agent's tool finds when it looks for the keys: in its environment, in that of its process, in its files.
LOOK = """
import os, pathlib

def text_of(path):
    return path.read_bytes().decode(errors="replace")

def look_around() -> dict:
    \"\"\"Look for keys.\"\"\"
    folders = {os.getcwd(), os.path.dirname(os.environ["AGENTJOBS_TOKEN_FILE"])}
    files = [path for folder in folders for path in pathlib.Path(folder).rglob("*") if path.is_file()]
    texts = {str(path): text_of(path) for path in [pathlib.Path("/proc/self/environ"), *files]}
    texts["os.environ"] = " ".join(os.environ.values())
    wanted = "-".join(("real", "key"))  # this file is one of those
    return {"found": [place for place, text in texts.items() if wanted in text], "said": "looked around"}
"""


def answers(seen):
    """A tool's call first, and a text once its result is there."""
    return None if "looked around" in seen.body.decode() else Answer(calls=[("look_around", {})])


@pytest.fixture(scope="module")
def fake():
    with in_thread(Answer("Nothing found.")) as providers:
        providers.choose = answers
        yield providers


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(fake, backend, forks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "look.py").write_text(LOOK)
    environ = {
        **{f"{name.upper()}_API_KEY": key for name, key in KEYS.items() if name != "gemini"},
        "GOOGLE_API_KEY": KEYS["gemini"],
        "GOOGLE_GEMINI_BASE_URL": fake.gemini,
        "OPENAI_BASE_URL": fake.openai,
        "ANTHROPIC_BASE_URL": fake.anthropic,
    }
    made = up(
        tmp_path_factory.mktemp("cluster"),
        apiserver=backend,
        providers=handed_to_models(environ),
        working_folder=folder,
        forks=forks,
    )
    async with made as running:
        yield running


async def finished(cluster, name, model, tools=()):
    """Run a job to its end and return its status."""
    inline = {"instruction": "Be brief.", **({"tools": [{"name": tool} for tool in tools]} if tools else {})}
    spec = {"agent": {"model": model, "inline": inline}, "input": {"message": "Look around."}}
    body = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob", "metadata": {"name": name}, "spec": spec}
    await cluster.client.create(AGENTJOBS, cluster.place.namespace, body)
    async with asyncio.timeout(120):
        while True:
            status = (await cluster.client.get(AGENTJOBS, cluster.place.namespace, name)).get("status") or {}
            if any(one["type"] == "Finished" and one["status"] == "True" for one in status.get("conditions") or ()):
                return status
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("provider", KEYS)
async def test_the_provider_gets_the_key_and_the_agent_does_not(cluster, fake, provider):
    status = await finished(cluster, provider, MODELS[provider], tools=["look:look_around"])
    asked = fake.of(provider)

    assert status["phase"] == "Succeeded", status
    assert {request.key for request in asked} == {KEYS[provider]}
    assert len(asked) == 2
    assert '"found": []' in json.dumps(asked[-1].json).replace('\\"', '"')


async def test_only_the_model_proxy_has_the_keys(cluster):
    environments = {name: set(part.env.values()) for name, part in cluster.parts.items()}

    assert set(KEYS.values()) <= environments.pop("gateway")
    assert environments
    assert not any(set(KEYS.values()) & values for values in environments.values())


async def test_a_job_whose_model_has_no_key_fails_immediately_and_names_the_variable(cluster):
    gateway = cluster.parts["gateway"]
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
        del gateway.env[name]
    await gateway.end()
    gateway.start()

    status = await finished(cluster, "keyless", MODELS["anthropic"])
    reasons = {one["type"]: (one["reason"], one["message"]) for one in status["conditions"]}

    assert status["phase"] == "Failed"
    assert reasons["Failed"][0] == "ModelAuth", reasons
    assert "ANTHROPIC_API_KEY" in reasons["Failed"][1]
