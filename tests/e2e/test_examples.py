"""Every example, unchanged, on a real cluster."""

from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "examples"
EXPECTED = yaml.safe_load((EXAMPLES / "expected" / "endings.yaml").read_text())


@pytest.fixture(scope="module", autouse=True)
def applied(apply_to, shared_namespace):
    """All at the same time, as `agentjobs demo` does; each test then waits for one."""
    for path in sorted(EXAMPLES.glob("*.yaml")):
        apply_to(shared_namespace, path)


@pytest.mark.parametrize("name", list(EXPECTED))
def test_an_example_ends_as_documented(shared_jobs, condition, name):
    expected = EXPECTED[name]
    status = shared_jobs.until(
        name,
        lambda found: condition(found, "Finished") == "True" or found.get("phase") == expected["phase"],
        expected["phase"],
    )

    ending = next(
        kind for kind in ("Complete", "Failed", "Cancelled", "Suspended") if condition(status, kind) == "True"
    )
    assert (status["phase"], condition(status, ending, "reason")) == (expected["phase"], expected["reason"]), status
    assert (status.get("attempts", 0), status.get("starts", 0)) == (expected["attempts"], expected["starts"])


def test_the_answer_is_read_through_the_gateway(shared_jobs):
    shared_jobs.finished("hello")

    assert shared_jobs.result("hello") == "Hello! I am an agent, and I ran as a job."
