"""The triggers file of an installation: which signed calls create jobs from which templates."""

import asyncio
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from agentjobs.api.fields import DNS_LABEL, DNS_SUBDOMAIN, PARAMETER_NAME
from agentjobs.errors import AgentJobsError, Misconfigured
from agentjobs.models import marked_yaml
from agentjobs.models.marked_yaml import Flaw, shown
from agentjobs.models.models_file import Duration, Form

logger = logging.getLogger(__name__)

# The kubelet updates the volume of a changed ConfigMap within a minute or so.
POLL_SECONDS: Final = 5.0
_HEADER: Final = re.compile(r"header:([A-Za-z0-9-]{1,64})", re.ASCII)
_STEP: Final = re.compile(r"[^.\s]{1,253}")
_MAX_STEPS: Final = 16


class Signature(StrEnum):
    """How a call is signed."""

    GITHUB = "GitHub"
    SLACK = "Slack"
    STANDARD_WEBHOOKS = "StandardWebhooks"


@dataclass(frozen=True, slots=True)
class Source:
    """The place of a value in a call: a header, or a path in its body."""

    header: str | None
    path: tuple[str, ...]

    @classmethod
    def parse(cls, value: object) -> "Source":
        """Parse a source: `header:X-GitHub-Event`, or `pull_request.labels.0`.

        Raises:
            ValueError: the text is not a source.
        """
        if isinstance(value, Source):
            return value
        text = value if isinstance(value, str) else ""
        if text.startswith("header:"):
            if (match := _HEADER.fullmatch(text)) is None:
                raise ValueError(f"{shown(value)} is not the name of a header; write it as header:X-GitHub-Event")
            return cls(match[1].lower(), ())
        steps = tuple(text.split("."))
        if len(steps) > _MAX_STEPS or not all(_STEP.fullmatch(step) for step in steps):
            raise ValueError(f"{shown(value)} is not a path; write names with dots between them, such as issue.number")
        return cls(None, steps)


def _file(value: object) -> Path:
    # The value is not shown, because it may be the secret itself.
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value or len(value) > 4096:
        raise ValueError("is not the path of a file; write the full path of the file that holds the secret")
    return Path(value)


def _matching(pattern: str, what: str, most: int = 63) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, str) and re.fullmatch(pattern, value) and len(value) <= most:
            return value
        raise ValueError(f"{shown(value)} is not the name of {what}")

    return BeforeValidator(check)


def _text(value: object) -> str:
    """Return a value in the form in which it is compared with calls: numbers and booleans as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise ValueError(f"{shown(value)} is not text; write it in quotes")


def _sources(value: object) -> object:
    # pydantic does not convert the keys of a mapping.
    if not isinstance(value, dict):
        return value
    # Reported here, because pydantic would show the key as a Python object.
    for key, item in value.items():
        if not isinstance(item, list):
            raise ValueError(f"{shown(key)} needs a list of values; write each value after a dash, or in [ ]")
    return {Source.parse(key): item for key, item in value.items()}


Place = Annotated[Source, BeforeValidator(Source.parse)]
Parameter = Annotated[str, _matching(PARAMETER_NAME, "a parameter")]


class TriggerEntry(Form):
    """Calls with one signature, and the jobs that they create."""

    namespace: Annotated[str, _matching(DNS_LABEL, "a namespace")]
    template: Annotated[str, _matching(DNS_SUBDOMAIN, "a template")]
    signature: Annotated[Signature, BeforeValidator(lambda value: marked_yaml.choice(Signature, value))]
    secret_files: Annotated[tuple[Annotated[Path, BeforeValidator(_file)], ...], Field(min_length=1, max_length=8)]
    """Files with the secrets; a call may be signed with any of them."""
    parameters: dict[Parameter, Place] = Field(default_factory=dict)
    """The parameters of the template and the places of their values in a call. A value that is missing is not given."""
    when: Annotated[dict[Source, tuple[Annotated[str, BeforeValidator(_text)], ...]], BeforeValidator(_sources)] = (
        Field(default_factory=dict)
    )
    """Only calls that have one of these values in each of these places create jobs. Default: all calls."""
    idempotency_key: Place | None = None
    """The place of the idempotency key. Default: the signed id of StandardWebhooks, else a hash of the body."""
    period: Duration | None = None
    """How long a repeated call creates no job after its job is gone. Default: as long as history keeps the job."""
    start_after: Duration | None = None
    """How long its job waits, so that later calls of a burst can replace it. Default: no wait."""


class TriggersFile(Form):
    """All signed calls that create jobs."""

    triggers: tuple[TriggerEntry, ...] = ()


def parse(text: str, source: str) -> tuple[TriggerEntry, ...]:
    """Read the text of a triggers file.

    Raises:
        errors.Misconfigured: the file is invalid; the message has all errors with their lines, and never a secret.
    """
    document = marked_yaml.load(text, source)
    if document.value is None:
        return ()
    found = document.as_model(TriggersFile)
    if flaws := list(_flaws(found)):
        raise document.refused(flaws)
    return found.triggers


def read(path: Path) -> tuple[TriggerEntry, ...]:
    """Read a triggers file.

    Raises:
        errors.Misconfigured: the file cannot be read, or as `parse`.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise Misconfigured(f"{path}: the triggers file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Misconfigured(f"{path}:1: is not YAML: it is not UTF-8 text") from None
    return parse(text, str(path))


def _flaws(file: TriggersFile) -> Iterator[Flaw]:
    for index, entry in enumerate(file.triggers):
        for source, values in entry.when.items():
            if not values:
                name = f"header:{source.header}" if source.header else ".".join(source.path)
                yield Flaw(("triggers", index, "when"), f"{shown(name)} has no values, so no call could match")


class Triggers:
    """The triggers of an installation. `watch` must run, to read the file again when it changes.

    Args:
        path: the file; None for no triggers.

    Raises:
        errors.Misconfigured: as `read`.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp = self._stamped()
        self._entries: Sequence[TriggerEntry] = () if path is None else read(path)

    def of(self, namespace: str, template: str) -> list[TriggerEntry]:
        """Return the entries for a template of a namespace, in the order of the file."""
        return [entry for entry in self._entries if (entry.namespace, entry.template) == (namespace, template)]

    async def watch(self) -> None:
        """Read the file again when it changes; an invalid file is logged and ignored. Never returns."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self.poll()

    def poll(self) -> None:
        """Read the file again if it has changed."""
        stamp = self._stamped()
        if self._path is None or stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._entries = read(self._path)
        except AgentJobsError as error:
            logger.error("triggers.unusable", extra={"error": str(error)})
        else:
            logger.info("triggers.changed", extra={"file": str(self._path)})

    def _stamped(self) -> Any:
        """Return the content of the file, which is small. Modification times are unreliable in ConfigMap volumes."""
        try:
            return None if self._path is None else self._path.read_bytes()
        except OSError:
            return None
