"""What a model call used, in tokens, whatever the provider."""

from dataclasses import dataclass
from typing import Final

MAX_TOKENS: Final = 100_000_000
"""The largest count of a call that is believed. The largest windows have some millions of tokens."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one call or of many.

    Providers count differently; readers of their answers bring every count into this form, so that parts are never
    counted twice.
    """

    input: int = 0
    """All of the prompt, with what a cache answered and what was written to one."""
    output: int = 0
    """All that the model made, thinking included."""
    cached: int = 0
    """The part of `input` that came from the provider's cache."""
    cache_written: int = 0
    """The part of `input` that was written to the provider's cache."""
    thinking: int = 0
    """The part of `output` that was thinking."""
    cache_written_long: int = 0
    """The part of `cache_written` that the provider keeps for longer than usual, which costs more."""

    @property
    def total(self) -> int:
        """What budgets and limits count."""
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
