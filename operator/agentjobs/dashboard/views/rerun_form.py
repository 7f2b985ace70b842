"""The form that runs a job again with changes: filled with the old values. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from agentjobs.api.fields import DOLLARS
from agentjobs.api.job.budget import MAX_CALLS, MAX_TOKENS
from agentjobs.api.job.relations import MAX_PARAMETER
from agentjobs.api.job.resolve import unresolved
from agentjobs.api.job.team import as_object
from agentjobs.api.recorded import RecordedSpec
from agentjobs.api.template.parameters import value_problems
from agentjobs.api.template.spec import Parameter
from agentjobs.dashboard.views.run_form import (
    MAX_MESSAGE,
    PREFIX,
    Field,
    job_name,
    lines,
    once_of,
    parameter_field,
)
from agentjobs.dashboard.views.states import text_of
from agentjobs.dashboard.views.templates import TemplateView

MODEL: Final = "model"
ATTEMPTS: Final = "maxAttempts"
MESSAGE: Final = "message"
MAX_MODEL: Final = 253
MAX_ATTEMPTS: Final = 100
BUDGET: Final = "budget."
"""Before the names of limits in the form."""
COST: Final = "maxCostUSD"
_LONGEST_AMOUNT: Final = 16
# More than any allowed number has: a browser would cut 1000 to 100, and 100 would be allowed.
_TYPED: Final = 40
_BUDGET: Final = {
    COST: "Maximum cost in US dollars",
    "maxTokens": "Maximum tokens",
    "maxLLMCalls": "Maximum model calls",
    "maxToolCalls": "Maximum tool calls",
    "maxTurns": "Maximum turns of Claude Code",
}
"""The limits of a budget, with their labels."""
_NO_LIMIT: Final = (
    f"Enter a whole number above 0, up to {MAX_CALLS:,}; for tokens up to {MAX_TOKENS:,}.",
    "Enter an amount above 0, such as 2.50.",
)
"""What is wrong with a number, and with an amount."""


@dataclass(frozen=True, slots=True)
class Old:
    """The work that is run again."""

    spec: Mapping[str, Any]
    """The job's own spec, or what a new job has of the accepted one."""
    template: TemplateView | None = None
    """Its template; None if it has none, or if it cannot be read."""


@dataclass(frozen=True, slots=True)
class RerunForm:
    """What was typed, and what is wrong with it."""

    fields: tuple[Field, ...]
    once: str
    """Identifies this form: sending it twice creates one job."""
    body: Mapping[str, Any]
    """The request to REST: the new job's name, and values that differ from the old ones."""
    template: str
    """The template whose current content the new job has; empty for none."""

    @property
    def wrong(self) -> bool:
        return any(field.wrong for field in self.fields)


def old_of_history(recorded: RecordedSpec) -> Old:
    """Return the work of a job whose object is gone. Raises errors.Invalid if it cannot be run again."""
    return Old(unresolved(recorded.spec, name=recorded.name, uid=recorded.uid, parameters=recorded.parameters))


def rerun_form(old: Old, name: str, once: str, sent: Mapping[str, str] | None = None) -> RerunForm:
    """Return the form with the old values, or as it was sent, with what is wrong at each field.

    Args:
        name: the job's name.
        sent: the fields by name; its `once` is used if it is valid, else the argument.
    """
    typed = {key: lines(text) for key, text in (sent or {}).items()}
    once = once_of(typed, once)
    fields = tuple(field if sent is not None else replace(field, wrong="") for field in _fields(old, typed))
    body = dict(_changed(old, {field.name: field.value for field in fields}))
    template = text_of(as_object(old.spec.get("templateRef")), "name")
    return RerunForm(fields, once, {"name": job_name(name, once, sorted(body.items())), **body}, template)


def _fields(old: Old, typed: Mapping[str, str]) -> Iterator[Field]:
    locked = old.template.locked if old.template else ()
    values = _parameters(old)
    given = {name: typed.get(f"{PREFIX}{name}", value) for name, value in values.items()}
    wrong = _wrong_parameters(old, values, given)
    for parameter in _declared(old):
        shown = {f"{PREFIX}{parameter.name}": given[parameter.name]}
        yield parameter_field(parameter, shown, wrong.get(parameter.name, ""))
    if _has_message(old):
        yield _message(old, typed)
    if "agent" not in locked:
        before = _model(old)
        value = typed.get(MODEL, before).strip()
        bad = "It is required." if before and not value else _too_long(value, MAX_MODEL)
        text = "" if before or not old.spec.get("templateRef") else "Empty: the template's."
        yield Field(MODEL, "job-model", "Model", text, "line", value, bool(before), most=MAX_MODEL, wrong=bad)
    if "retry" not in locked:
        before = _attempts(old)
        value = typed.get(ATTEMPTS, before).strip()
        fits = _is_a_count(value)
        bad = "" if fits or value == before == "" else f"Enter a number from 1 to {MAX_ATTEMPTS}."
        text = "" if before else "Empty: the default."
        yield Field(
            ATTEMPTS, "job-attempts", "Maximum attempts", text, "line", value, bool(before), most=_TYPED, wrong=bad
        )
    if "budget" not in locked:
        yield from _budget(old, typed)


def _budget(old: Old, typed: Mapping[str, str]) -> Iterator[Field]:
    """Yield the limits that the job sets, and that of its cost."""
    limits = _limits(old)
    for name in limits:
        label, before = _BUDGET[name], limits[name]
        value = typed.get(f"{BUDGET}{name}", before).strip()
        bad = "" if value == before or _limit(name, value) is not None else _NO_LIMIT[name == COST]
        text = "" if before else "Empty: the template's." if old.spec.get("templateRef") else "Empty: no limit."
        yield Field(f"{BUDGET}{name}", f"job-{name}", label, text, "line", value, bool(before), most=_TYPED, wrong=bad)


def _message(old: Old, typed: Mapping[str, str]) -> Field:
    given, before = as_object(old.spec.get("input")), _old_message(old)
    place = ""
    if given.get("messageFrom"):
        place = f"in ConfigMap {text_of(as_object(as_object(given['messageFrom']).get('configMapKeyRef')), 'name')}"
    elif given.get("message") and not before:
        place = "too long for this form"
    text = f"The old message is {place}. Leave this empty to keep it." if place else ""
    value = typed.get(MESSAGE, before)
    wrong = "It is required." if not place and not value.strip() else _too_long(value, MAX_MESSAGE)
    return Field(MESSAGE, "job-message", "Message", text, "text", value, not place, most=MAX_MESSAGE, wrong=wrong)


def _changed(old: Old, values: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield what differs from the old values, by the names in the body. An empty field keeps the old value."""
    before = _parameters(old)
    parameters = {
        name: values[f"{PREFIX}{name}"]
        for name in before
        if f"{PREFIX}{name}" in values and values[f"{PREFIX}{name}"] != before[name]
    }
    if parameters:
        yield "parameters", parameters
    for name, was in ((MESSAGE, _old_message(old)), (MODEL, _model(old))):
        if values.get(name, was) not in ("", was):
            yield name, values[name]
    attempts = values.get(ATTEMPTS, "")
    if attempts != _attempts(old) and _is_a_count(attempts):
        yield ATTEMPTS, int(attempts)
    before_limits = _limits(old)
    limits = {
        name: limit
        for name, was in before_limits.items()
        if (value := values.get(f"{BUDGET}{name}", was)) != was and (limit := _limit(name, value)) is not None
    }
    if limits:
        yield "budget", limits


def _is_a_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MAX_ATTEMPTS


def _declared(old: Old) -> tuple[Parameter, ...]:
    """Return the parameters of the template; if it cannot be read, those that the job sets."""
    if old.template is not None:
        return tuple(old.template.parameters)
    # Their names may be any text: nothing has checked those of an object that was refused.
    return tuple(Parameter.model_construct(name=name) for name in _given(old))


def _parameters(old: Old) -> dict[str, str]:
    """Return the old value of each parameter."""
    given = _given(old)
    return {parameter.name: lines(given.get(parameter.name, parameter.default or "")) for parameter in _declared(old)}


def _given(old: Old) -> dict[str, str]:
    given = as_object(old.spec.get("parameters")) if old.spec.get("templateRef") else {}
    return {str(name): value for name, value in given.items() if isinstance(value, str)}


def _wrong_parameters(old: Old, before: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    set_ = {name: value for name, value in given.items() if name in _given(old) or value != before[name]}
    found = {name: wrong for name, value in set_.items() if (wrong := _too_long(value, MAX_PARAMETER))}
    if old.template is not None:
        for problem in value_problems(old.template.parameters, set_, old.template.name):
            name = problem.field.removeprefix("spec.parameters.")
            found.setdefault(name, "It is required." if name not in set_ else f"It {problem.message}.")
    return found


def _has_message(old: Old) -> bool:
    """Whether the message is the job's own; otherwise the template makes it, from its parameters."""
    given = as_object(old.spec.get("input"))
    needs_own = not old.spec.get("templateRef") or (old.template is not None and old.template.needs_message)
    return needs_own or bool(given.get("message") or given.get("messageFrom"))


def _old_message(old: Old) -> str:
    text = lines(text_of(as_object(old.spec.get("input")), "message"))
    return text if len(text) <= MAX_MESSAGE else ""


def _model(old: Old) -> str:
    return text_of(as_object(old.spec.get("agent")), "model")


def _attempts(old: Old) -> str:
    attempts = as_object(old.spec.get("retry")).get("maxAttempts")
    return str(attempts) if isinstance(attempts, int) else ""


def _limits(old: Old) -> dict[str, str]:
    """Return the old values of the limits in the form, as texts; empty for none."""
    given = as_object(old.spec.get("budget"))
    return {name: str(given.get(name, "")) for name in _BUDGET if name == COST or name in given}


def _limit(name: str, text: str) -> str | int | None:
    """Return the value of a limit, None if it has none."""
    if name == COST:
        return text if re.fullmatch(DOLLARS, text) and len(text) <= _LONGEST_AMOUNT else None
    most = MAX_TOKENS if name == "maxTokens" else MAX_CALLS
    fits = text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 1 <= int(text) <= most
    return int(text) if fits else None


def _too_long(value: str, most: int) -> str:
    return f"Enter at most {most:,} characters; these are {len(value):,}." if len(value) > most else ""
