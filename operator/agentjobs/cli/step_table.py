"""The recorded steps of a job as text for people: the starts that ran them, and where a start continued. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Final

from agentjobs.amounts import dollars
from agentjobs.api.step_states import INTERRUPTED, REPLAYED, RUNNING, VOID, state_of
from agentjobs.cli.printing import NARROW, cell, facts, formatted, harmless, lasted, table, terminal_width

if TYPE_CHECKING:
    from agentjobs.api.recorded import RecordedStart, RecordedStep, StepContent

_COLUMNS: Final = ("STEP", "KIND", "AGENT", "NAME", "START", "AT (UTC)", "TOOK", "TOKENS", "STATE")
_NAMES: Final = (_COLUMNS.index("AGENT"), _COLUMNS.index("NAME"))
"""Columns that are cut on a narrow terminal, and their minimum widths."""
_LEAST_NAME: Final = 6


def step_table(steps: "Sequence[RecordedStep]", starts: "Sequence[RecordedStart]", *, full: bool) -> str:
    """Return one line per step, and one before each start that began from the first step.

    Long names are cut on a terminal unless `full`. Cost and fallback models have columns if any step has a value.
    """
    if not steps:
        return ""
    days = {step.began.astimezone(UTC).date() for step in steps}
    rows = [_row(step, starts, "%H:%M:%S" if len(days) == 1 else "%Y-%m-%d %H:%M:%S") for step in steps]
    columns = list(_COLUMNS)
    if any(step.cost_usd is not None for step in steps):
        _insert(columns, rows, "COST", ["-" if step.cost_usd is None else dollars(step.cost_usd) for step in steps])
    if any(step.served for step in steps):
        _insert(columns, rows, "ANSWERED BY", [step.served or "-" for step in steps])
    head, *lines = table(columns, rows if full else _fitting(columns, rows), gap=NARROW).splitlines()
    lines_shown, run = [head], steps[0].run
    for step, line in zip(steps, lines, strict=True):
        if step.run != run:
            run = step.run
            lines_shown.append(f"start {run} began from the first step:")
        lines_shown.append(line)
    return "\n".join(lines_shown)


def step_page(content: "StepContent") -> str:
    """Return one step with its result."""
    step = content.step
    head = facts(
        {
            "Step": f"{step.n}, {step.kind}{', void' if step.void else ''}",
            "Name": step.name,
            "Agent": step.agent,
            "Start": step.start,
            "Began": step.began.astimezone(UTC).isoformat(timespec="seconds"),
            "Took": lasted(step.began, step.ended) if step.ended else "not finished",
            "Cost": "" if step.cost_usd is None else dollars(step.cost_usd),
        }
    )
    gave = "Its result can no longer be read." if content.unreadable else formatted(content.body, "json")
    return f"{head}\n\n{harmless(gave)}" if step.ended else head


def spans(steps: "Iterable[RecordedStep]") -> dict[int, str]:
    """Return the steps of each start, as `7-9`."""
    numbers: dict[int, list[int]] = {}
    for step in steps:
        numbers.setdefault(step.start, []).append(step.n)
    return {start: str(own[0]) if len(own) == 1 else f"{min(own)}-{max(own)}" for start, own in numbers.items()}


def continued(steps: "Sequence[RecordedStep]") -> list[str]:
    """Return a sentence for each start that replayed recorded steps and ran new ones."""
    sentences = []
    for start in sorted({step.start for step in steps}):
        first = next(step for step in steps if step.start == start)
        before = sum(step.start < start and step.run == first.run and step.replayed for step in steps)
        if before:
            sentences.append(f"start {start} continued at step {first.n} ({before} replayed)")
    return sentences


def interrupted(steps: "Iterable[RecordedStep]", starts: "Sequence[RecordedStart]") -> list[str]:
    """Return a sentence for each interrupted call, and for each call that was therefore repeated."""
    sentences = []
    for step in steps:
        what = f"step {step.n}, {step.kind} {step.name} of {step.agent},"
        calls = step.usage.get("toolCalls", 0)
        if state_of(step, starts) == INTERRUPTED:
            sentences.append(f"{what} was interrupted in start {step.start}; it may have taken effect")
        elif calls > 1:
            sentences.append(
                f"{what} was called {calls} times, last in start {step.start}; an earlier call may have taken effect"
            )
    return sentences


def summary(steps: "Sequence[RecordedStep]", starts: "Sequence[RecordedStart]") -> str:
    """Return the number of steps and of some kinds of them: `9, of which 6 replayed, 1 void`."""
    states = [state_of(step, starts) for step in steps]
    parts = [f"{states.count(state)} {state}" for state in (REPLAYED, VOID, INTERRUPTED, RUNNING) if state in states]
    return f"{len(steps)}, of which {', '.join(parts)}" if parts else str(len(steps))


def _row(step: "RecordedStep", starts: "Sequence[RecordedStart]", clock: str) -> list[str]:
    return [
        str(step.n),
        step.kind,
        step.agent,
        step.name,
        str(step.start),
        step.began.astimezone(UTC).strftime(clock),
        lasted(step.began, step.ended),
        _tokens(step),
        state_of(step, starts),
    ]


def _insert(columns: list[str], rows: list[list[str]], column: str, cells: Sequence[str]) -> None:
    """Add a column before the last one."""
    columns.insert(-1, column)
    for row, text in zip(rows, cells, strict=True):
        row.insert(-1, text)


def _tokens(step: "RecordedStep") -> str:
    used = step.usage or {}
    sent, received = used.get("inputTokens", 0), used.get("outputTokens", 0)
    return f"{sent}/{received}" if sent or received else "-"


def _fitting(columns: Sequence[str], rows: list[list[str]]) -> list[list[str]]:
    """Shorten the longer of the two columns of names until the table fits the terminal; nothing is cut for a pipe."""
    width = terminal_width()
    lines = [list(columns), *([cell(value) for value in row] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    over = 0 if width is None else sum(widths) + len(NARROW) * (len(widths) - 1) - width
    while over > 0 and any(widths[place] > _LEAST_NAME for place in _NAMES):
        longer = max(_NAMES, key=lambda place: widths[place])
        widths[longer] -= 1
        over -= 1
    return [[_cut(text, widths[place]) if place in _NAMES else text for place, text in enumerate(row)] for row in rows]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
