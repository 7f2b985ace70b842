"""Docstrings, comments and messages use plain terms: words that readers stumbled on stay out of them.

Docstrings are indented as their code.
"""

import io
import re
import tokenize
from pathlib import Path

import pytest

OPERATOR = Path(__file__).parents[2] / "operator" / "agentjobs"
PACKAGES = ("api", "core", "reconcile", "kube", "rbac", "models", "history")
REPLACED = {
    "whoever": "the caller, a user",
    "somebody": "a user",
    "nobody": "no one, no user",
    "for ever": "forever",
    "anew": "again",
    "in place of": "instead of",
    "goes on by itself": "continues automatically",
    "dearer": "more expensive",
}
"""Each with what to write instead."""
SOURCES = [OPERATOR, *(OPERATOR.parents[1] / name for name in ("runner_image", "devcluster", "helm"))]
_DOCSTRING = re.compile(r'^(?P<indent> *)""".*?"""', re.MULTILINE | re.DOTALL)
_HEADERS = ("Args:", "Raises:", "Returns:")
_FOUND = re.compile(rf"\b({'|'.join(REPLACED)})\b", re.IGNORECASE)


def texts(source: str) -> list[tuple[int, str]]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    kinds = (tokenize.COMMENT, tokenize.STRING)
    return [(token.start[0], " ".join(token.string.split())) for token in tokens if token.type in kinds]


@pytest.mark.parametrize("package", PACKAGES)
def test_texts_use_plain_terms(package: str) -> None:
    files = [path for path in (OPERATOR / package).rglob("*.py") if "migrations" not in path.parts]
    assert files

    found = [
        f"{path.relative_to(OPERATOR)}:{line}: {match[0]!r}; write {REPLACED[match[0].lower()]}"
        for path in files
        for line, text in texts(path.read_text())
        for match in _FOUND.finditer(text)
    ]
    assert found == []


def misplaced(source: str) -> list[int]:
    """The lines of docstrings that are left of their quotes, and headers of sections that are not below them."""
    found = []
    for docstring in _DOCSTRING.finditer(source):
        column, first = len(docstring["indent"]), source.count("\n", 0, docstring.start()) + 1
        for number, text in enumerate(docstring[0].splitlines()[1:], first + 1):
            indent = len(text) - len(text.lstrip())
            if text.strip() and (indent < column or (text.strip() in _HEADERS and indent != column)):
                found.append(number)
    return found


def test_docstrings_are_indented_as_their_code() -> None:
    files = [path for root in SOURCES for path in root.rglob("*.py") if "migrations" not in path.parts]
    assert files

    assert [f"{path}:{line}" for path in files for line in misplaced(path.read_text())] == []
