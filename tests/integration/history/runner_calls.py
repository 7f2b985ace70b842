"""How tests of history call it: as a gateway does for a runner, with documents as small as they may be."""

from typing import Any

import msgspec
import pytest

from agentjobs.api.recorded import Event as RecordedEvent
from agentjobs.contract import Event, Result, ResultDocument, Step, StepsBody
from agentjobs.history.pages import Page
from agentjobs.history.protocols import ReadHistory, RunnerHistory

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

    async def spec(self, uid: str) -> Any:
        return _read(await self._people.spec(uid))

    async def read_steps(self, *args: Any, **kwargs: Any) -> Any:
        return _read(await self._runners.read_steps(*args, **kwargs))

    async def events(self, *args: Any, **kwargs: Any) -> Any:
        page = await self._people.events(*args, **kwargs)
        return Page([RecordedEvent(**_read(item)) for item in page.items], page.cursor)


def _read(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def a_result(text="Hello."):
    return Result(text=text, structured=None, usage=USAGE)


def a_document(result=None, verdict="Succeed"):
    return ResultDocument(verdict=verdict, reason="Done", message="", delaySeconds=None, result=result)


def an_event(seq=1):
    return Event(seq=seq, time="2026-01-31T12:00:00Z", kind="text", author="agent", data={"text": "hi"})


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
