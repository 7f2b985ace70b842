"""The timeline of a job: a row for each start, with the wait before it and its work. Pure.

Each column of the picture is drawn once, so thousands of steps do not make the page larger.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Final

from agentjobs.api.conditions import Phase
from agentjobs.api.recorded import JobHistory, RecordedStart, StepSpan
from agentjobs.dashboard.texts import lasting
from agentjobs.dashboard.views.broken_axis import Axis, axis_of
from agentjobs.durations import format_duration

WIDTH: Final = 1000
"""Columns of the picture."""
MAX_ROWS: Final = 40
"""The maximum number of rows."""
NEWEST: Final = 10
"""The default number of rows: a page with 40 starts, including what it loads, is larger than 150 kB."""
LEFT: Final = 78
TOP: Final = 34
ROW: Final = 26
BAR: Final = 16
_APART: Final = 86
"""Least distance of two labels of the axis, in columns."""
_LINKED: Final = 60
"""Steps in a picture at most whose blocks lead to them. With more, the page would be large; blocks lead to the steps of
their start."""


class Kind(StrEnum):
    """The kind of a period."""

    MODEL = "model"
    TOOL = "tool"
    CODE = "code"
    POD = "pod"
    QUEUED = "queued"
    PENDING = "pending"
    SCHEDULED = "scheduled"
    BACKOFF = "backoff"
    SUSPENDED = "suspended"


LEGEND: Final = {
    Kind.MODEL: "model calls",
    Kind.TOOL: "tool calls",
    Kind.CODE: "between steps: the agent's code, or a call not recorded yet",
    Kind.POD: "pod is created, image pulled",
    Kind.QUEUED: "waiting in the queue",
    Kind.PENDING: "not accepted yet",
    Kind.SCHEDULED: "waiting for its time",
    Kind.BACKOFF: "waiting before the next start",
    Kind.SUSPENDED: "suspended",
}
_ROUND: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 604800)
"""Seconds."""
_WAITS: Final = {
    Phase.PENDING.value: Kind.PENDING,
    Phase.SCHEDULED.value: Kind.SCHEDULED,
    Phase.QUEUED.value: Kind.QUEUED,
    Phase.RETRYING.value: Kind.BACKOFF,
    Phase.SUSPENDED.value: Kind.SUSPENDED,
}
_STEPS: Final = {"model": Kind.MODEL, "tool": Kind.TOOL}
_FIRST: Final = (Kind.MODEL, Kind.TOOL, Kind.CODE)
"""Of kinds at the same time, the first is shown."""


@dataclass(frozen=True, slots=True)
class Stay:
    """A period of one kind, in seconds since the epoch."""

    kind: Kind
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Block:
    """Columns of one kind."""

    kind: Kind
    x: int
    width: int
    step: int | None = None
    """The step that takes most of it; None where blocks are not linked with single steps."""


@dataclass(frozen=True, slots=True)
class Row:
    """A start, or with number 0 the wait after the last start."""

    start: int
    stays: Sequence[Stay]
    blocks: Sequence[Block]
    y: int

    def shapes(self) -> list[tuple[Kind, int | None, str]]:
        """Return the blocks of each kind, and of each step that is linked, as the data of one SVG path."""
        drawn: dict[tuple[Kind, int | None], list[str]] = {}
        for block in self.blocks:
            shape = f"M{LEFT + block.x} {self.y}h{block.width}v{BAR}h-{block.width}z"
            drawn.setdefault((block.kind, block.step), []).append(shape)
        return [(kind, step, "".join(shapes)) for (kind, step), shapes in drawn.items()]

    def lasted(self, *kinds: Kind) -> timedelta:
        """Return how long these kinds took together."""
        return timedelta(seconds=sum(stay.until - stay.since for stay in self.stays if stay.kind in kinds))


@dataclass(frozen=True, slots=True)
class Mark:
    """A label of the axis, or a break and its duration. It zooms to `since` and `until`."""

    x: int
    width: int
    text: str
    since: datetime
    until: datetime

    @property
    def zoom(self) -> dict[str, str]:
        """The query that draws this part alone."""
        return {"from": self.since.isoformat(), "to": self.until.isoformat()}


@dataclass(frozen=True, slots=True)
class Timeline:
    """The picture."""

    since: datetime
    until: datetime
    rows: Sequence[Row]
    ticks: Sequence[Mark]
    breaks: Sequence[Mark]
    scale: Sequence[Mark]
    """Times since the beginning of a stretch, between `ticks`."""
    hidden: int = 0
    """Earlier starts that are not shown."""
    kinds: Sequence[Kind] = field(default_factory=tuple)
    """The kinds in the picture."""

    @property
    def height(self) -> int:
        """Of the picture."""
        return TOP + ROW * len(self.rows) + 6


def timeline(
    history: JobHistory,
    spans: Iterable[StepSpan],
    now: datetime,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    start: int | None = None,
    most: int = MAX_ROWS,
) -> Timeline | None:
    """Return the picture; None where there is nothing to draw.

    Args:
        since: only from then on; until: only up to then.
        start: only this start, with its wait.
        most: rows; the newest starts are drawn.
    """
    spans = list(spans)
    rows = [(number, stays) for number, stays in _rows(history, spans, now) if start in (None, number)]
    rows = [(number, shown) for number, stays in rows if (shown := list(_cut(stays, since, until)))]
    if not rows:
        return None
    hidden, rows = max(0, len(rows) - most), rows[-most:]
    every = [stay for _, stays in rows for stay in stays]
    first, last = min(stay.since for stay in every), max(stay.until for stay in every)
    axis = axis_of(first, last, _work(every), (edge for stay in every for edge in (stay.since, stay.until)))
    ticks = list(_ticks(axis))
    steps = _steps_between(spans, {number for number, _ in rows}, first, last)
    drawn = [
        Row(number, stays, list(_linked(_blocks(stays, axis), steps.get(number, ()), axis)), TOP + ROW * place)
        for place, (number, stays) in enumerate(rows)
    ]
    return Timeline(
        _time(first),
        _time(last),
        drawn,
        ticks,
        list(_breaks(axis)),
        [mark for tick in ticks for mark in _scale(tick)],
        hidden,
        [kind for kind in Kind if any(stay.kind is kind for stay in every)],
    )


def _rows(history: JobHistory, spans: Iterable[StepSpan], now: datetime) -> Iterator[tuple[int, list[Stay]]]:
    """Yield the periods of each start by number; at the end, as start 0, the wait after the last one."""
    over = (history.job.finished or history.job.deleted or now).timestamp()
    waits = list(_waited(history, over))
    steps: dict[int, list[StepSpan]] = {}
    for span in spans:
        steps.setdefault(span.start, []).append(span)
    free = min((wait.since for wait in waits), default=over)
    for start in (start for start in history.starts if start.started is not None):
        began = _seconds(start.started)
        ended = max(began, over if start.ended is None else start.ended.timestamp())
        before = list(_between(waits, free, began))
        yield start.start, [*before, *_did(start, began, ended, steps.get(start.start, ()))]
        free = max(free, ended)
    yield 0, list(_between(waits, free, over))


def _waited(history: JobHistory, over: float) -> Iterator[Stay]:
    """Yield when the job waited, by its phases."""
    moves = [
        (history.job.created, Phase.PENDING.value),
        *((move.time, move.phase) for move in history.transitions),
    ]
    times = [time.timestamp() for time, _ in moves] + [over]
    for (_, phase), (since, until) in zip(moves, pairwise(times), strict=True):
        if phase in _WAITS and until > since:
            yield Stay(_WAITS[phase], since, until)


def _between(stays: Iterable[Stay], since: float, until: float) -> Iterator[Stay]:
    for stay in stays:
        if stay.since < until and stay.until > since:
            yield Stay(stay.kind, max(stay.since, since), min(stay.until, until))


def _did(start: RecordedStart, began: float, ended: float, steps: Iterable[StepSpan]) -> Iterator[Stay]:
    """Yield the periods of a start in order: the creation of its pod, then steps, and the agent's code between them."""
    spoke = ended if start.claimed is None else min(ended, max(began, start.claimed.timestamp()))
    if spoke > began:
        yield Stay(Kind.POD, began, spoke)
    changes: list[tuple[float, int, Kind]] = []
    for step in steps:
        kind = _STEPS.get(step.kind, Kind.CODE)
        since = min(ended, max(spoke, step.began.timestamp()))
        until = ended if step.ended is None else min(ended, step.ended.timestamp())
        if until > since and kind is not Kind.CODE:
            changes += [(since, 1, kind), (until, -1, kind)]
    yield from _flat(changes, spoke, ended)


def _flat(changes: list[tuple[float, int, Kind]], since: float, until: float) -> Iterator[Stay]:
    """Yield one kind at a time from overlapping steps."""
    under_way = dict.fromkeys(_FIRST, 0)
    under_way[Kind.CODE] = 1
    kind, at = Kind.CODE, since
    for time, change, changed in sorted(changes, key=lambda change_at: change_at[0]):
        under_way[changed] += change
        now = Kind.MODEL if under_way[Kind.MODEL] else Kind.TOOL if under_way[Kind.TOOL] else Kind.CODE
        if now is not kind:
            if time > at:
                yield Stay(kind, at, time)
                at = time
            kind = now
    if until > at:
        yield Stay(kind, at, until)


def _cut(stays: Iterable[Stay], since: datetime | None, until: datetime | None) -> Iterator[Stay]:
    first = since.timestamp() if since else float("-inf")
    return _between(stays, first, until.timestamp() if until else float("inf"))


def _work(stays: Sequence[Stay]) -> list[tuple[float, float]]:
    """Return the periods that are drawn to scale: the agent's work; without any, the creation of pods."""
    for kinds in (_FIRST, (Kind.POD,)):
        if found := [(stay.since, stay.until) for stay in stays if stay.kind in kinds]:
            return found
    return []


def _blocks(stays: Iterable[Stay], axis: Axis) -> Iterator[Block]:
    """Yield blocks of columns, each of the kind that took most of them."""
    columns: dict[int, dict[Kind, float]] = {}
    at = right = 0.0  # the edge that was placed last, with which the next stay mostly begins
    for stay in stays:
        left = right if stay.since == at else axis.place(stay.since) * WIDTH
        at, right = stay.until, axis.place(stay.until) * WIDTH
        column, last = min(int(left), WIDTH - 1), min(WIDTH - 1, max(int(left), -int(-right // 1) - 1))
        while column <= last:
            covered = (right if right < column + 1 else column + 1) - (left if left > column else column)
            taken = columns.get(column)
            if taken is None:
                taken = columns[column] = {}
            taken[stay.kind] = taken.get(stay.kind, 0.0) + (covered if covered > 1e-9 else 1e-9)
            column += 1
    shown = [(column, max(taken, key=lambda kind: taken[kind])) for column, taken in sorted(columns.items())]
    begun: tuple[int, Kind] | None = None
    for place, (column, kind) in enumerate(shown):
        begun = begun or (column, kind)
        after = shown[place + 1] if place + 1 < len(shown) else None
        if after != (column + 1, kind):
            yield Block(kind, begun[0], column + 1 - begun[0])
            begun = None


def _steps_between(
    spans: Iterable[StepSpan], starts: Collection[int], first: float, last: float
) -> dict[int, list[tuple[int, Stay]]]:
    """Return number and period of the steps in the picture, by start; none if they are too many for links."""
    shown: dict[int, list[tuple[int, Stay]]] = {}
    found = 0
    for span in spans:
        stay = Stay(
            _STEPS.get(span.kind, Kind.CODE),
            span.began.timestamp(),
            last if span.ended is None else span.ended.timestamp(),
        )
        if span.start in starts and stay.kind is not Kind.CODE and stay.since < last and stay.until > first:
            found += 1
            if found > _LINKED:
                return {}
            shown.setdefault(span.start, []).append((span.n, stay))
    return shown


def _linked(blocks: Iterable[Block], steps: Iterable[tuple[int, Stay]], axis: Axis) -> Iterator[Block]:
    placed = [(n, span.kind, axis.place(span.since) * WIDTH, axis.place(span.until) * WIDTH) for n, span in steps]
    for block in blocks:
        covered = {
            n: min(right, block.x + block.width) - max(left, block.x)
            for n, kind, left, right in placed
            if kind is block.kind
        }
        yield replace(block, step=max(covered, key=lambda n: covered[n], default=None))


def _ticks(axis: Axis) -> Iterator[Mark]:
    """Yield labels at the beginnings of stretches to scale, where there is room; a click zooms to the stretch."""
    free, days = 0, {_time(stretch.since).date() for stretch in axis.stretches}
    scaled = [stretch for stretch in axis.stretches if not stretch.is_break]
    for stretch in scaled:
        x = round(stretch.left * WIDTH)
        if x >= free and x <= WIDTH - _APART // 2:
            text = f"{_time(stretch.since):%b %d %H:%M:%S}" if len(days) > 1 else f"{_time(stretch.since):%H:%M:%S}"
            yield Mark(
                x, round((stretch.right - stretch.left) * WIDTH), text, _time(stretch.since), _time(stretch.until)
            )
            free = x + _APART


def _scale(tick: Mark) -> Iterator[Mark]:
    """Yield round durations since a time on the axis, where its stretch has room."""
    lasts, room = (tick.until - tick.since).total_seconds(), tick.width // _APART
    step = next((seconds for seconds in _ROUND if room > 1 and lasts / seconds <= room / 1.6), None)
    for seconds in range(step, int(lasts) + 1, step) if step else ():
        x = round(tick.width * seconds / lasts)
        if _APART <= x <= tick.width - _APART // 4:
            time = tick.since + timedelta(seconds=seconds)
            yield Mark(tick.x + x, 0, f"+{format_duration(timedelta(seconds=seconds))}", time, time)


def _breaks(axis: Axis) -> Iterator[Mark]:
    free = 0
    for stretch in axis.stretches:
        x, width = round(stretch.left * WIDTH), max(1, round((stretch.right - stretch.left) * WIDTH))
        if stretch.is_break and x >= free:
            text = lasting(stretch.until - stretch.since) if width >= 40 else ""
            yield Mark(x, width, text, _time(stretch.since), _time(stretch.until))
            free = x + max(width, 8)


def _seconds(time: datetime | None) -> float:
    return 0.0 if time is None else time.timestamp()


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
