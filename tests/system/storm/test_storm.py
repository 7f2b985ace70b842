"""A quarter of a minute of the storm that `make storm` runs for ten; its seed was chosen for many kinds of faults."""

import tempfile
from pathlib import Path

import pytest
from tests.storm.plan import draw
from tests.storm.run import Storm, forget

pytestmark = [
    pytest.mark.xdist_group("storm"),
    pytest.mark.timeout(240),
    pytest.mark.alone("a cluster of others is not broken for a test"),
]

SEED = {"embedded": 546, "envtest": 275}


async def test_a_short_storm_violates_no_guarantee(backend):
    said = []
    folder = Path(tempfile.mkdtemp(prefix="storm-"))
    plan = draw(SEED[backend], 16, backend, operators=2, every=1.6, jobs_per_second=2)

    broken = await Storm(plan, folder, tell=said.append).run()

    assert not broken, "\n".join([*map(str, broken), str(folder), *said])
    forget(folder)
