"""Models of the request bodies of runners about sessions and artifacts, as in `bodies`.

Events and state are not parsed. The number of parts of a text is limited before it is split.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw

from agentjobs import contract
from agentjobs.contract import (
    MAX_ARTIFACT_NAME_CHARS,
    MAX_MEMORIES,
    MAX_METADATA_BYTES,
    MAX_QUERY_CHARS,
    MAX_STATE_BYTES,
    MAX_STATE_KEY_CHARS,
    MAX_STEP_KEY_CHARS,
)
from agentjobs.gateway.json_text import storable
from agentjobs.history.turns import TurnParts
from agentjobs.history.versions import Saving
from agentjobs.problem import Problem

# The limit for the events of a turn. A real event has a comma in every ten bytes or so; each part takes 50 bytes.
MAX_COMMAS: Final = 400_000
MAX_HEADER_BYTES: Final = 16 * 1024

_EVENTS: Final = msgspec.json.Decoder(list[Raw])
_STATE: Final = msgspec.json.Decoder(dict[Annotated[str, Meta(min_length=1, max_length=MAX_STATE_KEY_CHARS)], Raw])


class TurnBody(msgspec.Struct, frozen=True):
    """`contract.Turn`."""

    events: Raw
    """The events of ADK, in order."""
    state: Raw
    """The state of the session after the turn."""
    user: Raw = msgspec.field(default_factory=lambda: Raw(b"{}"))
    """The changes of the state of the user."""
    app: Raw = msgspec.field(default_factory=lambda: Raw(b"{}"))
    """The changes of the state of the app."""

    def __post_init__(self) -> None:
        self.parts()

    def parts(self) -> TurnParts:
        """Return the turn, split into its events and states.

        Raises:
            ValueError: the turn is invalid.
        """
        state = _entries("state", self.state)
        if any(key.startswith((contract.APP_PREFIX, contract.USER_PREFIX)) for key in state):
            raise ValueError("state: keys that begin with app: or user: belong in app and user, without the prefix")
        return TurnParts(_events(self.events), self.state, _entries("user", self.user), _entries("app", self.app))


class MemoryBody(msgspec.Struct, frozen=True):
    """`contract.MemoryQuery`."""

    query: Annotated[str, Meta(max_length=MAX_QUERY_CHARS)]
    """The words to search for."""
    limit: Annotated[int, Meta(ge=1, le=MAX_MEMORIES)] = 10
    """The largest number of results."""


class ArtifactHeader(msgspec.Struct, frozen=True):
    """`contract.ArtifactSave`, the header of a request that saves an artifact."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_ARTIFACT_NAME_CHARS)]
    key: Annotated[str, Meta(min_length=1, max_length=MAX_STEP_KEY_CHARS)]
    """The key of the save: the same key saves once."""
    kind: contract.ArtifactKind
    """`data`, `text`, or `file` for a reference."""
    mime: Annotated[str, Meta(pattern=r"^[ -~]{0,255}$(?!\n)")] = ""
    """The media type."""
    metadata: Raw = msgspec.field(default_factory=lambda: Raw(b"{}"))
    """The metadata of the version."""

    def __post_init__(self) -> None:
        if "\0" in self.name + self.key:
            raise ValueError("name and key: must not hold NUL")
        if not bytes(memoryview(self.metadata)[:1]) == b"{" or len(memoryview(self.metadata)) > MAX_METADATA_BYTES:
            raise ValueError(f"metadata: must be an object of at most {MAX_METADATA_BYTES} bytes")

    def saving(self) -> Saving:
        """Return the description of the version for history."""
        metadata = Raw(storable(bytes(self.metadata)))
        return Saving(self.name, self.key, self.kind.value, self.mime, metadata)


MODELS: Final = (TurnBody, MemoryBody, ArtifactHeader)
"""For the OpenAPI document."""


def read_header(value: str | None) -> Saving:
    """Return the content of the header `contract.HEADER_ARTIFACT`.

    Raises:
        Problem: 400 if it is missing or not JSON, 422 if it is invalid.
    """
    raw = (value or "").encode("latin-1", "replace")
    try:
        if len(raw) > MAX_HEADER_BYTES or not raw.isascii():
            raise ValueError(f"expected JSON in ASCII, at most {MAX_HEADER_BYTES} bytes")
        storable(raw)  # refuses deep nesting and half characters; NUL is refused below
        return msgspec.json.decode(raw, type=ArtifactHeader).saving()
    except msgspec.ValidationError as error:
        message = f"The header {contract.HEADER_ARTIFACT} was refused: {contract.cut(str(error), 300)}."
        raise Problem(422, "InvalidBody", message) from None
    except ValueError as error:
        message = f"The header {contract.HEADER_ARTIFACT} is not JSON: {contract.cut(str(error), 200)}."
        raise Problem(400, "InvalidJSON", message) from None


def _events(raw: Raw) -> list[Raw]:
    text = bytes(raw)
    if text.count(b",") > MAX_COMMAS:
        raise ValueError(f"events: at most {MAX_COMMAS} commas")
    found = _decoded("events", _EVENTS, text)
    if not all(bytes(memoryview(event)[:1]) == b"{" for event in found):
        raise ValueError("events: must be objects")
    return list(found)


def _entries(name: str, raw: Raw) -> dict[str, Raw]:
    if len(memoryview(raw)) > MAX_STATE_BYTES:
        raise ValueError(f"{name}: must be at most {MAX_STATE_BYTES} bytes")
    return dict(_decoded(name, _STATE, bytes(raw)))


def _decoded(name: str, decoder: Any, text: bytes) -> Any:
    try:
        return decoder.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"{name}: {str(error).partition(' - at ')[0]}") from None
