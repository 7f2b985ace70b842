from collections.abc import Callable
from typing import Any

import pytest

from agentjobs.api.job.resolve import resolve
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.validation import validate_job
from agentjobs.core.pods.defaults import PodDefaults
from agentjobs.core.pods.manifests import runner_pod

Job = Callable[..., dict[str, Any]]
SECRET = {"header": "Authorization", "secretKeyRef": {"name": "papers", "key": "token"}}
SERVER = {"name": "papers", "url": "http://papers.tools.svc:8080/mcp", "headersFrom": [SECRET]}


def served(a_job: Job, *servers: dict[str, Any], **inline: Any) -> dict[str, Any]:
    return a_job(agent={"model": "m", "inline": {"mcpServers": list(servers), **inline}})


def test_a_server_requires_a_name_and_an_address(a_job: Job) -> None:
    job = served(a_job, {"name": "papers", "url": "https://papers.example.com/mcp"})

    assert validate_job(job) == []
    (server,) = resolve(job, {})["spec"]["agent"]["inline"]["mcpServers"]
    assert server["transport"] == "StreamableHTTP"


def test_secret_headers_reach_the_pod_as_references_only(a_job: Job) -> None:
    job = served(a_job, SERVER, subAgents=["b"], agents=[{"name": "b", "mcpServers": [SERVER]}])
    spec = AgentJobSpec.model_validate(job["spec"])
    defaults = PodDefaults(gateway_url="http://gateway", image="runner")
    pod = runner_pod(namespace="n", job="j", uid="u", start=1, attempt=1, ran=0, spec=spec, defaults=defaults)

    assert [entry for entry in pod["spec"]["containers"][0]["env"] if "_MCP_" in entry["name"]] == [
        {"name": f"AGENTJOBS_MCP_HEADER_{agent}_0_0", "valueFrom": {"secretKeyRef": {"name": "papers", "key": "token"}}}
        for agent in (0, 1)
    ]


@pytest.mark.parametrize(
    ("server", "field", "word"),
    [
        ({"url": "papers:8080"}, ".url", "https://"),
        ({"url": "http://me:secret@papers/mcp"}, ".url", "headersFrom"),
        ({"url": "file:///etc/passwd"}, ".url", "https://"),
        ({"name": "a b"}, ".name", "server name"),
        ({"transport": "Stdio"}, ".transport", "'StreamableHTTP'"),
        ({"headersFrom": [{**SECRET, "header": "A: b"}]}, ".headersFrom[0].header", "header name"),
        (
            {"headersFrom": [SECRET, {**SECRET, "header": "authorization"}]},
            ".headersFrom[1].header",
            "twice",
        ),
        ({"headersFrom": [{"header": "X", "value": "secret"}]}, ".headersFrom[0].value", "unknown"),
    ],
    ids=["no-scheme", "password", "file", "name", "transport", "header", "header-twice", "plain-value"],
)
def test_an_unusable_server_is_refused(a_job: Job, server: dict[str, Any], field: str, word: str) -> None:
    problems = validate_job(served(a_job, SERVER | server))
    assert any(it.field.endswith(f"mcpServers[0]{field}") and word in it.message for it in problems), problems


def test_two_servers_of_one_name_are_refused(a_job: Job) -> None:
    (problem,) = validate_job(served(a_job, SERVER, SERVER))
    assert (problem.field, problem.value) == ("spec.agent.inline.mcpServers[1].name", '"papers"')


def test_servers_are_refused_for_an_agent_without_a_model(a_job: Job) -> None:
    job = served(a_job, SERVER, agentClass="LoopAgent", subAgents=["b"], agents=[{"name": "b"}])
    (problem,) = validate_job(job)
    assert (problem.field, "LoopAgent" in problem.message) == ("spec.agent.inline.mcpServers", True)
