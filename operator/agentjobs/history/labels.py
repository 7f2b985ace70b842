"""Which labels of a job history keeps, and how a list finds a job by them. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from agentjobs.contract import GROUP

MAX_LABELS: Final = 32
"""Of one job; people choose by a handful."""


def kept_labels(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the labels of an object that history keeps, by their keys: people's, not ours, and the first 32.

    Ours say by which schedule, template or parent a job was made; history has columns for those.
    """
    own = sorted((key, value) for key, value in labels.items() if not key.startswith(f"{GROUP}/"))
    return tuple(own[:MAX_LABELS])


def label_words(labels: Iterable[tuple[str, str]]) -> list[str]:
    """Return what a row has for labels: `key=value` and `key` of each, which a filter names as they are."""
    return [word for key, value in labels for word in (key, f"{key}={value}")]


def labels_of(words: Iterable[str]) -> dict[str, str]:
    """Return the labels that `label_words` was given. A key has no `=`."""
    return {key: value for key, is_whole, value in (word.partition("=") for word in words) if is_whole}
