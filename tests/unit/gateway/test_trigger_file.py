"""The triggers file: what is wrong in it is named by line and field, and what was right stays."""

from pathlib import Path

import pytest

from agentjobs.errors import Misconfigured
from agentjobs.gateway.triggers.file import Signature, TriggerEntry, Triggers, parse, read

RIGHT = """
triggers:
- namespace: default
  template: triage
  signature: GitHub
  secretFiles: [/etc/agentjobs/triggers/github]
  parameters: {number: issue.number, event: "header:X-GitHub-Event"}
  when:
    action: [opened, 7, true]
    header:X-GitHub-Event: [issues]
  idempotencyKey: issue.id
  period: 7d
  startAfter: 2m
"""


def test_a_file_defines_which_calls_create_jobs():
    [entry] = parse(RIGHT, "triggers.yaml")
    when = {source.header or ".".join(source.path): values for source, values in entry.when.items()}

    assert (entry.signature, entry.period.days, entry.idempotency_key.path) == (Signature.GITHUB, 7, ("issue", "id"))
    assert when == {"action": ("opened", "7", "true"), "x-github-event": ("issues",)}
    assert entry.parameters["event"].header == "x-github-event"


@pytest.mark.parametrize(
    ("old", "new", "line", "field"),
    [
        ("namespace: default", "namespace: De_fault", 3, "triggers[0].namespace"),
        ("template: triage", "template: ''", 4, "triggers[0].template"),
        ("signature: GitHub", "signature: Github", 5, "triggers[0].signature"),
        ("signature: GitHub", "signatur: GitHub", 5, "triggers[0].signatur"),
        ("[/etc/agentjobs/triggers/github]", "[]", 6, "triggers[0].secretFiles"),
        ("[/etc/agentjobs/triggers/github]", "[hunter2hunter2hunter2]", 6, "triggers[0].secretFiles[0]"),
        ("number: issue.number", "number: issue..number", 7, "triggers[0].parameters.number"),
        ("number: issue.number", "number: 7", 7, "triggers[0].parameters.number"),
        ("[opened, 7, true]", "[[opened]]", 8, "triggers[0].when"),
        ("[opened, 7, true]", "[]", 8, "triggers[0].when"),
        ("header:X-GitHub-Event: [issues]", '"header:": [issues]', 8, "triggers[0].when"),
        ("idempotencyKey: issue.id", "idempotencyKey: [issue.id]", 11, "triggers[0].idempotencyKey"),
        ("period: 7d", "period: soon", 12, "triggers[0].period"),
        ("startAfter: 2m", "startAfter: later", 13, "triggers[0].startAfter"),
    ],
    ids=range(14),
)
def test_problems_are_named_by_line_and_field_without_secrets(old, new, line, field):
    assert old in RIGHT
    with pytest.raises(Misconfigured) as refused:
        parse(RIGHT.replace(old, new), "triggers.yaml")

    assert any(told.startswith(f"triggers.yaml:{line}: {field}") for told in str(refused.value).splitlines())
    assert "hunter2" not in str(refused.value)


def test_a_path_in_a_field_is_named_as_it_is_written():
    with pytest.raises(Misconfigured, match=r"triggers\[0\]\.when: \"action\" "):
        parse(RIGHT.replace("[opened, 7, true]", "opened"), "triggers.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(Misconfigured, match=r"gone\.yaml"):
        read(tmp_path / "gone.yaml")


def test_a_changed_file_is_loaded_and_an_invalid_one_is_ignored(tmp_path):
    file = tmp_path / "triggers.yaml"
    file.write_text(RIGHT)
    triggers = Triggers(file)
    file.write_text(RIGHT.replace("template: triage", "template: review"))
    triggers.poll()
    changed = triggers.of("default", "review")
    file.write_text("triggers: 7")
    triggers.poll()

    assert (len(changed), triggers.of("default", "review"), triggers.of("default", "triage")) == (1, changed, [])


def test_the_example_of_the_reference_is_valid():
    page = (Path(__file__).parents[3] / "docs" / "reference" / "triggers-file.md").read_text()
    example = page.split("```yaml\n")[1].split("```")[0]

    assert [entry.template for entry in parse(example, "triggers.yaml")] == ["triage", "ask", "refund"]


def test_every_field_is_in_the_reference():
    page = (Path(__file__).parents[3] / "docs" / "reference" / "triggers-file.md").read_text()

    assert [field.alias for field in TriggerEntry.model_fields.values() if f"`{field.alias}`" not in page] == []
