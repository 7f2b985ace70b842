"""Every example of queues, unchanged, through the whole system.

The one that people steer is in tests/system/client/test_queue_orders.py.
"""

from datetime import datetime
from pathlib import Path

import pytest
import yaml

QUEUES = Path(__file__).parents[2] / "examples" / "queues"

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]


def names(path, kind):
    return [one["metadata"]["name"] for one in yaml.safe_load_all(path.read_text()) if one["kind"] == kind]


@pytest.mark.parametrize(
    "path",
    sorted(set(QUEUES.glob("*.yaml")) - {QUEUES / "pause.yaml", QUEUES / "rate-limit.yaml"}),
    ids=lambda path: path.stem,
)
async def test_every_job_of_an_example_ends_and_every_queue_is_open(system, said, path):
    await system.apply_file(path)

    for name in names(path, "AgentJob"):
        assert (await system.finished(name))["phase"] == "Succeeded"
    for name in names(path, "AgentQueue"):
        status = await system.until(name, lambda found: said(found, "Open"), status_of=system.queue)
        assert said(status, "Open") == "True"


async def test_the_rate_of_the_example_is_not_exceeded_in_any_five_seconds(system):
    path = QUEUES / "rate-limit.yaml"
    await system.apply_file(path)
    starts = []
    for name in names(path, "AgentJob"):
        assert (await system.finished(name))["phase"] == "Succeeded"
        told = (await system.job_history(name))["starts"]
        starts += [datetime.fromisoformat(one["started"]) for one in told]

    first, _, third = sorted(starts)
    assert (third - first).total_seconds() >= 4.5  # the operator writes its own clock, PostgreSQL counts by its
