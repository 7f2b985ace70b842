"""Tables and text for people: aligned columns, colour on terminals only, control characters made harmless.

Text from models and pods is data: its control characters are shown, never sent to a terminal.
"""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import typer

from agentjobs.readable import CONTROLS, written_out

# Words of status.phase and of verdicts; other words have no colour.
_COLOURS: Final[Mapping[str, str]] = {
    "Succeeded": "green",
    "Succeed": "green",
    "Passed": "green",
    "Running": "cyan",
    "Queued": "blue",
    "Scheduled": "blue",
    "Retrying": "yellow",
    "Retry": "yellow",
    "Snooze": "yellow",
    "Failed": "red",
    "Fail": "red",
    "Cancelled": "magenta",
    "Cancel": "magenta",
    "Skipped": "magenta",
}
_GAP: Final = "   "
NARROW: Final = "  "
"""The gap in tables with many columns."""
# If a column of sentences has less room than this, it moves to the line below.
_LEAST_PROSE: Final = 24


def harmless(text: str) -> str:
    """Return `text` with control characters (except newline and tab) and marks of writing direction replaced."""
    return CONTROLS.sub("\ufffd", text)


def shown_job(name: str) -> str:
    """Return `agentjob.agentjobs.dev/hello`, as kubectl prints it."""
    return f"agentjob.agentjobs.dev/{name}"


def cell(value: object) -> str:
    """Return `value` as one line of a table; an empty value is `<none>`, as in kubectl."""
    return "<none>" if value is None or value == "" else harmless(" ".join(str(value).split()))


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    with_header: bool = True,
    gap: str = _GAP,
    prose: bool = False,
) -> str:
    """Return aligned columns, coloured on a terminal. The last column is not padded.

    Args:
        prose: the last column has sentences: on a terminal they are wrapped at words, within their column.
    """
    return _aligned(header, [[cell(value) for value in row] for row in rows], with_header, gap, prose)


def server_table(
    found: Mapping[str, Any], *, wide: bool, everywhere: bool, header: bool = True, widths: Sequence[int] = ()
) -> str:
    """Return a table from the API server, with its columns; `wide` adds those of low priority.

    Args:
        widths: the least widths of the columns, so that rows stand below those of an earlier table.
    """
    names, rows = _server_cells(found, wide=wide, everywhere=everywhere)
    return _aligned(names, rows, header, NARROW, False, widths)


def server_widths(found: Mapping[str, Any], *, wide: bool, everywhere: bool) -> list[int]:
    """Return the widths of the columns that `server_table` prints."""
    names, rows = _server_cells(found, wide=wide, everywhere=everywhere)
    return [max(map(len, column)) for column in zip(names, *rows, strict=True)]


def _server_cells(found: Mapping[str, Any], *, wide: bool, everywhere: bool) -> tuple[list[str], list[list[str]]]:
    columns = found.get("columnDefinitions") or []
    places = [place for place, column in enumerate(columns) if wide or not column.get("priority")]
    names = [columns[place]["name"].upper() for place in places]
    rows = [[_server_cell(row["cells"][place]) for place in places] for row in found.get("rows") or ()]
    if everywhere:
        names = ["NAMESPACE", *names]
        spaces = [((row.get("object") or {}).get("metadata") or {}).get("namespace") for row in found.get("rows") or ()]
        rows = [[str(space), *row] for space, row in zip(spaces, rows, strict=True)]
    return names, rows


def _server_cell(value: object) -> str:
    """As kubectl prints it: an empty value is empty."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else harmless(" ".join(str(value).split()))


def _aligned(
    header: Sequence[str],
    cells: list[list[str]],
    with_header: bool,
    gap: str,
    prose: bool,
    least: Sequence[int] = (),
) -> str:
    lines = ([list(header)] if with_header else []) + cells
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))] if lines else []
    if len(least) == len(widths):
        widths = list(map(max, widths, least))
    shown = []
    for number, line in enumerate(lines):
        heading = with_header and number == 0
        parts = [
            _painted(text, heading=heading) + " " * (width - len(text))
            for text, width in zip(line[:-1], widths[:-1], strict=True)
        ]
        left = sum(widths[:-1]) + len(gap) * len(parts)
        last = _broken(line[-1], left) if prose else line[-1]
        if heading and last.startswith("\n"):
            last = ""  # the wrapped sentences need no heading
        shown.append(gap.join([*parts, _painted(last, heading=heading)]).rstrip())
    return "\n".join(shown)


def _broken(text: str, left: int) -> str:
    """Wrap a sentence that begins at column `left` at words, where a terminal would break anywhere."""
    width = terminal_width()
    if width is None or left + len(text) <= width:
        return text
    indent = " " * (left if width - left >= _LEAST_PROSE else 4)
    lines = textwrap.wrap(text, width - len(indent), break_on_hyphens=False)
    beside = lines[0] if len(indent) == left else f"\n{indent}{lines[0]}"
    return "\n".join([beside, *(indent + line for line in lines[1:])])


def terminal_width() -> int | None:
    """Columns of the terminal at standard output; None for a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def facts(pairs: Mapping[str, object]) -> str:
    """Return aligned `Name: value` lines; empty values are left out."""
    width = max(map(len, pairs)) + 3
    lines = {key: harmless(str(value)) for key, value in pairs.items() if value}
    return "\n".join(f"{key + ':':<{width}}{_broken(value, width)}" for key, value in lines.items())


def counted(number: int, thing: str) -> str:
    """Return `1 start`, `2 starts`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def show(text: str, *, error: bool = False) -> None:
    """Print `text` and a newline, flushed, so that a pipe gets each line of a watch immediately."""
    stream = sys.stderr if error else sys.stdout
    print(text, file=stream, flush=True)


def cut_short(text: str, whole: int) -> str:
    """Return a sentence that `text` is only the beginning of an answer of `whole` bytes."""
    left, size = (f"{count / 1024 / 1024:.1f} MiB" for count in (len(text.encode()), whole))
    return f"the answer was truncated: it had {size}, and the first {left} were kept"


def complain(message: str) -> None:
    """Print an error to standard error."""
    typer.secho(f"error: {harmless(message)}", err=True, fg="red" if sys.stderr.isatty() and not plain() else None)


def show_answer(result: Mapping[str, Any]) -> None:
    """Print an agent's text: unchanged to a file or pipe, with harmless characters to a terminal."""
    show(harmless(result["text"]) if sys.stdout.isatty() else result["text"])
    show_cut(result)


def published_words(branch: str, commit: str, pull_request: str = "") -> str:
    """Return what was published of a workspace, for people; an empty branch was not pushed."""
    if not branch:
        return "nothing"
    words = f"{branch} at {commit[:12]}"
    return f"{words}, {pull_request}" if pull_request else words


def show_cut(result: Mapping[str, Any]) -> None:
    """Print on standard error that a result is only the beginning of the answer, if it is."""
    if (whole := result.get("cutFrom")) is not None:
        show(cut_short(result["text"], whole), error=True)


def as_json(value: object) -> str:
    """Return `value` as indented JSON. Control characters are escaped, so that programs still get them."""
    return written_out(json.dumps(value, indent=2, ensure_ascii=False))


def as_yaml(value: object) -> str:
    """Return `value` as YAML, in the given order."""
    import yaml  # only this format needs it

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True)).rstrip("\n")


def formatted(value: object, format_: str) -> str:
    """Return `value` as `json` or `yaml`."""
    return as_json(value) if format_ == "json" else as_yaml(value)


def age(since: str | None, *, now: datetime) -> str:
    """Return the age of an RFC 3339 time, in kubectl's two largest units: `42s`, `5m3s`, `3h12m`, `2d4h`."""
    if not since:
        return ""
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d"


def lasted(began: datetime, ended: datetime | None) -> str:
    """Return a duration, `250ms` below a second; `-` if it has not ended."""
    if ended is None:
        return "-"
    seconds = max(0.0, (ended - began).total_seconds())
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else age(began.isoformat(), now=ended)


def without_managed_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object without managedFields and the like, which kubectl hides, too."""
    metadata = {key: value for key, value in (body.get("metadata") or {}).items() if key != "managedFields"}
    return {**body, "metadata": metadata}


def on_terminal() -> bool:
    """Whether standard output is a terminal, with colours enabled (no-color.org)."""
    return sys.stdout.isatty() and not plain()


def plain() -> bool:
    """Whether colours are disabled (no-color.org), or the terminal has none."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def _painted(text: str, *, heading: bool) -> str:
    if not on_terminal():
        return text
    if heading:
        return typer.style(text, bold=True)
    colour = _COLOURS.get(text)
    return typer.style(text, fg=colour) if colour else text
