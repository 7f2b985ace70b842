"""The project's texts are plain English: phrases that were replaced do not return, for any audience.

`PHRASES` is the one list; each audience has one rule, which returns its texts with their places. Values in the code are
named by what they are. Docstrings are indented as their code.
"""

import ast
import io
import json
import re
import subprocess
import tokenize
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from agentjobs.cli.app import program

ROOT: Final = Path(__file__).parents[2]
OPERATOR: Final = ROOT / "operator" / "agentjobs"
CODE: Final = [OPERATOR, *(ROOT / name for name in ("runner_image/agentjobs_runner", "devcluster/devcluster", "helm"))]
PHRASES: Final = {
    "whoever": "anyone who, or name the user, the client or the process",
    "somebody|(?<![`'\"])nobody(?![`'\"])": "a user, someone, no one",
    "for ever": "forever",
    "shall": "must, should or will",
    "anew": "again",
    "mend": "correct",
    "in place of": "instead of",
    "beside": "next to, in addition to, or compared with",
    "at once": "immediately, or at the same time",
    "(?:go|goes|going) on": "continue",
    "under way": "in progress",
    "all the same": "still, or anyway",
    "dearer|costliest": "more expensive, most expensive",
    "who asks": "the caller",
    "(?:is|are|was|were) away": "is unavailable",
    "(?<!there )(?:is|are|was|were) no (?!longer|more)": "is not a",
    "has no word of|to be had": "a plain verb",
}
"""Each with what to write instead."""
NOUNS: Final = {"told", "said", "asked", "gone", "one"}
"""Names of values that say nothing about them."""
MODULES: Final = {*NOUNS, "chosen", "common", "helpers", "news", "seen", "story", "twins", "utils", "whole"}
"""Names of modules that do not say what they contain."""
NAMED: Final = [OPERATOR, ROOT / "runner_image" / "agentjobs_runner", ROOT / "devcluster" / "devcluster"]
"""The packages in which every value is named by what it is."""
_PHRASE: Final = {re.compile(rf"\b(?:{phrase})\b", re.IGNORECASE): cure for phrase, cure in PHRASES.items()}
_BLOCKS: Final = re.MULTILINE | re.DOTALL
_QUOTED: Final = re.compile(r"^```.*?^```$|`[^`\n]*`", _BLOCKS)
_DOCSTRING: Final = re.compile(r'^(?P<indent> *)""".*?"""', re.MULTILINE | re.DOTALL)
_HEADERS: Final = ("Args:", "Raises:", "Returns:")
Texts = Iterator[tuple[str, str]]


def files(*folders: Path, suffix: str) -> list[Path]:
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in found.split("\0") if name.endswith(suffix)]
    # Migrations are never edited.
    return [
        path
        for path in paths
        if path.is_file() and "migrations" not in path.parts and any(path.is_relative_to(folder) for folder in folders)
    ]


def pages() -> Texts:
    """What people read in the documentation, except pages that are generated from code."""
    folders = (ROOT / "docs", ROOT / "examples" / "README.md", ROOT / "devcluster" / "README.md")
    for path in (*ROOT.glob("*.md"), *files(*folders, suffix=".md")):
        text = path.read_text("utf-8")
        if not text.startswith("<!--"):
            yield str(path.relative_to(ROOT)), _QUOTED.sub("", text)


def helps() -> Texts:
    """Help texts of the command line, and of the Makefile's targets."""
    for name, command in program().commands.items():
        below: dict[str, Any] = getattr(command, "commands", {})
        for verb, each in {name: command, **{f"{name} {verb}": each for verb, each in below.items()}}.items():
            yield verb, "\n".join([each.help or "", *(getattr(option, "help", None) or "" for option in each.params)])
    for line in (ROOT / "Makefile").read_text("utf-8").splitlines():
        if " ## " in line:
            yield "Makefile", line


def values() -> Texts:
    """Descriptions of the chart's values."""
    pending: list[Any] = [json.loads((ROOT / "helm" / "agentjobs" / "values.schema.json").read_text("utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if isinstance(node.get("description"), str):
                yield "values.schema.json", node["description"]
            pending += node.values()
        elif isinstance(node, list):
            pending += node


def code() -> Texts:
    """Comments, docstrings and messages of the programs, and comments of SQL files."""
    for path in files(*CODE, suffix=".py"):
        for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING):
                yield f"{path.relative_to(ROOT)}:{token.start[0]}", token.string
    for path in files(*CODE, suffix=".sql"):
        comments = re.findall(r"^ *-- (?!name: )(.*)$", path.read_text("utf-8"), re.MULTILINE)
        yield str(path.relative_to(ROOT)), " ".join(comments)


def found(texts: Iterable[tuple[str, str]]) -> list[str]:
    return [
        f"{place}: write {cure!r}: …{text[max(0, hit.start() - 40) : hit.end() + 20]}…"
        for place, text in ((place, " ".join(text.split())) for place, text in texts)
        for phrase, cure in _PHRASE.items()
        for hit in phrase.finditer(text)
    ]


def chart() -> Texts:
    """The chart's templates and values, with their comments, and its files for Prometheus and Grafana."""
    for suffix in (".yaml", ".tpl", ".txt", ".json"):
        for path in files(ROOT / "helm" / "agentjobs", suffix=suffix):
            if "crds" not in path.parts:  # generated from the models, whose texts are checked as code
                yield str(path.relative_to(ROOT)), path.read_text("utf-8")


def others() -> Texts:
    """Everything else that users or maintainers read: images, permissions, examples, pages' templates, settings, CI."""
    folders = [ROOT / name for name in ("operator", "runner_image", "examples", "tests/e2e", ".ci", "pyproject.toml")]
    for suffix in ("Dockerfile", ".yaml", ".html", ".js", ".css", ".mjs", ".sh", ".sql", ".py", ".toml", "run"):
        for path in files(*folders, suffix=suffix):
            if suffix != ".py" or path.is_relative_to(ROOT / "examples"):
                yield str(path.relative_to(ROOT)), path.read_text("utf-8")
    for drawing in re.findall(r"^```text\n.*?^```$", (ROOT / "docs/architecture.md").read_text("utf-8"), _BLOCKS):
        yield "docs/architecture.md", drawing


@pytest.mark.parametrize(
    "audience", [pages, helps, values, code, chart, others], ids=lambda audience: audience.__name__
)
def test_texts_have_none_of_the_replaced_phrases(audience: Callable[[], Texts]) -> None:
    texts = list(audience())

    assert texts
    assert found(texts) == []


def test_a_replaced_phrase_is_found_across_lines() -> None:
    (hit,) = found([("a.py:1", "It begins for\n    ever.")])

    assert hit.startswith("a.py:1: write 'forever'")


def vague(tree: ast.AST) -> list[str]:
    """Return the names in functions that are in `NOUNS`; fields may be columns or parts of the API."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inner = [node for function in functions for node in ast.walk(function)]
    names = {node.id for node in inner if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return sorted((names | {node.arg for node in inner if isinstance(node, ast.arg)}) & NOUNS)


@pytest.mark.parametrize("package", NAMED, ids=lambda package: package.name)
def test_values_are_named_by_what_they_are(package: Path) -> None:
    paths = files(package, suffix=".py")
    assert paths

    trees = {str(path.relative_to(ROOT)): vague(ast.parse(path.read_text("utf-8"))) for path in paths}
    assert {name: names for name, names in trees.items() if names} == {}


def test_modules_are_named_by_what_they_contain() -> None:
    assert [str(path.relative_to(ROOT)) for path in files(*NAMED, suffix=".py") if path.stem in MODULES] == []


def misplaced(source: str) -> list[int]:
    """The lines of docstrings that are left of their quotes, and headers of sections that are not below them."""
    lines = []
    for docstring in _DOCSTRING.finditer(source):
        column, first = len(docstring["indent"]), source.count("\n", 0, docstring.start()) + 1
        for number, text in enumerate(docstring[0].splitlines()[1:], first + 1):
            indent = len(text) - len(text.lstrip())
            if text.strip() and (indent < column or (text.strip() in _HEADERS and indent != column)):
                lines.append(number)
    return lines


def test_docstrings_are_indented_as_their_code() -> None:
    paths = files(*CODE, suffix=".py")
    assert paths

    assert [f"{path}:{line}" for path in paths for line in misplaced(path.read_text("utf-8"))] == []
