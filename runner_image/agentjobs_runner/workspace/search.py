"""Searches everything that a push would send for secrets: contents of files, commits, names.

Secrets that the same file already had are ignored: the remote has them, and the job did not add them.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentjobs_runner.workspace.commits import Change
from agentjobs_runner.workspace.destination import BASE, Repository
from agentjobs_runner.workspace.failures import GitFailed
from agentjobs_runner.workspace.refusals import of_git, refused
from agentjobs_runner.workspace.secret_forms import LONGEST, Match, Search, unwrapped

# Total size of a change; searching a gigabyte takes about half a minute.
LONGEST_SECONDS: Final = 900.0
MAX_FOUND: Final = 5
"""Number of findings that are reported."""
MAX_BYTES: Final = 4 * 1024**3
"""Total size of new objects: a small object may decompress to more than a disk."""
_BATCH_BYTES: Final = 16 * 1024 * 1024
_PART_BYTES: Final = 4 * 1024 * 1024
_MAX_PATH_CHARS: Final = 120


@dataclass(frozen=True, slots=True)
class _Object:
    """A new object; if it is a file, with one of its paths."""

    name: str
    kind: str
    size: int
    path: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """The location of a secret, never the secret itself."""

    place: str
    line: int
    kind: str

    def __str__(self) -> str:
        """Describe it for people."""
        return f"{self.place}:{self.line} ({self.kind})"


def check(repository: Repository, change: Change, search: Search, clock: Callable[[], float] = time.monotonic) -> None:
    """Reject a change that contains secrets.

    Raises:
        StartEnded: it does, or it is too large to be searched in time.
    """
    until = clock() + LONGEST_SECONDS
    found: list[Finding] = []
    try:
        objects = list(_sized(repository, change.objects))
        if sum(item.size for item in objects) > MAX_BYTES:
            raise refused(
                f"what is new has more than {MAX_BYTES >> 30} GiB, and is not searched for secrets nor pushed"
            )
        names = b"\n".join(path for _, path in change.objects)
        found += [Finding("the name of a file", 1, match.kind) for match in search.matches(unwrapped(names))]
        for item, match, line in _searched(repository, objects, search):
            if clock() > until:
                raise refused(f"what is new could not be searched for secrets within {LONGEST_SECONDS:g} seconds")
            if match is not None and not _is_old(repository, item, match, search):
                found.append(Finding(_place(item), line, match.kind))
            if len(found) > MAX_FOUND:
                break
    except GitFailed as error:
        raise of_git(error, "searching what is new for secrets") from error
    if found:
        places = [str(finding) for finding in dict.fromkeys(found)]
        more = " and more" if len(places) > MAX_FOUND else ""
        raise refused(
            f"nothing was pushed, because the change contains secrets: {', '.join(places[:MAX_FOUND])}{more}. Keep "
            "them out of the files and out of all commits, and run the job again"
        )


def _sized(repository: Repository, objects: Sequence[tuple[str, bytes]]) -> Iterator[_Object]:
    paths = dict(objects)
    queried = "".join(f"{name}\n" for name in paths).encode()
    for line in repository.run("cat-file", "--batch-check", "--buffer", input=queried).decode().splitlines():
        name, kind, size = line.split()
        if kind != "tree":  # only names of files, which the list of objects has
            yield _Object(name, kind, int(size), paths[name])


def _searched(
    repository: Repository, objects: Sequence[_Object], search: Search
) -> Iterator[tuple[_Object, Match | None, int]]:
    """Yield findings, and None after each part, so that the caller can check the time."""
    small = [item for item in objects if item.size <= _BATCH_BYTES]
    for batch in _batches(small):
        for item, content in _contents(repository, batch):
            yield from _in_part(item, content, search, 0)
        yield batch[0], None, 0
    for item in objects:
        if item.size > _BATCH_BYTES:
            yield from _in_large(repository, item, search)


def _batches(objects: Sequence[_Object]) -> Iterator[list[_Object]]:
    batch, size = list[_Object](), 0
    for item in objects:
        if batch and (size + item.size > _BATCH_BYTES or len(batch) >= 10_000):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item.size
    if batch:
        yield batch


def _contents(repository: Repository, batch: Sequence[_Object]) -> Iterator[tuple[_Object, bytes]]:
    queried = "".join(f"{item.name}\n" for item in batch).encode()
    printed = memoryview(repository.run("cat-file", "--batch", "--buffer", input=queried))
    at = 0
    for item in batch:
        at += len(f"{item.name} {item.kind} {item.size}\n")
        yield item, bytes(printed[at : at + item.size])
        at += item.size + 1


def _in_large(repository: Repository, item: _Object, search: Search) -> Iterator[tuple[_Object, Match | None, int]]:
    with tempfile.TemporaryFile(dir=repository.folder) as content:
        repository.run("cat-file", item.kind, item.name, output=content)
        content.seek(0)
        before, lines = b"", 0
        while part := content.read(_PART_BYTES):
            whole = before + part
            yield from _in_part(item, whole, search, lines)
            yield item, None, 0
            before = whole[-LONGEST:]
            lines += whole[: len(whole) - len(before)].count(b"\n")


def _in_part(item: _Object, content: bytes, search: Search, lines: int) -> Iterator[tuple[_Object, Match | None, int]]:
    plain = unwrapped(content)
    for match in search.matches(plain):
        yield item, match, lines + plain.count(b"\n", 0, match.offset) + 1


def _is_old(repository: Repository, item: _Object, match: Match, search: Search) -> bool:
    """Whether the base has the same secret in the same file.

    Its content may only be in the agent's store; then it counts if its hash matches.
    """
    if item.kind != "blob" or not item.path:
        return False
    try:
        name = repository.words("rev-parse", "--verify", os.fsdecode(b"%s:%s" % (BASE.encode(), item.path)))
    except (GitFailed, ValueError):
        return False  # a new file
    store = repository.folder / "agent-objects"
    for variables in ({}, _beside(store)):
        try:
            before = repository.run("cat-file", "blob", name, variables=variables)
        except GitFailed:
            continue
        digest = hashlib.new("sha1" if len(name) == 40 else "sha256", usedforsecurity=False)
        digest.update(b"blob %d\0" % len(before) + before)
        if digest.hexdigest() == name:
            return any(old.digest == match.digest for old in search.matches(unwrapped(before)))
    return False


def _beside(store: Path) -> Mapping[str, str]:
    return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(store)}


def _place(item: _Object) -> str:
    if item.kind != "blob":
        return f"the {item.kind} {item.name[:12]}"
    path = item.path.decode("utf-8", "replace")
    shown = "".join(letter if letter.isprintable() else "?" for letter in path)
    return shown if len(shown) <= _MAX_PATH_CHARS else f"…{shown[-_MAX_PATH_CHARS:]}"
