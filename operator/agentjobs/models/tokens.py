"""Token counts of a model call, for all providers."""

from dataclasses import dataclass
from typing import Final

MAX_TOKENS: Final = 100_000_000
"""The largest plausible count of a call. The largest context windows have a few million tokens."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one call or of many.

    Providers count differently; their counts are converted to this form, so that nothing is counted twice.
    """

    input: int = 0
    """The whole prompt, including cache reads and writes."""
    output: int = 0
    """The whole output, including thinking."""
    cached: int = 0
    """The part of `input` that was read from the provider's cache."""
    cache_written: int = 0
    """The part of `input` that was written to the provider's cache."""
    thinking: int = 0
    """The part of `output` that was thinking."""
    cache_written_long: int = 0
    """The part of `cache_written` with longer retention, which costs more."""

    @property
    def total(self) -> int:
        """The tokens that budgets and limits count."""
        return self.input + self.output

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            self.cache_written + other.cache_written,
            self.thinking + other.thinking,
            self.cache_written_long + other.cache_written_long,
        )
