"""Bodies that are dear to read, for the test that counts memory and the measurement that counts CPU."""

from collections.abc import Callable
from typing import Any, Final

from agentjobs.gateway.bodies import EventsBody, HeartbeatBody, ResultDocumentBody, StepsBody

RESULT: Final = (
    '{"verdict":"Succeed","reason":"Done","message":%s,"result":{"text":%s,"usage":%s,"structured":{"a":%s}}}'
)
EVENT: Final = '{"seq":1,"time":"2026-11-21T09:00:00Z","kind":"text","author":%s,"data":{"a":%s},"usage":%s}'
STEP: Final = (
    '{"key":%s,"kind":"model","agent":"a","name":"m","began":"2026-11-21T09:00:00Z","ended":"2026-11-21T09:00:01Z",'
    '"request":{"a":%s},"body":%s,"usage":{}}'
)


def values(size: int) -> dict[str, str]:
    """JSON, and what is nearly JSON, of about `size` letters, by what it is."""

    def many(unit: str) -> str:
        """A list of one value."""
        return f"[{','.join([unit] * (size // (len(unit) + 1)))}]"

    def long(unit: str, end: str = "") -> str:
        """A string of one letter or escape."""
        return '"' + unit * (size // len(unit)) + end + '"'

    return {
        "lists": many("[]"),
        "objects": many("{}"),
        "deep lists": many("[" * 190 + "]" * 190),
        "too deep": "[" * (size // 2) + "]" * (size // 2),
        "never closed": "[" * size,
        "keys": "{" + ",".join(f'"{number:06}":0' for number in range(size // 11)) + "}",
        "one key": "{" + many('"a":0')[1:-1] + "}",
        "empty strings": many('""'),
        "escapes": long(r"\n"),
        "escaped escapes": long(r"\\"),
        "escaped quotes": long(r"\""),
        "nul": long(r"\u0000"),
        "emoji": long(r"\ud83d\ude42"),
        "half emoji": long(r"\ud83d"),
        "wide text": long("🙂"),
        "one wide letter": long("a", "🙂"),
        "digits": "9" * size,
        "numbers": many("9"),
        "long numbers": many("9" * 1000),
        "exponents": many("1e999"),
        "blanks": " " * size + "0",
        "brackets in strings": many('"[[[["'),
    }


PLACES: Final[dict[str, tuple[Any, Callable[[str], str]]]] = {
    "structured": (ResultDocumentBody, lambda value: RESULT % ('""', '""', "{}", value)),
    "text": (ResultDocumentBody, lambda value: RESULT % ('""', value, "{}", "0")),
    "message": (ResultDocumentBody, lambda value: RESULT % (value, '""', "{}", "0")),
    "usage": (ResultDocumentBody, lambda value: RESULT % ('""', '""', value, "0")),
    "a key nobody knows": (HeartbeatBody, lambda value: '{"later":' + value + "}"),
    "data": (EventsBody, lambda value: '{"events":[%s]}' % (EVENT % ('"a"', value, "{}"))),
    "author": (EventsBody, lambda value: '{"events":[%s]}' % (EVENT % (value, "0", "{}"))),
    "an event's usage": (EventsBody, lambda value: '{"events":[%s]}' % (EVENT % ('"a"', "0", value))),
    "events": (EventsBody, lambda value: '{"events":' + value + "}"),
    "a step's body": (StepsBody, lambda value: '{"run":1,"steps":[%s]}' % (STEP % ('"a"', "0", value))),
    "a step's request": (StepsBody, lambda value: '{"run":1,"steps":[%s]}' % (STEP % ('"a"', value, "0"))),
    "a step's key": (StepsBody, lambda value: '{"run":1,"steps":[%s]}' % (STEP % (value, "0", "0"))),
    "steps": (StepsBody, lambda value: '{"run":1,"steps":' + value + "}"),
    "void keys": (StepsBody, lambda value: '{"run":1,"steps":[],"void":' + value + "}"),
    "the whole": (EventsBody, lambda value: value),
}
