"""Verbs on several jobs: each is tried, and the exit code says how it went."""

import json

import pytest
import typer

from agentjobs import errors
from agentjobs.cli.failures import TIMED_OUT, Failure
from agentjobs.cli.targets import Choice, Target, documents, each


def targets(*names):
    return [Target(None, name) for name in names]


def act(target):
    if target.name == "late":
        raise Failure("time ran out", code=TIMED_OUT)
    if target.name == "gone":
        raise errors.NotFound("gone is not there")
    return f"{target.name} done"


def test_a_refused_object_does_not_stop_the_others(capsys):
    with pytest.raises(typer.Exit) as left:
        each(targets("gone", "a", "late", "b"), act)

    said = capsys.readouterr()
    assert (left.value.exit_code, said.out.split("\n")[:2]) == (1, ["a done", "b done"])
    assert said.err.splitlines() == ["error: gone is not there", "error: time ran out"]


def test_the_exit_code_says_if_one_of_several_timed_out():
    with pytest.raises(typer.Exit) as left:
        each(targets("late", "a", "late"), act)

    assert left.value.exit_code == TIMED_OUT


def test_the_exit_code_of_a_single_object_is_that_of_its_failure():
    with pytest.raises(errors.NotFound):
        each(targets("gone"), act)


@pytest.mark.parametrize(("names", "shown"), [(["a"], {"name": "a"}), (["a", "b"], [{"name": "a"}, {"name": "b"}])])
def test_one_name_prints_a_document_and_several_print_a_list(capsys, names, shown):
    documents(targets(*names), Choice(names), lambda one: {"name": one.name}, "json")

    assert json.loads(capsys.readouterr().out) == shown


def test_labels_always_print_a_list(capsys):
    documents(targets("a"), Choice(selector="team=docs"), lambda one: one.name, "json")

    assert json.loads(capsys.readouterr().out) == ["a"]
