"""The environment of a container, as a kubelet makes it."""

from pathlib import Path

import pytest

from devcluster.node.environment import (
    ConfigError,
    Paths,
    command_line,
    container_env,
    expand,
    field_value,
    process_env,
)

PATHS = Paths({"/tmp": Path("/x/tmp"), "/tmp/deep": Path("/x/deep")}, "/dev/termination-log", Path("/x/end"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("$(A)/b", "1/b", id="known"),
        pytest.param("$(B)", "$(B)", id="unknown names stay"),
        pytest.param("$$(A)", "$(A)", id="two dollars escape"),
        pytest.param("$A $(", "$A $(", id="no reference"),
    ],
)
def test_references_expand_as_in_kubernetes(text, expected):
    assert expand(text, {"A": "1"}) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("/tmp", "/x/tmp", id="a mount"),
        pytest.param("/tmp/file", "/x/tmp/file", id="below a mount"),
        pytest.param("/tmp/deep/file", "/x/deep/file", id="the longest mount wins"),
        pytest.param("/tmpfile", "/tmpfile", id="a longer name is another path"),
        pytest.param("/dev/termination-log", "/x/end", id="the termination file"),
        pytest.param("text", "text", id="no path"),
    ],
)
def test_container_paths_become_paths_of_the_machine(value, expected):
    assert PATHS.real(value) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "p"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['a']", "b"),
        ("metadata.labels", 'a="b"'),
        ("status.podIP", "127.0.0.1"),
        ("spec.serviceAccountName", "default"),
    ],
)
def test_fields_of_the_pod_can_be_read(a_pod, path, expected):
    assert field_value(a_pod(), path, address="127.0.0.1") == expected


def test_an_unknown_field_is_refused(a_pod):
    with pytest.raises(ConfigError, match="unsupported fieldPath: spec"):
        field_value(a_pod(), "spec", address="127.0.0.1")


async def test_env_overrides_env_from_and_can_reference_earlier_variables(a_pod, lookup):
    container = {
        "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "S_"}],
        "env": [
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api"}}},
            {"name": "BOTH", "value": "$(KEY)-$(S_mode)"},
            {"name": "S_mode", "value": "slow"},
        ],
    }

    env = await container_env(container, a_pod(), lookup, paths=PATHS, address="127.0.0.1")

    assert env == {"S_mode": "slow", "KEY": "s3cret", "BOTH": "s3cret-fast"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"secretKeyRef": {"name": "nope", "key": "a"}}, 'secret "nope" not found'),
        ({"secretKeyRef": {"name": "keys", "key": "a"}}, "couldn't find key a in Secret ns/keys"),
        ({"configMapKeyRef": {"name": "nope", "key": "a"}}, 'configmap "nope" not found'),
        ({"configMapKeyRef": {"name": "settings", "key": "a"}}, "couldn't find key a in ConfigMap ns/settings"),
    ],
)
async def test_a_missing_reference_has_the_kubelets_message(a_pod, lookup, source, message):
    container = {"env": [{"name": "A", "valueFrom": source}]}

    with pytest.raises(ConfigError) as error:
        await container_env(container, a_pod(), lookup, paths=PATHS, address="127.0.0.1")

    assert str(error.value) == message


async def test_an_optional_reference_leaves_the_variable_out(a_pod, lookup):
    container = {
        "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "nope", "key": "a", "optional": True}}}]
    }

    assert await container_env(container, a_pod(), lookup, paths=PATHS, address="127.0.0.1") == {}


def test_our_interpreter_is_first_on_the_path_and_the_project_can_be_imported():
    env = process_env(
        {"PATH": "/bin", "PYTHONPATH": "/own"},
        inherited={"KEY": "1"},
        command_path=Path("/venv/bin"),
        working_folder=Path("/project"),
        home=Path("/home"),
        temporary=Path("/tmp/pod"),
    )

    assert (env["PATH"], env["PYTHONPATH"], env["KEY"]) == ("/venv/bin:/bin", "/own:/project", "1")
    assert (env["HOME"], env["TMPDIR"]) == ("/home", "/tmp/pod")


def test_a_container_without_command_is_refused():
    with pytest.raises(ConfigError, match="no command specified"):
        command_line({"args": ["x"]}, {}, PATHS)
