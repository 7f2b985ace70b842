"""What a newcomer types first."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def make(*words):
    return subprocess.run(
        ["make", "--no-print-directory", *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_help_texts_with_a_bar_are_printed_completely():
    assert "[APISERVER=embedded|envtest]" in make("help")


def test_the_demo_installs_no_test_tools():
    needed = make("--always-make", "--dry-run", "demo")

    assert ("'.[dev]'" in needed, "'.[test]'" in needed) == (True, False)


def test_setup_prints_duration_and_size_before_it_installs():
    lines = make("--always-make", "--dry-run", "setup").splitlines()

    installs = [place for place, line in enumerate(lines) if "pip install" in line]
    said = [[line for line in lines[:place] if "MB" in line and "minute" in line] for place in installs]
    assert [len(each) for each in said] == [1, 2]
