"""The recorded steps of `run --local`: one SQLite file per job, instead of the gateway's tables.

One process uses the file at a time, by SQLite's lock, which the system releases. `append` and `page` implement the
gateway's `/v1/attempt/steps`; see docs/decisions/0031.
"""

import contextlib
import json
import secrets
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from agentjobs import contract
from agentjobs.cli import local_artifacts, local_kept
from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.local_budget import Spending
from agentjobs.contract import JournalHead, RecordedStep, Resolved, Result, Step, StepsBody, StepsPage, Versions

FOLDER: Final = Path(".agentjobs")
PAGE_STEPS: Final = 500
PAGE_BYTES: Final = 4 * 1024 * 1024

# "ajob" in the file's header marks our files: --journal accepts any path.
_APPLICATION: Final = 0x616A6F62
_FORMAT: Final = 5
# Fields that may differ when a run continues: duration and place, not the work.
_MAY_DIFFER: Final = frozenset({"budget", "retry", "runtime", "timeouts"})
_SHOWN_DIFFERENCES: Final = 5

_SCHEMA: Final = """
CREATE TABLE work (uid TEXT NOT NULL, resolved TEXT NOT NULL, result TEXT);
CREATE TABLE starts (start INTEGER PRIMARY KEY, run INTEGER NOT NULL, began TEXT NOT NULL);
CREATE TABLE runs (run INTEGER PRIMARY KEY, versions TEXT NOT NULL);
CREATE TABLE steps (
    n INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, start INTEGER NOT NULL, key TEXT NOT NULL,
    kind TEXT NOT NULL, agent TEXT NOT NULL, name TEXT NOT NULL, began TEXT NOT NULL, ended TEXT,
    request TEXT NOT NULL, body TEXT, usage TEXT NOT NULL, void INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX steps_by_key ON steps (run, key) WHERE NOT void;
"""


class Unusable(Failure):
    """No journal can be used in this file now: another run uses it, or it cannot be written."""


class Refused(Exception):
    """A request that the journal rejects, with the gateway's status and reason."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


def path_of(job: str) -> Path:
    """Return the default path of a job's journal."""
    return FOLDER / f"{job}.sqlite"


def put_aside(path: Path) -> Path:
    """Return where the journal of an unfinished run is kept when another run begins."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


class Journal:
    """The journal of one start. Its methods may be called from any thread."""

    def __init__(self, connection: sqlite3.Connection, start: int, run: int) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self.start = start
        self._run = run

    @classmethod
    def begin(cls, path: Path, resolved: Resolved, now: datetime) -> "tuple[Journal, int]":
        """Begin a run in a new file. Also return the number of steps of the previous run, if it did not end.

        Its file is then kept at `put_aside`; otherwise it is replaced.

        Raises:
            Unusable: another run uses the file, or it cannot be written.
            Failure: the file exists, and is not a journal.
        """
        left = _make_way(path)
        _make_folder(path.parent)
        connection = _opened(path)
        with _readable(path, connection), _transaction(connection):
            _create(connection)
            uid = f"local-{secrets.token_hex(8)}"
            connection.execute("INSERT INTO work (uid, resolved) VALUES (?, ?)", [uid, json.dumps(resolved)])
            connection.execute("INSERT INTO starts VALUES (1, 1, ?)", [now.isoformat()])
        return cls(connection, 1, 1), left

    @classmethod
    def resume(cls, path: Path, resolved: Resolved, now: datetime) -> "Journal":
        """Continue the run of a file, with the next start.

        Raises:
            Unusable: another run uses the file, or it cannot be written.
            Failure: it does not exist, cannot be read, or belongs to another job.
        """
        if not path.is_file() or not path.stat().st_size:
            raise Failure(
                f"nothing to resume: journal {path.absolute()} does not exist. Go to the previous run's folder, "
                "set --journal, or leave out --resume to start.",
                code=USAGE,
            )
        connection = _opened(path)
        with _readable(path, connection), _transaction(connection):
            _check_ours(path, connection)
            _check_work(path, connection, resolved)
            start, run = connection.execute("SELECT start + 1, run FROM starts ORDER BY start DESC LIMIT 1").fetchone()
            connection.execute("INSERT INTO starts VALUES (?, ?, ?)", [start, run, now.isoformat()])
        return cls(connection, start, run)

    def close(self) -> None:
        """Release the file for other runs."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def file(self) -> "Iterator[sqlite3.Connection]":
        """Use the file for other tables, in a transaction."""
        with self._lock, _transaction(self._connection):
            yield self._connection

    @property
    def run(self) -> int:
        """The run that the start records in; the start may begin its own."""
        return self._run

    def head(self) -> JournalHead:
        """Return what the start needs of the steps before it."""
        with self._lock:
            return JournalHead(run=self._run, last=_last(self._connection, self._run), versions=self._versions())

    def recorded(self) -> int:
        """Return the number of steps that a later start can use."""
        counted = "SELECT count(*) FROM steps WHERE run = ? AND NOT void AND ended IS NOT NULL"
        with self._lock:
            return int(self._connection.execute(counted, [self._run]).fetchone()[0])

    def spent(self) -> Spending:
        """Return the usage of all steps of the job, including void ones."""
        with self._lock:
            return Spending.of(self._connection.execute("SELECT kind, name, request, usage FROM steps").fetchall())

    @property
    def uid(self) -> str:
        """A stand-in for the job's uid: new for each run, the same in all its starts."""
        with self._lock:
            return str(self._connection.execute("SELECT uid FROM work").fetchone()[0])

    @property
    def result(self) -> Result | None:
        """The answer, if the job has succeeded."""
        with self._lock:
            (text,) = self._connection.execute("SELECT result FROM work").fetchone()
        return json.loads(text) if text else None

    def keep(self, result: Result) -> Result:
        """Store the job's answer and return the one that is final: the first."""
        with self._lock, _transaction(self._connection):
            self._connection.execute("UPDATE work SET result = ? WHERE result IS NULL", [json.dumps(result)])
        return self.result or result

    def page(self, after: int) -> StepsPage:
        """Return recorded steps with numbers above `after`, up to a page's length."""
        rows = (
            "SELECT n, start, key, kind, agent, name, ended, request, body FROM steps "
            "WHERE run = ? AND NOT void AND n > ? ORDER BY n LIMIT ?"
        )
        with self._lock:
            found = self._connection.execute(rows, [self._run, after, PAGE_STEPS + 1]).fetchall()
        taken = list(_within(found))
        return StepsPage(steps=[_step(row) for row in taken], next=taken[-1][0] if len(taken) < len(found) else None)

    def append(self, body: StepsBody) -> int:
        """Store the new steps of a request, or none of them; return the number of the newest step.

        Raises:
            Refused: it is too large, or names a run of another start.
        """
        _check_sizes(body["steps"])
        with self._lock, _transaction(self._connection):
            run = self._run_of(body)
            given = {(step["key"], self.start, _time(step["began"])) for step in body["steps"]}
            for key in body["void"]:
                self._void(run, key, given)
            for step in body["steps"]:
                self._store(run, step)
            (last,) = self._connection.execute("SELECT coalesce(max(n), 0) FROM steps").fetchone()
            if last > contract.MAX_JOB_STEPS:
                raise Refused(413, "JournalFull", f"{contract.MAX_JOB_STEPS} steps are the most one job may record.")
        return int(last)

    def _run_of(self, body: StepsBody) -> int:
        run = body["run"]
        if run not in {self._run, self.start}:
            raise Refused(422, "InvalidBody", f"run: start {self.start} belongs to run {self._run}, not to {run}.")
        if versions := body.get("versions"):
            self._connection.execute("INSERT OR IGNORE INTO runs VALUES (?, ?)", [run, json.dumps(versions)])
        if run != self._run:
            self._connection.execute("UPDATE starts SET run = ? WHERE start = ?", [run, self.start])
            self._run = run
        return run

    def _void(self, run: int, key: str, given: Collection[Sequence[object]]) -> None:
        """Make the step of a key void, unless the request itself records it."""
        live = self._first_row("SELECT n, start, began FROM steps WHERE run = ? AND key = ? AND NOT void", [run, key])
        if live is not None and (key, *live[1:]) not in given:
            self._connection.execute("UPDATE steps SET void = 1 WHERE n = ?", [live[0]])

    def _store(self, run: int, step: Step) -> None:
        # Key, start and beginning identify a step that is sent again, also a void one.
        of_key = "SELECT n, ended, start, usage, began FROM steps WHERE run = ? AND key = ? AND "
        row = {**_values(step), "run": run, "start": self.start}
        same = self._first_row(of_key + "start = ? AND began = ?", [run, row["key"], self.start, row["began"]])
        known = same or self._first_row(of_key + "NOT void", [run, row["key"]])
        if known is None or (row["void"] and known[1] is not None and known is not same):
            self._connection.execute(
                "INSERT INTO steps (run, start, key, kind, agent, name, began, ended, request, body, usage, void) "
                "VALUES (:run, :start, :key, :kind, :agent, :name, :began, :ended, :request, :body, :usage, :void)",
                row,
            )
        elif known[1] is None and (step["ended"] is not None or known[2] != self.start or row["began"] > known[4]):
            # A call that ends, that a later start repeats, or that is retried.
            used = {name: json.loads(known[3]).get(name, 0) + step["usage"].get(name, 0) for name in contract.USAGE}
            self._connection.execute(
                "UPDATE steps SET start = :start, began = :began, ended = :ended, request = :request, body = :body, "
                "usage = :usage, void = :void WHERE n = :n",
                {**row, "n": known[0], "usage": json.dumps(used)},
            )

    def _first_row(self, question: str, parameters: Sequence[object]) -> Any:
        return self._connection.execute(question, parameters).fetchone()

    def _versions(self) -> Versions | None:
        row = self._connection.execute("SELECT versions FROM runs WHERE run = ?", [self._run]).fetchone()
        return json.loads(row[0]) if row else None


def _make_way(path: Path) -> int:
    """Move an unfinished journal away, and return its number of steps; remove a finished one."""
    if not path.is_file() or not path.stat().st_size:
        return 0
    connection = _opened(path)
    with _readable(path, connection), contextlib.closing(connection):
        _check_ours(path, connection)
        with _transaction(connection):  # lock it while moving it
            steps, ended = connection.execute("SELECT (SELECT count(*) FROM steps), result FROM work").fetchone()
            if steps and not ended:
                path.replace(put_aside(path))
                return int(steps)
            path.unlink()
    return 0


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.name == FOLDER.name and not (folder / ".gitignore").exists():
            # Texts of agents must not be committed.
            (folder / ".gitignore").write_text("*\n", "utf-8")
    except OSError as error:
        raise Unusable(f"no journal can be kept in {folder}: {error.strerror}.", code=USAGE) from None


def _opened(path: Path) -> sqlite3.Connection:
    try:
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.OperationalError) as error:
        raise Unusable(f"the journal {path} cannot be opened: {error}.", code=USAGE) from None
    return connection


@contextlib.contextmanager
def _readable(path: Path, connection: sqlite3.Connection) -> Iterator[None]:
    """Report what is wrong with a file, and close it."""
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA synchronous = FULL")
        yield
    except sqlite3.OperationalError as error:
        connection.close()
        why = "another run uses it" if "locked" in str(error) else str(error)
        raise Unusable(f"the journal {path} cannot be used: {why}.", code=USAGE) from None
    except sqlite3.DatabaseError as error:
        connection.close()
        cure = _CURE if _is_database(path) else _OTHER
        raise Failure(f"{path} is not a readable journal: {error}. {cure}", code=USAGE) from None
    except BaseException:
        connection.close()
        raise


_OTHER: Final = "Choose another file with --journal."
_CURE: Final = "Remove it, or choose another file with --journal."


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def _check_ours(path: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != _APPLICATION:
        raise Failure(f"{path} is not a journal of agentjobs. {_OTHER}", code=USAGE)
    (written,) = connection.execute("PRAGMA user_version").fetchone()
    if written != _FORMAT:
        why = f"it has format {written}, and this version of agentjobs reads {_FORMAT}"
        raise Failure(f"the journal {path} cannot be read: {why}. {_CURE}", code=USAGE)


def _check_work(path: Path, connection: sqlite3.Connection, resolved: Resolved) -> None:
    from agentjobs.client.job import differences

    (text,) = connection.execute("SELECT resolved FROM work").fetchone()
    before = json.loads(text)
    other = [
        field for field in differences(resolved["spec"], before["spec"]) if field.partition(".")[0] not in _MAY_DIFFER
    ]
    if before["scripts"] != resolved["scripts"]:
        other.append("the script of its model")
    if other:
        raise Failure(
            f"the journal {path} belongs to other work: {', '.join(other[:_SHOWN_DIFFERENCES])} "
            f"{'differs' if len(other) == 1 else 'differ'}. Leave out --resume to start again.",
            code=USAGE,
        )


def _create(connection: sqlite3.Connection) -> None:
    for statement in (_SCHEMA + local_artifacts.SCHEMA + local_kept.SCHEMA).split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {_FORMAT}")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _last(connection: sqlite3.Connection, run: int) -> int:
    last = "SELECT coalesce(max(n), 0) FROM steps WHERE run = ? AND NOT void"
    return int(connection.execute(last, [run]).fetchone()[0])


def _within(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    """Yield the rows of one page, at least one."""
    left = PAGE_BYTES
    for place, row in enumerate(rows[:PAGE_STEPS]):
        left -= len(row[-1] or "")
        if place and left < 0:
            return
        yield row


def _step(row: Sequence[Any]) -> RecordedStep:
    n, start, key, kind, agent, name, ended, request, body = row
    step = RecordedStep(
        n=n,
        start=start,
        key=key,
        kind=kind,
        agent=agent,
        name=name,
        ended=ended,
        request={},
        body=None,
    )
    try:
        step["request"], step["body"] = json.loads(request), None if body is None else json.loads(body)
    except (ValueError, RecursionError):
        step["unreadable"] = True
    return step


def _values(step: Step) -> dict[str, Any]:
    body = None if step["ended"] is None else json.dumps(step["body"], ensure_ascii=False)
    return {
        **{name: step[name] for name in ("key", "kind", "agent", "name")},
        "began": _time(step["began"]),
        "ended": step["ended"] and _time(step["ended"]),
        "request": json.dumps(step["request"]),
        "usage": json.dumps(step["usage"]),
        "body": body,
        "void": bool(step.get("void")),
    }


def _time(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    except ValueError:
        raise Refused(422, "InvalidBody", "began, ended: must be RFC 3339 times.") from None


def _check_sizes(steps: Sequence[Step]) -> None:
    if len(steps) > contract.MAX_STEPS:
        raise Refused(422, "InvalidBody", f"steps: at most {contract.MAX_STEPS} in a request.")
    for step in steps:
        if len(step["key"]) > contract.MAX_STEP_KEY_CHARS:
            raise Refused(422, "InvalidBody", f"key: at most {contract.MAX_STEP_KEY_CHARS} characters.")
        if len(json.dumps(step["body"], ensure_ascii=False).encode()) > contract.MAX_STEP_BYTES:
            raise Refused(
                413, contract.ErrorClass.STEP_TOO_LARGE, f"a step is larger than {contract.MAX_STEP_BYTES} bytes."
            )
