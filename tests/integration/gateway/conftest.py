"""A gateway over real sockets, between a real PostgreSQL and an API server, embedded or real."""

import asyncio
from pathlib import Path

import httpx
import pytest
import yaml

from agentjobs.cli.app import run
from agentjobs.gateway.serve import serving
from agentjobs.settings import gateway_settings


@pytest.fixture
def settings(database, apiserver):
    """Build settings; keywords win."""

    def build(**values):
        return gateway_settings(
            **{
                "database_url": database,
                "kubeconfig": str(apiserver.kubeconfig),
                "host": "127.0.0.1",
                "port": 0,
                **values,
            }
        )

    return build


@pytest.fixture
async def gateway(settings):
    """URL of a running gateway."""
    async with serving(settings()) as url:
        yield url


@pytest.fixture
async def http(gateway):
    async with httpx.AsyncClient(base_url=gateway, trust_env=False) as client:
        yield client


@pytest.fixture
def kubeconfig(apiserver, cluster, gateway, tmp_path):
    """An administrator's kubeconfig that knows the gateway."""
    config = yaml.safe_load(Path(apiserver.kubeconfig).read_text())
    config["clusters"][0]["cluster"]["extensions"] = [{"name": "agentjobs.dev/gateway", "extension": {"url": gateway}}]
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def cli(kubeconfig, capfd, monkeypatch):
    """Run a command line and return its exit code, output and errors."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))

    def left(arguments):
        try:
            run(arguments)
        except SystemExit as ended:
            return ended.code or 0

    async def build(*arguments):
        # In a thread, because the servers live in this one.
        code = await asyncio.to_thread(left, list(arguments))
        out, err = capfd.readouterr()
        return code, out, err

    return build
