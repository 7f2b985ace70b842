"""What the words of conditions, errors and Events mean, gathered from where each is defined. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from agentjobs.api import conditions
from agentjobs.api.conditions import Word
from agentjobs.api.events import EventReason
from agentjobs.api.queues import status as queue_status
from agentjobs.api.schedule import status as schedule_status


@dataclass(frozen=True, slots=True)
class Meaning:
    """One meaning of a word."""

    of: str
    """What uses the word: the condition or list in which it stands."""
    text: str


def _words() -> Iterable[tuple[str, type[Word]]]:
    for module, of in ((conditions, "job"), (queue_status, "queue"), (schedule_status, "schedule")):
        for name, found in vars(module).items():
            if isinstance(found, type) and issubclass(found, Word) and found.__module__ == module.__name__:
                yield f"{_spaced(name)} of a {of}", found
    yield "Event", EventReason


def _spaced(name: str) -> str:
    return (
        "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip().removesuffix(" reason")
    )


def _gathered() -> dict[str, list[Meaning]]:
    found: dict[str, list[Meaning]] = {}
    for of, words in _words():
        for word in words:
            found.setdefault(word.value, []).append(Meaning(of, word.description))
    return found


MEANINGS: Final = _gathered()
"""By word."""
