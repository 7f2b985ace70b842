"""The program as a whole: what it loads, what it promises, how it fails."""

import contextlib
import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import agentjobs.cli
from agentjobs.cli import app as app_module
from agentjobs.cli.app import app, program, run
from agentjobs.cli.failures import Failure
from agentjobs.cli.grammar import summary

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


def test_help_imports_no_large_modules():
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


def test_the_commands_are_those_of_the_reference():
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
    return [option for name in names for option in options_in(help_of(*name))]


def options_in(done):
    lines = [line for line in done.splitlines() if line.startswith("  -")]
    return [word.strip(",") for line in lines for word in line.split()[:2] if word.startswith("--")]


def help_of(*verb):
    with contextlib.redirect_stdout(io.StringIO()) as told:
        program().main([*verb, "--help"], prog_name="agentjobs", standalone_mode=False)
    return told.getvalue()


@pytest.mark.parametrize("word", ["version", "--version"])
def test_the_version_is_that_of_the_package(capsys, word):
    with pytest.raises(SystemExit) as left:
        run([word])

    assert (left.value.code, capsys.readouterr().out.strip()) == (0, agentjobs.__version__)


def all_verbs():
    """Each verb as it is typed, with its command."""
    root = program()
    for name, command in root.commands.items():
        below = getattr(command, "commands", None)
        yield from ([name, word] for word in below) if below else ([name],)


@pytest.mark.parametrize("verb", list(all_verbs()), ids=" ".join)
def test_every_help_has_examples_and_fits_80_columns(monkeypatch, verb):
    monkeypatch.setenv("COLUMNS", "80")

    help_ = help_of(*verb)

    usage, _, examples = help_.partition("\nExamples:\n")
    assert examples.splitlines()[0].strip().partition(" ")[0] in {"agentjobs", "cat"} or "=" in examples.split()[0]
    assert "<" not in usage
    assert [line for line in help_.splitlines() if len(line) > 80] == []


def test_every_command_is_in_one_section_with_a_summary_of_one_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    root = program()

    listed = [name for names in type(root).sections.values() for name in names]

    assert sorted(listed) == sorted(root.commands)
    commands = dict(root.commands)
    for group in ("schedule", "queue"):
        commands |= {f"{group} {name}": command for name, command in root.commands[group].commands.items()}
    assert [name for name, command in commands.items() if not 0 < len(summary(command)) <= 50] == []


def test_examples_of_the_help_can_be_parsed():
    root = program()
    for verb in all_verbs():
        command = root.commands[verb[0]] if len(verb) == 1 else root.commands[verb[0]].commands[verb[1]]
        for line in command.examples:
            words = shlex.split(line.rpartition("agentjobs ")[2].partition(" && ")[0])
            with root.make_context("agentjobs", words) as context:
                _, found, rest = root.resolve_command(context, words)
                found.make_context(words[0], list(rest), parent=context, resilient_parsing=False)


@pytest.mark.parametrize(
    ("typed", "verb"),
    [
        pytest.param(["-n", "x", "--context=y", "get", "a"], "get", id="before-the-verb"),
        pytest.param(["get", "a", "-n", "x", "--context", "y"], "get", id="behind-it"),
        pytest.param(["-n", "z", "--context=y", "list", "a", "-n", "x"], "get", id="the-last-one-wins"),
        pytest.param(["--context", "y", "describe", "-n", "x", "a"], "show", id="another-programs-word"),
    ],
)
def test_global_options_can_precede_the_command(typed, verb):
    found = parsed(typed)

    assert (found.info_name, found.params["namespace"], found.params["context"]) == (verb, "x", "y")


def test_options_before_the_command_reach_subcommands_of_schedules():
    assert parsed(["-n", "x", "schedule", "list"]).params["namespace"] == "x"


def parsed(words):
    """The context of the verb that a command line asks for."""
    context = program().make_context("agentjobs", list(words))
    while hasattr(context.command, "commands"):
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    return context


@pytest.mark.parametrize("verb", ["logs", "show", "result", "rerun", "cancel", "wait"])
def test_commands_on_jobs_accept_several_names_or_labels(verb):
    assert parsed([verb, "a", "b"]).params["names"] == ["a", "b"]
    assert parsed([verb, "-A", "-l", "team=docs"]).params["selector"] == "team=docs"


def test_rerun_has_the_options_of_run_for_changes():
    given = parsed(["rerun", "a", "--message", "ho", "-p", "k=v", "--model", "m", "--max-attempts", "1"]).params

    assert [given[name] for name in ("message", "parameters", "model", "max_attempts")] == ["ho", ["k=v"], "m", 1]


@pytest.mark.parametrize("verb", ["list", "show", "next", "trigger", "suspend", "resume"])
def test_commands_on_schedules_accept_several_names(verb):
    assert parsed(["schedule", verb, "a", "b"]).params["names"] == ["a", "b"]


def test_names_of_schedules_can_have_kubectls_format():
    words = ["asch/a", "agentschedule.agentjobs.dev/b", "c"]

    assert parsed(["schedule", "suspend", *words]).params["names"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["a", "b"], ["a", "b"]),
        (["agentjobs", "a"], ["a"]),
        (["aj"], []),
        (["agentjob/a", "agentjob.agentjobs.dev/b"], ["a", "b"]),
    ],
)
def test_names_can_have_kubectls_format(words, names):
    assert parsed(["get", *words]).params["names"] == names


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["frobnicate"], 2, "frobnicate", id="unknown-verb"),
        pytest.param(["shwo"], 2, "Did you mean 'show'?\nSee", id="misspelt-verb"),
        pytest.param(["get", "--frob"], 2, "See 'agentjobs get --help'", id="unknown-flag"),
        pytest.param(["delete"], 2, "--selector or --all", id="delete-nothing"),
        pytest.param(["result"], 2, "NAME or --selector", id="result-of-nothing"),
        pytest.param(["schedule", "suspend"], 2, "--selector or --all", id="suspend-no-schedule"),
        pytest.param(["schedule", "trigger", "a", "--all"], 2, "cannot be combined", id="schedule-and-all"),
        pytest.param(["schedule", "show", "agentjob/a"], 2, "expected an AgentSchedule", id="no-schedule"),
        pytest.param(["schedule", "list", "a", "-l", "x=y"], 2, "cannot be combined", id="schedule-and-labels"),
        pytest.param(["cancel", "a", "--all"], 2, "cannot be combined", id="name-and-all"),
        pytest.param(["delete", "a", "-f", "b.yaml"], 2, "--filename", id="name-and-file"),
        pytest.param(["apply"], 2, "use -f FILE", id="apply-nothing"),
        pytest.param(["delete", "a", "-o", "json"], 2, "use name", id="delete-as-json"),
        pytest.param(["cancel", "a", "-o", "wide"], 2, "use json, yaml or name", id="order-as-wide"),
        pytest.param(["wait", "a", "-o", "wide"], 2, "use json, yaml or name", id="wait-as-wide"),
        pytest.param(["logs", "-f", "a", "b"], 2, "give exactly one NAME", id="follow-several"),
        pytest.param(["rerun", "a", "b", "--name", "c"], 2, "exactly one NAME", id="one-name-for-two"),
        pytest.param(["rerun", "a", "-p", "depth"], 2, "write KEY=VALUE", id="parameter-without-value"),
        pytest.param(["show", "a", "--start", "last"], 2, "2, … or all", id="start-in-words"),
        pytest.param(["wait", "a", "--for", "delete"], 2, "use Complete, Finished", id="for-delete"),
        pytest.param(["get", "schedules/a"], 2, "expected an AgentJob", id="other-kind"),
        pytest.param(["get", "agentschedules"], 2, "agentjobs schedule list", id="schedules"),
        pytest.param(["-n", "x", "version"], 2, "--namespace", id="flag-that-is-not-the-verbs"),
        pytest.param(["get", "--kubeconfig", "/does/not/exist"], 2, "agentjobs dev", id="no-kubeconfig"),
        pytest.param(["get", "-o", "xml"], 2, "json, yaml, name or wide", id="unknown-output"),
        pytest.param(["get", "-w", "-o", "json"], 2, "--watch prints tables", id="watch-json"),
        pytest.param(["get", "a", "-A"], 2, "leave out --all-namespaces", id="name-everywhere"),
        pytest.param(["wait", "a", "--for", "condition=Completed"], 2, "no such condition", id="unknown-condition"),
        pytest.param(["wait", "a", "--timeout", "soon"], 2, "1h30m", id="bad-timeout"),
        pytest.param(["apply", "-f", "/does/not/exist.yaml"], 2, "no such file", id="no-file"),
        pytest.param(["result"], 2, "NAME", id="no-name"),
        pytest.param(["dev", "--apiserver", "foo"], 2, "use one of embedded", id="unknown-server"),
        pytest.param(["dev", "--context", "kind"], 2, "needs --apiserver=kubeconfig", id="context-of-nothing"),
        pytest.param(["release-pods", "--lease", "agentjobs"], 2, "expected NAMESPACE/NAME", id="bare-lease"),
        pytest.param(["migrate"], 2, "AGENTJOBS_DATABASE_URL=postgresql://", id="no-database"),
    ],
)
def test_an_invalid_command_line_exits_with_2_and_a_solution(capsys, monkeypatch, arguments, code, words):
    monkeypatch.delenv("AGENTJOBS_DATABASE_URL", raising=False)

    with pytest.raises(SystemExit) as left:
        run(arguments)

    assert left.value.code == code
    assert words in capsys.readouterr().err


def test_standard_input_without_an_object_is_named(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("---\n"))

    with pytest.raises(SystemExit) as left:
        run(["apply", "-f", "-"])

    assert (left.value.code, "standard input" in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize(
    ("words", "spelt"),
    [
        pytest.param(["delete", ""], "NAME", id="name"),
        pytest.param(["cancel", "agentjob/"], "NAME", id="kind-without-name"),
        pytest.param(["sessions", "delete", "a", " "], "SESSION", id="one-of-two"),
        pytest.param(["delete", "-l", ""], "--selector", id="labels"),
        pytest.param(["history", "--queue", ""], "--queue", id="filter"),
        pytest.param(["notifications", "retry", "a", "--sink", ""], "--sink", id="option"),
        pytest.param(["delete", "--all", "-n", ""], "--namespace", id="namespace"),
        pytest.param(["-n", "", "delete", "--all"], "--namespace", id="namespace-before-the-verb"),
        pytest.param(["delete", "--all", "--context", " "], "--context", id="context"),
        pytest.param(["delete", "--all", "--kubeconfig", ""], "--kubeconfig", id="kubeconfig"),
    ],
)
def test_an_empty_value_does_not_mean_everything(words, spelt):
    with pytest.raises(Failure, match=f"^{spelt} is empty") as refused:
        parsed(words)

    assert refused.value.code == 2


def test_empty_values_are_for_programs_and_variables(monkeypatch):
    monkeypatch.setenv("AGENTJOBS_GATEWAY_URL", "")

    assert parsed(["dev", "--", "cat", ""]).params["command"] == ["cat", ""]
    assert not parsed(["history"]).params["gateway"]


@pytest.mark.parametrize(
    ("words", "invalid", "bounds"),
    [
        (["run", "Hi.", "--priority", "abc"], "--priority=abc", "a number"),
        (["queue", "scale", "agents", "1.5"], "NUMBER=1.5", "0 to 100000"),
        (["queue", "scale", "agents", "-1"], "NUMBER=-1", "0 to 100000"),
        (["queue", "scale", "-n", "a", "agents", "-12"], "NUMBER=-12", "0 to 100000"),
        (["queue", "scale", "agents", "--", "-1"], "NUMBER=-1", "0 to 100000"),
        (["logs", "a", "--tail", "-1"], "--tail=-1", "0 or more"),
        (["history", "--limit", "9" * 5000], f"--limit={'9' * 40}", "1 or more"),
    ],
    ids=[
        "word",
        "fraction",
        "negative",
        "negative-after-an-option",
        "negative-after-dashes",
        "negative-option",
        "huge",
    ],
)
def test_an_invalid_number_is_refused_with_its_range(capsys, words, invalid, bounds):
    with pytest.raises(SystemExit) as left:
        run(words)

    assert left.value.code == 2
    told = capsys.readouterr().err.splitlines()[0]
    assert (told.startswith(f"error: {invalid} "), bounds in told) == (True, True)


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("run Hi. --model m --priority 10", "--priority"),
        ("run Hi. --model m --name A", "--name"),
        (f"rerun a --name {'x' * 53}", "--name"),
        ("schedule backfill a --from x --to 2026-11-01", "--from"),
        ("schedule backfill a --from 2026-11-01 --to 9999-12-31", "--to"),
        ("history --phase Failde", "--phase"),
    ],
    ids=["field", "name", "long-name", "from", "to", "phase"],
)
def test_an_invalid_value_is_refused_before_a_server_is_contacted(capsys, words, option):
    with pytest.raises(SystemExit) as left:
        run([*words.split(), "--kubeconfig", "/does/not/exist"])

    assert left.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {option}")


@pytest.mark.parametrize(
    ("output", "code", "cause"),
    [
        pytest.param("/dev/full", 1, "No space left on device", id="full-disk"),
        pytest.param("&-", 0, "", id="closed"),
    ],
)
def test_a_closed_output_causes_no_traceback(output, code, cause):
    line = f"exec {sys.executable} -c 'from agentjobs.cli import main; main([\"version\"])' >{output}"

    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)

    assert (done.returncode, cause in done.stderr) == (code, True)
    assert len(done.stderr.splitlines()) == (1 if cause else 0)


def test_characters_that_the_locale_lacks_are_escaped():
    environ = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "1"}
    code = "from agentjobs.cli import app, printing\napp.program = lambda: lambda **_: printing.show('ä…')\napp.run([])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environ, check=True)

    assert done.stdout == b"\xe4\\u2026\n"


def test_bytes_that_are_not_text_are_refused(capsys, monkeypatch):
    monkeypatch.setattr(app_module, "program", lambda: lambda **_: "\udcff".encode())

    with pytest.raises(SystemExit) as left:
        run(["get"])

    assert left.value.code == 2
    assert "is not UTF-8 text" in capsys.readouterr().err


def test_ctrl_c_during_imports_causes_no_traceback(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(app_module, "run", interrupted)

    with pytest.raises(SystemExit) as left:
        agentjobs.cli.main([])

    assert left.value.code == 130


def test_a_missing_extra_is_named_with_the_command_that_installs_it():
    from agentjobs.cli.serve import _extra

    with pytest.raises(Failure, match=r"pip install .+\[gateway\]"), _extra("gateway"):
        raise ModuleNotFoundError("No module named 'fastapi'", name="fastapi")


def test_a_missing_module_of_ours_is_not_reported_as_a_missing_extra():
    from agentjobs.cli.serve import _extra

    with pytest.raises(ModuleNotFoundError), _extra("gateway"):
        raise ModuleNotFoundError("No module named 'agentjobs.x'", name="agentjobs.x")


@pytest.mark.parametrize("process", ["operator", "gateway", "dashboard", "proxy", "notifier"])
def test_missing_settings_are_named(capsys, monkeypatch, process):
    if process == "operator":
        pytest.importorskip("agentjobs.operator_process", reason="the operator's process is not there")
    monkeypatch.delenv("AGENTJOBS_DATABASE_URL", raising=False)

    with pytest.raises(SystemExit) as left:
        run([process])

    assert left.value.code == 2
    assert "AGENTJOBS_DATABASE_URL" in capsys.readouterr().err
