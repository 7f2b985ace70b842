"""Patterns of secrets, and where they occur in bytes. Pure.

The patterns have distinctive prefixes, so that false positives are rare; there are no entropy checks, and no comment in
a file excludes a line. In addition the pod's own values are searched, plain and quoted. It catches mistakes:
deliberately hidden secrets are not found.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

LONGEST: Final = 16 * 1024
"""Maximum length of a match, in bytes."""
_SHORTEST: Final = 8
"""Shorter values of the pod are too common."""
_SLICE: Final = 24
"""Length of a part of a base64 value, which may be broken into lines anywhere."""


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of secret: a quickly searchable sign in each, and the exact pattern."""

    kind: str
    signs: tuple[re.Pattern[bytes], ...]
    pattern: re.Pattern[bytes]
    begins: bool = True
    """Whether each begins with a sign; then the pattern is only tried there."""

    def found(self, content: bytes) -> Iterator[re.Match[bytes]]:
        """Yield the pattern's matches, sign by sign."""
        if not self.begins:
            if any(sign.search(content) for sign in self.signs):
                yield from self.pattern.finditer(content)
            return
        for sign in self.signs:
            end = 0
            for place in sign.finditer(content):
                match = self.pattern.match(content, place.start()) if place.start() >= end else None
                if match is not None:
                    yield match
                    end = match.end()


@dataclass(frozen=True, slots=True)
class Match:
    """A secret at an offset. The digest distinguishes secrets without revealing them."""

    kind: str
    offset: int
    digest: bytes


def _form(kind: str, signs: str, pattern: bytes, *, begins: bool = True) -> Form:
    # After a letter of another alphabet it is a part of something else.
    found = re.compile(rb"(?<![A-Za-z0-9_])(?:" + pattern + rb")")
    return Form(kind, _signs(*signs.encode().split()), found, begins)


def _signs(*texts: bytes) -> tuple[re.Pattern[bytes], ...]:
    """Return patterns for texts. Those with a common beginning are combined, which costs no more than one."""
    together = dict[bytes, list[bytes]]()
    for text in texts:
        together.setdefault(text[:1], []).append(re.escape(text))
    return tuple(re.compile(b"|".join(group)) for group in together.values())


# Line ends between the first line of a key and the next, also in quoted form.
_GAP: Final = rb"(?:\s|\\+[nrt]|[\"'`+,;<>#|-]|//){0,80}+"
_KEY: Final = (
    rb"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
    + _GAP
    + rb"(?:[A-Za-z-]{3,20}+:[^\r\n\\]{0,100}+"
    + _GAP
    + rb"){0,6}[A-Za-z0-9+/=]{32,100}+"
)
FORMS: Final = (
    Form("a private key", _signs(b"-----BEGIN "), re.compile(_KEY)),
    _form("a private key of PuTTY", "PuTTY-User-Key-File-", rb"PuTTY-User-Key-File-[23]: "),
    _form("a private key of age", "AGE-SECRET-KEY-1", rb"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    _form("an access key of AWS", "AKIA ASIA ABIA ACCA", rb"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])"),
    _form("a token of GitHub", "ghp_ gho_ ghu_ ghs_ ghr_", rb"gh[pousr]_[A-Za-z0-9]{36,255}"),
    _form("a token of GitHub", "github_pat_", rb"github_pat_[A-Za-z0-9_]{36,255}"),
    _form(
        "a token of GitLab",
        "glpat- gldt- glrt- glptt- glsoat- glcbt- glft- glimt- glagent- gloas- glffct-",
        rb"gl(?:pat|dt|rt|ptt|soat|cbt|ft|imt|agent|oas|ffct)-[A-Za-z0-9_-]{20,300}",
    ),
    _form(
        "a token of Slack", "xox xapp- xwfp-", rb"(?:xox[abeoprs](?:\.xox[bp])?|xapp|xwfp)-[0-9][A-Za-z0-9-]{16,400}"
    ),
    _form(
        "a webhook of Slack",
        "hooks.slack.com",
        rb"hooks\.slack\.com/(?:services|workflows)/T[A-Z0-9]{6,14}/[A-Z0-9]{6,14}/[A-Za-z0-9/]{16,80}",
    ),
    _form("a key of Anthropic", "sk-ant-", rb"sk-ant-[a-z0-9]{3,12}-[A-Za-z0-9_-]{24,200}"),
    _form("a key of OpenAI", "T3BlbkFJ", rb"sk-[A-Za-z0-9_-]{8,200}?T3BlbkFJ[A-Za-z0-9_-]{20,200}", begins=False),
    _form("a key of OpenAI", "sk-proj- sk-svcacct- sk-admin-", rb"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,300}"),
    _form("a key of OpenRouter", "sk-or-v1-", rb"sk-or-v1-[0-9a-f]{64}"),
    _form("a key of Google", "AIza", rb"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _form("a secret of Google", "GOCSPX-", rb"GOCSPX-[A-Za-z0-9_-]{28}"),
    _form("a token of Google", "ya29.", rb"ya29\.[A-Za-z0-9_-]{40,2000}"),
    _form("a key of Stripe", "sk_live_ rk_live_", rb"[rs]k_live_[A-Za-z0-9]{24,200}"),
    _form("a token of npm", "npm_", rb"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
    _form("a token of PyPI", "pypi-AgEI", rb"pypi-AgEI[A-Za-z0-9_-]{50,1000}"),
    _form("a token of Hugging Face", "hf_", rb"hf_[A-Za-z0-9]{34}(?![A-Za-z0-9])"),
    _form("a key of SendGrid", "SG.", rb"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _form("a token of DigitalOcean", "dop_v1_ doo_v1_ dor_v1_", rb"do[opr]_v1_[0-9a-f]{64}"),
    _form("a token of Docker", "dckr_", rb"dckr_(?:pat|oat)_[A-Za-z0-9_-]{27,}"),
    _form("a key of Azure storage", "AccountKey=", rb"AccountKey=[A-Za-z0-9+/]{86}=="),
)
_JWT: Final = Form(
    "a token of Kubernetes",
    _signs(b"eyJ"),
    re.compile(rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,2000}\.(eyJ[A-Za-z0-9_-]{10,8000})\.[A-Za-z0-9_-]{20,2000}"),
)
_FEW: Final = 8
"""With fewer different characters it is a placeholder in documentation: `ghp_xxxx…`."""


class Search:
    """Searches for the patterns, and for the values of one pod.

    Args:
        values: the pod's secrets, by name.
    """

    def __init__(self, values: Iterable[tuple[str, str]]) -> None:
        self._known: dict[bytes, str] = {}
        for kind, value in values:
            for text in spellings(value):
                self._known.setdefault(text, kind)

    def matches(self, content: bytes) -> Iterator[Match]:
        """Yield the secrets in a content, kind by kind."""
        for form in FORMS:
            for found in form.found(content):
                if not _is_example(found[0]):
                    yield _match(form.kind, found.start(), found[0])
        for found in _JWT.found(content):
            if _is_of_kubernetes(found[1]):
                yield _match(_JWT.kind, found.start(), found[0])
        for text, kind in self._known.items():
            if (at := content.find(text)) >= 0:
                yield _match(kind, at, text)

    def find(self, text: str) -> str | None:
        """Return the kind of the first secret in a text; None without one."""
        return next((match.kind for match in self.matches(unwrapped(text.encode("utf-8", "surrogateescape")))), None)


def unwrapped(content: bytes) -> bytes:
    """Return bytes in searchable form: UTF-16, as Windows writes it, as single bytes."""
    return content.replace(b"\0", b"") if b"\0" in content else content


def spellings(value: str) -> Iterator[bytes]:
    """Yield the texts that reveal a value; none for common values."""
    for piece in _pieces(value):
        if len(piece) < _SHORTEST:
            continue
        raw = piece.encode("utf-8", "surrogateescape")
        yield from dict.fromkeys((raw, quote(raw, safe="").encode(), json.dumps(piece)[1:-1].encode()))
        for text in _encoded(raw):
            yield from [text] if len(text) < 2 * _SLICE else _slices(text)
        if len(raw) >= 16:
            yield from (raw.hex().encode(), raw.hex().upper().encode())


def _pieces(value: str) -> Iterator[str]:
    """The secret parts of a value: for a key the lines after the common header, for a JWT its end."""
    value = value.strip()
    if "PRIVATE KEY" in value:
        lines = [line.strip() for line in value.splitlines()]
        body = [line for line in lines if len(line) >= 32 and re.fullmatch(r"[A-Za-z0-9+/=]+", line)]
        behind = body[1:] or body
        yield from dict.fromkeys((*behind[:1], *behind[len(behind) // 2 :][:1], *behind[-1:]))
        return
    parts = value.split(".")
    if len(parts) == 3 and value.startswith("eyJ") and len(parts[2]) >= 32:
        yield parts[2]
        return
    yield value


def _encoded(raw: bytes) -> Iterator[bytes]:
    """The base64 form of a text at any position: without the characters that depend on its neighbours."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + raw)
        first, whole = -(-before * 4 // 3), (before + len(raw)) // 3 * 4
        plain = text[first:whole]
        if len(plain) >= _SHORTEST + 2:
            yield plain
            if (safe := plain.translate(bytes.maketrans(b"+/", b"-_"))) != plain:
                yield safe


def _slices(text: bytes) -> Iterator[bytes]:
    """Three parts of a long text, not its beginning, which may be common, as in JSON."""
    for start in dict.fromkeys((_SLICE, len(text) // 2, len(text) - _SLICE)):
        yield text[start : start + _SLICE]


def _is_example(found: bytes) -> bool:
    return len(set(found)) < _FEW or (found.startswith((b"AKIA", b"ASIA")) and found.endswith(b"EXAMPLE"))


def _match(kind: str, offset: int, found: bytes) -> Match:
    return Match(kind, offset, hashlib.sha256(found).digest())


def _is_of_kubernetes(payload: bytes) -> bool:
    """Whether the claims of a JWT are a service account's: others are common in tests."""
    try:
        claims = base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))
    except (binascii.Error, ValueError):
        return False
    return b'"kubernetes.io' in claims or b"system:serviceaccount:" in claims or b"kubernetes/serviceaccount" in claims
