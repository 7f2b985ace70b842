"""How tests of history call it: as a gateway does for a runner, with documents as small as they may be."""

from typing import Any

import msgspec
import pytest

from agentjobs.api.recorded import Event as RecordedEvent
from agentjobs.contract import Event, Result, ResultDocument
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
]
