"""What a runner may send, as models beside the contract's dictionaries, and how a wrong body is refused.

Types are checked strictly and every size has a bound; keys we do not know are left out, because a newer runner may
meet an older gateway. Bodies come from pods that run model-chosen code: nothing in them is trusted, no error repeats
their values, and what is only stored (an event's data, an answer) stays the text it came as (json_text.py).
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

# Sixteen counters with names of 32 letters take a kilobyte.
MAX_USAGE_BYTES: Final = 4 * 1024
SCHEMA_REF: Final = "#/components/schemas/{model}"

_STEP: Final = re.compile(r"\[([^\]]*)\]")
_NAMED: Final = re.compile(r"[a-zA-Z]+: ")

# 53 bits survive every JSON reader; no honest counter of tokens comes near.
Count = Annotated[int, Meta(ge=0, le=2**53)]
# No step uses two thousand million of anything; what a pod may claim for one is bounded.
Used = Annotated[int, Meta(ge=0, le=2**31 - 1)]

Kind = Annotated[str, Meta(pattern=r"^[a-z][a-z_]{0,31}$(?!\n)")]


class UsageBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a step used; of older and newer runners alike, the names that are known here."""

    llmCalls: Used | UnsetType = UNSET  # noqa: N815  the contract's name
    toolCalls: Used | UnsetType = UNSET  # noqa: N815  as above
    inputTokens: Used | UnsetType = UNSET  # noqa: N815  as above
    outputTokens: Used | UnsetType = UNSET  # noqa: N815  as above


class EventBody(msgspec.Struct, frozen=True):
    """`contract.Event`; its data is the text of an object."""

    seq: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    time: str
    kind: Kind
    author: Annotated[str, Meta(max_length=256)]
    data: Raw
    usage: UsageBody | None = None

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

    def to_contract(self) -> contract.Event:
        """The event as the contract spells it, but for its data, which is `Raw`."""
        data = cast("dict[str, Any]", self.data)
        event = contract.Event(seq=self.seq, time=self.time, kind=self.kind, author=self.author, data=data)
        if self.usage:
            event["usage"] = msgspec.to_builtins(self.usage)
        return event


class EventsBody(msgspec.Struct, frozen=True):
    """What `POST /v1/attempt/events` takes."""

    events: Annotated[list[EventBody], Meta(max_length=contract.MAX_EVENTS)]


Key = Annotated[str, Meta(min_length=1, max_length=contract.MAX_STEP_KEY_CHARS)]
Start = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Name = Annotated[str, Meta(max_length=256)]
Word = Annotated[str, Meta(max_length=128)]


class VersionsBody(msgspec.Struct, frozen=True):
    """`contract.Versions`."""

    adk: Word
    runner: Word
    scheme: Word
    agent: Word


class StepBody(msgspec.Struct, frozen=True):
    """`contract.Step`; request and body are the texts of an object and of any value."""

    key: Key
    kind: Kind
    agent: Name
    name: Name
    began: str
    ended: str | None
    request: Raw
    usage: UsageBody
    body: Raw = msgspec.field(default_factory=lambda: Raw(b"null"))
    void: bool = False

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
        """The step as the contract spells it, but for request and body, which are `Raw`."""
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
    steps: Annotated[list[StepBody], Meta(max_length=contract.MAX_STEPS)]
    void: Raw = msgspec.field(default_factory=lambda: Raw(b"[]"))
    versions: VersionsBody | None = None

    def __post_init__(self) -> None:
        self.void_keys()

    def void_keys(self) -> list[str]:
        """Keys of recorded steps that no later start shall use.

        Raises:
            ValueError: that is not what it holds.
        """
        # Small strings take many times the room of their text; some hundred keys fit.
        if len(memoryview(self.void)) > contract.MAX_VOID_BYTES:
            raise ValueError(f"void: must be at most {contract.MAX_VOID_BYTES} bytes")
        try:
            return cast("list[str]", _KEYS.decode(self.void))
        except msgspec.DecodeError as error:
            raise ValueError(f"void: {_words(error)}") from None

    def to_contract(self) -> contract.StepsBody:
        """The body as the contract spells it, with what is `Raw` in its steps.

        Raises:
            Problem: 413 for a step that is too large.
        """
        for step in self.steps:
            if len(memoryview(step.body)) > contract.MAX_STEP_BYTES:
                said = f"Step {contract.cut(step.key, 200)!r} is larger than {contract.MAX_STEP_BYTES} bytes."
                raise Problem(413, contract.ErrorClass.STEP_TOO_LARGE, said)
        steps = [step.to_contract() for step in self.steps]
        body = contract.StepsBody(run=self.run, void=self.void_keys(), steps=steps)
        if self.versions is not None:
            body["versions"] = cast("contract.Versions", msgspec.to_builtins(self.versions))
        return body


class HeartbeatBody(msgspec.Struct, frozen=True):
    """What `POST /v1/attempt/heartbeat` takes: nothing yet."""


_USAGE: Final = msgspec.json.Decoder(
    Annotated[dict[Annotated[str, Meta(pattern=r"^[a-zA-Z]{1,32}$(?!\n)")], Count], Meta(max_length=16)]
)


class ResultBody(msgspec.Struct, frozen=True):
    """`contract.Result`; text and structured are the texts of a string, and of an object or null."""

    text: Raw
    usage: Raw
    structured: Raw = msgspec.field(default_factory=lambda: Raw(b"null"))
    outcome: Annotated[str, Meta(max_length=contract.MAX_OUTCOME_CHARS)] | UnsetType | None = UNSET
    cutFrom: Count | None = None  # noqa: N815  the contract's name

    def __post_init__(self) -> None:
        if not _begins(self.text, b'"'):
            raise ValueError("text: must be a string")
        if not _begins(self.structured, b"{") and bytes(self.structured) != b"null":
            raise ValueError("structured: must be an object or null")
        self.counts()

    def counts(self) -> dict[str, int]:
        """What the start used, as its runner says.

        Raises:
            ValueError: that is not what it holds.
        """
        if len(memoryview(self.usage)) > MAX_USAGE_BYTES:
            raise ValueError(f"usage: must be at most {MAX_USAGE_BYTES} bytes")
        try:
            return cast("dict[str, int]", _USAGE.decode(self.usage))
        except msgspec.DecodeError as error:
            raise ValueError(f"usage: {_words(error)}") from None

    def to_contract(self) -> contract.Result:
        """The result as the contract spells it, but for text and structured, which are `Raw`."""
        text, structured = cast("Any", self.text), cast("Any", self.structured)
        result = contract.Result(text=text, structured=structured, usage=self.counts())
        if not isinstance(self.outcome, UnsetType):
            # An older runner takes a result that is not its own, to the letter, for another start's.
            result["outcome"] = self.outcome
        if self.cutFrom is not None:
            result["cutFrom"] = self.cutFrom
        return result


class ResultDocumentBody(msgspec.Struct, frozen=True):
    """`contract.ResultDocument`: a result goes with Succeed and with nothing else."""

    verdict: str
    reason: Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9]{0,62}$(?!\n)")]
    message: str
    delaySeconds: Annotated[float, Meta(ge=0, le=contract.MAX_DELAY_SECONDS)] | None = None  # noqa: N815  as above
    result: ResultBody | None = None

    def __post_init__(self) -> None:
        known = [verdict.value for verdict in contract.Verdict]
        if self.verdict not in known:
            raise ValueError(f"verdict must be one of {', '.join(known)}")
        if (self.result is not None) != (self.verdict == contract.Verdict.SUCCEED):
            raise ValueError("result must be given with verdict Succeed and with no other")

    def to_contract(self) -> contract.ResultDocument:
        """The document as the contract spells it, its message cut to the contract's length."""
        return contract.ResultDocument(
            verdict=self.verdict,
            reason=self.reason,
            message=contract.cut(self.message, contract.MAX_MESSAGE_BYTES),
            delaySeconds=self.delaySeconds,
            result=self.result.to_contract() if self.result else None,
        )


# A recorded step must come back as it was: NUL is kept where PostgreSQL can hold it.
_EXACT: Final = frozenset({StepsBody})


def parse(model: type[Model], raw: bytes) -> Model:
    """Return `raw` as `model`. What the model has as `Raw` is checked and clean, and was never built.

    Raises:
        Problem: 400 when it is not JSON, 422 when it is JSON of another shape; the message names the place.
    """
    try:
        return msgspec.json.decode(checked(raw) if model in _EXACT else storable(raw), type=model)
    except msgspec.ValidationError as error:
        raise Problem(422, "InvalidBody", f"The body was refused: {_words(error)}.") from None
    except (ValueError, RecursionError) as error:
        raise Problem(400, "InvalidJSON", f"The body is not JSON: {contract.cut(str(error), 200)}.") from None


def _begins(raw: Raw, sign: bytes) -> bool:
    return bytes(memoryview(raw)[:1]) == sign


def _words(error: msgspec.DecodeError) -> str:
    """Say where, then what: `events.0.seq: Expected …`."""
    what, _, path = str(error).partition(" - at ")
    steps = _STEP.sub(r".\1", path.strip("`").removeprefix("$")).strip(".")
    # Keys of a caller's own dictionaries are the caller's text: cut, so that an error stays a sentence.
    between = ("." if _NAMED.match(what) else ": ") if steps else ""
    return contract.cut(f"{steps}{between}{what}", 300)


def schemas(*more: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schemas of all request bodies by name, for the OpenAPI document; `more` are those of others."""
    models = (EventsBody, HeartbeatBody, ResultDocumentBody, StepsBody, *more)
    _, found = msgspec.json.schema_components(models, ref_template=SCHEMA_REF.format(model="{name}"))
    return found


def taken(model: type[msgspec.Struct]) -> dict[str, Any]:
    """Return what a route adds to its OpenAPI entry to say which body it takes: we read bodies ourselves, for the
    limit."""
    schema = {"$ref": SCHEMA_REF.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
