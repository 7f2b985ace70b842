"""Charts over time, as values that a template draws as SVG: bars that stack. Pure.

A chart of six series is at most 8 kB: each series is one path in whole units, and bars are areas drawn one over the
other, the highest first.
Texts are sized for a phone, where the drawing is smaller than it is made here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil, floor, log10
from typing import Final

from agentjobs.dashboard.texts import cut
from agentjobs.dashboard.views.time_axis import Slices, labels

WIDTH: Final = 420
HEIGHT: Final = 168
LEFT, RIGHT, TOP, BASE = 46, 412, 8, 144
CHARACTER: Final = 8.2
"""Width of a character of the labels at their largest."""
_NAME: Final = 20
_MAX_NAMED: Final = 3
_LABELS: Final = 5


@dataclass(frozen=True, slots=True)
class Series:
    """A number for each slice of time."""

    name: str
    values: tuple[float, ...]
    look: str
    """Class of the style sheet: `c1` to `c8`, `ok`, `bad`, `warn`, `run`, `dim`."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A series as it is drawn."""

    name: str
    look: str
    path: str
    total: str
    """The sum of all values, for the legend."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The text of one slice, shown when the pointer is on it."""

    x: int
    width: int
    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of an axis."""

    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as it is drawn in a field of WIDTH × HEIGHT."""

    key: str
    """Its id on the page."""
    title: str
    description: str
    layers: tuple[Layer, ...]
    """In the order of the legend. They are drawn in the opposite order."""
    marks: tuple[Mark, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    gaps: str
    """The `stroke-dasharray` of the gaps: a stroke over the whole field separates the bars."""
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """Of the table: a time, and the value of each series. Times without any are left out."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.rows


Format = Callable[[float], str]


def bars(key: str, title: str, shown: Slices, series: Sequence[Series], *, format_: Format | None = None) -> Chart:
    """Make a chart of bars that stack, the first series at the bottom.

    Args:
        key: id of the chart on its page: letters, digits and hyphens.
        format_: formats a value; `short` by default.
    """
    formatted = format_ or short
    sums = [sum(line.values[place] for line in series) for place in range(shown.count)]
    ticks = round_ticks(max([0, *sums]), whole=format_ is None)
    below = [0.0] * shown.count
    layers = []
    for line in series:
        below = [lower + value for lower, value in zip(below, line.values, strict=True)]
        path = _steps([_height(value, ticks[-1]) for value in below], shown.count)
        layers.append(Layer(named(line.name), line.look, path, formatted(sum(line.values))))
    filled = [place for place in range(shown.count) if any(line.values[place] for line in series)]
    wide = (RIGHT - LEFT) / shown.count
    return Chart(
        key=key,
        title=title,
        description=_described(shown, series, formatted),
        layers=tuple(layers),
        marks=tuple(
            Mark(round(LEFT + place * wide), round(wide), _mark_text(place, shown, series, formatted))
            for place in filled
        ),
        across=_across(shown),
        up=tuple(Tick(round(_height(value, ticks[-1])), formatted(value)) for value in ticks),
        gaps=f"1.5 {wide - 1.5:.3f}",
        rows=tuple((shown.label(place), tuple(formatted(line.values[place]) for line in series)) for place in filled),
    )


def round_ticks(peak: float, *, whole: bool) -> tuple[float, ...]:
    """Return values from 0 to at least `peak`, at most 5 of them, each a round number.

    Args:
        whole: only integers, for counts.
    """
    if peak <= 0:
        return (0.0, 1.0)
    least = peak / 4
    power = 10.0 ** floor(log10(least))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))
    step = max(1.0, step) if whole else step
    return tuple(step * number for number in range(ceil(peak / step - 1e-9) + 1))


def short(value: float) -> str:
    """Return a number in few characters: `950`, `1.2k`, `3M`."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def short_dollars(value: float) -> str:
    """Return US dollars in few characters: `$0`, `$0.05`, `$1.2k`."""
    if 1 <= value < 999.5:
        return f"${value:.2f}".removesuffix(".00")
    return f"${Decimal(f'{value:.2g}'):f}" if value < 1 else f"${short(value)}"


def named(name: str, most: int = _NAME) -> str:
    """Shorten a name to its beginning and its end: versions and numbers are at the end."""
    shown = cut(name, 300)
    return shown if len(shown) <= most else f"{shown[: most - 10]}…{shown[-9:]}"


def _height(value: float, most: float) -> float:
    return BASE - (BASE - TOP) * max(0.0, value) / most


def _steps(tops: Sequence[float], count: int) -> str:
    """Return the area below these heights, one step for each."""
    wide = (RIGHT - LEFT) / count
    path, before = [f"M{LEFT},{BASE}"], float(BASE)
    for place, top in enumerate(tops):
        if round(top) != round(before):
            path.append(f"H{round(LEFT + place * wide)}V{round(top)}")
            before = top
    return "".join([*path, f"H{RIGHT}V{BASE}z"])


def _across(shown: Slices) -> tuple[Tick, ...]:
    found, last = [], float(LEFT)
    scale = (RIGHT - LEFT) / (shown.end - shown.first).total_seconds()
    for time, text in labels(shown, _LABELS):
        at = LEFT + (time - shown.first).total_seconds() * scale
        half = len(text) * CHARACTER / 2
        if round(at) - half > last and round(at) + half <= WIDTH:
            found.append(Tick(round(at), text))
            last = round(at) + half + CHARACTER / 2
    return tuple(found)


def _mark_text(place: int, shown: Slices, series: Sequence[Series], format_: Format) -> str:
    there = [line for line in series if line.values[place]]
    if len(there) <= _MAX_NAMED:
        listed = ", ".join(f"{format_(line.values[place])} {named(line.name)}" for line in there)
        return f"{shown.label(place)}: {listed}"
    most = max(there, key=lambda line: line.values[place])
    total = format_(sum(line.values[place] for line in there))
    return f"{shown.label(place)}: {total}, most {named(most.name)}"


def _described(shown: Slices, series: Sequence[Series], format_: Format) -> str:
    span = f"From {shown.label(0)} to {shown.label(shown.count - 1)} UTC"
    there = [line for line in series if any(line.values)]
    if len(there) > _MAX_NAMED:
        return f"{span}: {format_(sum(sum(line.values) for line in there))} in all."
    listed = ", ".join(f"{named(line.name)} {format_(sum(line.values))}" for line in there)
    return f"{span}: {listed or 'nothing'}."
