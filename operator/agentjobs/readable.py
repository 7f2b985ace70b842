"""Formats log lines for people: `20:11:25 investigator  model calls find_order`. Pure.

Used by `logs` for processes that log for people, and by the command line for JSON lines of pods. Control characters in
a line are escaped, so that none reaches a terminal.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

LIBRARY: Final = "library.message"
"""Event of lines from libraries and user code."""

# Characters that JSON does not escape, but that control a terminal or end a line.
CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# The blank is the only whitespace character that is printable.
_QUOTED: Final = re.compile('[ "=]')
_CLOCK: Final = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)")
# Every line has these; all others are fields.
_FRAME: Final = frozenset({"time", "level", "logger", "event", "message", "stack"})
_PAINTS: Final = {"dim": "2", "red": "31", "green": "32", "yellow": "33", "magenta": "35", "cyan": "36"}
_LEVELS: Final = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_VERDICTS: Final = {"Succeed": "green", "Retry": "yellow", "Snooze": "yellow", "Fail": "red", "Cancel": "magenta"}
_NARROWEST: Final = 40


def parsed(text: str) -> dict[str, Any] | None:
    """Return the fields of a JSON line of our processes; None for any other text."""
    if not text.startswith("{"):
        return None
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    ours = isinstance(line, dict) and all(isinstance(line.get(key), str) for key in ("time", "level", "event"))
    return line if ours else None


def readable(line: Mapping[str, Any], *, colour: bool = False, width: int | None = None) -> str:
    """Return the line for people, with a stack below; empty if another line has the same content.

    Args:
        line: its fields, as `parsed` and `logs.line_of` return them.
        colour: for a terminal with colours.
        width: columns to which a step's arguments, texts and results are cut; None for no limit.
    """
    painted = _Paint(colour)
    content = _content(line, painted, None if width is None else max(width, _NARROWEST))
    if not content:
        return ""
    first = f"{painted(_clock(line), 'dim')} {content}"
    stack = line.get("stack")
    return f"{first}\n{_stack(stack, painted)}" if stack else first


class _Paint:
    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, text: str, name: str | None) -> str:
        return f"\x1b[{_PAINTS[name]}m{text}\x1b[0m" if self._on and name and text else text


def _content(line: Mapping[str, Any], painted: _Paint, width: int | None) -> str:
    event = str(line.get("event"))
    if event == "step.ended":
        return ""  # the line `attempt.ended` follows with more details
    if event.startswith("step.") and "author" in line:
        kind, author = event.removeprefix("step."), _text(line["author"])
        step = _step(kind, line)
        cut = step if width is None or _failed(line) else _cut(step, width - len("00:00:00 ") - len(author) - 2)
        return f"{painted(author, 'cyan')}  {cut}"
    match event:
        case "attempt.started":
            return f"start {_text(line.get('start'))} of {_text(line.get('job'))}, attempt {_attempt(line)}"
        case "attempt.terminating":
            return _stopping(line)
        case "attempt.ended":
            verdict = _text(line.get("verdict"))
            return (
                f"{painted(verdict, _VERDICTS.get(verdict))} {_text(line.get('reason'))}: {_text(line.get('detail'))}"
            )
    return _other(event, line, painted)


def _started(line: Mapping[str, Any]) -> str:
    by = {"adk": "ADK", "claudeCode": "Claude Code"}
    return ", ".join(("started", *(f"{name} {_text(line[key])}" for key, name in by.items() if key in line)))


def _step(kind: str, line: Mapping[str, Any]) -> str:
    match kind:
        case "started":
            return _started(line)
        case "resumed" if "replayed" in line:
            return f"continued, {_text(line['replayed'])} steps replayed"
        case "model" if line.get("calls"):
            return f"model calls {', '.join(_call(call) for call in _list(line['calls']))}"
        case "model" if line.get("tools"):
            return f"model calls {', '.join(map(_text, _list(line['tools'])))}"
        case "model":
            return f"model answered{_tokens(line)}"
        case "tool" if "result" in line:
            return f"tool {_text(line.get('tool'))} returned {_value(line['result'])}"
        case "tool":
            return f"tool {_text(line.get('tool'))} returned"
        case "text" if "text" in line:
            return f"says {_value(line['text'])}"
        case "text":
            return f"says {_text(line.get('bytes'))} bytes{', its answer' if line.get('final') else ''}"
    pairs = _pairs({key: value for key, value in line.items() if key not in _FRAME | {"author"}})
    return f"{_text(kind)}{pairs}"


def _failed(line: Mapping[str, Any]) -> bool:
    """Whether the step is a tool's error, which is not cut."""
    result = line.get("result")
    return isinstance(result, Mapping) and "error" in result


def _tokens(line: Mapping[str, Any]) -> str:
    counts = [(line.get(f"tokens_{way}"), way) for way in ("in", "out")]
    parts = [f"{_text(count)} tokens {way}" for count, way in counts if count is not None]
    return f", {', '.join(parts)}" if parts else ""


def _call(call: Any) -> str:
    if not isinstance(call, Mapping):
        return _text(call)
    args = call.get("args")
    given = ", ".join(
        f"{_text(key)}={_value(value)}" for key, value in (args if isinstance(args, dict) else {}).items()
    )
    return f"{_text(call.get('name'))}({given})"


def _attempt(line: Mapping[str, Any]) -> str:
    number, most = line.get("attempt"), line.get("max_attempts")
    return _text(number) if most is None else f"{_text(number)} of {_text(most)}"


def _stopping(line: Mapping[str, Any]) -> str:
    seconds, running = line.get("grace_seconds"), line.get("running")
    limit = f"{seconds:g}" if isinstance(seconds, int | float) else _text(seconds)
    again = "; press Ctrl-C again to stop now" if line.get("signal") == "SIGINT" else ""
    return f"stopping: waiting up to {limit} s for {_text(running or 'the agent')}{again}"


def _other(event: str, line: Mapping[str, Any], painted: _Paint) -> str:
    level = _text(line.get("level")).upper()
    message = _text(line["message"]) if line.get("message") else ""
    head = f"{_text(line.get('logger'))}: {message}" if event == LIBRARY else f"{_text(event)} {message}".rstrip()
    pairs = _pairs({key: value for key, value in line.items() if key not in _FRAME})
    return f"{painted(level, _LEVELS.get(level))} {head}{pairs}"


def _pairs(fields: Mapping[str, Any]) -> str:
    return "".join(f" {_text(key)}={_field(value)}" for key, value in fields.items())


def _field(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not _QUOTED.search(text):
        return text
    return written_out(json.dumps(text, ensure_ascii=False))


def _value(value: object) -> str:
    return _text(repr(value))


def _text(value: object) -> str:
    """Return `value` on one line."""
    text = str(value)
    return text if text.isprintable() and " " not in text else " ".join(written_out(text).split())


def written_out(text: str) -> str:
    """Return `text` with control characters escaped, e.g. as `\\u001b`."""
    return CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _stack(stack: Any, painted: _Paint) -> str:
    """Return a stack, given as Python's text or as a list of lines."""
    text = "\n".join(map(str, _list(stack)))
    lines = written_out(text.rstrip("\n")).split("\n")
    return "\n".join([*lines[:-1], painted(lines[-1], "red")])


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: max(length, 2) - 1]}…"


def _clock(line: Mapping[str, Any]) -> str:
    found = _CLOCK.match(str(line.get("time")))
    return found[1] if found else "--:--:--"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
