"""Compares a job that was killed and started again with one that was not. Pure; it knows only what can be seen outside.

An effect is settled when something that followed had seen its outcome before the kill: it was acted on, so it has to
be recorded, so it must never happen again. One that had not begun, not ended, or that nothing had acted on was in
flight, and may happen once more. In shapes where one thing happens after the other, whatever follows acts on all
before. What the journal holds at the kill must not happen again either, whatever had seen it.

The timeline of all starts together tells of each step once. Its last entries before a kill may be missing: they are
sent while the agent continues, and the steps they tell of are in the journal.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Line = dict[str, Any]
Told = tuple[str, str, Any]
"""An entry of a timeline: kind, author, data."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job came to its end."""

    verdict: str
    reason: str
    result: Any
    session: dict[str, Any] | None


@dataclass(slots=True)
class Judgement:
    """What is wrong with one run that was killed."""

    point: str
    """Where it was killed."""
    repeated: list[str] = field(default_factory=list)
    """Settled effects that happened again."""
    lost: list[str] = field(default_factory=list)
    """Effects that never came to their end."""
    differs: list[str] = field(default_factory=list)
    """What else is not as in the run that was not killed."""

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.repeated or self.lost or self.differs)

    def __str__(self) -> str:
        said = [f"repeated {what}" for what in self.repeated] + [f"lost {what}" for what in self.lost]
        told = f"{self.point}: {'; '.join(said + self.differs) or 'as it should be'}"
        return told.encode("ascii", "backslashreplace").decode()  # half a character cannot be printed


def effects_of(
    whole: Sequence[Line],
    first: Sequence[Line],
    second: Sequence[Line],
    *,
    at_once: bool,
    recorded: Mapping[str, int] = MappingProxyType({}),
) -> Judgement:
    """Judge the effects of a start that was killed and of the one after it by those of a start that was not.

    Args:
        recorded: how many effects of a name, `tool fetch`, the journal holds between the two.
    """
    last = first[-1] if first else {"phase": "before", "what": "the first effect"}
    wanted, again = _count("begin", whole), _count("begin", second)
    settled = _settled(first, at_once=at_once)
    repeated = Counter({what: settled[what] + again[what] - wanted[what] for what in settled if again[what]})
    left = _by_name(wanted) - Counter(recorded)
    repeated |= Counter(
        {f"{name} (recorded)": count for name, count in (_by_name(again) - left).items() if name in recorded}
    )
    lost = wanted - _count("end", first) - _count("end", second)
    return Judgement(
        f"{last['phase']} of {last['what']}",
        repeated=sorted((+repeated).elements()),
        lost=sorted(lost.elements()),
        differs=[f"unexpected {what}" for what in sorted((_count("begin", first) + again).keys() - wanted.keys())],
    )


def differences(whole: Ended, other: Ended, *, at_once: bool) -> list[str]:
    """Return in which parts two jobs ended differently."""
    found = []
    if (whole.verdict, whole.reason) != (other.verdict, other.reason):
        found.append(f"ended as {other.verdict} {other.reason}, not {whole.verdict} {whole.reason}")
    if whole.result != other.result:
        found.append(f"result {_short(other.result)}, not {_short(whole.result)}")
    for part, value in (whole.session or {}).items():
        seen = (other.session or {}).get(part)
        if _comparable(seen, at_once=at_once) != _comparable(value, at_once=at_once):
            found.append(f"{part} {_apart(seen, value)}, not {_apart(value, seen)}")
    return found


def transcripts(whole: Sequence[Told], other: Sequence[Told]) -> list[str]:
    """Return what the timeline of all starts of a job tells more often than that of a job that was not killed."""
    more = Counter(map(_row, other)) - Counter(map(_row, whole))
    return [f"told again: {row[:300]}" for row in sorted(more.elements())]


def _row(told: Told) -> str:
    """Who did what, without what differs from run to run: the ids of calls."""
    kind, author, data = told
    return f"{kind} {author} {json.dumps(_without_ids(data), sort_keys=True)}"


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ids(item) for key, item in value.items() if key != "callId"}
    return [_without_ids(item) for item in value] if isinstance(value, list) else value


def _apart(value: Any, other: Any) -> str:
    """What only the first value has; all of it where that is nothing, because then their order differs."""
    if isinstance(value, dict) and isinstance(other, dict):
        return _short({key: item for key, item in value.items() if key not in other or other[key] != item})
    if isinstance(value, list) and isinstance(other, list):
        return _short([item for item in value if item not in other] or value)
    return _short(value)


def _count(phase: str, lines: Sequence[Line]) -> Counter[str]:
    return Counter(line["what"] for line in lines if line["phase"] == phase)


def _by_name(effects: Counter[str]) -> Counter[str]:
    """Count effects by kind and name, without what they were about."""
    named: Counter[str] = Counter()
    for what, count in effects.items():
        named[what.partition("(")[0]] += count
    return named


def _settled(lines: Sequence[Line], *, at_once: bool) -> Counter[str]:
    """The effects that have to be recorded when a start is killed after these lines."""
    if not at_once:
        return _count("end", lines[:-1])
    settled: Counter[str] = Counter()
    for place, line in enumerate(lines):
        ended = _count("end", lines[:place])
        settled |= Counter({what: ended[what] for what in line["saw"]})
    return +settled


def _comparable(value: Any, *, at_once: bool) -> Any:
    """A list without its order, where the order differs from run to run."""
    if at_once and isinstance(value, list):
        return sorted(json.dumps(item, sort_keys=True) for item in value)
    return value


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 600 else f"{text[:600]}…"
