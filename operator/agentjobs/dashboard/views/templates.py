"""What the pages of templates show. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from agentjobs.api.conditions import find_condition
from agentjobs.api.job.team import as_object
from agentjobs.api.recorded_overview import TemplateItem
from agentjobs.api.template.spec import Parameter
from agentjobs.api.template.status import AgentTemplateStatus, TemplateConditionType
from agentjobs.dashboard.views.states import State, counted, text_of

_BUDGET: Final = (
    ("maxCostUSD", "$", ""),
    ("maxTokens", "", " tokens"),
    ("maxLLMCalls", "", " model calls"),
    ("maxToolCalls", "", " tool calls"),
    ("maxTurns", "", " turns"),
)
_PARAMETERS: Final = TypeAdapter(tuple[Parameter, ...])


@dataclass(frozen=True, slots=True)
class TemplateView:
    """A template."""

    namespace: str
    name: str
    state: State
    description: str
    runs: str
    """What it runs, in a few words."""
    facts: Sequence[tuple[str, str]]
    queue: str
    """The queue of its jobs; empty where it sets none."""
    message: str
    """The message to the agent as in the template; empty for none."""
    instruction: str
    needs_message: bool
    """Whether its jobs must have a message of their own."""
    locked: Sequence[str]
    parameters: Sequence[Parameter]
    usable: bool
    """Whether jobs can be created from it."""


def template_view(seen: TemplateItem) -> TemplateView:
    """Return what pages show of a template."""
    spec = as_object(seen.object.get("spec"))
    status = AgentTemplateStatus.parse(seen.object.get("status"))
    given = as_object(spec.get("input"))
    inline = as_object(as_object(spec.get("agent")).get("inline"))
    parameters = _parameters(spec)
    state = _state(status)
    return TemplateView(
        namespace=seen.namespace,
        name=seen.name,
        state=state,
        description=text_of(spec, "description"),
        runs=what_runs(spec),
        facts=list(_facts(spec)),
        queue=text_of(spec, "queue"),
        message=text_of(given, "message"),
        instruction=text_of(inline, "instruction"),
        needs_message=not (given.get("message") or given.get("messageFrom")),
        locked=list(_texts(spec.get("locked"))),
        parameters=parameters or (),
        usable=parameters is not None and state.tone != "bad",
    )


def what_runs(spec: Mapping[str, Any]) -> str:
    """Return what a spec runs, in a few words."""
    agent = as_object(spec.get("agent"))
    model = text_of(agent, "model")
    with_model = f" with {model}" if model else ""
    if isinstance(agent.get("claudeCode"), Mapping):
        return f"Claude Code{with_model}"
    if isinstance(agent.get("container"), Mapping):
        image = text_of(as_object(spec.get("runtime")), "image")
        return f"The container {image}" if image else "A container"
    if ref := text_of(as_object(agent.get("module")), "ref"):
        return f"The module {ref}{with_model}"
    if isinstance(agent.get("inline"), Mapping):
        inline = agent["inline"]
        others = inline.get("agents")
        team = f" and {counted(len(others), 'other')}" if isinstance(others, list) and others else ""
        name = text_of(inline, "name")
        return f"{f'The agent {name}' if name else 'An inline agent'}{team}{with_model}"
    return f"The agent of each job{with_model}"


def _facts(spec: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    if isinstance(priority := spec.get("priority"), int):
        yield "Priority", f"{priority} (0 is first, 9 is last)"
    if partition := text_of(spec, "partitionKey"):
        yield "Partition", partition
    git = as_object(as_object(spec.get("workspace")).get("git"))
    if url := text_of(git, "url"):
        yield "Repository", url + (f" at {text_of(git, 'ref')}" if text_of(git, "ref") else "")
    budget = as_object(spec.get("budget"))
    limits = [f"{before}{budget[key]}{unit}" for key, before, unit in _BUDGET if isinstance(budget.get(key), str | int)]
    if limits:
        yield "Budget", f"{', '.join(limits)} at most"
    attempts = as_object(spec.get("retry")).get("maxAttempts")
    if isinstance(attempts, int):
        yield "Attempts", str(attempts)
    follow = [text_of(as_object(follow_up), "name") for follow_up in _list(spec.get("followUps"))]
    if follow:
        yield "Followed by", ", ".join(name or "a job" for name in follow)


def _state(status: AgentTemplateStatus) -> State:
    valid = find_condition(status.conditions, TemplateConditionType.VALID)
    if valid is None:
        return State("Not seen", "dim", "No operator has looked at this template yet.")
    if valid.status == "True":
        return State("Valid", "ok", "Jobs can be made of it, if they give what it leaves open.")
    return State("Invalid", "bad", "It breaks rules; jobs of it wait until it is legal.", valid.reason, valid.message)


def _parameters(spec: Mapping[str, Any]) -> tuple[Parameter, ...] | None:
    """Return what is declared; None where it cannot be read."""
    try:
        return _PARAMETERS.validate_python(spec.get("parameters") or ())
    except ValidationError:
        return None


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _texts(value: object) -> Iterable[str]:
    return (text for text in _list(value) if isinstance(text, str))
