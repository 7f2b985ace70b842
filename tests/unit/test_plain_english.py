"""Help texts and descriptions of values are plain English: phrases that were replaced must not return."""

import json
import re
from pathlib import Path

import pytest

from agentjobs.cli.app import program

ROOT = Path(__file__).parents[2]
REPLACED = re.compile(
    r"\b(for ever|whoever|somebody|nobody|anew|mend|beside|in place of|has no word of|shall|costliest|is told|goes on"
    r"|go on|(?<!there )is no (?!longer|more)\w+|to be had|so many|is asked|are asked|says so)\b",
    re.IGNORECASE,
)


def helps():
    """The texts of a verb's help, by verb."""
    root = program()
    for name, command in root.commands.items():
        for verb, each in {name: command, **{f"{name} {below}": it for below, it in _below(command)}}.items():
            yield verb, "\n".join([each.help or "", *(getattr(option, "help", None) or "" for option in each.params)])


def _below(command):
    return getattr(command, "commands", {}).items()


def descriptions(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "description" and isinstance(value, str):
                yield value
            else:
                yield from descriptions(value)
    elif isinstance(node, list):
        for item in node:
            yield from descriptions(item)


@pytest.mark.parametrize(("verb", "text"), [pytest.param(*each, id=each[0]) for each in helps()])
def test_help_has_none_of_the_replaced_phrases(verb, text):
    assert [found[0] for found in REPLACED.finditer(text)] == []


def test_descriptions_of_values_have_none_of_the_replaced_phrases():
    schema = json.loads((ROOT / "helm" / "agentjobs" / "values.schema.json").read_text())

    texts = list(descriptions(schema))

    assert texts
    assert [text for text in texts if REPLACED.search(text)] == []


def test_the_makefile_has_none_of_the_replaced_phrases():
    lines = [line for line in (ROOT / "Makefile").read_text().splitlines() if " ## " in line]

    assert lines
    assert [line for line in lines if REPLACED.search(line)] == []
