"""The rules of a job's spec as CEL, for jobs, templates and schedules.

Rules run at every write, also of the status. Reading a field copies the schemas of all its siblings, which dominates
the cost. So each rule is as deep in the schema as possible, and reads `spec` only to compare two of its fields.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

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


class _Rule(NamedTuple):
    """A rule of a field of the spec."""

    field: str
    """The path of the field, empty for the spec itself; `[]` is the entries of a list."""
    expression: str
    message: str


_INLINE_AGENTS: Final = ("agent.inline", "agent.inline.agents[]")
# A template may leave these to its jobs.
_OF_COMPLETE_SPECS: Final = (
    # The template comes last: most jobs have none, and CEL stops at the first operand that is true.
    *(_Rule("", f"{_COMPLETE[field]} || has(self.templateRef)", message) for field, message in REQUIRED.items()),
    _Rule(
        "",
        "!has(self.parameters) || self.parameters.size() == 0 || has(self.templateRef)",
        "parameters need templateRef: the template declares them",
    ),
    _Rule(
        "workspace.worktree",
        "!has(self.mode) || self.mode != 'Named' || has(self.name)",
        "a Named worktree needs a name",
    ),
)
_OF_ALL_SPECS: Final = (
    *(
        _Rule(
            f"{agent}.name",
            f"self != '{RESERVED_AGENT_NAME}'",
            "is reserved by ADK; use another name, e.g. assistant",
        )
        for agent in _INLINE_AGENTS
    ),
    *(
        _Rule(
            agent,
            "!(has(self.instruction) && has(self.instructionFrom))",
            "instruction and instructionFrom exclude each other",
        )
        for agent in _INLINE_AGENTS
    ),
    _Rule(
        "agent",
        f"[{', '.join(f'has(self.{kind})' for kind in AGENT_KINDS)}].filter(x, x).size() <= 1",
        f"agent needs exactly one of {', '.join(AGENT_KINDS[:-1])} and {AGENT_KINDS[-1]}",
    ),
    _Rule(
        "agent.claudeCode",
        "!(has(self.mcpConfig) && has(self.mcpConfigFrom))",
        "mcpConfig and mcpConfigFrom exclude each other",
    ),
    _Rule("input", "!(has(self.message) && has(self.messageFrom))", "message and messageFrom exclude each other"),
    _Rule("", "!(has(self.startAt) && has(self.startAfter))", "startAt and startAfter exclude each other"),
    _Rule(
        "resultPolicy.rules[]",
        "has(self.onErrors) || has(self.onOutcomes) || has(self.onExitCodes) || has(self.onPodConditions)",
        "a rule needs a matcher: onErrors, onOutcomes, onExitCodes or onPodConditions",
    ),
    _Rule(
        "after",
        "has(self.jobs) && self.jobs.size() > 0 || has(self.selector) && self.selector.size() > 0",
        "after needs jobs or selector",
    ),
    _Rule(
        "steps.tools[].match",
        "self.size() > 0",
        "match is empty; name a tool, or write * for all of them",
    ),
    _Rule(
        "steps.compaction",
        "!has(self.overlap) || self.overlap < self.everyEvents",
        "overlap must be less than everyEvents",
    ),
    _Rule(
        "session",
        "!has(self.mode) || self.mode != 'Continue' || has(self.sessionId)",
        "mode Continue needs sessionId: its default differs in each job",
    ),
    _Rule(
        "",
        "!has(self.resultPolicy) || !has(self.resultPolicy.rules) || has(self.output) || "
        "self.resultPolicy.rules.all(r, !has(r.onOutcomes))",
        "onOutcomes needs output: an answer without a schema has no outcome",
    ),
    _Rule(
        "",
        "!has(self.runtime) || !has(self.runtime.runAsUser) || self.runtime.runAsUser > 0 || "
        "(has(self.isolation) && has(self.isolation.profile) && self.isolation.profile == 'Baseline')",
        "runAsUser 0 is root: use another user, or isolation.profile Baseline",
    ),
    _Rule(
        "isolation.egress",
        "!has(self.allow) || self.allow.size() == 0 || (has(self.mode) && self.mode == 'Restricted')",
        "egress.allow needs mode Restricted",
    ),
)


def add_job_rules(schema: Schema, *, complete: bool = True) -> None:
    """Add the rules that every job spec must fulfil.

    Args:
        complete: whether a spec without a template must have an agent and an input.
    """
    # Rules have a helpful message, where `required` would only give "Required value".
    for field in ("", "input", "workspace", "workspace.git"):
        _field(schema, field).pop("required", None)
    for rule in (*(_OF_COMPLETE_SPECS if complete else ()), *_OF_ALL_SPECS):
        add_rule(_field(schema, rule.field), rule.expression, rule.message)


def _field(schema: Schema, path: str) -> Schema:
    """Return the schema of a field of the spec; see `_Rule.field`."""
    for name in path.split(".") if path else ():
        schema = schema["properties"][name.removesuffix("[]")]
        if name.endswith("[]"):
            schema = schema["items"]
    return schema
