"""Every query of the Grafana dashboard and of the alerts is one that Prometheus can evaluate."""

import json
from pathlib import Path

import pytest
import yaml

promql_parser = pytest.importorskip("promql_parser", reason="promql-parser is not installed; `make setup` installs it")

ROOT = Path(__file__).parents[3]
BOARD = json.loads((ROOT / "helm" / "agentjobs" / "files" / "grafana-dashboard.json").read_text())
ALERTS = yaml.safe_load((ROOT / "docs" / "reference" / "alerts.yaml").read_text())
QUERIES = {
    f"{panel['title']}, {target['refId']}": target["expr"]
    for panel in BOARD["panels"]
    for target in panel.get("targets", ())
}
RULES = {rule["alert"]: rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]}
# What Grafana puts in for its variables.
VALUES = {"$namespace": ".*", "$__rate_interval": "1m", "$__interval": "15s", "$__range": "1h"}


def filled(expression):
    for name, value in VALUES.items():
        expression = expression.replace(name, value)
    return expression


@pytest.mark.parametrize("expression", [*QUERIES.values(), *RULES.values()], ids=[*QUERIES, *RULES])
def test_a_query_is_valid_promql_with_known_variables(expression):
    assert "$" not in filled(expression)
    assert promql_parser.parse(filled(expression)).prettify()


@pytest.mark.parametrize("wrong", ["sum(rate(agentjobs_starts_total)", "rate(agentjobs_leader)", "sum by (x ("])
def test_the_parser_refuses_what_prometheus_refuses(wrong):
    with pytest.raises(ValueError, match=r"."):
        promql_parser.parse(wrong)
