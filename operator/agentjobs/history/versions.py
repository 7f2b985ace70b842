"""Versions of artifacts as values, and their limits. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Raw

from agentjobs import errors
from agentjobs.contract import MAX_ARTIFACTS, MAX_ARTIFACTS_BYTES

CHUNK_BYTES: Final = 512 * 1024
"""Size of one piece, which a process holds in memory."""


@dataclass(frozen=True, slots=True)
class Saving:
    """A new version, without its bytes."""

    name: str
    key: str
    """Names the save among those of its job."""
    kind: str
    mime: str
    metadata: Raw


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of an artifact, at most `CHUNK_BYTES`. The last one may be empty."""

    data: bytes
    is_last: bool


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of an artifact, without its bytes."""

    version: int
    id: UUID
    kind: str
    mime: str
    bytes: int
    stored_at: datetime
    metadata: Raw

    def to_contract(self) -> dict[str, Any]:
        """Return `contract.ArtifactVersion`."""
        time = self.stored_at.isoformat()
        return {
            "version": self.version,
            "kind": self.kind,
            "mime": self.mime,
            "bytes": self.bytes,
            "time": time,
            "metadata": self.metadata,
        }


def stored_version(row: Any) -> StoredVersion:
    """Return a row of the table of artifacts."""
    metadata = Raw(row.metadata.encode())
    return StoredVersion(row.version, row.id, row.kind, row.mime, row.bytes, row.stored_at, metadata)


def check_room(count: int, size: int) -> None:
    """Return if a session or a user may have that number of versions, of that many bytes.

    Raises:
        errors.TooLarge: they would exceed a limit.
    """
    if count > MAX_ARTIFACTS:
        raise errors.TooLarge(f"{MAX_ARTIFACTS} versions of artifacts is the limit for a session or a user")
    if size > MAX_ARTIFACTS_BYTES:
        raise errors.TooLarge(f"{MAX_ARTIFACTS_BYTES} bytes of artifacts is the limit for a session or a user")
