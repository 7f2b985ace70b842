"""What a local run needs on this machine is said before anything runs."""

import pytest

from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.cli.failures import Failure
from agentjobs.cli.local_engine import engine_of, login_of

CLAUDE = {"model": "sonnet", "claudeCode": {}}


def a_spec(agent, **fields):
    return AgentJobSpec.model_validate({"agent": agent, "input": {"message": "Go."}, **fields})


@pytest.fixture
def binary(tmp_path):
    path = tmp_path / "claude"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_engine_follows_from_the_agent():
    assert engine_of(a_spec({"model": "x", "inline": {}}), {}, has_folder=False) == "adk"


def test_claude_code_is_found_in_the_path(binary):
    assert engine_of(a_spec(CLAUDE), {"PATH": str(binary.parent)}, has_folder=False) == "claude-code"


def test_claude_code_is_found_by_the_environment_variable(binary):
    environ = {"PATH": "", "AGENTJOBS_CLAUDE": str(binary)}
    assert engine_of(a_spec(CLAUDE), environ, has_folder=False) == "claude-code"


@pytest.mark.parametrize("environ", [{"PATH": ""}, {"PATH": "", "AGENTJOBS_CLAUDE": "/nowhere/claude"}])
def test_a_missing_claude_code_is_reported_with_its_installation(environ):
    with pytest.raises(Failure, match="npm install -g @anthropic-ai/claude-code") as refused:
        engine_of(a_spec(CLAUDE), environ, has_folder=False)
    assert refused.value.code == 2


def test_a_program_in_an_image_requires_a_cluster():
    container = a_spec({"container": {}}, runtime={"image": "example.com/agent:1"})
    with pytest.raises(Failure, match="agentjobs conformance"):
        engine_of(container, {}, has_folder=True)


def test_a_workspace_requires_a_local_folder(binary):
    environ = {"PATH": str(binary.parent)}
    spec = a_spec(CLAUDE, workspace={"git": {"url": "https://git.example.com/shop.git"}})
    with pytest.raises(Failure, match="--working-dir"):
        engine_of(spec, environ, has_folder=False)
    assert engine_of(spec, environ, has_folder=True) == "claude-code"


def test_the_users_login_is_used_if_no_key_is_set():
    assert login_of({"HOME": "/home/me"}) == {"AGENTJOBS_CLAUDE_HOME": "/home/me"}
    assert login_of({"HOME": "/home/me", "ANTHROPIC_API_KEY": "sk-1"}) == {}
