"""What the words of conditions, errors and Events mean, gathered from where each is defined. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from agentjobs.api import conditions
from agentjobs.api.conditions import Word
from agentjobs.api.error_classes import CLASSES, Described
from agentjobs.api.events import EventReason
from agentjobs.api.explain import cure_of
from agentjobs.api.queues import status as queue_status
from agentjobs.api.schedule import status as schedule_status
from agentjobs.contract import Verdict


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
    for kind, described in CLASSES.items():
        found.setdefault(kind.value, []).append(Meaning("error", f"{described.meaning} {_default(described)}"))
    for verdict, text in _VERDICTS.items():
        found.setdefault(verdict.value, []).append(Meaning("verdict of a start", text))
    return found


def _default(described: Described) -> str:
    """What becomes of a job with such an error, where no rule says otherwise."""
    charged = f" (costs an attempt: {described.charged})" if described.charged else ""
    return f"What follows, where no rule of the job says otherwise: {described.verdict}{charged}."


_VERDICTS: Final = {
    Verdict.SUCCEED: "The start ended with a result, which ends the job.",
    Verdict.RETRY: "The start failed, which costs an attempt; the next one comes after a wait, while there are any.",
    Verdict.SNOOZE: "The start comes back later, and that costs no attempt.",
    Verdict.FAIL: "Another attempt would fail the same way: the job ends.",
    Verdict.CANCEL: "The job ends without a result because somebody, or the agent's code, wanted that.",
}
MEANINGS: Final = _gathered()
"""By word."""
CURES: Final = {word: cure for word in MEANINGS if (cure := cure_of(word))}
"""What a person does about it; words for which there is nothing to do are left out."""
