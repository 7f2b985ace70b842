"""The dashboard for Grafana uses existing metrics and labels, and Grafana 10 can import it."""

import json
import re
from itertools import combinations
from pathlib import Path

import pytest
from tests.unit.kube.test_metrics import SUFFIXES, documented

FILE = Path(__file__).parents[3] / "helm" / "agentjobs" / "files" / "grafana-dashboard.json"
BOARD = json.loads(FILE.read_text())
PANELS = [one for one in BOARD["panels"] if one["type"] != "row"]
PROCESSES = ("operator", "gateway", "dashboard", "model proxy", "notifier")
UNITS = {"currencyUSD", "none", "ops", "percentunit", "s"}
"""Names of Grafana; it shows another as text behind the number."""
# The fields of Grafana's schema that we use: it ignores others, and what they were to set.
PANEL = {"id", "type", "title", "gridPos"}
QUERYING = PANEL | {"description", "datasource", "fieldConfig", "options", "targets"}
OF_PANEL = {"timeseries": QUERYING, "stat": QUERYING, "row": PANEL | {"collapsed", "panels"}}
OF_TARGET = {"datasource", "editorMode", "expr", "format", "instant", "legendFormat", "range", "refId"}
# What Prometheus writes on each series that it scrapes from a pod.
OF_TARGETS = {"namespace", "pod"}


def samples():
    """Every series by name, with its labels."""
    found = {}
    for process in PROCESSES:
        for name, (kind, labels) in documented(process).items():
            for suffix in SUFFIXES[kind]:
                more = {"le"} if suffix == "_bucket" else set()
                found[f"{name.removesuffix('_total')}{suffix}"] = labels | more
    return found


SAMPLES = samples()


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_uses_existing_metrics_and_labels(panel):
    for target in panel["targets"]:
        asked = re.findall(r"(agentjobs_\w+)\{([^}]*)\}", target["expr"])
        grouped = {label for found in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in found.split(", ")}
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))

        assert asked
        assert len(asked) == target["expr"].count("agentjobs_"), "a metric without the choice of installations"
        for name, selector in asked:
            known = SAMPLES[name] | OF_TARGETS
            assert 'namespace=~"$namespace"' in selector
            assert set(re.findall(r"(\w+)=", selector)) | grouped <= known
        assert shown <= grouped


@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_has_a_panel(process):
    asked = {
        name for panel in PANELS for target in panel["targets"] for name in re.findall(r"agentjobs_\w+", target["expr"])
    }
    stems = {re.sub("_(total|bucket|count|sum)$", "", name) for name in asked}

    own = {name.removesuffix("_total") for name in documented(process)}
    assert len(own & stems) >= min(3, len(own))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_has_a_description_and_uses_the_selected_data_source(panel):
    assert panel["description"].endswith(".")
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert all(one == {"type": "prometheus", "uid": "${datasource}"} for one in sources)


def test_grafana_10_can_import_the_dashboard():
    first, second = BOARD["templating"]["list"]

    assert BOARD["schemaVersion"] == 38
    assert (first["type"], first["query"], first["name"]) == ("datasource", "prometheus", "datasource")
    assert (second["name"], second["allValue"]) == ("namespace", ".*")
    assert BOARD["id"] is None
    assert "uid" not in BOARD


def test_the_dashboard_has_only_fields_that_grafana_reads():
    panels = BOARD["panels"]

    assert [one["title"] for one in panels if set(one) - OF_PANEL[one["type"]]] == []
    assert [one["title"] for one in PANELS for target in one["targets"] if set(target) - OF_TARGET] == []


def test_each_used_variable_is_declared():
    declared = {one["name"] for one in BOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", FILE.read_text()))

    assert {one for one in used if not one.startswith("__")} == declared


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_names_its_queries_and_orders_its_thresholds(panel):
    names = [one["refId"] for one in panel["targets"]]
    steps = [one["value"] for one in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])]

    assert len(set(names)) == len(names) > 0
    assert steps[:1] in ([], [None])
    assert steps[1:] == sorted(set(steps[1:]))


def test_panels_have_unique_ids_and_positions():
    places = [one["gridPos"] for one in BOARD["panels"]]

    assert len({one["id"] for one in BOARD["panels"]}) == len(BOARD["panels"])
    assert all(one["x"] >= 0 and one["w"] > 0 and one["h"] > 0 and one["x"] + one["w"] <= 24 for one in places)
    assert {one["collapsed"] for one in BOARD["panels"] if one["type"] == "row"} == {False}
    assert not [
        (one, other)
        for one, other in combinations(places, 2)
        if one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    ]
