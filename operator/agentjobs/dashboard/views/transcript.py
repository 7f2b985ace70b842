"""The transcript of a job as a conversation: texts, tool calls and their results. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from agentjobs.api.recorded import RecordedEntry
from agentjobs.dashboard.texts import cut
from agentjobs.dashboard.views.documents import MAX_VALUE_CHARS, Text, cut_text, json_text
from agentjobs.dashboard.views.markdown import MAX_CHARS, Shown, markdown

Role = Literal["model", "tool", "mark", "warning", "error"]
_NAME: Final = 120
_MAX_CALLS: Final = 20
"""Tool calls of one answer that are shown."""
_PAGE: Final = 100_000
"""Characters of all texts on a page."""
_LEAST: Final = 300
"""Characters of each text, also on a full page."""
_ARGUMENTS: Final = 90
"""Characters of arguments next to a tool's name."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool."""

    name: str
    brief: str
    """Its arguments in one line, cut."""
    arguments: Text
    place: int = 0
    """Its position in the answer, from 0."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One entry of the conversation."""

    start: int
    seq: int
    time: datetime
    author: str
    role: Role
    sentence: str = ""
    """A sentence of this package, with names in it."""
    text: Shown | None = None
    """Text of a model."""
    calls: list[Call] = field(default_factory=list)
    result: Text | None = None
    """Result of a tool, or a long message."""
    failed: bool = False
    left_out: int = 0
    """Characters that are not shown; the entry can be downloaded."""


class _Room:
    """Limits the text of a page: a hostile transcript must not make it megabytes large or seconds slow."""

    def __init__(self) -> None:
        self._left = _PAGE

    def text(self, text: str) -> Text:
        return self._taken(cut_text(text, self._limit(MAX_VALUE_CHARS)))

    def value(self, value: object) -> Text:
        return self._taken(json_text(value, self._limit(MAX_VALUE_CHARS)))

    def markdown(self, text: str) -> Shown:
        limit = self._limit(MAX_CHARS)
        self._left -= min(len(text), limit)
        return markdown(text, limit)

    def _limit(self, most: int) -> int:
        return max(_LEAST, min(most, self._left))

    def _taken(self, shown: Text) -> Text:
        self._left -= len(shown.text)
        return shown


def conversation(entries: Iterable[RecordedEntry]) -> list[Turn]:
    """Return entries as turns, in their order; if they are long, later ones are cut shorter."""
    room = _Room()
    return [_turn(entry, room) for entry in entries]


def _turn(entry: RecordedEntry, room: _Room) -> Turn:
    shown = _SHOWN.get(entry.kind, _other)(entry.data, room)
    parts = (shown.get("text"), shown.get("result"), *(call.arguments for call in shown.get("calls", ())))
    left_out = sum(part.left_out for part in parts if part is not None)
    author = cut(entry.author, _NAME)
    return Turn(entry.start, entry.seq, entry.time, author, left_out=left_out, **{"role": "mark"} | shown)


def _started(data: Mapping[str, Any], room: _Room) -> dict[str, Any]:
    engine = next((f", {name} {cut(data[key], 40)}" for key, name in _ENGINES.items() if data.get(key)), "")
    return {"sentence": f"Start {cut(data.get('start'), 12)} begins: attempt {cut(data.get('attempt'), 12)}{engine}"}


def _resumed(data: Mapping[str, Any], room: _Room) -> dict[str, Any]:
    return {"sentence": f"continues from the record: {cut(data.get('replayed'), 12)} steps are replayed, not run again"}


def _model(data: Mapping[str, Any], room: _Room) -> dict[str, Any]:
    used = [
        f"{count:,} tokens {way}"
        for key, way in (("inputTokens", "in"), ("outputTokens", "out"))
        if isinstance(count := data.get(key), int)
    ]
    calls = data.get("toolCalls")
    more = len(calls) - _MAX_CALLS if isinstance(calls, list) else 0
    rest = [f"{more} more calls"] if more > 0 else []
    sentence = ", ".join([cut(data.get("model") or "a model", _NAME), *used, *rest])
    return {"role": "model", "sentence": sentence, "calls": list(_calls(calls, room))}


def _calls(calls: object, room: _Room) -> Iterator[Call]:
    for place, call in enumerate(calls[:_MAX_CALLS] if isinstance(calls, list) else ()):
        if isinstance(call, Mapping):
            given = call.get("args")
            yield Call(cut(call.get("name"), _NAME), _brief(given), room.value({} if given is None else given), place)


def arguments(call: Mapping[str, Any], limit: int) -> Call:
    """Return one call, with up to `limit` characters of its arguments."""
    given = call.get("args")
    return Call(cut(call.get("name"), _NAME), _brief(given), json_text({} if given is None else given, limit))


def _brief(given: object) -> str:
    if not isinstance(given, Mapping):
        return ""
    return cut(", ".join(f"{name}={value!r:.80}" for name, value in list(given.items())[:8]), _ARGUMENTS)


def _tool(data: Mapping[str, Any], room: _Room) -> dict[str, Any]:
    result = data.get("result")
    failed = isinstance(result, Mapping) and bool(result.get("error"))
    sentence = f"{cut(data.get('name') or 'a tool', _NAME)} {'failed' if failed else 'returned'}"
    return {"role": "tool", "sentence": sentence, "result": room.value(result), "failed": failed}


def _text(data: Mapping[str, Any], room: _Room) -> dict[str, Any]:
    sentence = "answers" if data.get("final") is True else "says"
    return {"role": "model", "sentence": sentence, "text": room.markdown(str(data.get("text") or ""))}


def _error(data: Mapping[str, Any], room: _Room) -> dict[str, Any]:
    shown = {"sentence": cut(data.get("code") or "error", _NAME), "result": room.text(str(data.get("message") or ""))}
    return {"role": "error", "failed": True, **shown}


def _warning(data: Mapping[str, Any], room: _Room) -> dict[str, Any]:
    return {"role": "warning", "sentence": "warning", "result": room.text(str(data.get("message") or ""))}


def _repair(data: Mapping[str, Any], room: _Room) -> dict[str, Any]:
    problems = data.get("problems")
    listed = "\n".join(map(str, problems)) if isinstance(problems, list) else str(problems or "")
    sentence = f"The answer does not fit; the model is called again (correction {cut(data.get('repair'), 12)})"
    return {"role": "warning", "sentence": sentence, "result": room.text(listed)}


def _ended(data: Mapping[str, Any], room: _Room) -> dict[str, Any]:
    verdict, reason = cut(data.get("verdict"), 40), cut(data.get("reason"), 63)
    failed = verdict in ("Fail", "Retry")
    message = {"result": room.text(str(data["message"]))} if data.get("message") else {}
    sentence = f"Ended: {verdict}{f', {reason}' if reason and reason != 'None' else ''}"
    return {"role": "error" if failed else "mark", "sentence": sentence, "failed": failed, **message}


def _other(data: Mapping[str, Any], room: _Room) -> dict[str, Any]:
    return {"sentence": "reported", "result": room.value(data)}


_ENGINES: Final = {"adk": "ADK", "claudeCode": "Claude Code"}
_SHOWN: Final = {
    "started": _started,
    "resumed": _resumed,
    "model": _model,
    "tool": _tool,
    "text": _text,
    "error": _error,
    "warning": _warning,
    "repair": _repair,
    "ended": _ended,
}
