"""Secrets in the journal: a step's result is stored exactly, except the values of the pod's secrets.

A secret is replaced by a placeholder with its variable's name, `⟦OPENAI_API_KEY⟧`; reading inserts the reading pod's
value: after a rotation the new key. Other placeholders make any JSON storable and reversible: the bracket itself, NUL
and lone surrogates, which PostgreSQL rejects, and numbers that JSON does not have. Pure.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote

_OPEN: Final = "⟦"
_CLOSE: Final = "⟧"
_PLACEHOLDER: Final = re.compile(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}")
_ODD: Final = re.compile(f"[{_OPEN}\x00\ud800-\udfff]")
# Names of variables contain no `=`, so these are never variables.
_TOKEN: Final = "=token"  # noqa: S105  a name, not a secret
_CHARACTER: Final = "=u"
_NUMBERS: Final = {"=NaN": math.nan, "=Infinity": math.inf, "=-Infinity": -math.inf}
_WORD: Final = "word"
# Shorter values are too common.
_SHORTEST: Final = 6


class Seals:
    """Replaces secrets and puts them back.

    A value that occurs in its own placeholder, such as a password `PASSWORD` in `DB_PASSWORD`, is replaced there, too.

    Args:
        variables: the pod's environment, for reading.
        secret: the names of the secret variables.
        token: the pod's token; empty for none.
    """

    def __init__(self, variables: Mapping[str, str], secret: frozenset[str], token: str = "") -> None:
        self._values = dict(variables) | ({_TOKEN: token} if token else {})
        self._sealed: dict[str, str] = {}
        self._seal(sorted(secret | ({_TOKEN} if token else set())))

    def renew(self, token: str) -> None:
        """Use the pod's current token for its placeholder."""
        self._values = {**self._values, _TOKEN: token}
        self._seal([_TOKEN])
        vars(self).pop("_originals", None)

    def _seal(self, names: Sequence[str]) -> None:
        """Seal the values of these variables, too."""
        sealed = dict(self._sealed)
        for name in names:
            for spelled, placeholder in _spellings(name, self._values[name]):
                if len(spelled) >= _SHORTEST:
                    sealed.setdefault(spelled, placeholder)
        # Longest first: a secret may be part of another (a password of a DSN).
        known = sorted(sealed, key=lambda text: (-len(text), text))
        # In this order, because other threads seal meanwhile: every match must be known.
        self._sealed, self._found = sealed, re.compile("|".join([*map(re.escape, known), _ODD.pattern]))

    def seal(self, value: Any) -> Any:
        """Return JSON without secrets; `unseal` reverses it.

        NaN and infinities are accepted, too.
        """
        match value:
            case str():
                return self._found.sub(self._placeholder, value) if self._concerns(value) else value
            case dict():
                return {self.seal(key): self.seal(item) for key, item in value.items()}
            case list():
                return [self.seal(item) for item in value]
            case float() if not math.isfinite(value):
                name = "=NaN" if math.isnan(value) else "=Infinity" if value > 0 else "=-Infinity"
                return f"{_OPEN}{name}{_CLOSE}"
            case _:
                return value

    def unseal(self, value: Any) -> Any:
        """Return the input of `seal`, with the secrets of this pod.

        Raises:
            LookupError: this pod lacks a variable; with a message.
        """
        match value:
            case str():
                if _OPEN not in value:
                    return value
                whole = _PLACEHOLDER.fullmatch(value)
                if whole is not None and whole[1] in _NUMBERS:
                    return _NUMBERS[whole[1]]
                return _PLACEHOLDER.sub(self._original, value)
            case dict():
                return {self.unseal(key): self.unseal(item) for key, item in value.items()}
            case list():
                return [self.unseal(item) for item in value]
            case _:
                return value

    def _concerns(self, text: str) -> bool:
        # Most texts contain no secret, and searching for each secret is ten times faster than for all together.
        if _ODD.search(text):
            return True
        return len(text) >= _SHORTEST and any(secret in text for secret in self._sealed)

    def _placeholder(self, match: re.Match[str]) -> str:
        found = match[0]
        if found == _OPEN:
            return _OPEN + _CLOSE
        if (sealed := self._sealed.get(found)) is not None:
            return f"{_OPEN}{sealed}{_CLOSE}"
        return f"{_OPEN}{_CHARACTER}{ord(found):04x}{_CLOSE}"

    def _original(self, match: re.Match[str]) -> str:
        inside = match[1]
        if not inside:
            return _OPEN
        if inside.startswith(_CHARACTER):
            return chr(int(inside[len(_CHARACTER) :], 16))
        if inside not in self._originals:
            raise LookupError(f"it contains a secret, but this pod has no variable {inside.split('|')[0]}")
        return self._originals[inside]

    @cached_property
    def _originals(self) -> dict[str, str]:
        """The values of placeholders: of all variables, since a changed value may no longer look secret."""
        values = self._values.items()
        return {placeholder: text for name, value in values for text, placeholder in _spellings(name, value)}


def _spellings(name: str, value: str) -> Iterator[tuple[str, str]]:
    """A secret in its plain and quoted forms, each with its placeholder's text.

    A header's value is a scheme and a secret, so also its last word.
    """
    word = (value.split() or [""])[-1]
    for text, of in ((value, _quoted(name)), (word, f"{_quoted(name)}|{_WORD}")):
        yield text, of
        yield json.dumps(text)[1:-1], f"{of}|json"
        yield json.dumps(text, ensure_ascii=False)[1:-1], f"{of}|text"
        yield repr(text)[1:-1], f"{of}|repr"
        yield quote(text, safe="", errors="surrogatepass"), f"{of}|url"


def _quoted(name: str) -> str:
    return name if name.startswith("=") else quote(name, safe="")
