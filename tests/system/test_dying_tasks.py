"""An operator one of whose background tasks failed exits with an error."""

import asyncio
import logging

import pytest

from agentjobs.dev.crds import apply_crds
from agentjobs.engine.background import Died
from agentjobs.kube.recorder import EventRecorder
from agentjobs.operator_process import Operator
from agentjobs.settings import OperatorSettings
from devcluster.client import CRDS, Client

pytestmark = [
    pytest.mark.xdist_group("late-crd"),
    pytest.mark.alone("a defect cannot be put into the operator of a cluster of others"),
]


def operator_of(server, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))  # kopf reads it from there
    settings = OperatorSettings(
        kubeconfig=str(server.kubeconfig),
        database_url="postgresql://nobody@127.0.0.1:1/none",
        gateway_url="https://127.0.0.1:1",
        probe_address="127.0.0.1:0",
        lease_namespace="default",
    )
    return Operator(settings)


def watched(operator):
    """How long ago the watch of AgentJobs was last heard of; None before it began."""
    return operator._metrics.registry.get_sample_value("agentjobs_watch_age_seconds", {"kind": "AgentJob"})


async def test_an_operator_whose_recorder_fails_exits_with_the_reason_and_releases_its_lease(
    make_server, tmp_path, monkeypatch, caplog
):
    async def dies(_recorder):
        await asyncio.sleep(1)
        raise KeyError("event")

    caplog.set_level(logging.INFO, "agentjobs")
    monkeypatch.setattr(EventRecorder, "run", dies)
    async with make_server(tmp_path / "apiserver") as server:
        async with Client(server.url, token=server.token, ca=server.ca) as client:
            await apply_crds(client)
        operator = operator_of(server, monkeypatch)
        with pytest.raises(Died, match="background task events ended: KeyError: 'event'"):
            async with asyncio.timeout(60):
                await operator.run()

    said = [record.msg for record in caplog.records]
    assert "task.failed" in said
    assert "lease.released" in said


async def test_an_operator_whose_watch_fails_exits_and_releases_its_lease(make_server, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "agentjobs")
    async with (
        make_server(tmp_path / "apiserver") as server,
        Client(server.url, token=server.token, ca=server.ca) as client,
    ):
        await apply_crds(client)
        operator = operator_of(server, monkeypatch)
        running = asyncio.create_task(operator.run())
        # kopf looks for the kinds first; one that is already gone it would wait for.
        while watched(operator) is None and not running.done():
            await asyncio.wait({running}, timeout=0.1)
        await client.delete(CRDS, None, "agentjobs.agentjobs.dev")
        with pytest.raises(Died, match="the watches of the API server ended"):
            async with asyncio.timeout(60):
                await running

    assert "lease.released" in [record.msg for record in caplog.records]
