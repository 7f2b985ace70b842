"""Names of models, as in `agent.model`, and patterns for them.

`gemini-…`, `openai/…` and `anthropic/…` are canonical for every provider: Vertex AI also serves `gemini-…` and
`anthropic/…`. Gemini models with other names (`text-embedding-004`) are `gemini/…`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from agentjobs.contract import ENV_MODEL_ALIASES

SCRIPTED: Final = "scripted/"
"""Prefix of models that answer from a ConfigMap, without a provider: `scripted/<configmap>/<key>`."""
MAX_CHARS: Final = 253
CLAUDE_CODE: Final = frozenset({"default", "best", "opus", "sonnet", "haiku", "fable", "opusplan"})
"""Names for which Claude Code's CLI chooses the model, differently in each version."""
LONG_CONTEXT: Final = "[1m]"
"""Suffix of a model name for Claude Code that requests the long context; not part of the API's name."""


class Api(StrEnum):
    """The API of a model's client."""

    GEMINI = "Gemini"
    OPENAI = "OpenAI"
    ANTHROPIC = "Anthropic"


class Kind(StrEnum):
    """The kind of a provider: which requests it answers, and at which paths."""

    GEMINI = "Gemini"
    OPENAI = "OpenAI"
    """OpenAI, and every host with its API."""
    ANTHROPIC = "Anthropic"
    VERTEX_AI = "VertexAI"


PREFIXES: Final[Mapping[Api, tuple[str, ...]]] = {
    Api.GEMINI: ("gemini-", "gemini/"),
    Api.OPENAI: ("openai/",),
    Api.ANTHROPIC: ("anthropic/",),
}
"""Prefixes of the canonical names of an API."""
SERVES: Final[Mapping[Kind, tuple[Api, ...]]] = {
    Kind.GEMINI: (Api.GEMINI,),
    Kind.OPENAI: (Api.OPENAI,),
    Kind.ANTHROPIC: (Api.ANTHROPIC,),
    Kind.VERTEX_AI: (Api.GEMINI, Api.ANTHROPIC),
}
"""The APIs of a provider's models."""

# A name becomes part of a URL path: segments of plain characters, none of them `.` or `..`. The colon is for
# OpenRouter (`…:free`), the at sign for Vertex AI (`claude-sonnet-4@20250514`).
_SEGMENT: Final = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._:@+~-]+"
_NAME: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)
_DOUBLED: Final = re.compile(r"^(?:gemini/|models/)+(?=gemini-)")
_PATTERN: Final = re.compile(r"[A-Za-z0-9._:@+~*?/-]+", re.ASCII)


def check(name: str) -> str:
    """Return a valid model name.

    Raises:
        ValueError: it is invalid; the message has the name, shortened, and the cure.
    """
    if len(name) > MAX_CHARS:
        raise ValueError(f"{name[:40]!r}… is not a model name: it has {len(name)} characters; use at most {MAX_CHARS}")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:80]!r} is not a model name; use letters, digits and . _ : @ + ~ -, and slashes between parts"
        )
    return name


def api_of(name: str) -> Api | None:
    """Return the API of the model with this canonical name; None for any other name."""
    for api, prefixes in PREFIXES.items():
        if name.startswith(prefixes) and name not in prefixes:
            return api
    return None


def canonical(api: Api, name: str) -> str:
    """Return the canonical name for an API's own name: `openai/gpt-5` for OpenAI's `gpt-5`."""
    if api is Api.GEMINI:
        plain = name.removeprefix("models/")
        return plain if plain.startswith("gemini-") else f"gemini/{plain}"
    return f"{PREFIXES[api][0]}{name}"


def unique_name(name: str) -> str:
    """Return the unique canonical name of a model: `gemini-2.5-pro` for `gemini/gemini-2.5-pro`.

    Patterns of prices and limits might match only one of the two names of the same model.
    """
    return _DOUBLED.sub("", name)


def plain(name: str) -> str:
    """Return the API's own name for a canonical name: `gpt-5` for `openai/gpt-5`."""
    api = api_of(name)
    if api is None or name.startswith("gemini-"):
        return name
    return name.removeprefix(PREFIXES[api][-1])


def aliases_in(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the installation's aliases and their models, from a pod's environment.

    Raises:
        ValueError: the variable is invalid.
    """
    try:
        aliases = json.loads(environment.get(ENV_MODEL_ALIASES) or "{}")
    except (ValueError, RecursionError):
        aliases = None
    if not isinstance(aliases, dict) or not all(isinstance(model, str) for model in aliases.values()):
        raise ValueError(f"{ENV_MODEL_ALIASES} must be a JSON object of names and models")
    return aliases


def pool(model: str, keys: Iterable[str]) -> str:
    """Return the name of a pool: a model with the keys that its calls may use, which share their limits."""
    return " ".join((model, *sorted(set(keys))))


def of_pool(name: str) -> tuple[str, frozenset[str]]:
    """Return the model and the keys of a pool; no keys means all."""
    model, *keys = name.split(" ")
    return model, frozenset(keys)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of names in which `*` matches any characters, including slashes, and `?` matches one."""

    text: str

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """Parse a pattern.

        Raises:
            ValueError: it is invalid; the message has the pattern and the cure.
        """
        if not _PATTERN.fullmatch(text) or len(text) > MAX_CHARS:
            raise ValueError(f"{text[:80]!r} is not a pattern of names; use the characters of names, * and ?")
        return cls(text)

    @property
    def exactness(self) -> tuple[bool, int]:
        """Sort key of patterns: a plain name first, then the pattern with the most plain characters."""
        wild = sum(self.text.count(sign) for sign in "*?")
        return not wild, len(self.text) - wild

    def matches(self, name: str) -> bool:
        """Whether it matches `name`."""
        return fnmatchcase(name, self.text)

    def meets(self, other: "Pattern") -> bool:
        """Whether some name matches both."""
        return _meet(self.text, other.text)


@lru_cache(maxsize=4096)
def _meet(pattern: str, other: str) -> bool:
    # Row by row over the characters of `one`: the positions in `other` that are reachable with equal characters.
    reached = _beyond_stars({0}, other)
    for sign in pattern:
        if sign == "*":
            reached = set(range(min(reached), len(other) + 1)) if reached else set()
        else:
            steps = {place + 1 for place in reached if place < len(other) and _same(sign, other[place])}
            stays = {place for place in reached if place < len(other) and other[place] == "*"}
            reached = _beyond_stars(steps | stays, other)
    return len(other) in reached


def _beyond_stars(places: set[int], text: str) -> set[int]:
    found = set(places)
    for place in places:
        while place < len(text) and text[place] == "*":
            place += 1
            found.add(place)
    return found


def _same(sign: str, other: str) -> bool:
    return sign == other or "?" in (sign, other)
