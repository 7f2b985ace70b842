"""Models of the request bodies of runners, and errors for invalid bodies.

Types are checked strictly and every size has a limit. Unknown keys are ignored, because a newer runner may talk to an
older gateway. Bodies come from pods that run code chosen by models: nothing in them is trusted, errors do not repeat
their values, and what is only stored (the data of an event, an answer) is not parsed (json_text.py).
"""

import re
from typing import Annotated, Any, Final, TypeVar, cast

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from agentjobs import contract
from agentjobs.durations import parse_time
from agentjobs.gateway.json_text import checked, storable, without_nul
from agentjobs.problem import Problem

Model = TypeVar("Model", bound=msgspec.Struct)

# Sixteen counters with names of 32 letters take one kilobyte.
MAX_USAGE_BYTES: Final = 4 * 1024
SCHEMA_REF: Final = "#/components/schemas/{model}"

_STEP: Final = re.compile(r"\[([^\]]*)\]")
_NAMED: Final = re.compile(r"[a-zA-Z]+: ")

# Every JSON parser reads integers of 53 bits exactly; no real counter comes near.
Count = Annotated[int, Meta(ge=0, le=2**53)]
# No step uses two billion of anything, so a pod cannot claim more.
Used = Annotated[int, Meta(ge=0, le=2**31 - 1)]

Kind = Annotated[str, Meta(pattern=r"^[a-z][a-z_]{0,31}$(?!\n)")]


class UsageBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a step used. Counters of newer runners are ignored."""

    llmCalls: Used | UnsetType = UNSET  # noqa: N815  the contract's name
    """The number of model calls."""
    toolCalls: Used | UnsetType = UNSET  # noqa: N815  as above
    """The number of tool calls."""
    inputTokens: Used | UnsetType = UNSET  # noqa: N815  as above
    outputTokens: Used | UnsetType = UNSET  # noqa: N815  as above


class EventBody(msgspec.Struct, frozen=True):
    """`contract.TimelineEntry`; its data is JSON text of an object."""

    seq: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    """The number of the entry in its start."""
    time: str
    kind: Kind
    """The kind of entry, such as `model` or `tool`."""
    author: Annotated[str, Meta(max_length=256)]
    """The agent, or another part of the runner, that it comes from."""
    data: Raw
    """What happened; the keys depend on `kind`."""
    usage: UsageBody | None = None
    """What was used since the previous entry; only runners without a journal send it."""

    def __post_init__(self) -> None:
        try:
            parse_time(self.time)
        except ValueError:
            raise ValueError("time: must be an RFC 3339 time such as 2026-01-31T12:00:00Z") from None
        if not _begins(self.data, b"{"):
            raise ValueError("data: must be an object")
        if len(memoryview(self.data)) > contract.MAX_EVENT_BYTES:
            raise ValueError(
                f"event {self.seq} is larger than {contract.MAX_EVENT_BYTES} bytes, the limit of one event"
            )

    def to_contract(self) -> contract.TimelineEntry:
        """Return the event in the form of the contract, with its data as `Raw`."""
        data = cast("dict[str, Any]", self.data)
        event = contract.TimelineEntry(seq=self.seq, time=self.time, kind=self.kind, author=self.author, data=data)
        if self.usage:
            event["usage"] = msgspec.to_builtins(self.usage)
        return event


class EventsBody(msgspec.Struct, frozen=True):
    """The body of `POST /v1/attempt/events`."""

    events: Annotated[list[EventBody], Meta(max_length=contract.MAX_EVENTS)]
    """The entries."""


Key = Annotated[str, Meta(min_length=1, max_length=contract.MAX_STEP_KEY_CHARS)]
Start = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Name = Annotated[str, Meta(max_length=256)]
ShortText = Annotated[str, Meta(max_length=128)]


class VersionsBody(msgspec.Struct, frozen=True):
    """`contract.Versions`."""

    adk: ShortText
    """The version of ADK."""
    runner: ShortText
    """The version of the runner."""
    scheme: ShortText
    """The version of the scheme of step keys."""
    agent: ShortText
    """The digest of the agent's definition and code."""


class StepBody(msgspec.Struct, frozen=True):
    """`contract.Step`; request and body are JSON text."""

    key: Key
    """Its identity in its run."""
    kind: Kind
    """`model`, `tool`, `node` or `value`."""
    agent: Name
    """The agent that it belongs to."""
    name: Name
    """The name of the model, tool, node or value."""
    began: str
    ended: str | None
    """When it ended; null for a call that begins."""
    request: Raw
    """Digests and counts by which a later start recognises the same request."""
    usage: UsageBody
    """What it used."""
    body: Raw = msgspec.field(default_factory=lambda: Raw(b"null"))
    """Its result; null while it has not ended."""
    void: bool = False
    """Whether later starts must not use it."""

    def __post_init__(self) -> None:
        for name, time in (("began", self.began), ("ended", self.ended)):
            try:
                parse_time(time or self.began)
            except ValueError:
                raise ValueError(f"{name}: must be an RFC 3339 time such as 2026-01-31T12:00:00Z") from None
        if not _begins(self.request, b"{"):
            raise ValueError("request: must be an object")
        if len(memoryview(self.request)) > contract.MAX_STEP_REQUEST_BYTES:
            raise ValueError(f"request: must be at most {contract.MAX_STEP_REQUEST_BYTES} bytes")
        if self.ended is None and bytes(memoryview(self.body)[:5]) != b"null":
            raise ValueError("body: must be null while the step has not ended")

    def to_contract(self) -> contract.Step:
        """Return the step in the form of the contract, with request and body as `Raw`."""
        return contract.Step(
            key=self.key,
            kind=self.kind,
            agent=self.agent,
            name=self.name,
            began=self.began,
            ended=self.ended,
            request=cast("dict[str, Any]", Raw(without_nul(bytes(self.request)))),
            body=self.body,
            usage=msgspec.to_builtins(self.usage),
            void=self.void,
        )


_KEYS: Final = msgspec.json.Decoder(Annotated[list[Key], Meta(max_length=contract.MAX_STEPS)])


class StepsBody(msgspec.Struct, frozen=True):
    """`contract.StepsBody`."""

    run: Start
    """The number of the start with which the run began."""
    steps: Annotated[list[StepBody], Meta(max_length=contract.MAX_STEPS)]
    """The steps to record."""
    void: Raw = msgspec.field(default_factory=lambda: Raw(b"[]"))
    """The keys of recorded steps that later starts must not use."""
    versions: VersionsBody | None = None
    """The versions with which the run began."""

    def __post_init__(self) -> None:
        self.void_keys()

    def void_keys(self) -> list[str]:
        """Return the keys of recorded steps that later starts must not use.

        Raises:
            ValueError: that is not what it holds.
        """
        # Parsed small strings take many times the memory of their text; the limit has room for a few hundred keys.
        if len(memoryview(self.void)) > contract.MAX_VOID_BYTES:
            raise ValueError(f"void: must be at most {contract.MAX_VOID_BYTES} bytes")
        try:
            return cast("list[str]", _KEYS.decode(self.void))
        except msgspec.DecodeError as error:
            raise ValueError(f"void: {_description(error)}") from None

    def to_contract(self) -> contract.StepsBody:
        """Return the body in the form of the contract, with `Raw` parts in its steps.

        Raises:
            Problem: 413 if a step is too large.
        """
        for step in self.steps:
            if len(memoryview(step.body)) > contract.MAX_STEP_BYTES:
                message = f"Step {contract.cut(step.key, 200)!r} is larger than {contract.MAX_STEP_BYTES} bytes."
                raise Problem(413, contract.ErrorClass.STEP_TOO_LARGE, message)
        steps = [step.to_contract() for step in self.steps]
        body = contract.StepsBody(run=self.run, void=self.void_keys(), steps=steps)
        if self.versions is not None:
            body["versions"] = cast("contract.Versions", msgspec.to_builtins(self.versions))
        return body


class HeartbeatBody(msgspec.Struct, frozen=True):
    """The body of `POST /v1/attempt/heartbeat`: it has no fields yet."""


_USAGE: Final = msgspec.json.Decoder(
    Annotated[dict[Annotated[str, Meta(pattern=r"^[a-zA-Z]{1,32}$(?!\n)")], Count], Meta(max_length=16)]
)


class ResultBody(msgspec.Struct, frozen=True):
    """`contract.Result`; text and structured are JSON text of a string, and of an object or null."""

    text: Raw
    """The answer as text."""
    usage: Raw
    """What the start used."""
    structured: Raw = msgspec.field(default_factory=lambda: Raw(b"null"))
    """The answer as an object; null if it is not one."""
    outcome: Annotated[str, Meta(max_length=contract.MAX_OUTCOME_CHARS)] | UnsetType | None = UNSET
    """The value at the job's `output.outcomeKey`; null without one."""
    cutFrom: Count | None = None  # noqa: N815  the contract's name
    """The size of the whole answer in bytes if `text` is only its beginning."""

    def __post_init__(self) -> None:
        if not _begins(self.text, b'"'):
            raise ValueError("text: must be a string")
        if not _begins(self.structured, b"{") and bytes(self.structured) != b"null":
            raise ValueError("structured: must be an object or null")
        self.counts()

    def counts(self) -> dict[str, int]:
        """Return what the start used according to its runner.

        Raises:
            ValueError: that is not what it holds.
        """
        if len(memoryview(self.usage)) > MAX_USAGE_BYTES:
            raise ValueError(f"usage: must be at most {MAX_USAGE_BYTES} bytes")
        try:
            return cast("dict[str, int]", _USAGE.decode(self.usage))
        except msgspec.DecodeError as error:
            raise ValueError(f"usage: {_description(error)}") from None

    def to_contract(self) -> contract.Result:
        """Return the result in the form of the contract, with text and structured as `Raw`."""
        text, structured = cast("Any", self.text), cast("Any", self.structured)
        result = contract.Result(text=text, structured=structured, usage=self.counts())
        if not isinstance(self.outcome, UnsetType):
            # An older runner compares the final result with its own; any difference means another start's result.
            result["outcome"] = self.outcome
        if self.cutFrom is not None:
            result["cutFrom"] = self.cutFrom
        return result


class ResultDocumentBody(msgspec.Struct, frozen=True):
    """`contract.ResultDocument`: only the verdict Succeed has a result."""

    verdict: str
    """The verdict of the runner."""
    reason: Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9]{0,62}$(?!\n)")]
    message: str
    delaySeconds: Annotated[float, Meta(ge=0, le=contract.MAX_DELAY_SECONDS)] | None = None  # noqa: N815  as above
    """How long the job waits before its next start, for a verdict that waits."""
    result: ResultBody | None = None
    """The answer; only with the verdict Succeed."""

    def __post_init__(self) -> None:
        known = [verdict.value for verdict in contract.Verdict]
        if self.verdict not in known:
            raise ValueError(f"verdict must be one of {', '.join(known)}")
        if (self.result is not None) != (self.verdict == contract.Verdict.SUCCEED):
            raise ValueError("result must be given with verdict Succeed and with no other")

    def to_contract(self) -> contract.ResultDocument:
        """Return the document in the form of the contract, with its message cut to the limit."""
        return contract.ResultDocument(
            verdict=self.verdict,
            reason=self.reason,
            message=contract.cut(self.message, contract.MAX_MESSAGE_BYTES),
            delaySeconds=self.delaySeconds,
            result=self.result.to_contract() if self.result else None,
        )


# A recorded step must be returned unchanged, so NUL is kept where PostgreSQL can store it.
_EXACT: Final = frozenset({StepsBody})


def parse(model: type[Model], raw: bytes) -> Model:
    """Return `raw` as `model`. `Raw` parts of the model are checked and cleaned, but not parsed.

    Raises:
        Problem: 400 if it is not JSON, 422 if it does not match the model; the message names the field.
    """
    try:
        return msgspec.json.decode(checked(raw) if model in _EXACT else storable(raw), type=model)
    except msgspec.ValidationError as error:
        raise Problem(422, "InvalidBody", f"The body was refused: {_description(error)}.") from None
    except (ValueError, RecursionError) as error:
        raise Problem(400, "InvalidJSON", f"The body is not JSON: {contract.cut(str(error), 200)}.") from None


def _begins(raw: Raw, sign: bytes) -> bool:
    return bytes(memoryview(raw)[:1]) == sign


def _description(error: msgspec.DecodeError) -> str:
    """Return the field and then the error: `events.0.seq: Expected …`."""
    what, _, path = str(error).partition(" - at ")
    steps = _STEP.sub(r".\1", path.strip("`").removeprefix("$")).strip(".")
    # The path may have keys that the caller chose, so it is cut.
    between = ("." if _NAMED.match(what) else ": ") if steps else ""
    return contract.cut(f"{steps}{between}{what}", 300)


BODIES: Final = (
    *(EventsBody, EventBody, UsageBody, HeartbeatBody, ResultDocumentBody, ResultBody),
    *(StepsBody, StepBody, VersionsBody),
)
"""All models of this module; their docstrings describe their fields in the OpenAPI document."""


def schemas(*more: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schemas of these and `more` request bodies by name, for the OpenAPI document."""
    models = (EventsBody, HeartbeatBody, ResultDocumentBody, StepsBody, *more)
    _, found = msgspec.json.schema_components(models, ref_template=SCHEMA_REF.format(model="{name}"))
    return found


def openapi_body(model: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the part of a route's OpenAPI entry that describes its body. FastAPI does not see bodies, because the
    gateway reads them with a limit."""
    schema = {"$ref": SCHEMA_REF.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
