"""Words for the search of jobs: from name, reason and message. Pure.

Equal in SQL, for a column and a condition, and in Python, for the history in memory.
"""

import re
from typing import Final

MAX_MESSAGE_CHARS: Final = 2000
"""Searchable characters of a message: PostgreSQL refuses texts with too many words."""

# Punctuation is removed, because PostgreSQL would parse `a-1` as the number -1, and `x.y` as a host.
WORDS_SQL: Final = (
    "to_tsvector('simple'::regconfig, regexp_replace("
    f"name || ' '::text || reason || ' '::text || \"left\"(message, {MAX_MESSAGE_CHARS}), "
    "'[!-/:-@[-`{-~]+'::text, ' '::text, 'g'::text))"
)
"""The words of a row of `jobs`, as a `tsvector`."""

_WORD: Final = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """Return the distinct words of a text, in lower case, in order."""
    return list(dict.fromkeys(_WORD.findall(text.lower())))


def words_query(text: str) -> str:
    """Return the argument of `to_tsquery('simple', …)`: all words of a text, the last one as a prefix."""
    return " & ".join(f"'{word}'" for word in words_of(text)) + ":*"


def has_words(of: tuple[str, str, str], text: str) -> bool:
    """Whether name, reason and message of a job have the words of a text."""
    name, reason, message = of
    found = words_of(f"{name} {reason} {message[:MAX_MESSAGE_CHARS]}")
    *whole, last = words_of(text)
    return all(word in found for word in whole) and any(word.startswith(last) for word in found)
