"""The style sheet has rules only for classes that pages have."""

import re

from agentjobs.dashboard.rendering import FOLDER

SERIES = {f"c{number}" for number in range(1, 9)}
"""Colours of a chart's series: the views number them."""
_ATTRIBUTE = re.compile(r'class="((?:\{\{.*?\}\}|\{%.*?%\}|[^"])*)"')


def texts(*suffixes):
    return "\n".join(path.read_text("utf-8") for path in sorted(FOLDER.rglob("*")) if path.suffix in suffixes)


def test_every_class_in_the_style_sheet_is_used():
    selectors = re.sub(r"/\*.*?\*/|\{[^{}]*\}", " ", texts(".css"), flags=re.DOTALL)
    classes = set(re.findall(r"\.([a-z][\w-]*)", selectors))
    attributes = " ".join(_ATTRIBUTE.findall(texts(".html")))
    used = set(re.findall(r"[\w-]+", attributes)) | set(re.findall(r'"([\w-]+)"', texts(".py", ".js")))
    beginnings = tuple(re.findall(r"([\w-]+-)\{\{", attributes))

    assert {"account", "deep-3", "htmx-added", "saved"} <= classes
    assert sorted(name for name in classes - used - SERIES if not name.startswith(beginnings)) == []
