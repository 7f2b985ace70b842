"""The outbox's data about a transition, with bounded texts. Pure.

`operator_writes` and `memory` store it, `notifier` builds messages from it.
"""

import json
from typing import Any, Final

from agentjobs.api.job.notifications import EVENTS
from agentjobs.contract import cut
from agentjobs.history.records import TransitionRecord
from agentjobs.history.sanitize import clean_text

# As JSON, in which one byte may take six. With the names, a notification stays below 8 KiB.
MAX_TEXT: Final = 2048
# Enough for any error class, outcome or amount of a status.
_MAX_WORD: Final = 256
# Bytes of one character as JSON.
_LONGEST: Final = 6


def event_of(record: TransitionRecord) -> dict[str, Any]:
    """Return the event of a transition and the data of its notifications; empty for a phase that is not an event."""
    event = EVENTS.get(record.phase)
    if event is None:
        return {}
    details = record.details
    return {
        "event": event,
        "details": {
            "reason": bounded(record.reason, _MAX_WORD) or None,
            "message": bounded(record.message) or None,
            "outcome": bounded(details.outcome or "", _MAX_WORD) or None if details else None,
            "summary": bounded(details.summary) or None if details else None,
            "attempts": details.attempts if details else None,
            "costUSD": details.cost if details else None,
        },
    }


def bounded(text: str, limit: int = MAX_TEXT) -> str:
    """Return a text that takes at most `limit` bytes as JSON."""
    text = clean_text(text)
    if _LONGEST * len(text) <= limit:
        return text
    text = cut(text, limit)
    while (size := len(json.dumps(text, ensure_ascii=False).encode()) - 2) > limit:
        text = cut(text, max(8, len(text.encode()) * limit // size - 4))
    return text
