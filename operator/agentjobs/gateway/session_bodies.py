"""What a runner may send of its session and artifacts: models beside the contract's dictionaries, as in `bodies`.

Events and state stay the text they came as. What says how many parts a text has is counted before it is taken apart.
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

# Of the events of a turn. One comma is some ten bytes of an honest event; each part of a list is an object of 50 bytes.
MAX_COMMAS: Final = 400_000
MAX_HEADER_BYTES: Final = 16 * 1024

_EVENTS: Final = msgspec.json.Decoder(list[Raw])
_STATE: Final = msgspec.json.Decoder(dict[Annotated[str, Meta(min_length=1, max_length=MAX_STATE_KEY_CHARS)], Raw])


class TurnBody(msgspec.Struct, frozen=True):
    """`contract.Turn`."""

    events: Raw
    state: Raw
    user: Raw = msgspec.field(default_factory=lambda: Raw(b"{}"))
    app: Raw = msgspec.field(default_factory=lambda: Raw(b"{}"))

    def __post_init__(self) -> None:
        self.parts()

    def parts(self) -> TurnParts:
        """Return the turn with its events and states apart.

        Raises:
            ValueError: they are not what a turn has.
        """
        state = _entries("state", self.state)
        if any(key.startswith((contract.APP_PREFIX, contract.USER_PREFIX)) for key in state):
            raise ValueError("state: keys that begin with app: or user: belong into app and user, without that")
        return TurnParts(_events(self.events), self.state, _entries("user", self.user), _entries("app", self.app))


class MemoryBody(msgspec.Struct, frozen=True):
    """`contract.MemoryQuery`."""

    query: Annotated[str, Meta(max_length=MAX_QUERY_CHARS)]
    limit: Annotated[int, Meta(ge=1, le=MAX_MEMORIES)] = 10


class ArtifactHeader(msgspec.Struct, frozen=True):
    """`contract.ArtifactSave`, the header of a save."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_ARTIFACT_NAME_CHARS)]
    key: Annotated[str, Meta(min_length=1, max_length=MAX_STEP_KEY_CHARS)]
    kind: contract.ArtifactKind
    mime: Annotated[str, Meta(pattern=r"^[ -~]{0,255}$(?!\n)")] = ""
    metadata: Raw = msgspec.field(default_factory=lambda: Raw(b"{}"))

    def __post_init__(self) -> None:
        if "\0" in self.name + self.key:
            raise ValueError("name and key: must not hold NUL")
        if not bytes(memoryview(self.metadata)[:1]) == b"{" or len(memoryview(self.metadata)) > MAX_METADATA_BYTES:
            raise ValueError(f"metadata: must be an object of at most {MAX_METADATA_BYTES} bytes")

    def saving(self) -> Saving:
        """Return what history takes."""
        metadata = Raw(storable(bytes(self.metadata)))
        return Saving(self.name, self.key, self.kind.value, self.mime, metadata)


MODELS: Final = (TurnBody, MemoryBody, ArtifactHeader)
"""For the OpenAPI document."""


def read_header(value: str | None) -> Saving:
    """Return what `contract.HEADER_ARTIFACT` says.

    Raises:
        Problem: 400 where it is not there or no JSON, 422 where it says something else.
    """
    raw = (value or "").encode("latin-1", "replace")
    try:
        if len(raw) > MAX_HEADER_BYTES or not raw.isascii():
            raise ValueError(f"expected JSON in ASCII, at most {MAX_HEADER_BYTES} bytes")
        storable(raw)  # what nests too deep or holds half a character; a NUL stays one, to be refused
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
