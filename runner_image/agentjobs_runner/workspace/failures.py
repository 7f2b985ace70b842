"""Classifies failures of Git by its messages. Pure."""

import re
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """The meaning of a Git failure for its caller."""

    UNAVAILABLE = "Unavailable"
    """The host is unreachable, or closed the connection: retry."""
    REFUSED = "Refused"
    """Wrong credentials, an unknown host key, a redirect, a forbidden protocol: a retry does not help."""
    MISSING = "Missing"
    """The repository or ref does not exist; hosts report the same if the credentials have no access."""
    FULL = "Full"
    """No space on the disk."""
    BROKEN = "Broken"
    """Anything else: a damaged repository, a rejected push, arguments that Git does not accept."""
    ABSENT = "Absent"
    """git or ssh is not in PATH."""


class GitFailed(Exception):
    """A Git command failed. The message is for people, and has no secrets."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


# The first match counts: a full disk also causes "early EOF", a missing repository a "remote end hung up".
_SIGNS: Final[tuple[tuple[Kind, str], ...]] = (
    (Kind.FULL, r"no space left on device|disk quota exceeded|file too large"),
    (Kind.ABSENT, r"cannot run ssh|ssh: not found|ssh: command not found|remote helper '\w+'.*not found"),
    (
        Kind.REFUSED,
        (
            r"authentication failed|could not read (username|password)|invalid credentials|permission denied \(|"
            r"access denied|host key verification failed|returned error: (30\d|40[1237]|413|451)\b|load key|"
            r"transport '.*' not allowed|protocol '.*' is not allowed|unable to update url base from redirection|"
            r"certificate|no matching host key"
        ),
    ),
    (
        Kind.UNAVAILABLE,
        (
            r"returned error: (5\d\d|429|408)|could not resolve (host|proxy)|name or service not known|"
            r"connection refused|temporary failure in name resolution|failed to connect|couldn't connect|"
            r"connection (was )?(reset|closed|timed out)|timed out|operation too slow|"
            r"network is unreachable|no route to host|gnutls|\bssl_\w+|\btls\b|empty reply from server|"
            r"transfer closed|not closed cleanly"
        ),
    ),
    (
        Kind.MISSING,
        (
            r"not our ref|couldn't find remote ref|remote branch .* not found|repository .*not found|"
            r"repository not found|does not appear to be a git repository|does not exist|no such remote|"
            r"returned error: (404|410)\b|"
            # Errors about a repository's submodules, which do not change.
            r"no url found for submodule|bad config line|invalid value for 'submodule|did not contain|"
            r"strange (hostname|pathname) .* blocked|not a valid branch name"
        ),
    ),
    (
        Kind.UNAVAILABLE,
        (
            r"early eof|rpc failed|unexpected disconnect|the remote end hung up|invalid index-pack output|"
            r"expected flush|unexpected end of|bad line length|kex_exchange"
        ),
    ),
)
_PATTERNS: Final = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _SIGNS)
_MAX_CHARS: Final = 400
# A repository or branch may be called `tls`.
_NAMES: Final = re.compile(r"'[^'\n]*/[^'\n]*'|^To .*$|\S+ -> \S+", re.MULTILINE)
# Where Git reports the reason: for a push, in the line of its branch.
_WITH_REASON: Final = ("fatal:", "error:", "remote:", "! [")
# Hosts redirect from a repository's earlier names, and if `.git` is missing.
_MOVED: Final = re.compile(r"returned error: 30\d")
_CURE: Final = "; the host redirects: use the final address, as in a browser, with .git at its end"
_LOGIN: Final = re.compile(r"(?<=://)[^/\s'\"@]*@")
_NOISE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def kind_of(stderr: str) -> Kind:
    """Return the kind of failure in Git's standard error, which is in English."""
    plain = _NAMES.sub("", stderr)
    for kind, pattern in _PATTERNS:
        if pattern.search(plain):
            return kind
    return Kind.BROKEN


def in_short(stderr: str) -> str:
    """Return the lines of Git's standard error with the reason, as one line."""
    lines = [_NOISE.sub("", line).strip() for line in stderr.replace("\r", "\n").splitlines()]
    with_reason = [line for line in lines if line.startswith(_WITH_REASON)] or lines
    # Recursive commands repeat everything. An address in a repository may contain credentials.
    text = _LOGIN.sub("", "; ".join(dict.fromkeys(line for line in with_reason if line)))
    text = text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 1] + "…"
    return text + _CURE if _MOVED.search(text) else text
