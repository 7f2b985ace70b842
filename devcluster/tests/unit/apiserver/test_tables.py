"""Tables: the cells of a real kube-apiserver, ages, and JSONPath."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devcluster.apiserver import crds
from devcluster.apiserver.errors import StatusError
from devcluster.apiserver.jsonpath import compile_path
from devcluster.apiserver.kinds import BUILTIN, CONFIG_MAP, POD, Kind
from devcluster.apiserver.tables import age, human_duration, table

GOLDEN = json.loads((Path(__file__).parent / "golden" / "tables.json").read_text())
NOW = datetime.fromisoformat(GOLDEN["now"])


def kind_at(path: str) -> Kind:
    crds.prune(GOLDEN["crd"])
    crds.complete(GOLDEN["crd"])
    custom = (resource.kind for resource in crds.resources_of(GOLDEN["crd"]))
    kinds = {kind.plural: kind for kind in (*BUILTIN, *custom)}
    return next(kinds[step] for step in reversed(path.split("/")) if step in kinds)


ROWS = [
    pytest.param(answer["path"], row, id=f"{answer['path'].split('/')[-1]}-{row['object']['metadata']['name']}")
    for answer in GOLDEN["tables"]
    for row in answer["rows"]
]


@pytest.mark.parametrize(("path", "row"), ROWS)
def test_a_row_has_the_cells_of_a_real_server(path: str, row: dict[str, Any]) -> None:
    answer = table(kind_at(path), [row["object"]], now=NOW)

    assert answer["rows"][0]["cells"] == row["cells"]
    assert answer["rows"][0].get("conditions") == row.get("conditions")


@pytest.mark.parametrize("answer", GOLDEN["tables"], ids=[answer["path"].split("/")[-1] for answer in GOLDEN["tables"]])
def test_columns_are_those_of_a_real_server(answer: dict[str, Any]) -> None:
    definitions = table(kind_at(answer["path"]), [], now=NOW)["columnDefinitions"]

    assert [{key: one[key] for key in one if key != "description"} for one in definitions] == answer["columns"]


@pytest.mark.parametrize(
    ("include", "found"),
    [
        ("", {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a"}}),
        ("Metadata", {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a"}}),
        ("Object", {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {}}),
        ("None", None),
    ],
)
def test_a_row_includes_the_requested_part_of_the_object(include: str, found: object) -> None:
    obj = {"metadata": {"name": "a"}, "data": {}}

    assert table(CONFIG_MAP, [obj], now=NOW, include=include)["rows"][0]["object"] == found


def test_an_unknown_include_is_a_bad_request() -> None:
    with pytest.raises(StatusError, match='includeObject: Invalid value: "Foo"') as refused:
        table(CONFIG_MAP, [], now=NOW, include="Foo")

    assert refused.value.code == 400


def test_the_old_version_is_answered_in_the_old_version() -> None:
    answer = table(CONFIG_MAP, [{}], now=NOW, api_version="meta.k8s.io/v1beta1", metadata={"resourceVersion": "7"})

    assert answer["apiVersion"] == answer["rows"][0]["object"]["apiVersion"] == "meta.k8s.io/v1beta1"
    assert answer["metadata"] == {"resourceVersion": "7"}


def test_a_pod_with_an_invalid_status_does_not_break_the_list() -> None:
    pods = [{"metadata": {"name": "bad"}, "status": {"containerStatuses": [1]}}, {"metadata": {"name": "good"}}]

    rows = table(POD, pods, now=NOW)["rows"]

    assert rows[0]["cells"][:3] == ["bad", "<invalid>", "<invalid>"]
    assert rows[1]["cells"][:3] == ["good", "0/0", ""]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (5 * 3600 + 60, "5h1m"),
        (8 * 3600, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (50 * 3600, "2d2h"),
        (8 * 86400, "8d"),
        (729 * 86400, "729d"),
        (730 * 86400, "2y"),
        (731 * 86400, "2y1d"),
        (8 * 365 * 86400, "8y"),
    ],
)
def test_ages_are_formatted_as_in_kubectl(seconds: int, text: str) -> None:
    assert human_duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("timestamp", "text"),
    [(None, "<unknown>"), ("", "<unknown>"), ("soon", "<invalid>"), (3, "<invalid>"), ("2026-01-01T00:00:00Z", "5s")],
)
def test_a_timestamp_becomes_an_age(timestamp: object, text: str) -> None:
    assert age(timestamp, datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)) == text


DOCUMENT = {
    "a": {"b": [1, 2, 3], "c.d": "dot", "e f": "space"},
    "list": [{"t": "A", "n": 1}, {"t": "B", "n": 2, "deep": {"t": "C"}}],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b[0]", [1]),
        (".a.b[-1]", [3]),
        (".a.b[9]", []),
        (".a.b[1:]", [2, 3]),
        (".a.b[-2:]", [2, 3]),
        (".a.b[0:3:2]", [1, 3]),
        (".a.b[0,2]", [1, 3]),
        (".a.b[*]", [1, 2, 3]),
        (r".a.c\.d", ["dot"]),
        (r".a['c\.d']", ["dot"]),
        (".a['c.d']", []),
        (".list[*].t", ["A", "B"]),
        ('.list[?(@.t=="B")].n', [2]),
        (".list[?(@.t=='B')].n", [2]),
        (".list[?(@.n>1)].t", ["B"]),
        (".list[?(@.n<=1)].t", ["A"]),
        (".list[?(@.t!='A')].t", ["B"]),
        (".list[?(@.deep)].t", ["B"]),
        (".list[?(@.t>1)].t", []),
        ("..t", ["A", "B", "C"]),
        (".missing.x[0].y", []),
        (".a.*", [[1, 2, 3], "dot", "space"]),
        (".", [DOCUMENT]),
    ],
)
def test_a_json_path_finds_its_values(path: str, found: list[Any]) -> None:
    assert list(compile_path(path)(DOCUMENT)) == found


@pytest.mark.parametrize(
    "path", ["a", ".a[", ".a[x]", ".a[?(x)]", ".a[?(@.b==)]", ".a[?(@.b==x)]", ".a[::-1]", ".a[::0]", ".{}"]
)
def test_a_path_that_cannot_be_parsed_is_an_error(path: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        compile_path(path)


@given(st.text(alphabet=".[]'\"*?@()=<>,:-01ab\\ ", max_size=14))
def test_any_text_is_a_path_or_a_value_error(path: str) -> None:
    try:
        find = compile_path(path)
    except ValueError:
        return
    list(find(DOCUMENT))
