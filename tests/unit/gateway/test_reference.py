"""The reference page is complete."""

from pathlib import Path

from agentjobs.settings import GatewaySettings

REFERENCE = (Path(__file__).parents[3] / "docs" / "reference" / "gateway.md").read_text("utf-8")


def test_every_setting_is_in_the_reference():
    assert [name for name in GatewaySettings.model_fields if f"`AGENTJOBS_{name.upper()}`" not in REFERENCE] == []


async def test_every_path_is_in_the_reference(http):
    paths = (await http.get("/openapi.json")).json()["paths"]

    assert [path for path in paths if path not in REFERENCE] == []
