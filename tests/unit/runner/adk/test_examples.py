"""The examples carry what they need to run without a provider."""

from pathlib import Path

import pytest
import yaml

from agentjobs_runner.adk import scripted

EXAMPLES = Path(__file__).parents[4] / "examples"
EXAMPLE_NAMES = sorted(yaml.safe_load((EXAMPLES / "expected" / "endings.yaml").read_text()))


@pytest.mark.parametrize("name", EXAMPLE_NAMES)
def test_every_example_has_a_script_and_a_description(name):
    text = (EXAMPLES / f"{name}.yaml").read_text()
    *others, job = yaml.safe_load_all(text)
    config_maps = [body for body in others if body["kind"] == "ConfigMap"]
    agent = [body for body in (*others, job) if "agent" in body.get("spec", {})][-1]

    assert "# Look at:" in text
    assert "# Real model:" in text
    assert job["metadata"]["name"] == name
    for config_map in config_maps:
        assert scripted.parse(config_map["data"]["script"], name).starts
        assert agent["spec"]["agent"]["model"] == f"scripted/{config_map['metadata']['name']}/script"


def test_every_example_has_an_expected_ending():
    files = {path.stem for path in EXAMPLES.glob("*.yaml")} - {"expected"}

    assert files == set(EXAMPLE_NAMES)
