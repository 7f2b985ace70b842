"""The repository keeps the shape that its documentation promises."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "examples" / "README.md",
        ROOT / "devcluster" / "README.md",
    ]
)
LINK = re.compile(r"\[[^\]\n]*\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
# No file names the place where we work; this file spells it so that it does not either.
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
WORKPLACE = re.compile("|".join([r"(?<![\w.])/wor" + "k/", r"\.\./share" + "d", r"facts-(?:adk|kopf|devserver)"]))
ALLOWED = {".ci/run"}
SOURCES = ("operator/agentjobs", "runner_image/agentjobs_runner", "devcluster/devcluster")


def tracked():
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    names = found.stdout.split("\0") if found.returncode == 0 else []
    return [name for name in names if name and (ROOT / name).is_file()]


@pytest.mark.parametrize(
    ("folder", "package", "more"),
    [
        ("operator", "agentjobs", ["Dockerfile"]),
        ("runner_image", "agentjobs_runner", ["Dockerfile"]),
        ("devcluster", "devcluster", ["pyproject.toml", "README.md", "tests"]),
    ],
    ids=str,
)
def test_a_source_folder_has_one_package_and_its_image_files(folder, package, more):
    holds = {
        path.relative_to(ROOT / folder).parts[0]
        for name in tracked()
        if (path := ROOT / name).is_relative_to(ROOT / folder)
    }

    assert holds == {package, *more}


def test_the_control_plane_imports_only_googles_authentication():
    tree = ast.parse((ROOT / "operator/agentjobs/proxy/credentials.py").read_text("utf-8"))
    named = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    named += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    googles = {name for name in named if name.partition(".")[0] == "google"}

    assert googles == {name for name in googles if name.startswith("google.auth")} != set()


def test_contracts_cover_every_module_of_the_runner_outside_the_engines():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    held = next(
        one["source_modules"] for one in contracts if one.get("forbidden_modules", [])[:1] == ["agentjobs_runner.adk"]
    )
    modules = {path.stem for path in (ROOT / "runner_image/agentjobs_runner").glob("*.py")} - {"__init__"}

    assert {name.rpartition(".")[2] for name in held} == modules


def test_the_runner_puts_no_work_into_the_pool_that_user_code_may_fill():
    sources = {path: path.read_text("utf-8") for path in (ROOT / "runner_image").rglob("*.py")}
    calls = re.compile(r"\bto_thread\(|\brun_in_executor\(|\bset_default_executor\(")

    assert any("in_thread(" in text for text in sources.values())
    assert [str(path) for path, text in sources.items() if calls.search(text)] == []


def test_no_file_of_the_development_cluster_imports_the_product():
    sources = {path: path.read_text("utf-8") for path in (ROOT / "devcluster").rglob("*.py")}
    imports = re.compile(r"^ *(?:from|import) agentjobs", re.MULTILINE)

    assert any(path.name.startswith("test_") for path in sources)
    assert [str(path) for path, text in sources.items() if imports.search(text)] == []


def test_the_dev_extra_has_the_requirements_of_the_development_cluster():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    devcluster = tomllib.loads((ROOT / "devcluster/pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    brought = {*project["dependencies"], *extras["kube"], *extras["dev"]}

    assert set(devcluster["dependencies"]) - brought == set()
    assert devcluster["version"] == project["version"]


def packages():
    found = [path.parent for name in SOURCES for path in (ROOT / name).rglob("__init__.py")]
    return sorted(path for path in found if "migrations" not in path.parts)


def listed(docstring):
    """Return the names in the first column of a docstring's lists, of which a line may have two, and in backticks."""
    rows = [re.split(r" {2,}", line.strip()) for line in docstring.splitlines()]
    cells = [cell for row in rows if len(row) > 1 for cell in row[0::2]]
    cells += [row[0] for row in rows if len(row) == 1 and ", " in row[0]]  # names alone, with their text below
    names = {name for cell in cells if re.fullmatch(r"\w+(, \w+)*", cell) for name in cell.split(", ")}
    return names, set(re.findall(r"`(\w+)`", docstring))


@pytest.mark.parametrize("package", packages(), ids=lambda package: package.relative_to(ROOT).as_posix())
def test_a_package_docstring_lists_its_modules(package):
    names, quoted = listed(ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8"))) or "")
    modules = {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}
    folders = {path.parent.name for path in package.glob("*/__init__.py")}

    assert sorted(modules - names - quoted) == []
    assert sorted(names - modules - folders) == []


def test_the_readme_is_short_and_names_the_test_command():
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()

    assert len(lines) <= 150
    assert any(re.match(r"make test\b", line) for line in lines)


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_has_a_target(page):
    broken = []
    for found in LINK.finditer(CODE.sub("", page.read_text("utf-8"))):
        path, _, anchor = found["target"].partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(found["target"])

    assert broken == []


def test_every_test_named_in_the_security_model_exists():
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", (ROOT / "docs/reference/security.md").read_text("utf-8")))
    written = {name for path in TESTS for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))}

    assert len(named) > 30
    assert named - written == set()


def test_every_page_of_the_documentation_can_be_reached_from_its_index():
    seen, pending = set(), [ROOT / "docs" / "README.md"]
    while pending:
        page = pending.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        targets = (found["target"].partition("#")[0] for found in LINK.finditer(page.read_text("utf-8")))
        pending += [(page.parent / target).resolve() for target in targets if not re.match(r"[a-z]+:", target)]

    assert sorted(path.name for path in set((ROOT / "docs").rglob("*.md")) - seen) == []


def test_no_file_names_the_place_where_it_was_written():
    found = []
    for name in tracked():
        if name not in ALLOWED:
            text = (ROOT / name).read_text("utf-8", errors="replace")
            found += [f"{name}: {hit[0]}" for hit in WORKPLACE.finditer(text)]

    assert found == []


@pytest.mark.xdist_group("grouped")
def test_parallel_workers_identify_a_test_by_its_group(request):
    """Where it does not, tests of a group meet on several workers, and each starts the group's cluster."""
    if not request.config.getoption("loadgroup", default=False):
        pytest.skip("tests are not spread by their groups")

    assert request.node.nodeid.endswith("@grouped")
