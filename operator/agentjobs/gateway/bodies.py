"""What a runner may send, as models beside the contract's dictionaries, and how a wrong body is refused.

Types are checked strictly and every size has a bound; keys we do not know are left out, because a newer runner may
meet an older gateway. Bodies come from pods that run model-chosen code: nothing in them is trusted, and no error
repeats their values. What JSON can say and PostgreSQL cannot hold (NUL, NaN) is history's to replace
(history/sanitize.py).
"""

import json
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from agentjobs import contract
from agentjobs.api.durations import parse_time
from agentjobs.gateway.problems import Problem

Model = TypeVar("Model", bound=BaseModel)

# More would not fit a megabyte with any content; a bound keeps the transaction short.
MAX_SHOWN_PROBLEMS: Final = 5
SCHEMA_REF: Final = "#/components/schemas/{model}"


def _is_time(value: str) -> str:
    try:
        parse_time(value)
    except ValueError:
        raise ValueError("must be an RFC 3339 time such as 2026-01-31T12:00:00Z") from None
    return value


# 53 bits survive every JSON reader; no honest counter of tokens comes near.
Count = Annotated[int, Field(ge=0, le=2**53)]


class Body(BaseModel):
    """Base of everything a runner sends."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)


# No step uses two thousand million of anything; what a pod may claim for one is bounded.
Used = Annotated[int, Field(ge=0, le=2**31 - 1)]


class UsageBody(Body):
    """What a step used; of older and newer runners alike, the names that are known here."""

    llmCalls: Used = 0  # noqa: N815  the contract's name
    toolCalls: Used = 0  # noqa: N815  as above
    inputTokens: Used = 0  # noqa: N815  as above
    outputTokens: Used = 0  # noqa: N815  as above


class EventBody(Body):
    """`contract.Event`."""

    seq: int = Field(ge=0, le=2**31 - 1)
    time: Annotated[str, AfterValidator(_is_time)]
    kind: str = Field(pattern=r"^[a-z][a-z_]{0,31}$")
    author: str = Field(max_length=256)
    data: dict[str, Any]
    usage: UsageBody | None = None

    @model_validator(mode="after")
    def _fits(self) -> "EventBody":
        if len(json.dumps(self.data, ensure_ascii=False).encode()) > contract.MAX_EVENT_BYTES:
            raise ValueError(
                f"event {self.seq} is larger than {contract.MAX_EVENT_BYTES} bytes, the limit of one event"
            )
        return self

    def to_contract(self) -> contract.Event:
        """The event as the contract spells it."""
        event = contract.Event(seq=self.seq, time=self.time, kind=self.kind, author=self.author, data=self.data)
        if self.usage:
            event["usage"] = self.usage.model_dump(exclude_unset=True)
        return event


class EventsBody(Body):
    """What `POST /v1/attempt/events` takes."""

    events: list[EventBody] = Field(max_length=contract.MAX_EVENTS)


class HeartbeatBody(Body):
    """What `POST /v1/attempt/heartbeat` takes: nothing yet."""


class ResultBody(Body):
    """`contract.Result`."""

    text: str
    structured: dict[str, Any] | None = None
    outcome: str | None = Field(default=None, max_length=contract.MAX_OUTCOME_CHARS)
    usage: dict[Annotated[str, Field(pattern=r"^[a-zA-Z]{1,32}$")], Count] = Field(max_length=16)
    cut_from: Count | None = Field(default=None, alias="cutFrom")


class ResultDocumentBody(Body):
    """`contract.ResultDocument`: a result goes with Succeed and with nothing else."""

    verdict: str
    reason: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9]{0,62}$")
    message: str
    delay_seconds: float | None = Field(
        default=None, alias="delaySeconds", ge=0, le=contract.MAX_DELAY_SECONDS, allow_inf_nan=False
    )
    result: ResultBody | None = None

    @model_validator(mode="after")
    def _agrees(self) -> "ResultDocumentBody":
        known = [verdict.value for verdict in contract.Verdict]
        if self.verdict not in known:
            raise ValueError(f"verdict must be one of {', '.join(known)}")
        if (self.result is not None) != (self.verdict == contract.Verdict.SUCCEED):
            raise ValueError("result must be given with verdict Succeed and with no other")
        return self

    def to_contract(self) -> contract.ResultDocument:
        """The document as the contract spells it, its message cut to the contract's length."""
        given = self.result
        result = None
        if given is not None:
            result = contract.Result(text=given.text, structured=given.structured, usage=dict(given.usage))
            if "outcome" in given.model_fields_set:
                # An older runner takes a result that is not its own, to the letter, for another start's.
                result["outcome"] = given.outcome
            if given.cut_from is not None:
                result["cutFrom"] = given.cut_from
        return contract.ResultDocument(
            verdict=self.verdict,
            reason=self.reason,
            message=contract.cut(self.message, contract.MAX_MESSAGE_BYTES),
            delaySeconds=self.delay_seconds,
            result=result,
        )


def parse(model: type[Model], raw: bytes) -> Model:
    """Return `raw` as `model`.

    Raises:
        Problem: 400 when it is no JSON, 422 when it is JSON of another shape; all that is wrong (the first five) at
        once.
    """
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        if wrong[0]["type"] == "json_invalid":
            raise Problem(400, "InvalidJSON", f"The body is no JSON: {wrong[0]['msg']}.") from None
        shown = "; ".join(f"{_place(item['loc'])}: {item['msg']}" for item in wrong[:MAX_SHOWN_PROBLEMS])
        more = f"; and {len(wrong) - MAX_SHOWN_PROBLEMS} more" if len(wrong) > MAX_SHOWN_PROBLEMS else ""
        raise Problem(422, "InvalidBody", f"The body was refused: {shown}{more}.") from None


def _place(location: tuple[int | str, ...]) -> str:
    # Keys of a caller's own dictionaries are the caller's text: cut, so that an error stays a sentence.
    return ".".join(contract.cut(str(part), 64) for part in location) or "body"


def schemas() -> dict[str, Any]:
    """Return the JSON Schemas of all request bodies by name, for the OpenAPI document."""
    found: dict[str, Any] = {}
    for model in (EventsBody, HeartbeatBody, ResultDocumentBody):
        schema = model.model_json_schema(ref_template=SCHEMA_REF)
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return found


def taken(model: type[BaseModel]) -> dict[str, Any]:
    """Return what a route adds to its OpenAPI entry to say which body it takes: we read bodies ourselves, for the
    limit."""
    schema = {"$ref": SCHEMA_REF.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
