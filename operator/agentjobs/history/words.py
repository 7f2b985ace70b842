"""By which words a job is found: of its name, its reason and its message. Pure.

The same in SQL, for a column and for a condition, and in Python for the history in memory.
"""

import re
from typing import Final

MAX_MESSAGE_CHARS: Final = 2000
"""Of a message that are looked through: PostgreSQL refuses a text of very many words."""

# Without what stands between words PostgreSQL takes `a-1` for the number -1, and `x.y` for a host.
WORDS_SQL: Final = (
    "to_tsvector('simple'::regconfig, regexp_replace("
    f"name || ' '::text || reason || ' '::text || \"left\"(message, {MAX_MESSAGE_CHARS}), "
    "'[!-/:-@[-`{-~]+'::text, ' '::text, 'g'::text))"
)
"""The words of a row of `jobs`, as a `tsvector`."""

_WORD: Final = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """Return the words of a text, each once, in small letters, in their order."""
    return list(dict.fromkeys(_WORD.findall(text.lower())))


def words_query(text: str) -> str:
    """Return what `to_tsquery('simple', …)` takes: all words of a text, the last one as the beginning of a word."""
    return " & ".join(f"'{word}'" for word in words_of(text)) + ":*"


def has_words(of: tuple[str, str, str], text: str) -> bool:
    """Whether name, reason and message of a job have the words of a text."""
    name, reason, message = of
    found = words_of(f"{name} {reason} {message[:MAX_MESSAGE_CHARS]}")
    *whole, last = words_of(text)
    return all(word in found for word in whole) and any(word.startswith(last) for word in found)
