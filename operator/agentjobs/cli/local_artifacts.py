"""Artifacts of a local run, in its journal's file: a later start finds what tools of earlier starts saved.

Implements the gateway's `/v1/attempt/artifacts` for one job. Deleted with the file; other jobs cannot see them.
"""

import json
import sqlite3
from typing import Any, Final

from agentjobs.contract import ArtifactSave, ArtifactVersion

SCHEMA: Final = """
CREATE TABLE artifacts (
    name TEXT NOT NULL, version INTEGER NOT NULL, run INTEGER NOT NULL, key TEXT NOT NULL, told TEXT NOT NULL,
    content BLOB NOT NULL, PRIMARY KEY (name, version)
);
CREATE UNIQUE INDEX artifacts_by_key ON artifacts (run, key);
"""


def save(connection: sqlite3.Connection, given: ArtifactSave, content: bytes, *, run: int, time: str) -> int:
    """Store a version and return its number; under a key that the run used before, replace that version."""
    name, key = given["name"], given["key"]
    known = _first_row(connection, "SELECT version FROM artifacts WHERE run = ? AND key = ?", run, key)
    next_version = "SELECT coalesce(max(version) + 1, 0) FROM artifacts WHERE name = ?"
    (version,) = known or _first_row(connection, next_version, name)
    described = ArtifactVersion(
        version=version,
        kind=given["kind"],
        mime=given["mime"],
        bytes=len(content),
        time=time,
        metadata=given["metadata"],
    )
    row = [name, version, run, key, json.dumps(described), content]
    connection.execute("INSERT OR REPLACE INTO artifacts VALUES (?, ?, ?, ?, ?, ?)", row)
    return int(version)


def names(connection: sqlite3.Connection) -> list[str]:
    """Return the names of all artifacts, in order."""
    return [name for (name,) in connection.execute("SELECT DISTINCT name FROM artifacts ORDER BY name")]


def versions(connection: sqlite3.Connection, name: str) -> list[ArtifactVersion]:
    """Return the versions of an artifact, oldest first."""
    rows = connection.execute("SELECT told FROM artifacts WHERE name = ? ORDER BY version", [name])
    return [json.loads(described) for (described,) in rows]


def content(connection: sqlite3.Connection, name: str, version: int | None) -> tuple[str, bytes] | None:
    """Return a version, or the newest, with its metadata as JSON; None if it does not exist."""
    chosen = "SELECT told, content FROM artifacts WHERE name = ? AND (? IS NULL OR version = ?) ORDER BY version DESC"
    found: tuple[str, bytes] | None = _first_row(connection, chosen, name, version, version)
    return found


def delete(connection: sqlite3.Connection, name: str) -> None:
    """Delete all versions of an artifact."""
    connection.execute("DELETE FROM artifacts WHERE name = ?", [name])


def _first_row(connection: sqlite3.Connection, question: str, *parameters: object) -> Any:
    return connection.execute(question, parameters).fetchone()
