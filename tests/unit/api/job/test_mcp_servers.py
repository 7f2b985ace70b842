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
    ("server", "said"),
    [
        ({"url": "papers:8080"}, '.url: "papers:8080" is not an address; use http:// or https://'),
        ({"url": "http://me:secret@papers/mcp"}, "without user and password (see headersFrom)"),
        ({"url": "file:///etc/passwd"}, "is not an address"),
        ({"name": "a b"}, "is not a server name"),
        ({"transport": "Stdio"}, "is not allowed; use 'StreamableHTTP' or 'SSE'"),
        ({"headersFrom": [{**SECRET, "header": "A: b"}]}, "is not a header name"),
        (
            {"headersFrom": [SECRET, {**SECRET, "header": "authorization"}]},
            '[1].header: "authorization" is given twice',
        ),
        ({"headersFrom": [{"header": "X", "value": "secret"}]}, "headersFrom[0].value"),
    ],
    ids=["no-scheme", "password", "file", "name", "transport", "header", "header-twice", "plain-value"],
)
def test_an_unusable_server_is_refused(a_job: Job, server: dict[str, Any], said: str) -> None:
    problems = [str(problem) for problem in validate_job(served(a_job, SERVER | server))]
    assert any(said in problem for problem in problems), problems


def test_two_servers_of_one_name_are_refused(a_job: Job) -> None:
    (problem,) = validate_job(served(a_job, SERVER, SERVER))
    assert 'mcpServers[1].name: "papers" is given twice' in str(problem)


def test_servers_are_refused_for_an_agent_without_a_model(a_job: Job) -> None:
    job = served(a_job, SERVER, agentClass="LoopAgent", subAgents=["b"], agents=[{"name": "b"}])
    (problem,) = validate_job(job)
    assert "mcpServers" in str(problem)
    assert "has no effect on a LoopAgent" in str(problem)
