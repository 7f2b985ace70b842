"""What the operator keeps of an accepted coding agent: values in the texts of its workspace, and no long prompts."""

import pytest

from agentjobs.api.job.agent import ConfigMapKey
from agentjobs.api.job.resolve import Sources, accepted_spec, as_accepted, edited_fields, resolve, resolve_spec
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.core.pods.volume_claims import worktree_claim

METADATA = {"namespace": "default", "name": "fix", "uid": "uid-1"}
CLAUDE = {"systemPrompt": "You are $(job.name).", "appendSystemPrompt": "End.", "mcpConfig": '{"mcpServers": {}}'}
SPEC = {
    "agent": {"model": "sonnet", "claudeCode": CLAUDE},
    "input": {"message": "Fix it."},
    "workspace": {
        "git": {"url": "https://github.com/acme/papers", "ref": "release-$(params.version)"},
        "worktree": {"mode": "Named", "name": "of-$(job.name)"},
        "publish": {"mode": "Branch", "branch": "agents/$(job.name)", "secretRef": {"name": "writer"}},
    },
}


def job(**claude):
    agent = {"model": "sonnet", "claudeCode": {**CLAUDE, **claude}}
    return {"metadata": METADATA, "spec": {"agent": agent, "input": {"message": "Fix it."}}}


def resolved(spec, **sources):
    return resolve_spec(AgentJobSpec.model_validate(spec), METADATA, Sources(parameters={"version": "1"}, **sources))


def test_texts_of_a_workspace_have_their_values_when_its_pod_is_created():
    spec = as_accepted(AgentJobSpec.model_validate(SPEC), resolved(SPEC))

    assert (spec.workspace.git.ref, spec.workspace.publish.branch) == ("release-1", "agents/fix")
    assert worktree_claim(spec.workspace).startswith("worktree-of-fix-")


def test_accepted_work_is_equal_when_it_is_read_again():
    known = resolved(SPEC)

    assert as_accepted(AgentJobSpec.model_validate(SPEC), known) == accepted_spec(known)


def test_prompts_are_not_kept_in_memory():
    claude = as_accepted(AgentJobSpec.model_validate(SPEC), resolved(SPEC)).agent.claude_code

    assert (claude.system_prompt, claude.append_system_prompt, claude.mcp_config) == (None, None, None)
    assert resolved(SPEC)["spec"]["agent"]["claudeCode"]["systemPrompt"] == "You are fix."


def test_a_configuration_from_a_config_map_can_be_longer_than_the_field():
    own = {"mcpConfigFrom": {"configMapKeyRef": {"name": "tools", "key": "mcp"}}}
    spec = {**SPEC, "agent": {"model": "sonnet", "claudeCode": own}}
    known = resolved(spec, contents={ConfigMapKey("tools", "mcp"): "x" * 100_000})

    assert accepted_spec(known) == as_accepted(AgentJobSpec.model_validate(spec), known)


@pytest.mark.parametrize("field", list(CLAUDE))
def test_an_edit_of_a_prompt_is_named(field):
    assert edited_fields(job(**{field: "{}"}), resolve(job(), {})) == [f"agent.claudeCode.{field}"]
