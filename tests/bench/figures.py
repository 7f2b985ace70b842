"""A measured figure, and the table all figures are shown in."""

import dataclasses
import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import agentjobs


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured several times.

    `samples` are one number a run. `aim` is what we want at most, or at least with `higher`. `peer` are the same runs'
    numbers of something comparable, sample by sample, so that a machine that slows down slows both.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    aim: float | None = None
    higher: bool = False
    peer: tuple[float, ...] = ()
    peer_name: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def best(self) -> float:
        return max(self.samples) if self.higher else min(self.samples)

    @property
    def ratio(self) -> float | None:
        """Median of the ratios run by run."""
        pairs = [ours / theirs for ours, theirs in zip(self.samples, self.peer, strict=False) if theirs]
        return statistics.median(pairs) if pairs else None

    @property
    def met(self) -> bool | None:
        if self.aim is None:
            return None
        return self.median >= self.aim if self.higher else self.median <= self.aim


def number(value: float) -> str:
    """Three significant digits, in plain notation."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def table(figures: Sequence[Figure]) -> str:
    """All figures as aligned text."""
    head = ("figure", "unit", "median", "best", "range", "runs", "aim", "", "peer", "ratio")
    return aligned([head, *(_row(figure) for figure in figures)])


def _row(figure: Figure) -> tuple[str, ...]:
    aim = "" if figure.aim is None else f"{'≥' if figure.higher else '≤'} {number(figure.aim)}"
    ratio, met = figure.ratio, figure.met
    return (
        figure.name,
        figure.unit,
        number(figure.median),
        number(figure.best),
        f"{number(min(figure.samples))}-{number(max(figure.samples))}",
        str(len(figure.samples)),
        aim,
        "" if met is None else "met" if met else "MISSED",
        f"{number(statistics.median(figure.peer))} {figure.peer_name}" if figure.peer else "",
        "" if ratio is None else f"{ratio:.2f}",
    )


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Text in columns, the first two to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.ljust(width) if column in (0, 1, 7, 8) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
    return "\n".join(lines)


def machine() -> dict[str, object]:
    """Where and under what load the figures are taken."""
    return {
        "agentjobs": agentjobs.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": len(os.sched_getaffinity(0)),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def write_json(path: Path, figures: Sequence[Figure], where: dict[str, object]) -> None:
    """Everything that was measured, for a program to compare."""
    rows = [dataclasses.asdict(figure) | {"median": figure.median, "ratio": figure.ratio} for figure in figures]
    path.write_text(json.dumps({"machine": where, "figures": rows}, indent=1) + "\n")
