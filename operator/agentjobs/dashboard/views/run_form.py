"""The form that runs a template: its fields, made from the template's parameters, and what was typed into it. Pure."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from agentjobs.api.job.relations import MAX_PARAMETER
from agentjobs.api.job.spec import MAX_JOB_NAME
from agentjobs.api.template.parameters import value_problems
from agentjobs.api.template.spec import Parameter
from agentjobs.dashboard.views.templates import TemplateView

MESSAGE: Final = "message"
MAX_MESSAGE: Final = 65536
PREFIX: Final = "p."
_LINE: Final = 80
"""Characters of a default that is shown in one line."""
_ONCE: Final = re.compile("[0-9a-f]{16}")
_DIGITS: Final = 10


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the form."""

    name: str
    """In the form."""
    id: str
    label: str
    text: str
    """Its description; empty without one."""
    kind: Literal["select", "line", "text"]
    value: str
    required: bool
    options: tuple[str, ...] = ()
    most: int = MAX_PARAMETER
    """Characters."""
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class RunForm:
    """What was typed, and what is wrong with it."""

    fields: tuple[Field, ...]
    once: str
    """Identifies this form: sending it twice creates one job."""
    parameters: Mapping[str, str]
    """What the job gives."""
    message: str | None
    job: str
    """Name that the job has."""

    @property
    def wrong(self) -> bool:
        return any(field.wrong for field in self.fields)


def empty_form(template: TemplateView, once: str) -> RunForm:
    """Return the form as it is shown first, with the defaults typed in."""
    return _form(template, {}, once, {})


def filled_form(template: TemplateView, sent: Mapping[str, str], once: str) -> RunForm:
    """Return the form as it was sent, with what is wrong at each field.

    Args:
        sent: the fields by name; its `once` is used if it is valid, else the argument.
    """
    typed = {name: lines(text) for name, text in sent.items()}
    return _form(template, typed, once_of(typed, once), _wrong(template, typed))


def lines(text: str) -> str:
    """Return a text with line breaks as in YAML; forms are sent with others."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def once_of(typed: Mapping[str, str], once: str) -> str:
    """Return the identifier of a form that was sent, else `once`."""
    return typed["once"] if _ONCE.fullmatch(typed.get("once", "")) else once


def job_name(stem: str, *values: Any) -> str:
    """Return a name derived from a form's identifier and values, so that sending it twice creates one job."""
    digest = hashlib.sha256(json.dumps(values).encode()).hexdigest()[:_DIGITS]
    return f"{stem.replace('.', '-')[: MAX_JOB_NAME - _DIGITS - 1].rstrip('-')}-{digest}"


def _form(template: TemplateView, typed: Mapping[str, str], once: str, wrong: Mapping[str, str]) -> RunForm:
    fields = [parameter_field(parameter, typed, wrong.get(parameter.name, "")) for parameter in template.parameters]
    if template.needs_message:
        fields.append(_message_field(typed, wrong.get("", "")))
    parameters = _given(template.parameters, typed)
    message = typed.get(MESSAGE) if template.needs_message else None
    name = job_name(template.name, once, sorted(parameters.items()), message)
    return RunForm(tuple(fields), once, parameters, message, name)


def parameter_field(parameter: Parameter, typed: Mapping[str, str], wrong: str) -> Field:
    """Return the field of a parameter, with what was typed into it, else its default."""
    name, default = f"{PREFIX}{parameter.name}", parameter.default or ""
    value = typed.get(name, default)
    is_line = 0 < len(default) <= _LINE and "\n" not in default and "\n" not in value
    return Field(
        name=name,
        id=f"p-{parameter.name}",
        label=parameter.name,
        text=parameter.description or "",
        kind="select" if parameter.enum else "line" if is_line else "text",
        value=value,
        required=parameter.required,
        options=parameter.enum,
        wrong=wrong,
    )


def _message_field(typed: Mapping[str, str], wrong: str) -> Field:
    text = "The message to the agent. The template does not have one."
    value = typed.get(MESSAGE, "")
    return Field(MESSAGE, "job-message", "Message", text, "text", value, True, most=MAX_MESSAGE, wrong=wrong)


def _given(declared: Sequence[Parameter], typed: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that the job sets: those that differ from the template's default."""
    given = {}
    for parameter in declared:
        value = typed.get(f"{PREFIX}{parameter.name}", "")
        left = (
            value == (parameter.default or "")
            or (parameter.enum and not value)
            or f"{PREFIX}{parameter.name}" not in typed
        )
        if not left:
            given[parameter.name] = value
    return given


def _wrong(template: TemplateView, typed: Mapping[str, str]) -> dict[str, str]:
    """Return the errors by parameter; the message has the empty name."""
    given = _given(template.parameters, typed)
    found: dict[str, str] = {}
    for name in [parameter.name for parameter in template.parameters]:
        if len(given.get(name, "")) > MAX_PARAMETER:
            found[name] = f"Enter at most {MAX_PARAMETER:,} characters; these are {len(given[name]):,}."
    for problem in value_problems(template.parameters, given, template.name):
        name = problem.field.removeprefix("spec.parameters.")
        found.setdefault(name, "It is required." if name not in given else f"It {problem.message}.")
    if template.needs_message:
        message = typed.get(MESSAGE, "")
        if not message.strip():
            found[""] = "It is required."
        elif len(message) > MAX_MESSAGE:
            found[""] = f"Enter at most {MAX_MESSAGE:,} characters; these are {len(message):,}."
    return found
