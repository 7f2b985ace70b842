"""YAML as Kubernetes reads it, and the patch that takes an object to its file."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.cli.failures import Failure
from agentjobs.cli.manifests import LAST_APPLIED, parse, read, three_way, with_last_applied

JOB = "apiVersion: agentjobs.dev/v1alpha1\nkind: AgentJob\nmetadata: {name: hello}\n"
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: script}\n"


def test_a_file_of_several_documents_gives_several_objects():
    found = list(parse(f"---\n{JOB}---\n# nothing\n---\n{CONFIG_MAP}", source="a.yaml"))

    assert [(item.name, item.source) for item in found] == [
        ("hello", "a.yaml, document 1"),
        ("script", "a.yaml, document 3"),
    ]


def test_a_list_gives_its_items():
    text = json.dumps(
        {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}}]}
    )

    assert [item.name for item in parse(text, source="-")] == ["a"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("a: [", "a.yaml is not valid YAML", id="garbage"),
        pytest.param("just words", "it needs apiVersion and kind", id="no-mapping"),
        pytest.param("kind: AgentJob", "it needs apiVersion and kind", id="no-version"),
        pytest.param("apiVersion: v1\nkind: ConfigMap", "has no metadata.name", id="no-name"),
        pytest.param(f"{JOB}spec: {{a: 1, a: 2}}", "key 'a' is given twice", id="twice"),
        pytest.param("!!python/object/apply:os.system [true]", "is not valid YAML", id="code"),
        pytest.param("[" * 20_000, "nested too deeply", id="deep"),
        pytest.param(f"{JOB}spec: &a [*a]", "nested too deeply", id="holds-itself"),
    ],
)
def test_a_document_that_is_not_an_object_is_reported_with_place_and_reason(text, words):
    with pytest.raises(Failure, match=words) as failure:
        list(parse(text, source="a.yaml"))

    assert failure.value.code == 2


def test_files_folders_and_standard_input_are_read(tmp_path, monkeypatch):
    (tmp_path / "b.yaml").write_text(JOB)
    (tmp_path / "a.yml").write_text(CONFIG_MAP)
    (tmp_path / "notes.md").write_text("no YAML: [")
    monkeypatch.setattr("sys.stdin", io.StringIO(JOB))

    assert [item.name for item in read([str(tmp_path), "-"])] == ["script", "hello", "hello"]


def test_a_missing_file_is_named():
    with pytest.raises(Failure, match=r"/does/not/exist.yaml"):
        read(["/does/not/exist.yaml"])


def test_an_address_is_refused_with_what_to_do():
    with pytest.raises(Failure, match=r"curl -fsSLO https://example\.com/hello\.yaml$") as refused:
        read(["https://example.com/hello.yaml"])

    assert refused.value.code == 2


def an_object(spec, **metadata):
    return {"apiVersion": "v1", "kind": "A", "metadata": {"name": "a", **metadata}, "spec": spec}


def stored(wanted, **spec):
    """What a server holds after `wanted` was applied and others set `spec`."""
    body = with_last_applied(wanted)
    body["metadata"] |= {"uid": "u", "resourceVersion": "7"}
    return body | {"spec": body["spec"] | spec, "status": {"phase": "Running"}}


def test_applying_an_unchanged_object_changes_nothing():
    wanted = an_object({"a": 1, "b": {"c": [1]}}, labels={"x": "y"})

    assert three_way(stored(wanted), with_last_applied(wanted)) == {}


def test_fields_removed_from_the_file_are_removed_and_fields_of_others_are_kept():
    before, after = (
        an_object({"keep": 1, "drop": 2, "deep": {"drop": 1, "keep": 1}}),
        an_object({"keep": 3, "deep": {"keep": 1}}),
    )

    patch = three_way(stored(before, theirs=9), with_last_applied(after))

    assert patch["spec"] == {"keep": 3, "drop": None, "deep": {"drop": None}}


def test_an_object_not_created_by_apply_keeps_all_fields():
    patch = three_way(an_object({"theirs": 1}), with_last_applied(an_object({"ours": 1})))

    assert patch["spec"] == {"ours": 1}
    assert LAST_APPLIED in patch["metadata"]["annotations"]


def test_an_invalid_annotation_is_replaced():
    current = an_object({"a": 1}, annotations={LAST_APPLIED: "{"})

    assert list(three_way(current, with_last_applied(an_object({"a": 1})))) == ["metadata"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=6,
)
SPECS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


def merged(target, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


@given(before=SPECS, after=SPECS)
def test_the_patch_converts_any_object_to_any_other(before, after):
    # A null in a file is "not there", for a server that merges.
    current = merged({}, with_last_applied(an_object(before)))
    wanted = with_last_applied(an_object(after))

    there = merged(current, three_way(current, wanted))

    assert there == merged({}, wanted)
    assert three_way(there, wanted) == {}
