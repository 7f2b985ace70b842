"""How user code says what shall happen to its job: `Snooze`, `Cancel`, `Permanent`.

Raised from a tool, a callback or an agent; read by `classify`. Standard library only, so importing them costs nothing.
"""

from datetime import timedelta


class Control(Exception):
    """Base of the three; never raised itself."""

    def __init__(self, reason: object) -> None:
        super().__init__(reason)
        # People hand on what they caught: `raise Permanent(error)`.
        self.reason = str(reason) or type(reason).__name__


class Snooze(Control):
    """Try the same attempt again later; no attempt is charged.

    Args:
        after: how long to wait, as seconds or a timedelta; the pod ends at once and costs nothing meanwhile.
        reason: a sentence, or an error, for people who look at the job.

    Raises:
        ValueError: `after` is negative or no number.
    """

    def __init__(self, after: float | timedelta, reason: object = "the agent asked to be run later") -> None:
        super().__init__(reason)
        seconds = after.total_seconds() if isinstance(after, timedelta) else float(after)
        if not seconds >= 0:
            raise ValueError(f"Snooze(after={after!r}): must be a time of 0 seconds or more")
        self.after_seconds = seconds


class Cancel(Control):
    """End the job as Cancelled: it is no longer wanted."""


class Permanent(Control):
    """End the job as Failed at once: another attempt would fail the same way."""
