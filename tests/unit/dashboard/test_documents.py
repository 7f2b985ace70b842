"""Values as text: what is small as it is, what is large for as much work as is shown of it."""

import json
import tracemalloc

import pytest
import yaml

from agentjobs.dashboard.views.documents import json_file, json_text, yaml_text

SMALL = {"name": "zoë", "list": [1, 2.5, None, True], "text": "a\nb", "empty": {}}


def deep(items):
    """A megabyte or so that takes a hundred of them over several lines."""
    value = [1] * items
    for _ in range(150):
        value = [value]
    return {"value": value}


def test_a_small_document_is_shown_completely():
    assert (json.loads(json_text(SMALL).text), json_text(SMALL).left_out) == (SMALL, 0)
    assert (yaml.safe_load(yaml_text(SMALL).text), yaml_text(SMALL).left_out) == (SMALL, 0)
    assert json_file(SMALL) == json.dumps(SMALL, indent=2, ensure_ascii=False)


@pytest.mark.parametrize("shown", [json_text, yaml_text])
def test_omitted_items_are_counted(shown):
    found = shown({"text": "x" * 1000}, 100)

    assert len(found.text) == 100
    assert 900 <= found.left_out <= 1000


@pytest.mark.parametrize("shown", [json_text, yaml_text, json_file])
def test_indentation_of_deep_lists_does_not_count_in_the_size(shown):
    value = deep(100_000)
    tracemalloc.start()
    try:
        shown(value)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 40_000_000
