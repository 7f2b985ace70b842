"""A job's workspace, the paths of its files, and the base commit of its run. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from agentjobs import contract

BASE_FILE: Final = "workspace/base.json"
"""The name of the kept file with `Base`."""
NAMED: Final = "Named"
_DIGITS: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Settings:
    """`spec.workspace` of an accepted job."""

    url: str
    ref: str | None
    """Branch, tag or commit; None for the default branch."""
    depth: int
    """Commits of history; 0 for all."""
    submodules: bool
    named: bool
    """Whether the files are on a volume that outlives the job."""
    publishes: bool

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Self | None:
        """Parse a resolved spec; None without a workspace."""
        workspace = spec.get("workspace")
        if not workspace:
            return None
        git, worktree = workspace["git"], workspace.get("worktree") or {}
        publish = workspace.get("publish") or {}
        return cls(
            url=git["url"],
            ref=git.get("ref"),
            depth=git.get("depth", 1),
            submodules=bool(git.get("submodules", False)),
            named=worktree.get("mode") == NAMED,
            publishes=publish.get("mode", "None") != "None",
        )


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of a workspace. An agent may have written anything in it."""

    root: Path

    @property
    def tree(self) -> Path:
        """The checkout."""
        return self.root / contract.TREE

    @property
    def ours(self) -> Path:
        """Our own files next to it."""
        return self.root / ".agentjobs"

    @property
    def begun(self) -> Path:
        """An incomplete checkout."""
        return self.ours / "begun"

    @property
    def fetched(self) -> Path:
        """A bare repository with new objects for an existing Named worktree."""
        return self.ours / "fetched.git"

    @property
    def saved(self) -> Path:
        """The bare repository of saved changes."""
        return self.ours / "saved.git"

    @property
    def origin(self) -> Path:
        """The file with the repository of a Named worktree."""
        return self.ours / "origin.json"

    @property
    def published(self) -> Path:
        """The file with the last published commit of a Named worktree."""
        return self.ours / "published.json"


@dataclass(frozen=True, slots=True)
class Base:
    """The base commit of all starts of a run, found by the first of them."""

    url: str
    ref: str | None
    branch: str
    """The checked-out branch; empty for a tag or a commit."""
    commit: str
    lost: str = ""
    """The previous base, which the repository no longer has: changes kept on it are lost."""

    def dump(self) -> bytes:
        """Return its stored form."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, kept: bytes | None, settings: Settings) -> Self | None:
        """Parse the stored form; None for another address or ref. The agent may have written it."""
        try:
            values = json.loads(kept or b"null")
            base = cls(**{name: values[name] for name in ("url", "ref", "branch", "commit", "lost")})
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        texts = (base.branch, base.commit, base.lost)
        if not all(isinstance(text, str) for text in texts) or (base.url, base.ref) != (settings.url, settings.ref):
            return None
        fits = is_commit(base.commit) and (not base.branch or is_branch(base.branch))
        return base if fits and (not base.lost or is_commit(base.lost)) else None


def is_commit(text: str) -> bool:
    """Whether a text is a complete commit hash."""
    return len(text) in (40, 64) and _DIGITS.issuperset(text)


def is_branch(text: str) -> bool:
    """Whether a text is a valid branch name, by a stricter rule than Git's: it becomes a path and an argument."""
    parts = text.split("/")
    bad = any(letter in " ~^:?*[\\\x7f" or ord(letter) < 32 for letter in text)
    return bool(
        text
        and not bad
        and not text.startswith("-")
        and len(text) <= 253
        and ".." not in text
        and "@{" not in text
        and text != "@"
        and all(part and not part.startswith(".") and not part.endswith((".", ".lock")) for part in parts)
    )
