"""Verbs on several jobs: each is tried, and the exit code says how it went."""

import json

import pytest
import typer

from agentjobs import errors
from agentjobs.cli.failures import TIMED_OUT, Failure
from agentjobs.cli.targets import Choice, Target, documents, each, looking_in
from agentjobs.client.operations import Operations


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


@pytest.mark.parametrize("count", [1, 2])
def test_a_missing_job_is_reported_with_its_namespace_and_a_cure(capsys, count):
    def missing(target):
        raise errors.NotFound(f'agentjobs.agentjobs.dev "{target.name}" not found')

    with pytest.raises((errors.NotFound, typer.Exit)) as left:
        each([Target(Operations("team-a", retry_for=0.0), "nope")] * count, missing)

    said = str(left.value) if count == 1 else capsys.readouterr().err
    assert '"nope" not found in namespace team-a' in said
    assert all(cure in said for cure in ("`agentjobs get -A`", "`agentjobs history -A`"))


def test_the_reason_why_history_does_not_help_stays_in_the_message():
    with pytest.raises(errors.NotFound) as missing, looking_in("team-a"):
        raise errors.NotFound('agentjobs.agentjobs.dev "nope" not found; and from history: no address')

    assert str(missing.value).endswith("not found in namespace team-a; and from history: no address")


@pytest.mark.parametrize("other", ['agentschedules.agentjobs.dev "a" not found', "no AgentJob 'a' in the history"])
def test_other_messages_about_missing_objects_stay(other):
    with pytest.raises(errors.NotFound) as missing, looking_in("team-a"):
        raise errors.NotFound(other)

    assert str(missing.value) == other
