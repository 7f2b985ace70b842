"""Kept files of a local run, in its journal's file: a later start continues from what earlier starts kept.

Implements the gateway's `/v1/attempt/kept` for one job. Files of an earlier run are deleted when the next run keeps
files; all are deleted with the journal.
"""

import sqlite3
from typing import Any, Final, NamedTuple

from agentjobs.contract import MAX_KEPT_PART_BYTES, KeptFile
from agentjobs.history.kept import MERGED_BYTES, Room, Write, check_write, is_late

SCHEMA: Final = """
CREATE TABLE kept_files (
    run INTEGER NOT NULL, name TEXT NOT NULL, bytes INTEGER NOT NULL, start INTEGER NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (run, name)
);
CREATE TABLE kept_parts (
    run INTEGER NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (run, name, at)
);
"""

_OF: Final = "WHERE run = ? AND name = ?"


class _Last(NamedTuple):
    bytes: int
    start: int
    write: int


def files(connection: sqlite3.Connection, run: int) -> list[KeptFile]:
    """Return all files by name."""
    rows = connection.execute("SELECT name, bytes FROM kept_files WHERE run = ? ORDER BY name", [run])
    return [KeptFile(name=name, bytes=size) for name, size in rows]


def part(connection: sqlite3.Connection, run: int, name: str, offset: int) -> bytes | None:
    """Return a part of a file, None if it does not exist."""
    if _last(connection, run, name) is None:
        return None
    first = _first(connection, run, name, offset + 1) or 0
    rows = connection.execute(
        f"SELECT at, data FROM kept_parts {_OF} AND at >= ? AND at < ? ORDER BY at",  # noqa: S608  a constant
        [run, name, first, offset + MAX_KEPT_PART_BYTES],
    )
    whole = b"".join(data for _, data in rows)
    return whole[offset - first : offset - first + MAX_KEPT_PART_BYTES]


def write(connection: sqlite3.Connection, run: int, start: int, given: Write) -> None:
    """Truncate a file to the write's offset, then append its data.

    Raises:
        errors.Invalid, errors.TooLarge: as in the gateway.
    """
    last = _last(connection, run, given.name)
    if is_late(given.number, start, last):
        return
    for table in ("kept_parts", "kept_files"):
        connection.execute(f"DELETE FROM {table} WHERE run < ?", [run])  # noqa: S608  a constant
    count, size = connection.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM kept_files").fetchone()
    check_write(given, Room(last and last.bytes, count, size))
    number = given.number if given.number is not None else last.write if last and last.start == start else 0
    connection.execute(
        "INSERT OR REPLACE INTO kept_files VALUES (?, ?, ?, ?, ?)", [run, given.name, given.end, start, number]
    )
    _store(connection, [run, given.name], given)


def delete(connection: sqlite3.Connection, run: int, start: int, name: str, number: int | None) -> None:
    """Delete a file, if it exists."""
    if not is_late(number, start, _last(connection, run, name)):
        for table in ("kept_parts", "kept_files"):
            connection.execute(f"DELETE FROM {table} {_OF}", [run, name])  # noqa: S608  a constant


def _store(connection: sqlite3.Connection, place: list[object], given: Write) -> None:
    before = _first(connection, place[0], place[1], given.offset)
    connection.execute(f"DELETE FROM kept_parts {_OF} AND at >= ?", [*place, given.offset])  # noqa: S608
    head = b""
    if before is not None:
        (head,) = connection.execute(f"SELECT data FROM kept_parts {_OF} AND at = ?", [*place, before]).fetchone()  # noqa: S608
        head = head[: given.offset - before]
    joins = before is not None and len(head) + len(given.data) <= MERGED_BYTES
    parts = [(before, head + given.data)] if joins else [(before, head), (given.offset, given.data)]
    for at, data in parts:
        if at is not None and data:
            connection.execute("INSERT OR REPLACE INTO kept_parts VALUES (?, ?, ?, ?)", [*place, at, data])


def _first(connection: sqlite3.Connection, run: Any, name: Any, before: int) -> int | None:
    """The start of the last part before an offset."""
    found = connection.execute(f"SELECT max(at) FROM kept_parts {_OF} AND at < ?", [run, name, before])  # noqa: S608
    return found.fetchone()[0]  # type: ignore[no-any-return]


def _last(connection: sqlite3.Connection, run: int, name: str) -> _Last | None:
    found = connection.execute(f"SELECT bytes, start, number FROM kept_files {_OF}", [run, name]).fetchone()  # noqa: S608
    return None if found is None else _Last(*found)
