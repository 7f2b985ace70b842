"""Rules of `agent.claudeCode` and `agent.container` over several fields. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from agentjobs.api.job.team import as_object
from agentjobs.api.problems import FieldProblem, Path, field_name, problem_at

MANAGED_FLAGS: Final = frozenset(
    {
        *("-p", "--print", "--output-format", "--input-format", "--verbose", "--include-partial-messages"),
        *("--model", "--fallback-model", "--permission-mode", "--permission-prompts", "--permission-prompt-tool"),
        *("--dangerously-skip-permissions", "--allow-dangerously-skip-permissions", "--restricted"),
        *("--system-prompt", "--system-prompt-file", "--append-system-prompt", "--append-system-prompt-file"),
        *("--system-prompt-snapshot", "--allowedTools", "--allowed-tools", "--disallowedTools", "--disallowed-tools"),
        *("--mcp-config", "--strict-mcp-config", "--setting-sources", "--settings", "--max-turns", "--max-budget-usd"),
        *("--json-schema", "--session-id", "-r", "--resume", "-c", "--continue", "--fork-session"),
        *("--no-session-persistence", "--replay-user-messages", "-w", "--worktree", "--bare", "--safe-mode", "--bg"),
        *("-h", "--help", "-v", "--version", "--"),
    }
)
"""Flags of the CLI that the runner sets or that would undo what it sets."""
INTERACTIVE_FLAGS: Final = frozenset(
    {
        *("--background", "--cloud", "--desktop", "--environment", "--from-pr", "--teleport", "--tmux"),
        *("--ide", "--chrome", "--remote-control", "--remote-control-session-name-prefix"),
    }
)
"""Flags that need a terminal or move the session. The CLI silently ignores some of them."""

_OF_OTHER_APIS: Final = ("gemini-", "gemini/", "openai/")


def coding_problems(spec: Mapping[str, Any]) -> Iterator[FieldProblem]:
    """Yield the problems of agents of these kinds. Values of wrong types are skipped: the models report them."""
    agent = spec.get("agent")
    if not isinstance(agent, Mapping):
        return
    if isinstance(agent.get("claudeCode"), Mapping):
        yield from _claude_problems(spec, agent, agent["claudeCode"])
    if isinstance(agent.get("container"), Mapping):
        yield from _container_problems(spec)
    budget = spec.get("budget")
    if isinstance(budget, Mapping) and budget.get("maxTurns") is not None and agent.get("claudeCode") is None:
        cure = "counts turns of agent.claudeCode; use maxLLMCalls"
        yield problem_at(("budget", "maxTurns"), budget["maxTurns"], cure, lacking=_open(agent))


def _open(agent: Mapping[str, Any]) -> bool:
    """Whether another layer may still choose the kind of agent."""
    return not any(agent.get(kind) is not None for kind in ("inline", "module", "container"))


def _claude_problems(
    spec: Mapping[str, Any], agent: Mapping[str, Any], claude: Mapping[str, Any]
) -> Iterator[FieldProblem]:
    here: Path = ("agent", "claudeCode")
    profile = as_object(spec.get("isolation")).get("profile")
    if claude.get("permissionMode") == "BypassPermissions" and profile not in (None, "Restricted"):
        cure = "allows everything; set isolation.profile Restricted"
        yield problem_at((*here, "permissionMode"), "BypassPermissions", cure, lacking=True)
    if claude.get("mcpConfig") is not None and claude.get("mcpConfigFrom") is not None:
        yield FieldProblem(field_name(here), "", "has mcpConfig and mcpConfigFrom, which exclude each other; keep one")
    if agent.get("model") is None:
        # The CLI's default changes between versions, and prices, policies and limits need a name.
        cure = "is missing; name an Anthropic model, e.g. sonnet"
        yield FieldProblem(field_name(("agent", "model")), "", cure, lacking=True)
    elif str(agent["model"]).startswith("scripted/"):
        cure = "is scripted, which Claude Code does not support; name an Anthropic model, e.g. sonnet"
        yield problem_at(("agent", "model"), agent["model"], cure)
    elif str(agent["model"]).startswith(_OF_OTHER_APIS):
        cure = "does not use Anthropic's API, which Claude Code needs; name an Anthropic model, e.g. sonnet"
        yield problem_at(("agent", "model"), agent["model"], cure)
    yield from _argument_problems(claude.get("extraArgs"))
    for name in ("allowedTools", "disallowedTools"):
        rules = claude.get(name)
        for index, rule in enumerate(rules if isinstance(rules, list | tuple) else ()):
            if isinstance(rule, str) and rule.startswith("-"):
                yield problem_at((*here, name, index), rule, "is a flag; a rule begins with the name of a tool")
    yield from _adk_only_problems(spec, "agent.claudeCode")


def _argument_problems(arguments: object) -> Iterator[FieldProblem]:
    here: Path = ("agent", "claudeCode", "extraArgs")
    for index, argument in enumerate(arguments if isinstance(arguments, list | tuple) else ()):
        if isinstance(argument, str) and _is_managed(argument):
            cure = "is set by the runner; use the field of agent.claudeCode, output or budget for it"
            yield problem_at((*here, index), argument, cure)
        elif isinstance(argument, str) and index == 0 and not argument.startswith("-"):
            # The CLI would read it as a message, or as a command such as `mcp`.
            yield problem_at((*here, index), argument, "is not a flag; put messages into input.message")
        elif isinstance(argument, str) and argument.partition("=")[0] in INTERACTIVE_FLAGS:
            cure = "needs a person at a terminal; remove it"
            yield problem_at((*here, index), argument, cure)


def _is_managed(argument: str) -> bool:
    # A short flag takes its value without a space: `-rID` resumes a session.
    short = argument[:2] if argument[:1] == "-" and argument[1:2] != "-" else ""
    return argument.partition("=")[0] in MANAGED_FLAGS or short in MANAGED_FLAGS


def _container_problems(spec: Mapping[str, Any]) -> Iterator[FieldProblem]:
    if not as_object(spec.get("runtime")).get("image"):
        cure = "needs runtime.image, an image that implements the runner contract"
        yield FieldProblem(field_name(("agent", "container")), "", cure, lacking=True)


def _adk_only_problems(spec: Mapping[str, Any], kind: str) -> Iterator[FieldProblem]:
    """Yield problems of fields that only apply to ADK agents."""
    agent, output, steps = (as_object(spec.get(name)) for name in ("agent", "output", "steps"))
    named = {
        ("agent", "runConfig"): agent.get("runConfig"),
        ("input", "state"): as_object(spec.get("input")).get("state"),
        ("output", "fromState"): output.get("fromState"),
        ("steps", "compaction"): steps.get("compaction"),
        ("steps", "tools"): steps.get("tools"),
    }
    for path, value in named.items():
        if value:
            yield FieldProblem(field_name(path), "", f"only applies to ADK agents, not to {kind}; remove it")
    if as_object(spec.get("session")).get("mode") == "Continue":
        yield problem_at(
            ("session", "mode"), "Continue", f"only applies to ADK agents; {kind} begins a new session in each job"
        )
