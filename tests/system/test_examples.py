"""Every example, unchanged, through the whole system."""

from pathlib import Path

import pytest
import yaml

from devcluster.client import Resource

EXAMPLES = Path(__file__).parents[2] / "examples"
AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
EXPECTED = yaml.safe_load((EXAMPLES / "expected" / "endings.yaml").read_text())

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]


@pytest.fixture
def system(module_system):
    return module_system


@pytest.fixture(scope="module")
def applied():
    return set()


async def test_every_example_has_an_expected_ending():
    files = {path.stem for path in EXAMPLES.glob("*.yaml")}

    assert files == set(EXPECTED)


@pytest.mark.parametrize("name", list(EXPECTED))
async def test_an_example_ends_as_documented(system, applied, said, name):
    for other in EXPECTED:
        # All at the same time, as the demo does; each test then waits for one.
        if other not in applied:
            await system.apply_file(EXAMPLES / f"{other}.yaml")
            applied.add(other)
    expected = EXPECTED[name]
    status = await system.until(
        name, lambda found: said(found, "Finished") == "True" or found.get("phase") == expected["phase"]
    )

    ending = next(kind for kind in ("Complete", "Failed", "Cancelled", "Suspended") if said(status, kind) == "True")
    assert (status["phase"], said(status, ending, "reason")) == (expected["phase"], expected["reason"]), status
    assert (status.get("attempts", 0), status.get("starts", 0)) == (expected["attempts"], expected["starts"])


async def test_the_answer_and_the_history_are_kept_after_the_object_is_deleted(system, applied, said):
    if "hello" not in applied:
        await system.apply_file(EXAMPLES / "hello.yaml")
    await system.finished("hello")
    await system.delete(AGENTJOBS, "hello")

    told = await system.history("hello/result")

    assert "I ran as a job" in str(told)
