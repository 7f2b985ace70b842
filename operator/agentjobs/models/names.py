"""Names of models, as `agent.model` has them, and patterns for them.

`gemini-…`, `openai/…` and `anthropic/…` are canonical, whichever provider serves the model: Vertex AI has
`gemini-…` and `anthropic/…` as well. What the Gemini API calls otherwise (`text-embedding-004`) is `gemini/…`.
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
"""Prefix of models that answer from a ConfigMap and ask no provider: `scripted/<configmap>/<key>`."""
MAX_CHARS: Final = 253
CLAUDE_CODE: Final = frozenset({"default", "best", "opus", "sonnet", "haiku", "fable", "opusplan"})
"""Names for which Claude Code's CLI asks a model of its own choice, another with each of its versions."""
LONG_CONTEXT: Final = "[1m]"
"""Follows the name of a model for Claude Code that is to have its long context; the API's own name is without it."""


class Api(StrEnum):
    """The API that a client of a model speaks."""

    GEMINI = "Gemini"
    OPENAI = "OpenAI"
    ANTHROPIC = "Anthropic"


class Kind(StrEnum):
    """Which requests a provider answers, and below which paths."""

    GEMINI = "Gemini"
    OPENAI = "OpenAI"
    """OpenAI, and every host that speaks its API."""
    ANTHROPIC = "Anthropic"
    VERTEX_AI = "VertexAI"


PREFIXES: Final[Mapping[Api, tuple[str, ...]]] = {
    Api.GEMINI: ("gemini-", "gemini/"),
    Api.OPENAI: ("openai/",),
    Api.ANTHROPIC: ("anthropic/",),
}
"""How the canonical names of an API begin."""
SERVES: Final[Mapping[Kind, tuple[Api, ...]]] = {
    Kind.GEMINI: (Api.GEMINI,),
    Kind.OPENAI: (Api.OPENAI,),
    Kind.ANTHROPIC: (Api.ANTHROPIC,),
    Kind.VERTEX_AI: (Api.GEMINI, Api.ANTHROPIC),
}
"""Of whose API a provider has models."""

# A name becomes part of a path at a provider: segments of plain characters, none of them `.` or `..`. The colon is
# OpenRouter's (`…:free`), the at sign Vertex AI's (`claude-sonnet-4@20250514`).
_SEGMENT: Final = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._:@+~-]+"
_NAME: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)
_DOUBLED: Final = re.compile(r"^(?:gemini/|models/)+(?=gemini-)")
_PATTERN: Final = re.compile(r"[A-Za-z0-9._:@+~*?/-]+", re.ASCII)


def check(name: str) -> str:
    """Return a name that can be a model's.

    Raises:
        ValueError: it cannot; the message names it, shortened, and the cure.
    """
    if len(name) > MAX_CHARS:
        raise ValueError(
            f"{name[:40]!r}… is not the name of a model: it has {len(name)} characters, {MAX_CHARS} at most"
        )
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:80]!r} is not the name of a model; use letters, digits and . _ : @ + ~ -, and slashes "
            "between parts"
        )
    return name


def api_of(name: str) -> Api | None:
    """Return the API that a model of this canonical name speaks, None of any other name."""
    for api, prefixes in PREFIXES.items():
        if name.startswith(prefixes) and name not in prefixes:
            return api
    return None


def canonical(api: Api, name: str) -> str:
    """Return the canonical name of what an API itself calls `name`: `openai/gpt-5` of OpenAI's `gpt-5`."""
    if api is Api.GEMINI:
        plain = name.removeprefix("models/")
        return plain if plain.startswith("gemini-") else f"gemini/{plain}"
    return f"{PREFIXES[api][0]}{name}"


def undoubled(name: str) -> str:
    """Return the one canonical name of a model that has another: `gemini-2.5-pro` of `gemini/gemini-2.5-pro`.

    Patterns of prices and limits would match the one and not the other, and the provider would be asked for the same.
    """
    return _DOUBLED.sub("", name)


def plain(name: str) -> str:
    """Return what its API itself calls the model of a canonical name: `gpt-5` of `openai/gpt-5`."""
    api = api_of(name)
    if api is None or name.startswith("gemini-"):
        return name
    return name.removeprefix(PREFIXES[api][-1])


def aliases_in(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the installation's names for models, each with the model that it stands for, as a pod is told them.

    Raises:
        ValueError: the variable holds something else.
    """
    try:
        aliases = json.loads(environment.get(ENV_MODEL_ALIASES) or "{}")
    except (ValueError, RecursionError):
        aliases = None
    if not isinstance(aliases, dict) or not all(isinstance(model, str) for model in aliases.values()):
        raise ValueError(f"{ENV_MODEL_ALIASES} must be a JSON object of names and models")
    return aliases


def pool(model: str, keys: Iterable[str]) -> str:
    """Return the name of a model together with the keys that its calls may use: those that share what is left."""
    return " ".join((model, *sorted(set(keys))))


def of_pool(name: str) -> tuple[str, frozenset[str]]:
    """Return the model and the keys of a pool; no keys stand for all that there are."""
    model, *keys = name.split(" ")
    return model, frozenset(keys)


@dataclass(frozen=True, slots=True)
class Pattern:
    """Names by a text in which `*` stands for any characters, slashes too, and `?` for one."""

    text: str

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """Return the pattern that `text` is.

        Raises:
            ValueError: no name can match it; the message names it and the cure.
        """
        if not _PATTERN.fullmatch(text) or len(text) > MAX_CHARS:
            raise ValueError(f"{text[:80]!r} is not a pattern of names; use the characters of names, * and ?")
        return cls(text)

    @property
    def exactness(self) -> tuple[bool, int]:
        """What orders patterns: a plain name before all others, then the one with more plain characters."""
        wild = sum(self.text.count(sign) for sign in "*?")
        return not wild, len(self.text) - wild

    def matches(self, name: str) -> bool:
        """Whether it stands for `name`."""
        return fnmatchcase(name, self.text)

    def meets(self, other: "Pattern") -> bool:
        """Whether some name matches both."""
        return _meet(self.text, other.text)


@lru_cache(maxsize=4096)
def _meet(one: str, other: str) -> bool:
    # Row by row over the characters of `one`: where in `other` one can be after having read both the same.
    reached = _beyond_stars({0}, other)
    for sign in one:
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


def _same(one: str, other: str) -> bool:
    return one == other or "?" in (one, other)
