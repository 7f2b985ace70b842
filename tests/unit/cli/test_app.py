"""The program as a whole: what it loads, what it promises, how it fails."""

import subprocess
import sys
from pathlib import Path

import pytest

import agentjobs
from agentjobs.cli.app import app, run
from agentjobs.cli.failures import Failure

HEAVY = (
    "kopf",
    "kubernetes",
    "sqlalchemy",
    "fastapi",
    "pydantic",
    "httpx",
    "uvicorn",
    "aiohttp",
    "google",
    "rich",
    "yaml",
)
REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def verbs():
    single = [command.name or command.callback.__name__ for command in app.registered_commands]
    return sorted([*single, *(group.name for group in app.registered_groups)])


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom agentjobs.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )

    # A process of its own: pytest has loaded everything already.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"
    assert "apply" in done.stdout


def test_the_verbs_are_those_of_the_reference():
    headings = [
        line.removeprefix("## `").split()[1].rstrip("`")
        for line in REFERENCE.read_text().splitlines()
        if line.startswith("## `agentjobs ")
    ]

    assert sorted(headings) == verbs()


def test_the_reference_has_every_option():
    text = REFERENCE.read_text()
    wanted = [option for name in verbs() for option in options_of(name)]

    assert [option for option in wanted if f"`{option}" not in text] == []


def options_of(verb):
    below = [group for group in app.registered_groups if group.name == verb]
    commands = [command for group in below for command in group.typer_instance.registered_commands]
    names = [[verb, command.name or command.callback.__name__] for command in commands] or [[verb]]
    return [option for name in names for option in options_in(subprocess_free_help(*name))]


def options_in(done):
    return [word.strip(",") for line in done.splitlines() for word in line.split()[:2] if word.startswith("--")]


def subprocess_free_help(*verb):
    from typer.testing import CliRunner

    return CliRunner().invoke(app, [*verb, "--help"]).output


def test_the_version_is_the_packages(capsys):
    with pytest.raises(SystemExit) as left:
        run(["version"])

    assert (left.value.code, capsys.readouterr().out.strip()) == (0, agentjobs.__version__)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["frobnicate"], 2, "frobnicate", id="unknown-verb"),
        pytest.param(["get", "--kubeconfig", "/does/not/exist"], 2, "agentjobs dev", id="no-kubeconfig"),
        pytest.param(["get", "-o", "xml"], 2, "use json, yaml, name or wide", id="unknown-output"),
        pytest.param(["get", "-w", "-o", "json"], 2, "--watch prints tables", id="watch-json"),
        pytest.param(["get", "a", "-A"], 2, "leave out --all-namespaces", id="name-everywhere"),
        pytest.param(["wait", "a", "--for", "luck"], 2, "use condition=Complete", id="unknown-for"),
        pytest.param(["wait", "a", "--timeout", "soon"], 2, "1h30m", id="bad-timeout"),
        pytest.param(["apply", "-f", "/does/not/exist.yaml"], 2, "there is no file", id="no-file"),
        pytest.param(["result"], 2, "NAME", id="no-name"),
        pytest.param(["dev", "--apiserver", "foo"], 2, "choose one of embedded", id="unknown-server"),
        pytest.param(["dev", "--context", "kind"], 2, "goes with --apiserver=kubeconfig", id="context-of-nothing"),
        pytest.param(["release-pods", "--lease", "agentjobs"], 2, "expected NAMESPACE/NAME", id="bare-lease"),
        pytest.param(["migrate"], 2, "AGENTJOBS_DATABASE_URL=postgresql://", id="no-database"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_a_cure(capsys, monkeypatch, arguments, code, words):
    monkeypatch.delenv("AGENTJOBS_DATABASE_URL", raising=False)

    with pytest.raises(SystemExit) as left:
        run(arguments)

    assert left.value.code == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "code", "words"),
    [
        pytest.param("/dev/full", 1, "error: cannot write: No space left on device.", id="full-disk"),
        pytest.param("&-", 0, "", id="closed"),
    ],
)
def test_where_nothing_can_be_written_is_no_traceback(output, code, words):
    line = f"exec {sys.executable} -c 'from agentjobs.cli import main; main([\"version\"])' >{output}"

    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr.strip()) == (code, words)


def test_a_missing_extra_is_named_with_the_command_that_installs_it():
    from agentjobs.cli.processes import _extra

    with pytest.raises(Failure, match=r"pip install 'agentjobs\[gateway\]'"), _extra("gateway"):
        raise ModuleNotFoundError("No module named 'fastapi'", name="fastapi")


def test_a_missing_module_of_ours_is_a_bug_and_stays_one():
    from agentjobs.cli.processes import _extra

    with pytest.raises(ModuleNotFoundError), _extra("gateway"):
        raise ModuleNotFoundError("No module named 'agentjobs.x'", name="agentjobs.x")


@pytest.mark.parametrize("process", ["operator", "gateway"])
def test_settings_that_are_missing_are_named(capsys, monkeypatch, process):
    if process == "operator":
        pytest.importorskip("agentjobs.handlers", reason="the operator's process is not there")
    monkeypatch.delenv("AGENTJOBS_DATABASE_URL", raising=False)

    with pytest.raises(SystemExit) as left:
        run([process])

    assert left.value.code == 1
    assert "AGENTJOBS_DATABASE_URL" in capsys.readouterr().err
