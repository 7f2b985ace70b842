"""What CI's second run of failed tests lets pass."""

import pytest

from tests import secondrun

PASSES = "def test_{n}(): pass\n"
FAILS = "def test_{n}(): assert False\n"
FAILS_ONCE = """
import pathlib, pytest
@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("value", ["a@b"])
def test_{n}(value):
    first = not (seen := pathlib.Path(__file__).with_suffix(".{n}")).exists()
    seen.touch()
    assert not first
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    def run(*tests):
        (tmp_path / "test_some.py").write_text("".join(text.format(n=n) for n, text in enumerate(tests)))
        (tmp_path / "pytest.ini").touch()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("SECONDRUN_REPORT", str(tmp_path / "report"))
        return secondrun.main(["-n", "1", "--dist", "loadgroup", "--", "test_some.py"])

    run.report = tmp_path / "report"
    return run


def test_a_test_that_passes_alone_passes_and_is_reported(run):
    assert run(PASSES, FAILS_ONCE) == 0
    assert run.report.read_text().endswith("test_some.py::test_1[a@b]\n")


def test_a_test_that_fails_twice_fails(run):
    assert run(FAILS_ONCE, FAILS) == 1
    assert not run.report.exists()


def test_many_failures_are_not_run_again(run):
    assert run(*[FAILS_ONCE] * (secondrun.MOST + 1)) == 1


def test_a_passing_run_reports_nothing(run):
    assert run(PASSES) == 0
    assert not run.report.exists()
