"""How tests of history call it: as a gateway does for a runner, with documents as small as they may be."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from agentjobs.api.recorded import RecordedEntry
from agentjobs.contract import Result, ResultDocument, Step, StepsBody, TimelineEntry
from agentjobs.history.pages import Page
from agentjobs.history.protocols import ReadHistory, RunnerHistory
from agentjobs.history.turns import TurnParts
from agentjobs.history.versions import CHUNK_BYTES, Piece, Saving

USAGE = {"llmCalls": 1, "toolCalls": 0, "inputTokens": 10, "outputTokens": 5}


class Gateway:
    """What a gateway asks of history, with what comes as JSON text read."""

    def __init__(self, runners: RunnerHistory, people: ReadHistory) -> None:
        self._runners = runners
        self._people = people

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runners, name, None) or getattr(self._people, name)

    async def claim(self, *args: Any, **kwargs: Any) -> Any:
        return _read(await self._runners.claim(*args, **kwargs))

    async def put_result(self, *args: Any) -> Any:
        return _read(await self._runners.put_result(*args))

    async def result(self, uid: str) -> Any:
        return _read(await self._people.result(uid))

    async def parameters(self, uid: str) -> Any:
        return _read(await self._people.parameters(uid))

    async def spec(self, uid: str) -> Any:
        return _read(await self._people.spec(uid))

    async def read_steps(self, *args: Any, **kwargs: Any) -> Any:
        return _read(await self._runners.read_steps(*args, **kwargs))

    async def events(self, *args: Any, **kwargs: Any) -> Any:
        page = await self._people.events(*args, **kwargs)
        return Page([RecordedEntry(**_read(item)) for item in page.items], page.cursor)


def _read(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def a_result(text="Hello."):
    return Result(text=text, structured=None, usage=USAGE)


def a_document(result=None, verdict="Succeed"):
    return ResultDocument(verdict=verdict, reason="Done", message="", delaySeconds=None, result=result)


def an_event(seq=1):
    return TimelineEntry(seq=seq, time="2026-01-31T12:00:00Z", kind="text", author="agent", data={"text": "hi"})


def _at(second):
    return f"2026-01-31T12:{second // 60:02}:{second % 60:02}Z"


def a_step(key, *, kind="model", body="Hi.", second=0, void=False):
    used = {"llmCalls": 1, "inputTokens": 10, "outputTokens": 5}
    told = {"key": key, "kind": kind, "agent": "agent", "name": "scripted", "request": {"digest": "0f"}}
    return Step(**told, began=_at(second), ended=_at(second + 1), body=body, usage=used, void=void)


def a_call(key, *, body=None, second=0):
    """A tool's call that begins, or with a body its end."""
    ended, used = (None, {"toolCalls": 1}) if body is None else (_at(second + 1), {})
    return Step(a_step(key, kind="tool", second=second), ended=ended, body=body, usage=used)


async def record(gateway, uid, start, *steps, run=None, void=(), versions=None, pod=None):
    body = StepsBody(run=run or 1, steps=list(steps), void=list(void))
    if versions is not None:
        body["versions"] = versions
    return await gateway.append_steps(uid, start, pod or f"pod-{start}", body)


async def write_step(gateway, uid, pod):
    await record(gateway, uid, 1, a_step("a"), pod=pod)


async def write_event(gateway, uid, pod):
    await gateway.add_events(uid, 1, pod, [an_event()])


async def beat(gateway, uid, pod):
    await gateway.heartbeat(uid, 1, pod)


async def put_result(gateway, uid, pod):
    await gateway.put_result(uid, 1, pod, a_document(a_result()))


WRITES = [
    pytest.param(write_event, id="events"),
    pytest.param(beat, id="heartbeat"),
    pytest.param(put_result, id="result"),
    pytest.param(write_step, id="steps"),
]


def a_turn(*texts, state=None, user=None, app=None, author="agent"):
    """A turn in which these texts were said."""
    events = [
        {"id": f"e-{text}", "author": author, "timestamp": 1.8e9 + n, "content": {"parts": [{"text": text}]}}
        for n, text in enumerate(texts)
    ]
    return TurnParts(_raw(events), _one(state or {}), _raw_values(user), _raw_values(app))


def texts_of(page):
    """What was said in the events of a page."""
    return [event["content"]["parts"][0]["text"] for event in page["events"]]


async def pieces_of(data, size=CHUNK_BYTES):
    """Bytes in pieces, as they come from a runner."""
    while len(data) > size:
        yield Piece(data[:size], is_last=False)
        data = data[size:]
    yield Piece(data, is_last=True)


def a_saving(name="report.txt", key="tool:1", **more):
    return Saving(name, key, more.get("kind", "data"), more.get("mime", "text/plain"), _one(more.get("metadata", {})))


class Runner:
    """A pod of a job that holds the job's first start, with what comes as JSON text read."""

    def __init__(self, sessions: Any, uid: str, pod: str, attempt: Any = None) -> None:
        self._sessions = sessions
        self.attempt = attempt
        self.who = (uid, 1, pod)

    async def session(self, after: str | None = None) -> Any:
        return _read(await self._sessions.session(*self.who, after=after))

    async def put_turn(self, turn: TurnParts) -> None:
        await self._sessions.put_turn(*self.who, turn)

    async def search(self, query: str, limit: int = 10) -> Any:
        return await self._sessions.search(*self.who, query, limit)

    async def save(self, data: bytes = b"a report", **saving: Any) -> int:
        return await self._sessions.save(*self.who, a_saving(**saving), pieces_of(data))

    async def load(self, name: str = "report.txt", version: int | None = None) -> bytes | None:
        found = await self._sessions.version(*self.who, name, version)
        return None if found is None else b"".join([piece async for piece in self._sessions.pieces(found)])

    async def numbers(self, name: str = "report.txt") -> list[int]:
        return [found.version for found in await self._sessions.versions(*self.who, name)]

    async def names(self, after: str = "") -> Any:
        return await self._sessions.names(*self.who, after=after)

    async def delete(self, name: str = "report.txt") -> None:
        await self._sessions.delete(*self.who, name)


def _one(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value))


def _raw(values: list[Any]) -> list[Raw]:
    return [_one(value) for value in values]


def _raw_values(values: dict[str, Any] | None) -> dict[str, Raw]:
    return {key: _one(value) for key, value in (values or {}).items()}
