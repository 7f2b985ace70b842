"""The labels of a job that history keeps, and filters by labels. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from agentjobs.contract import GROUP, LABEL_RERUN_CHANGES, LABEL_RERUN_OF, LABEL_RERUN_OF_UID

MAX_LABELS: Final = 32
"""Maximum labels per job; people filter by a few."""
_KEPT: Final = (LABEL_RERUN_CHANGES, LABEL_RERUN_OF, LABEL_RERUN_OF_UID)


def kept_labels(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the labels of an object that history keeps: the first 32, sorted by key.

    Of our own labels only those of a rerun, before any others: schedule, template and parent have their own columns.
    """
    ours = [(key, labels[key]) for key in _KEPT if key in labels]
    users = sorted((key, value) for key, value in labels.items() if not key.startswith(f"{GROUP}/"))
    return tuple(sorted([*ours, *users][:MAX_LABELS]))


def label_words(labels: Iterable[tuple[str, str]]) -> list[str]:
    """Return the row's form of labels: `key=value` and `key` of each, as filters use them."""
    return [word for key, value in labels for word in (key, f"{key}={value}")]


def labels_of(words: Iterable[str]) -> dict[str, str]:
    """Return the labels that `label_words` was given. A key has no `=`."""
    return {key: value for key, is_whole, value in (word.partition("=") for word in words) if is_whole}
