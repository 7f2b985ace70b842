"""What a running system writes down: one JSON object a line, and none of what it must not repeat."""

import json
import re
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from agentjobs.dev.up import up
from devcluster.client import Resource

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("logs"),
    pytest.mark.alone("the cluster's API server trusts no certificate of our node, so it serves no logs of it"),
]

ROOT = Path(__file__).parents[2]
SECRETS = Resource("", "v1", "secrets", "Secret")
EVENTS = Resource("", "v1", "events", "Event")
KEY = "planted-4f9a7c21e0b84d55"
PROMPT, INSTRUCTION, ARGUMENT = "PLANTED-PROMPT", "PLANTED-INSTRUCTION", "PLANTED-ARGUMENT"
WORD = re.compile(r"[a-z]+\.[a-z_]+")
FIELDS = {"time", "level", "logger", "event"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ran(backend, forks, systems, job_of, tmp_path_factory):
    """A system after two jobs: one that ended well, and one whose provider's error repeats the key."""
    settings = {"AGENTJOBS_LOG_FORMAT": "json", "AGENTJOBS_LOG_LEVEL": "DEBUG"}
    folder = tmp_path_factory.mktemp("cluster")
    async with up(folder, settings=settings, apiserver=backend, working_folder=ROOT, forks=forks) as cluster:
        system = systems(cluster)
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"key": KEY}}
        await system.client.create(SECRETS, system.namespace, secret)
        env = [{"name": "MODEL_API_KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}}]
        called = {"toolCalls": [{"name": "exit_loop", "args": {"why": ARGUMENT}}]}
        scripts = {
            "well": {"starts": [[{"text": "Done."}]]},
            "badly": {"starts": [[called, {"error": {"status": 401, "message": f"no such key: {KEY}"}}]]},
        }
        for name, script in scripts.items():
            config_map, job = job_of(name, script, runtime={"env": env}, input={"message": PROMPT})
            job["spec"]["agent"]["inline"]["instruction"] = INSTRUCTION
            await system.apply(config_map, job)
        for name in scripts:
            await system.finished(name)
        await system.history("badly")
        yield system


def lines_of(system, *names):
    """Lines of the logs with these names; of pods those that lie in folders of their pod."""
    files = [path for path in system.cluster.folder.rglob("*.log") if not names or path.name in names]
    assert files
    return [line for path in files for line in path.read_text().splitlines() if line]


async def pod_log(system, pod):
    async with httpx.AsyncClient(verify=False, trust_env=False) as http:
        answer = await http.get(
            f"{system.cluster.url}/api/v1/namespaces/default/pods/{pod}/log",
            headers={"Authorization": f"Bearer {system.cluster.token}"},
        )
    answer.raise_for_status()
    return answer.text.splitlines()


@pytest.mark.parametrize("part", ["operator", "gateway", "runner"])
async def test_each_line_is_a_json_object_with_an_event_name(ran, part):
    lines = await pod_log(ran, "badly-1") if part == "runner" else lines_of(ran, f"{part}.log")
    said = [json.loads(line) for line in lines]

    assert len(said) > 3
    assert all(set(one) >= FIELDS and WORD.fullmatch(one["event"]) for one in said)
    assert {one["logger"].partition(".")[0] for one in said} >= {"agentjobs"}


async def test_the_operators_log_has_the_events_of_a_job_and_no_lines_of_kopf(ran):
    said = [json.loads(line) for line in lines_of(ran, "operator.log")]
    told = [one["event"] for one in said if one.get("job") == "well"]

    assert told[:5] == ["job.accepted", "job.claimed", "job.pod_created", "job.start_ended", "job.finished"]
    assert set(told[5:]) <= {"job.pod_released", "job.completed"}
    assert not [one for one in said if "login" in one.get("message", "")]


async def test_no_log_repeats_secrets_tokens_or_prompts(ran):
    lines = [*lines_of(ran), *await pod_log(ran, "well-1"), *await pod_log(ran, "badly-1")]
    text = "\n".join(lines)

    assert "ModelAuth" in text  # the run is in it
    for planted in (KEY, PROMPT, INSTRUCTION, ARGUMENT, ran.cluster.token):
        assert planted not in text
    assert not re.search(r"eyJ[\w-]{8,}\.[\w-]{8,}\.", text)
    assert not re.search(r"postgresql://[^\s:/@]*:[^\s@/]+@", text)


async def test_a_secret_is_in_no_status_event_history_or_metric(ran):
    jobs = [await ran.job(name) for name in ("well", "badly")]
    events, _ = await ran.client.list(EVENTS, ran.namespace)
    told = [await ran.history(path) for path in ("", "badly", "badly/events", "well/result")]
    async with httpx.AsyncClient(verify=False, trust_env=False) as http:
        metrics = [
            (await http.get(f"{url}/metrics")).text for url in (ran.cluster.operator_url, ran.cluster.gateway_url)
        ]
    text = json.dumps([jobs, events, told, metrics])

    assert "[MODEL_API_KEY]" in text
    assert KEY not in text
    assert ran.cluster.token not in text
