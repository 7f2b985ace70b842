"""The meaning of the reasons of conditions, errors and Events, collected from where each is defined. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from agentjobs.api import conditions
from agentjobs.api.conditions import DescribedEnum
from agentjobs.api.error_classes import CLASSES, Described
from agentjobs.api.events import EventReason
from agentjobs.api.explain import cure_of
from agentjobs.api.queues import status as queue_status
from agentjobs.api.schedule import status as schedule_status
from agentjobs.contract import Verdict


@dataclass(frozen=True, slots=True)
class Meaning:
    """One meaning of a reason."""

    of: str
    """Where the reason is used: a condition or a list."""
    text: str


def _words() -> Iterable[tuple[str, type[DescribedEnum]]]:
    for module, of in ((conditions, "job"), (queue_status, "queue"), (schedule_status, "schedule")):
        for name, found in vars(module).items():
            if isinstance(found, type) and issubclass(found, DescribedEnum) and found.__module__ == module.__name__:
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
    """Return what happens to a job with such an error, unless a rule changes it."""
    charged = f" Costs an attempt: {described.charged}." if described.charged else ""
    return f"Verdict, unless a rule of the job changes it: {described.verdict}.{charged}"


_VERDICTS: Final = {
    Verdict.SUCCEED: "The start ended with a result, which ends the job.",
    Verdict.RETRY: "The start failed and used an attempt. The next start follows after a wait, if attempts remain.",
    Verdict.SNOOZE: "The job starts again later. No attempt is used.",
    Verdict.FAIL: "Another attempt would fail in the same way, so the job ends.",
    Verdict.CANCEL: "The job ends without a result, because a person or the agent's code cancelled it.",
}
MEANINGS: Final = _gathered()
"""By reason."""
CURES: Final = {word: cure for word in MEANINGS if (cure := cure_of(word))}
"""What a person can do, by reason; reasons that need no action are left out."""
