"""An API server reduced to what the elector and the recorder need of it."""

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest

from agentjobs.api_resource import Resource
from agentjobs.errors import AlreadyExists, Conflict, NotFound

Obj = dict[str, Any]


class MemoryApi:
    """Objects in memory with resourceVersion as precondition; `fault` may raise or delay before a call."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Obj] = {}
        self.calls: list[tuple[str, str]] = []
        self.fault: Callable[[str], float | None] | None = None
        self._version = 0

    async def _begin(self, verb: str, name: str) -> None:
        self.calls.append((verb, name))
        delay = self.fault(verb) if self.fault else None
        await asyncio.sleep(delay or 0)

    def _store(self, resource: Resource, name: str, body: Obj) -> Obj:
        self._version += 1
        stored = copy.deepcopy(body)
        stored["metadata"]["resourceVersion"] = str(self._version)
        self.objects[resource.kind, name] = stored
        return copy.deepcopy(stored)

    def _current(self, resource: Resource, name: str) -> Obj:
        try:
            return self.objects[resource.kind, name]
        except KeyError:
            raise NotFound(name) from None

    async def get(self, resource: Resource, _namespace: str, name: str) -> Obj:
        await self._begin("get", name)
        return copy.deepcopy(self._current(resource, name))

    async def create(self, resource: Resource, _namespace: str, body: Obj) -> Obj:
        name = body["metadata"]["name"]
        await self._begin("create", name)
        if (resource.kind, name) in self.objects:
            raise AlreadyExists(name)
        return self._store(resource, name, body)

    async def replace(self, resource: Resource, _namespace: str, name: str, body: Obj) -> Obj:
        await self._begin("replace", name)
        current = self._current(resource, name)
        if current["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise Conflict(name)
        return self._store(resource, name, body)

    async def patch(self, resource: Resource, _namespace: str, name: str, body: Obj) -> Obj:
        await self._begin("patch", name)
        return self._store(resource, name, {**self._current(resource, name), **body})


@pytest.fixture
def api() -> MemoryApi:
    return MemoryApi()
