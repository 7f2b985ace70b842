"""What a kubelet and Prometheus get to see."""

import aiohttp
import pytest

from agentjobs.errors import Misconfigured
from agentjobs.metrics import Metrics
from agentjobs.probes import serving

LOOPBACK = ("127.0.0.1", 0)


async def fetch(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_health_combines_all_checks():
    problem: list[str] = []
    checks = {"lease": lambda: problem[0] if problem else None, "loop": lambda: None}
    async with serving(LOOPBACK, metrics=Metrics(), health=checks, ready={}) as port:
        assert await fetch(port, "/healthz") == (200, "lease: ok\nloop: ok\n")

        problem.append("not renewed for 60 s")

        assert await fetch(port, "/healthz") == (503, "lease: not renewed for 60 s\nloop: ok\n")
        assert await fetch(port, "/readyz") == (200, "ok\n")


async def test_metrics_are_served_as_text():
    metrics = Metrics()
    metrics.api_write("PATCH", "Pod", 200)
    async with serving(LOOPBACK, metrics=metrics, health={}, ready={}) as port:
        status, text = await fetch(port, "/metrics")

    assert status == 200
    assert 'agentjobs_api_writes_total{kind="Pod",verb="PATCH"} 1.0' in text
    assert "process_resident_memory_bytes" in text


async def test_an_address_in_use_is_named():
    async with serving(LOOPBACK, metrics=Metrics(), health={}, ready={}) as port:
        with pytest.raises(Misconfigured, match=f"probe_address 127.0.0.1:{port}: cannot listen there"):
            async with serving(("127.0.0.1", port), metrics=Metrics(), health={}, ready={}):
                pass
