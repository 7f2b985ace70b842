"""The level of a waiting job, by which a queue orders its jobs first. Pure."""

from datetime import timedelta


def level_of(priority: int, waited: timedelta, aging: timedelta | None) -> int:
    """Return the priority, less one for each whole `aging` that the job has waited, at least 0."""
    if aging is None:
        return priority
    return max(0, priority - max(0, waited // aging))
