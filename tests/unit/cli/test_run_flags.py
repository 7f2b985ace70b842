"""What `run`'s flags say of a job, and which of them exclude each other."""

import inspect
from pathlib import Path

import pytest

from agentjobs.api.job.validation import validate_job
from agentjobs.cli.failures import Failure
from agentjobs.cli.job_builder import work_of
from agentjobs.cli.run_flags import fields_of, kind_of, place_of
from agentjobs.cli.running import run

NOTHING = {
    name: None if one.default in (None, "0") else one.default for name, one in inspect.signature(run).parameters.items()
}


def given(**flags):
    return {**NOTHING, **flags}


def spec_of(**flags):
    work = work_of(None, name="hello", fields=fields_of(given(**flags)), kind=kind_of(given(**flags)))
    assert validate_job({**work.job, "metadata": {"name": "hello", "uid": "u"}}) == []
    return work.job["spec"]


def test_a_prompt_makes_a_valid_job_of_claude_code():
    spec = spec_of(claude=True, message="Fix it.")

    assert spec["agent"] == {"claudeCode": {}, "model": "sonnet"}
    assert spec["input"] == {"message": "Fix it."}


def test_each_flag_sets_its_field(tmp_path):
    schema = tmp_path / "schema.yaml"
    schema.write_text("type: object\nproperties: {ok: {type: boolean}}\n")

    spec = spec_of(claude=True, message="Go.", model="opus", permission_mode="acceptEdits", max_turns=3, schema=schema)

    assert spec["agent"] == {"claudeCode": {"permissionMode": "AcceptEdits"}, "model": "opus"}
    assert spec["budget"] == {"maxTurns": 3}
    assert spec["output"]["schema"]["properties"] == {"ok": {"type": "boolean"}}


def test_a_branch_is_published_with_its_own_credentials():
    repository = {"git": "https://git.example.com/shop.git", "ref": "main", "git_secret": "read"}
    spec = spec_of(claude=True, message="Go.", publish_branch="agents/x", publish_secret="write", **repository)

    assert spec["workspace"]["git"] == {"url": repository["git"], "ref": "main", "secretRef": {"name": "read"}}
    assert spec["workspace"]["publish"] == {"mode": "Branch", "branch": "agents/x", "secretRef": {"name": "write"}}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"working_dir": Path("/nowhere/at/all")}, "is not a folder"),
        ({"working_dir": Path("/"), "detach": True}, "leave out --detach"),
        ({"working_dir": Path("/"), "git": "https://x/y"}, "--git .* cluster"),
        ({"local": True, "publish_branch": "agents/x"}, "--publish-branch .* --local"),
        ({"resume": True}, "--resume needs --local"),
    ],
)
def test_flags_for_local_and_cluster_runs_exclude_each_other(flags, words):
    with pytest.raises(Failure, match=words):
        place_of(given(**flags))


def test_a_working_folder_means_a_local_run(tmp_path):
    place = place_of(given(working_dir=tmp_path))
    assert (place.local, place.folder) == (True, tmp_path)


def test_options_of_adk_are_refused_for_claude_code():
    with pytest.raises(Failure, match=r"^--instruction .*ADK"):
        kind_of(given(claude=True, instruction="Be brief."))


def test_an_invalid_mode_gets_a_suggestion():
    with pytest.raises(Failure, match="AcceptEdits"):
        fields_of(given(permission_mode="AcceptEdit"))


@pytest.mark.parametrize(
    ("flags", "option"),
    [
        ({"priority": 10}, "--priority"),
        ({"start_after": "soon"}, "--start-after"),
        ({"max_turns": 0}, "--max-turns"),
        ({"ttl": -1}, "--ttl-seconds-after-finished"),
        ({"git": "file:///srv/shop"}, "--git"),
    ],
    ids=["number", "duration", "below", "spelt-differently", "pattern"],
)
def test_an_invalid_value_is_refused_by_its_flag(flags, option):
    with pytest.raises(Failure, match=f"^{option}: ") as refused:
        fields_of(given(**flags))

    assert refused.value.code == 2


@pytest.mark.parametrize("flag", ["ref", "git_secret", "publish_secret"])
def test_a_file_and_flags_can_set_fields_of_the_same_object(flag):
    assert list(fields_of(given(**{flag: "dev"})).values()) == ["dev"]


def test_fields_that_a_file_can_add_are_not_required_as_flags():
    assert fields_of(given(priority=3, publish_branch="fix")) == {
        ("priority",): 3,
        ("workspace", "publish", "branch"): "fix",
        ("workspace", "publish", "mode"): "Branch",
    }


@pytest.mark.parametrize("text", ["[]", "{", "a: 1\n---\nb: 2\n"])
def test_a_file_that_is_not_a_schema_is_refused(tmp_path, text):
    schema = tmp_path / "schema.json"
    schema.write_text(text)
    with pytest.raises(Failure, match="--schema"):
        fields_of(given(schema=schema))
