"""Credentials from a kubeconfig are looked at again, but not at every request."""

import asyncio
from typing import Any

import pytest
from kubernetes.aio.config import ConfigException

from agentjobs.kube.connection import Reload


class Loader:
    def __init__(self) -> None:
        self.loads = 0
        self.broken = False

    async def load_and_set(self, configuration: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise ConfigException("File does not exists: token")
        self.loads += 1
        configuration["token"] = f"token-{self.loads}"


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.mark.parametrize(("seconds", "loads"), [(0, 0), (59, 0), (60, 1), (3600, 1)])
async def test_credentials_are_read_again_after_a_minute(loader, seconds, loads):
    time = [0.0]
    reload = Reload(loader, clock=lambda: time[0])
    time[0] = float(seconds)

    for _ in range(3):
        await reload({})

    assert loader.loads == loads


async def test_simultaneous_requests_read_credentials_once(loader):
    time = [0.0]
    reload = Reload(loader, clock=lambda: time[0])
    time[0] = 60.0

    await asyncio.gather(*(reload({}) for _ in range(10)))

    assert loader.loads == 1


async def test_unreadable_credentials_do_not_replace_previous_ones(loader):
    time = [0.0]
    reload = Reload(loader, clock=lambda: time[0])
    configuration = {"token": "former"}
    loader.broken, time[0] = True, 60.0

    await reload(configuration)

    assert configuration == {"token": "former"}
