"""What a job says of its workspace, where its files lie, and the commit that all starts of its run begin from. Pure."""

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
    """`spec.workspace` of a job as accepted."""

    url: str
    ref: str | None
    """Branch, tag or commit; None for the repository's own branch."""
    depth: int
    """Commits of the past; 0 for all."""
    submodules: bool
    named: bool
    """Whether the files are on a volume that outlives the job."""
    publishes: bool

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Self | None:
        """Read a resolved spec; None where it has no workspace."""
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
    """The folder of a workspace. Whatever is in it, an agent may have written."""

    root: Path

    @property
    def tree(self) -> Path:
        """The checkout."""
        return self.root / contract.TREE

    @property
    def ours(self) -> Path:
        """What we keep beside it."""
        return self.root / ".agentjobs"

    @property
    def begun(self) -> Path:
        """A checkout that is not whole yet."""
        return self.ours / "begun"

    @property
    def fetched(self) -> Path:
        """A bare repository with what a Named worktree gets that is there already."""
        return self.ours / "fetched.git"

    @property
    def saved(self) -> Path:
        """The bare repository of saved changes."""
        return self.ours / "saved.git"

    @property
    def origin(self) -> Path:
        """The file that says whose checkout a Named worktree is."""
        return self.ours / "origin.json"

    @property
    def published(self) -> Path:
        """The file that says what was last published of a Named worktree."""
        return self.ours / "published.json"


@dataclass(frozen=True, slots=True)
class Base:
    """The commit that all starts of a run begin from, as the first of them found it."""

    url: str
    ref: str | None
    branch: str
    """The branch that was checked out; empty for a tag or a commit."""
    commit: str
    lost: str = ""
    """The commit of before, which the repository has no more: what was kept upon it is gone."""

    def dump(self) -> bytes:
        """Return it as it is kept."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, kept: bytes | None, settings: Settings) -> Self | None:
        """Read what is kept; None where it is not of this address and ref. The agent may have written it."""
        try:
            told = json.loads(kept or b"null")
            base = cls(**{name: told[name] for name in ("url", "ref", "branch", "commit", "lost")})
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        texts = (base.branch, base.commit, base.lost)
        if not all(isinstance(text, str) for text in texts) or (base.url, base.ref) != (settings.url, settings.ref):
            return None
        fits = is_commit(base.commit) and (not base.branch or is_branch(base.branch))
        return base if fits and (not base.lost or is_commit(base.lost)) else None


def is_commit(text: str) -> bool:
    """Whether a text is the whole name of a commit."""
    return len(text) in (40, 64) and _DIGITS.issuperset(text)


def is_branch(text: str) -> bool:
    """Whether a text can be the name of a branch, by a rule stricter than Git's: it becomes a path and an argument."""
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
