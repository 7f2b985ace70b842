"""An axis of time on which short work between long waits stays readable: long idle stretches are drawn narrow. Pure.

Time is drawn to scale, except for breaks: stretches without work of at least a minute that are longer than all work
together, and shorter ones if too much idle time would remain. All breaks have the same small width, and are marked.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

_BREAK: Final = 0.06
"""Width of a break, as a part of the axis."""
_BREAKS: Final = 0.4
"""Maximum width of all breaks together."""
_MUCH: Final = 3.0
"""Idle time that is drawn to scale is at most this many times the work, if it has enough stretches for breaks."""

_LONG: Final = 60.0
"""Minimum seconds of a break."""
_MANY: Final = 10.0
"""The same, if there are many idle stretches."""

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the axis with a scale of its own: seconds, and places between 0 and 1."""

    since: float
    until: float
    left: float
    right: float
    is_break: bool


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps times to places, in the same order. Times outside of it are at its ends."""

    stretches: Sequence[Stretch]

    def place(self, time: float) -> float:
        """Return where a time lies, from 0 to 1."""
        found = self.stretches[max(0, bisect_right(self.stretches, time, key=lambda stretch: stretch.since) - 1)]
        if found.until <= found.since:
            return found.left
        part = min(1.0, max(0.0, (time - found.since) / (found.until - found.since)))
        return min(found.right, found.left + part * (found.right - found.left))


def axis_of(since: float, until: float, work: Iterable[Span], edges: Iterable[float]) -> Axis:
    """Return the axis from `since` to `until`.

    Args:
        work: the periods that are drawn to scale.
        edges: times at which anything else began or ended; an idle stretch lies between two of them.
    """
    until = max(until, since)
    busy = _merged((max(since, begin), min(until, end)) for begin, end in work)
    total = sum(end - begin for begin, end in busy)
    idle = _idle(since, until, busy, edges)
    breaks = _breaks(idle, total) if total > 0 else []
    return Axis(_scaled(since, until, breaks))


def _merged(spans: Iterable[Span]) -> list[Span]:
    found: list[Span] = []
    for since, until in sorted(span for span in spans if span[1] > span[0]):
        if found and since <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], until)
        else:
            found.append((since, until))
    return found


def _idle(since: float, until: float, busy: Sequence[Span], edges: Iterable[float]) -> list[Span]:
    """Return the stretches without work, cut where anything else changes."""
    starts = [begin for begin, _ in busy]
    cuts = sorted({since, until, *(edge for span in busy for edge in span), *(e for e in edges if since < e < until)})
    found = []
    for left, right in pairwise(cuts):
        at = bisect_right(starts, left) - 1
        if at < 0 or busy[at][1] <= left:
            found.append((left, right))
    return found


def _breaks(idle: Sequence[Span], work: float) -> list[Span]:
    least = max(work, _LONG)
    if sum(right - left for left, right in idle if right - left <= least) > _MUCH * work:
        least = max(work / 10, _MANY)
    return [(left, right) for left, right in idle if right - left > least]


def _scaled(since: float, until: float, breaks: Sequence[Span]) -> list[Stretch]:
    width = min(_BREAK, _BREAKS / len(breaks)) if breaks else 0.0
    rest = until - since - sum(right - left for left, right in breaks)
    scale = (1 - width * len(breaks)) / rest if rest > 0 else 0.0
    found: list[Stretch] = []
    at, place = since, 0.0
    for left, right in breaks:
        if left > at:
            found.append(Stretch(at, left, place, place := min(1.0, place + (left - at) * scale), False))
        found.append(Stretch(left, right, place, place := min(1.0, place + width), True))
        at = right
    if at < until or not found:
        found.append(Stretch(at, until, place, 1.0, False))
    return [*found[:-1], replace(found[-1], right=1.0)]
