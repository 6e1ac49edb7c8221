"""The alerts: of metrics that exist, explained to operators, and raised when they should be."""

from __future__ import annotations

import re
import shutil
import subprocess

import promql_parser
import pytest
import yaml

import ugicm_analytics.metrics
import ugicm_decoder.metrics
import ugicm_encoder.metrics
from tests.deploy.manifests import KUBERNETES
from ugicm_servicekit.metrics import REGISTRY

assert ugicm_analytics.metrics
assert ugicm_decoder.metrics
assert ugicm_encoder.metrics

DEPLOY = KUBERNETES.parent
ALERTS = DEPLOY / "alerts.yaml"
GROUPS = yaml.safe_load(ALERTS.read_text())["groups"]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
}
# Prometheus' own, and cert-manager's.
FOREIGN = {"up", "ALERTS", "certmanager_certificate_expiration_timestamp_seconds"}


def series():
    """Return the label names of each series that a service may expose, by its name."""
    found = {}
    for collector in set(REGISTRY._collector_to_names):
        labels = set(getattr(collector, "_labelnames", ()))
        # What has labels collects nothing before it is used; what is of the process only collects.
        for family in getattr(collector, "describe", collector.collect)():
            for suffix in SUFFIXES[family.type]:
                found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found


SERIES = series()


def selectors(node):
    """Yield the vector selectors of a query."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "args"):
        below = getattr(node, name, None)
        for one in below if isinstance(below, list) else [below]:
            if one is not None:
                yield from selectors(one)


def names_in(query):
    return {selector.name for selector in selectors(promql_parser.parse(query))}


def unknown(query):
    return names_in(query) - set(SERIES) - FOREIGN


@pytest.mark.parametrize("alert", RULES)
def test_alerts_are_of_metrics_and_labels_that_exist(alert):
    query = RULES[alert]["expr"]
    assert names_in(query)
    assert not unknown(query)
    for selector in selectors(promql_parser.parse(query)):
        if selector.name not in FOREIGN:
            assert {matcher.name for matcher in selector.matchers.matchers} <= SERIES[selector.name]


def test_a_metric_that_does_not_exist_is_noticed():
    query = "rate(ugicm_rpcs_total[5m]) > 0 and on () ugicm_spool_byte > 1"
    assert unknown(query) == {"ugicm_spool_byte"}


def dashboards():
    """Yield the queries of the dashboards for Grafana."""

    def queries(value):
        if isinstance(value, dict):
            if isinstance(value.get("expr"), str):
                yield value["expr"]
            value = list(value.values())
        if isinstance(value, list):
            for one in value:
                yield from queries(one)

    for path in sorted(DEPLOY.rglob("*.json")):
        for query in queries(yaml.safe_load(path.read_text())):
            yield pytest.param(query, id=f"{path.stem}: {query}"[:80])


@pytest.mark.parametrize("query", list(dashboards()))
def test_dashboards_show_metrics_that_exist(query):
    # Grafana's variables stand where Prometheus wants times and texts.
    assert not unknown(re.sub(r"\$__\w+", "5m", query))


def test_the_autoscaler_goes_by_metrics_that_exist():
    folder = KUBERNETES / "components" / "autoscaling"
    rules = yaml.safe_load((folder / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    offered = {promql_parser.parse(rule["seriesQuery"]).name for rule in rules}
    scaler = yaml.safe_load((folder / "encoder.yaml").read_text())
    asked = {one["pods"]["metric"]["name"] for one in scaler["spec"]["metrics"] if "pods" in one}
    assert asked == offered <= set(SERIES)


def test_the_operators_form_has_the_same_rules():
    folder = KUBERNETES / "components" / "monitoring"
    resource = yaml.safe_load((folder / "alerts.yaml").read_text())
    assert resource["spec"]["groups"] == GROUPS


def test_the_operations_guide_explains_every_alert():
    text = (DEPLOY.parent / "docs" / "operations.md").read_text()
    assert set(re.findall(r"^\| `(Ugicm\w+)`", text, re.MULTILINE)) == set(RULES)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool, of Prometheus, is absent")
def test_alerts_are_raised_when_they_should_be_and_not_before():
    cases = KUBERNETES.parents[1] / "tests" / "deploy" / "alert_cases.yaml"
    command = ["promtool", "test", "rules", str(cases)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
