"""The rules of a job's spec as CEL, for jobs, templates and schedules.

Rules run at every write, also of the status. Reading a field copies the schemas of all its siblings, which dominates
the cost. So each rule is as deep in the schema as possible, and reads `spec` only to compare two of its fields.
"""

from collections.abc import Mapping
from typing import Final

from agentjobs.api.generate.structural import Schema, add_rule
from agentjobs.api.job.agent import AGENT_KINDS, RESERVED_AGENT_NAME

REQUIRED: Final[Mapping[str, str]] = {
    "agent": "agent is required: name it with agent.inline, agent.module, agent.claudeCode or agent.container, here or "
    "in the template",
    "input": "input is required: give the agent its message with input.message or input.messageFrom, here or in the "
    "template",
    "workspace": "workspace needs git.url, here or in the template",
}
_COMPLETE: Final[Mapping[str, str]] = {
    "agent": "has(self.agent) && (has(self.agent.inline) || has(self.agent.module) || has(self.agent.claudeCode) || "
    "has(self.agent.container))",
    "input": "has(self.input) && (has(self.input.message) || has(self.input.messageFrom))",
    "workspace": "!has(self.workspace) || has(self.workspace.git) && has(self.workspace.git.url)",
}
"""What a job without a template must set."""


def add_job_rules(schema: Schema, *, complete: bool = True) -> None:
    """Add the rules that every job spec must fulfil.

    Args:
        complete: whether a spec without a template must have an agent and an input.
    """
    # Rules have a helpful message, where `required` would only give "Required value".
    schema.pop("required", None)
    spec = schema["properties"]
    for part in (spec["input"], spec["workspace"], spec["workspace"]["properties"]["git"]):
        part.pop("required", None)
    if complete:
        for field, message in REQUIRED.items():
            # The template last: most jobs have none, and what is true first ends the rule.
            add_rule(schema, f"{_COMPLETE[field]} || has(self.templateRef)", message)
        add_rule(
            schema,
            "!has(self.parameters) || self.parameters.size() == 0 || has(self.templateRef)",
            "parameters need templateRef: the template declares them",
        )
    _refuse_reserved_names(spec["agent"]["properties"]["inline"])
    _refuse_two_instructions(spec["agent"]["properties"]["inline"])
    kinds = ", ".join(f"has(self.{kind})" for kind in AGENT_KINDS)
    message = f"agent needs exactly one of {', '.join(AGENT_KINDS[:-1])} and {AGENT_KINDS[-1]}"
    add_rule(spec["agent"], f"[{kinds}].filter(x, x).size() <= 1", message)
    claude, workspace = spec["agent"]["properties"]["claudeCode"], spec["workspace"]
    both = "has(self.mcpConfig) && has(self.mcpConfigFrom)"
    add_rule(claude, f"!({both})", "mcpConfig and mcpConfigFrom exclude each other")
    if complete:
        # A template may leave the name to its jobs.
        add_rule(
            workspace["properties"]["worktree"],
            "!has(self.mode) || self.mode != 'Named' || has(self.name)",
            "a Named worktree needs a name",
        )
    add_rule(
        spec["input"],
        "!(has(self.message) && has(self.messageFrom))",
        "message and messageFrom exclude each other",
    )
    add_rule(schema, "!(has(self.startAt) && has(self.startAfter))", "startAt and startAfter exclude each other")
    add_rule(
        spec["resultPolicy"]["properties"]["rules"]["items"],
        "has(self.onErrors) || has(self.onOutcomes) || has(self.onExitCodes) || has(self.onPodConditions)",
        "a rule needs a matcher: onErrors, onOutcomes, onExitCodes or onPodConditions",
    )
    add_rule(
        spec["after"],
        "has(self.jobs) && self.jobs.size() > 0 || has(self.selector) && self.selector.size() > 0",
        "after needs jobs or selector",
    )
    steps = spec["steps"]["properties"]
    add_rule(
        steps["tools"]["items"]["properties"]["match"],
        "self.size() > 0",
        "match is empty; name a tool, or write * for all of them",
    )
    add_rule(
        steps["compaction"],
        "!has(self.overlap) || self.overlap < self.everyEvents",
        "overlap must be less than everyEvents",
    )
    add_rule(
        spec["session"],
        "!has(self.mode) || self.mode != 'Continue' || has(self.sessionId)",
        "mode Continue needs sessionId: its default differs in each job",
    )
    add_rule(
        schema,
        "!has(self.resultPolicy) || !has(self.resultPolicy.rules) || has(self.output) || "
        "self.resultPolicy.rules.all(r, !has(r.onOutcomes))",
        "onOutcomes needs output: an answer without a schema has no outcome",
    )
    add_rule(
        schema,
        "!has(self.runtime) || !has(self.runtime.runAsUser) || self.runtime.runAsUser > 0 || "
        "(has(self.isolation) && has(self.isolation.profile) && self.isolation.profile == 'Baseline')",
        "runAsUser 0 is root: use another user, or isolation.profile Baseline",
    )
    add_rule(
        spec["isolation"]["properties"]["egress"],
        "!has(self.allow) || self.allow.size() == 0 || (has(self.mode) && self.mode == 'Restricted')",
        "egress.allow needs mode Restricted",
    )


def _refuse_reserved_names(inline: Schema) -> None:
    for agent in (inline, inline["properties"]["agents"]["items"]):
        message = "is reserved by ADK; use another name, e.g. assistant"
        add_rule(agent["properties"]["name"], f"self != '{RESERVED_AGENT_NAME}'", message)


def _refuse_two_instructions(inline: Schema) -> None:
    for agent in (inline, inline["properties"]["agents"]["items"]):
        both = "has(self.instruction) && has(self.instructionFrom)"
        add_rule(agent, f"!({both})", "instruction and instructionFrom exclude each other")
