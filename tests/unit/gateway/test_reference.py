"""The reference page is complete, and a name means one schema."""

from collections import Counter
from pathlib import Path

import msgspec

from agentjobs.gateway import action_bodies, bodies, session_bodies, triggers_api
from agentjobs.settings import GatewaySettings

REFERENCE = (Path(__file__).parents[3] / "docs" / "reference" / "gateway.md").read_text("utf-8")


def test_every_setting_is_in_the_reference():
    assert [name for name in GatewaySettings.model_fields if f"`AGENTJOBS_{name.upper()}`" not in REFERENCE] == []


async def test_every_path_is_in_the_reference(http):
    paths = (await http.get("/openapi.json")).json()["paths"]

    assert [path for path in paths if path not in REFERENCE] == []


def test_bodies_have_different_names():
    modules = (action_bodies, bodies, session_bodies, triggers_api)
    values = {value for module in modules for value in vars(module).values() if isinstance(value, type)}

    names = Counter(value.__name__ for value in values if issubclass(value, msgspec.Struct))
    assert names["TriggerBody"] == 1
    assert [name for name, count in names.items() if count > 1] == []
