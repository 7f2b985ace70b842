"""How user code decides what happens to its job: `Snooze`, `Cancel`, `Permanent`.

Raised by a tool, a callback or an agent; handled by `classify`. Standard library only, so that importing them is cheap.
"""

from datetime import timedelta


class Control(Exception):
    """Base class of the three; never raised itself."""

    def __init__(self, reason: object) -> None:
        super().__init__(reason)
        # Users pass on what they caught: `raise Permanent(error)`.
        self.reason = str(reason) or type(self if isinstance(reason, str) else reason).__name__


class Snooze(Control):
    """Run the same attempt again later; no attempt is charged.

    Args:
        after: the delay, as seconds or a timedelta; the pod ends immediately and costs nothing meanwhile.
        reason: a sentence or an error, shown with the job.

    Raises:
        ValueError: `after` is negative or not a number.
    """

    def __init__(self, after: float | timedelta, reason: object = "the agent asked to be run later") -> None:
        super().__init__(reason)
        seconds = after.total_seconds() if isinstance(after, timedelta) else float(after)
        if not seconds >= 0:
            raise ValueError(f"Snooze(after={after!r}): use 0 seconds or more, or a timedelta")
        self.after_seconds = seconds


class Cancel(Control):
    """End the job as Cancelled: it is no longer needed."""


class Permanent(Control):
    """End the job as Failed immediately: another attempt would fail, too."""
