"""Problems of a spec, with field, value and cure. Translates pydantic's errors.

Values are shortened. Those of unknown fields and environment variables are omitted: they may be secrets, and problems
appear in conditions, events and logs.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agentjobs.api import fields
from agentjobs.api.conditions import AcceptedReason
from agentjobs.api.job import spec as agentjob
from agentjobs.api.job.workspace import GIT_URL
from agentjobs.api.schedule.cron import SCHEDULE_PATTERN
from agentjobs.durations import DURATION_CURE, DURATION_PATTERN, TIME_CURE, TIME_PATTERN
from agentjobs.refused_value import RefusedValue

Path = tuple[str | int, ...]
"""Path of a field below `spec`, with the CRD's names: `("agent", "inline", "agents", 0, "name")`."""

MAX_SHOWN: Final = 60
MAX_PROBLEMS: Final = 25
"""The message of a condition has room for about ten."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One problem of a field.

    `value` is shortened JSON, empty if there is nothing to show.
    """

    field: str
    value: str
    message: str
    reason: AcceptedReason = AcceptedReason.INVALID_SPEC
    lacking: bool = False
    """Whether a value is missing that another layer may add, so that it is not a problem of a template or job alone.
    """

    def __str__(self) -> str:
        """Return `field: value message`, e.g. `spec.priority: 12 is too large; use at most 9`."""
        return f"{self.field}: {self.value} {self.message}" if self.value else f"{self.field}: {self.message}"


def rejection(problems: Iterable[FieldProblem]) -> tuple[AcceptedReason, str]:
    """Return reason and message of the condition that reports all problems of a job."""
    found = list(problems)
    reasons = {problem.reason for problem in found}
    if AcceptedReason.SPEC_TOO_LARGE in reasons:
        reason = AcceptedReason.SPEC_TOO_LARGE
    else:
        reason = reasons.pop() if len(reasons) == 1 else AcceptedReason.INVALID_SPEC
    return reason, "; ".join(map(str, found))


def problem_at(path: Path, value: object, message: str, *, lacking: bool = False) -> FieldProblem:
    """Return a problem of the field at `path`, with `value` in the message."""
    return FieldProblem(field_name(path), "" if _is_private(path) else shown(value), message, lacking=lacking)


def name_problems(name: object, *, most: int, because: str) -> Iterator[FieldProblem]:
    """Yield a problem of the name of an object.

    Args:
        most: its longest length.
        because: why it is shorter than Kubernetes allows.
    """
    if not isinstance(name, str) or not re.fullmatch(fields.DNS_SUBDOMAIN, name):
        cure = "is not an object name; use lower case letters, digits, - and ., with a letter or digit at both ends"
        yield FieldProblem("metadata.name", "" if name is None else shown(name), cure)
    elif len(name) > most:
        cure = f"has {len(name)} characters; use at most {most}, because {because}"
        yield FieldProblem("metadata.name", shown(name), cure)


def field_name(path: Path, root: str = "spec") -> str:
    """Return the path as people write it: `spec.agent.inline.agents[0].name`."""
    text = root
    for part in path[:MAX_DEPTH_SHOWN]:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if _PLAIN_NAME.fullmatch(part) else f"[{shown(part)}]"
    return text if len(path) <= MAX_DEPTH_SHOWN else f"{text}…"


def shown(value: object) -> str:
    """Return any value as JSON, at most 60 characters. Never raises."""
    if isinstance(value, str):
        text = json.dumps(value[: MAX_SHOWN + 1], ensure_ascii=False)
        # Surrogates cannot be encoded as UTF-8.
        text = text.encode("utf-8", "replace").decode()
        return text if len(value) <= MAX_SHOWN else f'{text[:MAX_SHOWN]}…"'
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return str(value)[:MAX_SHOWN] if not isinstance(value, int) or value.bit_length() < 200 else "a huge number"
    return f"a {type(value).__name__}"[:MAX_SHOWN]


def details(refused: ValidationError) -> list[ErrorDetails]:
    """Return pydantic's errors, without lists that are too short only because some of their entries are invalid."""
    errors = refused.errors(include_url=False)
    parents = {error["loc"][:size] for error in errors for size in range(len(error["loc"]))}
    return [error for error in errors if error["type"] != "too_short" or error["loc"] not in parents]


def from_error(error: ErrorDetails, spec: type[BaseModel] = agentjob.AgentJobSpec) -> FieldProblem:
    """Translate one of pydantic's errors about a spec of that model."""
    path: Path = tuple(part for part in error["loc"] if part != "[key]")
    value, kind, context = error["input"], error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return FieldProblem(field_name(path), "", _unknown_field(path, spec))
    if kind == "missing":
        return FieldProblem(field_name(path), "", _REQUIRED.get(path, "is required"), lacking=True)
    if isinstance(refused := context.get("error"), RefusedValue):
        return problem_at(path, refused.value, refused.message)
    if kind == "value_error":
        return FieldProblem(field_name(path), "", str(context.get("error", error["msg"])))
    if kind == "string_pattern_mismatch":
        return problem_at(path, value, _pattern_cure(str(context.get("pattern")), value))
    if kind in _TYPES:
        return problem_at(path, value, _TYPES[kind])
    if kind in _BOUNDS:
        return problem_at(path, value, _BOUNDS[kind].format(**context))
    return problem_at(path, value, f"is refused: {error['msg']}"[:200])


def _unknown_field(path: Path, spec: type[BaseModel]) -> str:
    model = _model_at(path[:-1], spec)
    known = [] if model is None else [str(field.alias) for field in model.model_fields.values()]
    near = difflib.get_close_matches(str(path[-1])[:63], known, n=1)
    cure = f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}" if known else "remove it"
    return f"is an unknown field; {cure}"


def _model_at(path: Path, spec: type[BaseModel]) -> type[BaseModel] | None:
    """Return the model of the object at `path`, following the annotations."""
    kind: object = spec
    for part in path:
        if isinstance(part, int):
            continue
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return None
        field = next((field for field in kind.model_fields.values() if field.alias == part), None)
        kind = None if field is None else _innermost_model(field.annotation)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _innermost_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    arguments = getattr(annotation, "__args__", ())
    return next((model for model in map(_innermost_model, arguments) if model is not None), None)


def _pattern_cure(pattern: str, value: object) -> str:
    if pattern == GIT_URL:
        return "is not a Git address; use https://HOST/PATH, ssh://HOST/PATH or USER@HOST:PATH, without a password"
    cure = PATTERN_CURES.get(pattern, f"does not match {pattern}")
    if pattern == fields.IDENTIFIER and isinstance(value, str) and len(value) <= 63:
        return f"{cure}, e.g. {agentjob.default_agent_name(value)}"
    return cure


def _is_private(path: Path) -> bool:
    return path[:2] == ("runtime", "env") and path[-1:] == ("value",)


MAX_DEPTH_SHOWN: Final = 12
_PLAIN_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_-]{0,62}", re.ASCII)
_REQUIRED: Final[Mapping[Path, str]] = {
    ("agent",): "is required; name it with agent.inline, agent.module, agent.claudeCode or agent.container",
    ("input",): "is required; give the agent its message with input.message or input.messageFrom",
}
_TYPES: Final[Mapping[str, str]] = {
    "string_type": "is not a string; write it in quotes",
    "int_type": "is not a whole number; write it without quotes or fraction",
    "bool_type": "is not true or false; write it without quotes",
    "tuple_type": "is not a list; write each entry after a dash",
    "dict_type": "is not an object; write keys and values below it",
    "model_type": "is not an object; write its fields below it",
    "model_attributes_type": "is not an object; write its fields below it",
    "invalid_key": "has a key that is not a string",
}
_BOUNDS: Final[Mapping[str, str]] = {
    "string_too_short": "is too short; use at least {min_length} characters",
    "string_too_long": "is too long; use at most {max_length} characters",
    "too_short": "has {actual_length} entries; use at least {min_length}",
    "too_long": "has {actual_length} entries; use at most {max_length}",
    "greater_than_equal": "is too small; use at least {ge}",
    "less_than_equal": "is too large; use at most {le}",
    "literal_error": "is not allowed; use {expected}",
}
PATTERN_CURES: Final[Mapping[str, str]] = {
    fields.ONE_LINE: "has line breaks or other control characters; remove them",
    fields.IDENTIFIER: "is not an identifier; use letters, digits and _",
    fields.APP_NAME: "is not an application name; begin with a letter, then use letters, digits, _ and -",
    fields.DNS_LABEL: "is not a name; use lower case letters, digits and -, and begin and end with a letter or digit",
    fields.DNS_SUBDOMAIN: "is not an object name; use lower case letters, digits, - and .",
    fields.CONFIG_KEY: "is not a key; use letters, digits, -, _ and .",
    fields.ENV_NAME: "is not a variable name; use letters, digits, _, - and ., not beginning with a digit",
    fields.MODULE_REF: "names no attribute; use package.module:attribute",
    fields.MODEL_NAME: "is not a model name; remove blanks",
    fields.SERVER_NAME: "is not a server name; use letters, digits, _ and -",
    fields.HTTP_URL: "is not an address; use http:// or https://, without user and password (see headersFrom)",
    fields.DOLLARS: 'is not an amount of US dollars above 0; use digits and a point, e.g. "2.50"',
    fields.HEADER_NAME: "is not a header name; use letters, digits and -",
    SCHEDULE_PATTERN: "is not a schedule; use five fields (minute hour day month weekday), e.g. 30 6 * * 1-5, or "
    "@daily; without seconds, with the zone in timeZone",
    DURATION_PATTERN: f"is not a duration; {DURATION_CURE}",
    TIME_PATTERN: f"is not a time; {TIME_CURE}",
}
