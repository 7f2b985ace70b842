"""The CLI's session file: restored from an earlier start, and kept for later ones while the CLI runs.

Only complete lines are kept, append-only, without the pod's secrets. A second file has the session's state, and is
written first: if the two do not match, a write was interrupted, and the next start begins a new session.
"""

import json
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from agentjobs.errors import Invalid, TooLarge
from agentjobs_runner.kept import Kept
from agentjobs_runner.log import logger

SESSION: Final = "claude-code/session.jsonl"
STATE: Final = "claude-code/state.json"
KEEP_SECONDS: Final = 0.4
"""Interval of reading the file: the part that a kill may lose."""
_SPACE: Final = UUID("6f1d3c62-5d0b-4a86-9a3e-0d9b6f3f5c11")
_MOST_AT_ONCE: Final = 4 * 1024 * 1024
_MAX_LINE_BYTES: Final = 64 * 1024 * 1024
_RESULT: Final = b"tool_result"
# By its beginning a rewritten file is distinguished from an extended one.
_TAIL_BYTES: Final = 4096


def new_id(uid: str, start: int) -> str:
    """Return the id of the session that a start begins: unique to the start, and always the same for it."""
    return str(uuid5(_SPACE, f"{uid}/{start}"))


@dataclass(frozen=True, slots=True)
class Calls:
    """The tool calls in a session."""

    requested: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By id: `name` and `input` from the model."""
    answered: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Restored:
    """A session that can be resumed: its file is restored."""

    id: str
    tail: "Tail"
    """Size of its file, which begins with the kept part."""
    kept: int
    """Size of the kept file: placeholders of secrets have other lengths."""
    calls: Calls


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no session to resume; `why` is empty if none was expected."""

    why: str = ""


def path_of(home: Path, tree: Path, session: str) -> Path:
    """Return where the CLI expects a session's file."""
    return home / ".claude" / "projects" / re.sub(r"[^A-Za-z0-9]", "-", str(tree)) / f"{session}.jsonl"


@dataclass
class Tail:
    """Reads the complete lines of a growing file. Buffers a few kilobytes."""

    path: Path
    at: int = 0
    """The position up to which the file was read."""
    before: bytes = b""
    """The bytes before that position."""

    def more(self) -> tuple[bytes, bool]:
        """Return new lines, at most some megabytes; and whether they start at the file's beginning again, because it
        was rewritten.

        Raises:
            OSError: it cannot be read.
            TooLarge: a line exceeds the limit.
        """
        with self.path.open("rb") as file:
            file.seek(self.at - len(self.before))
            anew = file.read(len(self.before)) != self.before
            if anew:
                self.at, self.before = file.seek(0), b""
            content = bytearray(file.read(_MOST_AT_ONCE))
            while b"\n" not in content and (piece := file.read(_MOST_AT_ONCE)):
                content += piece
                if len(content) > _MAX_LINE_BYTES:
                    raise TooLarge(f"a line of the session has more than {_MAX_LINE_BYTES} bytes")
        whole = bytes(content[: content.rfind(b"\n") + 1])
        self.at += len(whole)
        self.before = (self.before + whole)[-_TAIL_BYTES:]
        return whole, anew

    def give_back(self, rest: bytes) -> None:
        """Return the end of `more`'s result, to be read again."""
        self.at -= len(rest)
        self.before = self.before[: -len(rest)]


def restore(kept: Kept, unseal: Callable[[Any], Any], home: Path, tree: Path) -> Restored | Absent:
    """Restore the kept session, if it is usable. Blocks until the files are read."""
    session = _session_of(kept.read(STATE))
    if isinstance(session, Absent):
        return session
    content = kept.read(SESSION)
    if content is None:
        return Absent("nothing of the previous session was kept")
    *lines, rest = content.split(b"\n")
    try:
        texts = [str(unseal(line.decode())) for line in lines]
        entries = [json.loads(text) for text in texts]
    except LookupError as error:
        return Absent(f"the kept session cannot be read: {error.args[0] if error.args else error}")
    except (ValueError, RecursionError):
        return Absent("the kept session is damaged")
    owners = {str(entry["sessionId"]) for entry in entries if isinstance(entry, dict) and "sessionId" in entry}
    if rest or owners != {session}:
        return Absent("the kept session is damaged")
    whole = "".join(f"{text}\n" for text in texts).encode()
    path = path_of(home, tree, session)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_bytes(whole)
    return Restored(session, Tail(path, len(whole), whole[-_TAIL_BYTES:]), len(content), _calls(entries))


def give_up(kept: Kept, session: str) -> None:
    """Make the next start begin a new session."""
    kept.write(STATE, _state(session, spent=True))
    kept.delete(SESSION)


class Keeper:
    """Keeps the session's file while the CLI writes it, in its own thread.

    Args:
        kept: stores the file.
        seal: removes the pod's secrets from a line.
        home: the CLI's home folder.
        session: its id.
        restored: the beginning of the file, if it is an earlier start's.
        has_recorded: whether the result of a tool call is recorded. Others are not kept until the CLI has ended: files
            are kept when a result is recorded, and a session must not mention changes that are not kept.
    """

    def __init__(
        self,
        kept: Kept,
        seal: Callable[[Any], Any],
        home: Path,
        session: str,
        restored: Restored | None,
        has_recorded: Callable[[str], bool],
    ) -> None:
        self._kept, self._seal, self._home, self._session = kept, seal, home, session
        self._has_recorded = has_recorded
        self._earlier = frozenset(restored.calls.requested) if restored else frozenset()
        self._tail = restored.tail if restored else None
        self._begun = restored is not None
        self._bytes = restored.kept if restored else 0
        """Size of the kept file."""
        self._done = threading.Event()
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name="session", daemon=True)

    def start(self) -> None:
        """Begin to keep."""
        self._thread.start()

    def finish(self) -> str:
        """Keep the rest, and return why that failed; empty on success.

        Blocks until it is kept. The CLI has ended.
        """
        self._done.set()
        self._thread.join()
        return self._problem

    def _run(self) -> None:
        try:
            while not self._done.wait(KEEP_SECONDS):
                self._keep()
            self._keep()
        except (Invalid, OSError) as error:
            self._forget(str(error))
        except Exception as error:  # otherwise the failure would go unnoticed
            logger.exception("session.failed")
            self._forget(f"{type(error).__name__}: {error}")

    def _forget(self, why: str) -> None:
        """Prevent later starts from resuming the kept part: they would repeat what came after it."""
        self._problem = why[:300] or "unknown"
        try:
            give_up(self._kept, self._session)
        except Exception:
            logger.exception("session.failed")

    def _keep(self) -> None:
        """Keep new lines of the file."""
        if self._tail is None:
            found = next((self._home / ".claude" / "projects").glob(f"*/{self._session}.jsonl"), None)
            self._tail = None if found is None else Tail(found)
        while self._tail is not None:
            content, anew = self._tail.more()
            if anew:
                logger.warning("session.rewritten", extra={"session": self._session})
                self._bytes = 0
            safe = content if self._done.is_set() else self._safe(content)
            if len(safe) < len(content):
                self._tail.give_back(content[len(safe) :])
            if not safe:
                return
            if not self._begun:
                self._kept.write(STATE, _state(self._session))
                self._begun = True
            lines = safe.decode("utf-8", "replace").split("\n")[:-1]
            sealed = "".join(f"{self._seal(line)}\n" for line in lines).encode()
            self._kept.write(SESSION, sealed, offset=self._bytes)
            self._bytes += len(sealed)

    def _safe(self, content: bytes) -> bytes:
        """The lines before the first result that is not recorded."""
        end = 0
        for line in content.splitlines(keepends=True):
            if _RESULT in line and not all(map(self._is_recorded, _answered(line))):
                break
            end += len(line)
        return content[:end]

    def _is_recorded(self, call: str) -> bool:
        return call in self._earlier or self._has_recorded(call)


def _answered(line: bytes) -> frozenset[str]:
    """The calls whose results are in a line."""
    try:
        return _calls([json.loads(line)]).answered
    except (ValueError, RecursionError):
        return frozenset()


def _state(session: str, *, spent: bool = False) -> bytes:
    return json.dumps({"session": session, "spent": spent}).encode()


def _session_of(state: bytes | None) -> str | Absent:
    """The session to continue, from `_state`."""
    if state is None:
        return Absent()
    try:
        given = json.loads(state)
        session, spent = str(UUID(given["session"])), given.get("spent")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Absent("the kept session is damaged")
    return Absent() if spent else session


def _calls(entries: Iterable[Any]) -> Calls:
    """The tool calls in the lines of a session."""
    requested: dict[str, dict[str, Any]] = {}
    answered = set[str]()
    for entry in entries:
        message = entry.get("message") if isinstance(entry, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else ():
            match block:
                case {"type": "tool_use", "id": str(number), "name": str(name)}:
                    requested[number] = {"id": number, "name": name, "input": block.get("input")}
                case {"type": "tool_result", "tool_use_id": str(number)}:
                    answered.add(number)
    return Calls(requested, frozenset(answered))
