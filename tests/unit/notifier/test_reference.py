"""The reference page is complete, and its example is valid."""

import re
from pathlib import Path

from agentjobs.notifier import sinks_file
from agentjobs.notifier.sinks_file import HeaderEntry, SinkEntry
from agentjobs.settings import NotifierSettings

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "sinks-file.md").read_text("utf-8")


def test_the_example_is_a_valid_sinks_file():
    (example,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

    assert [sink.name for sink in sinks_file.parse(example, "sinks-file.md").sinks] == ["chat", "audit"]


def test_every_field_and_setting_is_in_the_reference():
    fields = [str(field.alias) for form in (SinkEntry, HeaderEntry) for field in form.model_fields.values()]
    settings = [name.upper() for name in NotifierSettings.model_fields]

    assert [name for name in fields + settings if f"`{name}`" not in PAGE] == []
