"""The reference page is complete."""

from pathlib import Path

from agentjobs.settings import ProxySettings

REFERENCE = (Path(__file__).parents[3] / "docs" / "reference" / "model-proxy.md").read_text("utf-8")


def test_every_setting_is_in_the_reference():
    assert [name for name in ProxySettings.model_fields if f"`AGENTJOBS_{name.upper()}`" not in REFERENCE] == []
